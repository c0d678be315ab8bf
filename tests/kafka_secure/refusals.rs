//! The message when no broker accepts the login, or when no broker is trusted: category and text,
//! for each cause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lagrange::kafka::connection::security::{PasswordMechanism, Security};
use lagrange_fakes::token_server;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::scene::{
    Scene, assert_says, by_token, login, refused, showing, token_endpoint, trusting,
};
use lagrange_testing::secure::Listener;

const SCRAM: PasswordMechanism = PasswordMechanism::ScramSha512;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password() {
    let kafka = Kafka::shared_secure().await;
    for mechanism in [PasswordMechanism::Plain, SCRAM] {
        let security = Security {
            tls: trusting(&kafka.tls("ca.crt")),
            sasl: login(mechanism, "password-marker"),
        };
        let text = refused(kafka, Some(Listener::SaslSsl), security).await;
        assert_says(&text, &["AuthenticationFailed", "user name and password"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_with_an_unknown_authority() {
    let kafka = Kafka::shared_secure().await;
    let security = Security {
        tls: trusting(&kafka.tls("ca2.crt")),
        sasl: login(SCRAM, &kafka.password("lagrange")),
    };
    let text = refused(kafka, Some(Listener::SaslSsl), security).await;
    assert_says(&text, &["AuthenticationFailed", "trustedCertificates"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_another_name() {
    let kafka = Kafka::shared_secure().await;
    let security = Security {
        tls: trusting(&kafka.tls("ca.crt")),
        sasl: login(SCRAM, &kafka.password("lagrange")),
    };
    let text = refused(kafka, Some(Listener::WrongHost), security).await;
    assert_says(&text, &["AuthenticationFailed", "it is for other names"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_that_brokers_refuse() {
    let kafka = Kafka::shared_secure().await;
    let ca = kafka.tls("ca.crt");
    for (certificate, key) in [
        ("foreign.crt", "foreign.key"),
        ("expired.crt", "expired.key"),
    ] {
        let shown = showing(&ca, &kafka.tls(certificate), &kafka.tls(key));
        let text = refused(kafka, Some(Listener::Ssl), shown).await;
        assert_says(&text, &["AuthenticationFailed", "client certificate"]);
    }
    let none = Security {
        tls: trusting(&ca),
        sasl: None,
    };
    let text = refused(kafka, Some(Listener::Ssl), none).await;
    assert_says(&text, &["AuthenticationFailed", "client certificate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_and_no_token() {
    let kafka = Kafka::shared_secure().await;
    let over = token_endpoint(kafka, -60).await;
    let security = |server| Security {
        tls: trusting(&kafka.tls("ca.crt")),
        sasl: by_token(server),
    };
    let text = refused(kafka, Some(Listener::SaslSsl), security(&over)).await;
    assert_says(&text, &["AuthenticationFailed"]);
    let closed = token_server::Server::start(|_| {
        token_server::answer(
            401,
            r#"{ "error": "invalid_client", "error_description": "marker" }"#,
        )
    })
    .await;
    let text = refused(kafka, Some(Listener::SaslSsl), security(&closed)).await;
    assert_says(
        &text,
        &["AuthenticationFailed", "token endpoint refused", "client"],
    );
}

/// Down is not refused: it is tried again like brokers that are down, not once a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_that_is_down() {
    let kafka = Kafka::shared_secure().await;
    let security = |server: &token_server::Server| Security {
        tls: trusting(&kafka.tls("ca.crt")),
        sasl: by_token(server),
    };
    // Nothing listens there any longer.
    let gone = token_endpoint(kafka, 3600).await;
    let closed = security(&gone);
    drop(gone);
    let text = refused(kafka, Some(Listener::SaslSsl), closed).await;
    assert_says(
        &text,
        &["KafkaUnreachable", "no connection to the token endpoint"],
    );

    let is_up = Arc::new(AtomicBool::new(false));
    let token = kafka.token("lagrange", 3600).await;
    let body =
        format!(r#"{{ "access_token": "{token}", "token_type": "Bearer", "expires_in": 3600 }}"#);
    let up = Arc::clone(&is_up);
    let server = token_server::Server::start(move |_| {
        if up.load(Ordering::Relaxed) {
            token_server::answer(200, &body)
        } else {
            token_server::answer(503, "marker")
        }
    })
    .await;
    let scene = Scene::open(kafka).await;
    let connection = scene.connection(Listener::SaslSsl, security(&server)).await;
    let mut helper = scene.poll_helper(&connection);
    let first = helper.poll().await;
    let error = first.error.clone().unwrap();
    let text = format!("{}: {error}", error.category());
    assert_says(
        &text,
        &[
            "KafkaUnreachable",
            "token endpoint answered with status 503",
        ],
    );
    is_up.store(true, Ordering::Relaxed);
    let began = Instant::now();
    scene.until_read(&mut helper).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mismatched_protocols() {
    let kafka = Kafka::shared_secure().await;
    let ca = kafka.tls("ca.crt");
    let password = kafka.password("lagrange");
    // TLS to a plaintext listener.
    let tls = || Security {
        tls: trusting(&ca),
        sasl: login(SCRAM, &password),
    };
    let text = refused(kafka, Some(Listener::SaslPlaintext), tls()).await;
    assert_says(&text, &["KafkaUnreachable", "without tls"]);
    let text = refused(kafka, None, tls()).await;
    assert_says(&text, &["KafkaUnreachable", "without tls"]);
    // Plaintext to a TLS listener, and no login where one is required.
    let plaintext = Security::default;
    for listener in [Listener::SaslSsl, Listener::SaslPlaintext] {
        let text = refused(kafka, Some(listener), plaintext()).await;
        assert_says(&text, &["KafkaUnreachable", "wrong protocol or port"]);
    }
    // A login to a listener without one.
    let sasl = Security {
        tls: None,
        sasl: login(SCRAM, &password),
    };
    let text = refused(kafka, None, sasl).await;
    assert_says(&text, &["AuthenticationFailed", "accepts no login"]);
}
