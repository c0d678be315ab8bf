//! How many objects are watched, and for how long.

use std::{
    convert::Infallible,
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
};

use http::{Request, Response};
use kube::{Client, client::Body};
use lagrange_core::api::condition::Reason;
use serde_json::json;

use super::*;

/// A pending request.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Secrets with an API server that never answers, and the count of requests to it.
fn secrets() -> (Secrets, Arc<AtomicUsize>) {
    let open = Arc::new(AtomicUsize::new(0));
    let all = Arc::clone(&open);
    let service = tower::service_fn(move |_: Request<Body>| {
        let open = Open::new(&all);
        async move {
            let _open = open;
            pending::<Result<Response<Body>, Infallible>>().await
        }
    });
    let secrets = Secrets::new(
        ApiServer::new(Client::new(service, "default")),
        Wake::default(),
        BTreeSet::new(),
    );
    (secrets, open)
}

/// A cluster whose password is in this Secret.
fn plan(secret: &str) -> Plan {
    let spec = json!({
        "bootstrapServers": ["kafka:9093"],
        "sasl": {
            "mechanism": "SCRAM-SHA-512", "username": "lagrange", "passwordSecret": { "secretName": secret },
        },
    });
    Plan::of_cluster(&serde_json::from_value(spec).unwrap()).unwrap()
}

/// The error that a cluster which uses this Secret gets; `None`: the Secret is being read.
fn ask(secrets: &Secrets, namespace: &str, cluster: &str, secret: &str) -> Option<Unusable> {
    let user = Key::kafka_cluster(namespace, cluster);
    let namespace = namespace.into();
    let chosen = secrets.choose(&namespace, &plan(secret), &user, None, Timestamp::now());
    match chosen {
        Ok(None) => None,
        Ok(Some(_)) => panic!("there is nothing to connect with"),
        Err(unusable) => Some(unusable),
    }
}

async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_namespace_has_64_objects_watched_and_no_more() {
    let (secrets, open) = secrets();
    for number in 0..64 {
        let name = format!("s{number}");
        assert_eq!(ask(&secrets, "shop", &name, &name), None);
    }
    let refused = ask(&secrets, "shop", "one-more", "one-more").unwrap();
    assert_eq!(refused, Unusable::TooManyObjects(64));
    assert_eq!(refused.reason(), Reason::TooManyConnections);
    assert_eq!(ask(&secrets, "bank", "main", "user"), None, "not theirs");
    assert_eq!(
        ask(&secrets, "shop", "beside", "s7"),
        None,
        "watched already"
    );
    settle().await;
    assert_eq!(open.load(Ordering::Relaxed), 65);
    secrets.release(&Key::kafka_cluster("shop", "s3"));
    assert_eq!(ask(&secrets, "shop", "one-more", "one-more"), None);
    // A refused user releases what it had.
    assert!(
        ask(&secrets, "shop", "one-more", "s3").is_none(),
        "in its place"
    );
    let refused = |secret| ask(&secrets, "shop", "s4", secret).is_some();
    assert_eq!(ask(&secrets, "shop", "another", "s4"), None);
    assert!(refused("yet-more"));
    secrets.release(&Key::kafka_cluster("shop", "another"));
    assert!(!refused("yet-more"));
}

#[tokio::test]
async fn an_object_that_nobody_uses_any_more_is_not_watched_any_more() {
    let (secrets, open) = secrets();
    let watched = async |expected: usize| {
        settle().await;
        assert_eq!(open.load(Ordering::Relaxed), expected);
        assert_eq!(lock(&secrets.state).objects.len(), expected);
    };
    ask(&secrets, "shop", "a", "user");
    ask(&secrets, "shop", "b", "user");
    ask(&secrets, "shop", "c", "other");
    watched(2).await;
    // Another Secret is named.
    ask(&secrets, "shop", "c", "third");
    watched(2).await;
    secrets.release(&Key::kafka_cluster("shop", "a"));
    watched(2).await;
    secrets.release(&Key::kafka_cluster("shop", "b"));
    watched(1).await;
    secrets.release(&Key::kafka_cluster("shop", "c"));
    watched(0).await;
    let state = lock(&secrets.state);
    assert!(state.uses.is_empty() && state.made.is_empty());
}
