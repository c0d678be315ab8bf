//! Credentials that change while they are in use.

use lagrange::kafka::error::ReadError;
use lagrange::kafka::security::{PasswordMechanism, Security};

use super::scene::{Scene, connection, login, trusting};
use super::support::eyes::{Eyes, brief, lag};
use super::support::kafka::Kafka;
use super::support::secure::{Listener, Tokens};
use super::support::until::{secs, until};

const SCRAM: PasswordMechanism = PasswordMechanism::ScramSha512;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_is_used_without_a_gap_and_the_old_connections_are_closed() {
    let kafka = Kafka::secure(1, Tokens::Jwt, &[]).await;
    let scene = Scene::open(&kafka).await;
    let bootstrap = kafka.listener(Listener::SaslSsl).await;
    let with = |password: &str, revision| {
        let security = Security {
            tls: trusting(&kafka.tls("ca.crt")),
            sasl: login(SCRAM, password),
        };
        connection(&bootstrap, security, revision)
    };
    let mut eyes = scene.eyes(&with(&kafka.password("lagrange"), 1));
    scene.until_read(&mut eyes).await;
    let before = Kafka::connections_to(&bootstrap);

    // The Secret may change before the broker knows of it: what works goes on.
    eyes.watch.renew(&with("second", 2));
    let refused = |snapshot: &lagrange::kafka::snapshot::Snapshot| {
        matches!(snapshot.renewal, Some(ReadError::Authentication { .. }))
    };
    until_read_throughout(&mut eyes, &scene.name, refused).await;
    kafka.set_password("lagrange", "third").await;
    eyes.watch.renew(&with("third", 3));
    let look = eyes.watch.latest().unwrap().look;
    until_read_throughout(&mut eyes, &scene.name, |snapshot| {
        snapshot.look > look + 1 && snapshot.renewal.is_none()
    })
    .await;
    until(secs(10), "the old connections are closed", || async {
        match Kafka::connections_to(&bootstrap) {
            now if now <= before => Ok(()),
            now => Err(format!("{now} connections, {before} before")),
        }
    })
    .await;
}

/// Until `there`, and no look on the way has missed anything.
async fn until_read_throughout(
    eyes: &mut Eyes,
    name: &str,
    there: impl Fn(&lagrange::kafka::snapshot::Snapshot) -> bool,
) {
    eyes.until_checked("new credentials", there, |snapshot| {
        assert_eq!(lag(snapshot, name, name), Some(30), "{}", brief(snapshot));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorities_stand_beside_each_other_while_one_replaces_the_other() {
    let kafka = Kafka::secure(1, Tokens::Jwt, &[]).await;
    let scene = Scene::open(&kafka).await;
    let bootstrap = kafka.listener(Listener::SaslSsl).await;
    let both = kafka.tls("ca.crt") + &kafka.tls("ca2.crt");
    let security = |authorities: &str| Security {
        tls: trusting(authorities),
        sasl: login(SCRAM, &kafka.password("lagrange")),
    };
    let mut eyes = scene.eyes(&connection(&bootstrap, security(&both), 1));
    scene.until_read(&mut eyes).await;
    kafka.renew_ca().await;
    // A new client meets the new certificate.
    let mut later = scene.eyes(&connection(&bootstrap, security(&both), 1));
    scene.until_read(&mut later).await;
    scene.until_read(&mut eyes).await;
}
