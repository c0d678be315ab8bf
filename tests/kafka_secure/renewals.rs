//! Credentials that change while they are in use.

use std::sync::Arc;
use std::time::Instant;

use lagrange::kafka::connection::security::{PasswordMechanism, Security};
use lagrange::kafka::model::error::{Category, ReadError};
use lagrange_fakes::token_server::{Server, answer};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::poll_helper::{PollHelper, brief, lag};
use lagrange_testing::scene::{Scene, USER, by_token, connection, login, login_as, trusting};
use lagrange_testing::secure::{Listener, Tokens};
use lagrange_testing::until::{secs, until};

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
    let mut helper = scene.poll_helper(&with(&kafka.password("lagrange"), 1));
    scene.until_read(&mut helper).await;
    let before = Kafka::connections_to(&bootstrap);

    // The Secret may change before the brokers do: the working credentials stay in use.
    helper.watch.renew(&with("second", 2));
    let refused = |snapshot: &lagrange::kafka::model::snapshot::Snapshot| {
        matches!(snapshot.renewal, Some(ReadError::Authentication { .. }))
    };
    until_read_throughout(&mut helper, &scene.name, refused).await;
    kafka.set_password("lagrange", "third").await;
    helper.watch.renew(&with("third", 3));
    let poll = helper.watch.latest().unwrap().poll;
    until_read_throughout(&mut helper, &scene.name, |snapshot| {
        snapshot.poll > poll + 1 && snapshot.renewal.is_none()
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

/// Waits until `there`, and checks that no poll before it missed anything.
async fn until_read_throughout(
    helper: &mut PollHelper,
    name: &str,
    there: impl Fn(&lagrange::kafka::model::snapshot::Snapshot) -> bool,
) {
    helper
        .until_checked("new credentials", there, |snapshot| {
            assert_eq!(lag(snapshot, name, name), Some(30), "{}", brief(snapshot));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_with_fewer_rights_does_not_replace_the_previous() {
    const OTHER: &str = "User:other";
    let kafka = Kafka::shared_secure().await;
    let scene = Scene::open(kafka).await;
    let bootstrap = kafka.listener(Listener::SaslSsl).await;
    let of = |user: &str, revision| {
        let security = Security {
            tls: trusting(&kafka.tls("ca.crt")),
            sasl: login_as(user, SCRAM, &kafka.password(user)),
        };
        connection(&bootstrap, security, revision)
    };
    let mut helper = scene.poll_helper(&of("lagrange", 1));
    scene.until_read(&mut helper).await;
    helper.watch.renew(&of("other", 2));
    for (kind, lacking) in [
        ("topic", format!("topic {} and 1 more", scene.name)),
        ("group", format!("group {}", scene.name)),
    ] {
        let is_said = |snapshot: &lagrange::kafka::model::snapshot::Snapshot| {
            let error = snapshot.renewal.as_ref();
            error.is_some_and(|error| {
                error.category() == Category::AuthorizationFailed
                    && error.to_string().contains(&format!("describe {lacking},"))
            })
        };
        until_read_throughout(&mut helper, &scene.name, is_said).await;
        kafka.allow(OTHER, kind, &scene.name, "Describe").await;
    }
    let is_over =
        |snapshot: &lagrange::kafka::model::snapshot::Snapshot| snapshot.renewal.is_none();
    until_read_throughout(&mut helper, &scene.name, is_over).await;
    for kind in ["topic", "group"] {
        kafka.disallow(USER, kind, &scene.name, "Describe").await;
    }
    let poll = helper.watch.latest().unwrap().poll;
    until_read_throughout(&mut helper, &scene.name, |snapshot| {
        snapshot.poll > poll + 5
    })
    .await;
}

/// Regression: an authorizer that checks the first token of a connection denied everything once
/// that token had expired, as long as the connections lived, and the message advised to grant
/// Describe.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_replaced_on_new_connections_without_a_gap() {
    const LIVES: u64 = 15;
    let kafka = Arc::new(Kafka::secure(1, Tokens::Ending, &[]).await);
    let scene = Scene::open(&kafka).await;
    let signer = Arc::clone(&kafka);
    let server = Server::start_slow(move |_| {
        let signer = Arc::clone(&signer);
        async move {
            let token = signer
                .token("lagrange", i64::try_from(LIVES).unwrap())
                .await;
            let grant = format!(
                r#"{{ "access_token": "{token}", "token_type": "Bearer", "expires_in": {LIVES} }}"#
            );
            answer(200, &grant)
        }
    })
    .await;
    let security = Security {
        tls: trusting(&kafka.tls("ca.crt")),
        sasl: by_token(&server),
    };
    let mut helper = scene.poll_helper(&scene.connection(Listener::SaslSsl, security).await);
    scene.until_read(&mut helper).await;
    // Twice the lifetime, and a little more.
    let until = Instant::now() + secs(5 * LIVES / 2);
    until_read_throughout(&mut helper, &scene.name, |_| Instant::now() > until).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorities_are_trusted_while_one_replaces_the_other() {
    let kafka = Kafka::secure(1, Tokens::Jwt, &[]).await;
    let scene = Scene::open(&kafka).await;
    let bootstrap = kafka.listener(Listener::SaslSsl).await;
    let both = kafka.tls("ca.crt") + &kafka.tls("ca2.crt");
    let security = |authorities: &str| Security {
        tls: trusting(authorities),
        sasl: login(SCRAM, &kafka.password("lagrange")),
    };
    let mut helper = scene.poll_helper(&connection(&bootstrap, security(&both), 1));
    scene.until_read(&mut helper).await;
    kafka.renew_ca().await;
    // A new client gets the new certificate.
    let mut later = scene.poll_helper(&connection(&bootstrap, security(&both), 1));
    scene.until_read(&mut later).await;
    scene.until_read(&mut helper).await;
}
