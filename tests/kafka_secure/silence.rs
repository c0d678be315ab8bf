//! Clusters that accept connections and never answer: this is reported, and delays no other
//! cluster.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use lagrange::kafka::connection::security::{PasswordMechanism, Security};
use lagrange::kafka::model::interest::Key;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::poll_helper::{brief, interest, lag, named};
use lagrange_testing::scene::{Scene, connection, login, showing, trusting};
use lagrange_testing::secure::Listener;
use lagrange_testing::until::secs;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A server that accepts connections, keeps them, and never answers.
struct Mute {
    address: String,
    _taking: AbortOnDropHandle<()>,
}

impl Mute {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let taking = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                kept.push(connection);
            }
        });
        Self {
            address,
            _taking: AbortOnDropHandle::new(taking),
        }
    }
}

/// The healthy cluster of the same pool is polled as often as it asks for, while the silent
/// clusters are polled twice each, which takes seconds. If it had to wait for them, it would be
/// polled about as often as they are.
#[tokio::test(flavor = "multi_thread")]
async fn clusters_that_never_answer_are_reported_and_delay_no_other() {
    const OF_EACH: usize = 3;
    let kafka = Kafka::shared_secure().await;
    let scene = Scene::open(kafka).await;
    let (ca, password) = (kafka.tls("ca.crt"), kafka.password("lagrange"));
    let login = || login(PasswordMechanism::ScramSha512, &password);
    let sasl_ssl = || Security {
        tls: trusting(&ca),
        sasl: login(),
    };
    let sasl_plaintext = || Security {
        tls: None,
        sasl: login(),
    };
    let ssl = || showing(&ca, &kafka.tls("user.crt"), &kafka.tls("user.key"));
    let healthy = scene.connection(Listener::SaslSsl, sasl_ssl()).await;
    let mut helper = scene.poll_helper(&healthy);
    scene.until_read(&mut helper).await;

    let mut mutes = Vec::new();
    let mut watches = BTreeMap::new();
    for number in 0..OF_EACH {
        let all = [
            ("sasl-ssl", sasl_ssl()),
            ("sasl-plaintext", sasl_plaintext()),
            ("ssl", ssl()),
        ];
        for (protocol, security) in all {
            let mute = Mute::start().await;
            let id = format!("{protocol}-{number}");
            let connection = connection(&mute.address, security, 1);
            let key = Key::consumer_group("test", &id);
            let watch = helper
                .pool
                .watch(&connection, key, interest(&id, named(&["t"])))
                .unwrap();
            watches.insert(id, watch);
            mutes.push(mute);
        }
    }

    let mut reported: BTreeMap<String, u64> = BTreeMap::new();
    let mut healthy_polls = BTreeSet::new();
    while reported.values().filter(|polls| **polls >= 2).count() < watches.len() {
        let key = helper.wakeups.next().await.unwrap();
        let Some(watch) = watches.get(&*key.name) else {
            let snapshot = helper.watch.latest().unwrap();
            let seen = lag(&snapshot, &scene.name, &scene.name);
            assert_eq!(seen, Some(30), "{}", brief(&snapshot));
            healthy_polls.insert(snapshot.poll);
            continue;
        };
        let snapshot = watch.latest().unwrap();
        let error = snapshot.error.as_ref().unwrap();
        assert_eq!(
            (error.category().as_str(), error.to_string().as_str()),
            (
                "KafkaUnreachable",
                "no broker answered: no answer: wrong protocol or port?"
            ),
            "{}",
            key.name
        );
        reported.insert(key.name.to_string(), snapshot.poll);
    }
    let mute_polls: u64 = reported.values().sum();
    assert!(
        healthy_polls.len() >= 20,
        "{} polls of the healthy one, {mute_polls} of the silent ones",
        healthy_polls.len()
    );
    assert!(
        helper.pool.shutdown(secs(10)).await,
        "silent clusters do not keep the pool from closing"
    );
}
