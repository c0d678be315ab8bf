//! The API server is a function here. It models status codes and silence, not TLS, redirects or
//! retries of the client.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Request, Response};
use kube::client::Body;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::process::readiness::ReadinessBuilder;

enum Answer {
    Says(u16, Value),
    Silence,
}

/// Answers the n-th call by `answer(n, path)`.
fn cluster(answer: impl Fn(usize, &str) -> Answer + Clone + Send + 'static) -> Cluster {
    let calls = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer(calls.fetch_add(1, Ordering::SeqCst), request.uri().path());
        async move {
            let Answer::Says(code, body) = answer else {
                return std::future::pending().await;
            };
            let response = Response::builder()
                .status(code)
                .header("content-type", "application/json");
            Ok::<_, Infallible>(
                response
                    .body(Body::from(body.to_string().into_bytes()))
                    .unwrap(),
            )
        }
    });
    Cluster {
        client: Client::new(service, "default"),
        url: "https://10.0.0.1:6443".to_owned(),
        timeout: Duration::from_secs(10),
    }
}

fn refusal(code: u16, message: &str) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "", "code": code});
    Answer::Says(code, status)
}

fn serving(plurals: &[&str]) -> Answer {
    let resources: Vec<_> = plurals
        .iter()
        .map(|name| json!({"name": name, "singularName": "", "namespaced": true, "kind": "K", "verbs": ["list"]}))
        .collect();
    Answer::Says(
        200,
        json!({"kind": "APIResourceList", "groupVersion": GROUP_VERSION, "resources": resources}),
    )
}

fn empty_list() -> Answer {
    Answer::Says(200, json!({"items": []}))
}

#[tokio::test]
async fn an_answer_without_our_group_is_an_answer() {
    cluster(|_, _| refusal(404, "404 page not found"))
        .first_answer()
        .await
        .unwrap();
}

#[rstest]
#[case(
    401,
    "Unauthorized",
    "did not authenticate the operator (Unauthorized)"
)]
#[case(
    403,
    "User \"system:anonymous\"\ncannot get path",
    "denies the operator access (User \"system:anonymous\" cannot get path)"
)]
#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_start_in_one_line(
    #[case] code: u16,
    #[case] message: &'static str,
    #[case] says: &str,
) {
    let error = cluster(move |_, _| refusal(code, message))
        .first_answer()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(says), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_the_start_after_the_timeout() {
    let began = Instant::now();
    let error = cluster(|_, _| Answer::Silence)
        .first_answer()
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert!(
        error.starts_with(
            "the API server at https://10.0.0.1:6443 gave no answer within 10 s (the request timed out)"
        ),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_still_starting_is_waited_for() {
    let starting = cluster(|call, _| match call {
        0..5 => refusal(503, "starting"),
        _ => serving(&PLURALS),
    });
    starting.first_answer().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn missing_definitions_are_named_while_they_are_waited_for() {
    let mut gates = ReadinessBuilder::default();
    let gate = gates.gate("resource definitions");
    let readiness = gates.build();
    let cluster = cluster(|call, _| match call {
        0 => refusal(404, "not found"),
        1 => Answer::Silence,
        2..1000 => serving(&["consumergroups"]),
        _ => serving(&PLURALS),
    });
    let waiting = tokio::spawn(async move { cluster.definitions(&gate).await.is_ok() });
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    insta::assert_snapshot!(readiness.check().unwrap_err(), @"waiting for: resource definitions (consumergroups.lagrange.dev and kafkaclusters.lagrange.dev not installed: install the chart with crds.install=true, or apply the output of lagrange crd)");
    tokio::time::sleep(Duration::from_secs(11)).await;
    insta::assert_snapshot!(readiness.check().unwrap_err(), @"waiting for: resource definitions (no answer from the API server: the request timed out)");
    tokio::time::sleep(Duration::from_secs(5)).await;
    insta::assert_snapshot!(readiness.check().unwrap_err(), @"waiting for: resource definitions (kafkaclusters.lagrange.dev not installed: install the chart with crds.install=true, or apply the output of lagrange crd)");
    assert!(waiting.await.unwrap());
    assert!(readiness.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_has_just_started_may_deny_access_at_first() {
    let cluster = cluster(|number, _| match number {
        0..3 => refusal(403, "cannot list"),
        _ => empty_list(),
    });
    let checked = cluster.permissions(&[]).await;
    assert!(checked.is_ok(), "{checked:?}");
}

#[rstest]
#[case::everywhere(&[], "/apis/lagrange.dev/v1alpha1/kafkaclusters")]
#[case::in_one_of_two(&["shop", "kafka"], "/apis/lagrange.dev/v1alpha1/namespaces/kafka/consumergroups")]
#[tokio::test(start_paused = true)]
async fn a_watch_that_would_be_refused_is_found_out_before_it_begins(
    #[case] namespaces: &[&str],
    #[case] forbidden: &'static str,
) {
    let cluster = cluster(move |_, path| match path {
        _ if path == forbidden => refusal(403, "cannot list"),
        _ => empty_list(),
    });
    let error = cluster.permissions(namespaces).await.unwrap_err();
    assert!(
        matches!(error, AccessError::NotAuthorised { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn permissions_of_other_namespaces_are_not_asked_for() {
    let cluster = cluster(|_, path| {
        if path.contains("/namespaces/shop/") {
            empty_list()
        } else {
            refusal(403, "cannot list")
        }
    });
    cluster.permissions(&["shop"]).await.unwrap();
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let access = |name: &str| Access {
        kubeconfig: Some(directory.path().join(name)),
        context: None,
        timeout: Duration::from_secs(1),
    };
    std::fs::write(directory.path().join("empty"), "").unwrap();
    for name in ["absent", "empty"] {
        let error = configuration(&access(name)).await.unwrap_err();
        assert!(matches!(error, AccessError::BadConfig(_)), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}
