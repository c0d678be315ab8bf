//! Every login and encryption that works.

use lagrange::kafka::connection::secret::Secret;
use lagrange::kafka::connection::security::{PasswordMechanism, Sasl, Security};
use lagrange::kafka::token::credentials::AwsCredentials;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::scene::{Scene, by_token, login, showing, token_endpoint, trusting};
use lagrange_testing::secure::{Listener, Tokens};
use rstest::rstest;

#[rstest]
#[case::plain(Listener::SaslPlaintext, PasswordMechanism::Plain)]
#[case::scram_256(Listener::SaslPlaintext, PasswordMechanism::ScramSha256)]
#[case::scram_512(Listener::SaslPlaintext, PasswordMechanism::ScramSha512)]
#[case::plain_over_tls(Listener::SaslSsl, PasswordMechanism::Plain)]
#[case::scram_256_over_tls(Listener::SaslSsl, PasswordMechanism::ScramSha256)]
#[case::scram_512_over_tls(Listener::SaslSsl, PasswordMechanism::ScramSha512)]
#[tokio::test(flavor = "multi_thread")]
async fn name_and_password(#[case] listener: Listener, #[case] mechanism: PasswordMechanism) {
    let kafka = Kafka::shared_secure().await;
    let scene = Scene::open(kafka).await;
    let security = Security {
        tls: match listener {
            Listener::SaslPlaintext => None,
            _ => trusting(&kafka.tls("ca.crt")),
        },
        sasl: login(mechanism, &kafka.password("lagrange")),
    };
    let connection = scene.connection(listener, security).await;
    scene.until_read(&mut scene.poll_helper(&connection)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate() {
    let kafka = Kafka::shared_secure().await;
    let scene = Scene::open(kafka).await;
    let (ca, chain, key) = (
        kafka.tls("ca.crt"),
        kafka.tls("user.crt"),
        kafka.tls("user.key"),
    );
    let connection = scene
        .connection(Listener::Ssl, showing(&ca, &chain, &key))
        .await;
    scene.until_read(&mut scene.poll_helper(&connection)).await;
}

#[rstest]
#[case(Listener::SaslPlaintext)]
#[case(Listener::SaslSsl)]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_oauth_server(#[case] listener: Listener) {
    let kafka = Kafka::shared_secure().await;
    let scene = Scene::open(kafka).await;
    let mut server = token_endpoint(kafka, 3600).await;
    let security = Security {
        tls: match listener {
            Listener::SaslPlaintext => None,
            _ => trusting(&kafka.tls("ca.crt")),
        },
        sasl: by_token(&server),
    };
    let connection = scene.connection(listener, security).await;
    scene.until_read(&mut scene.poll_helper(&connection)).await;
    let asked = server.request().await;
    assert!(
        asked.body.contains("grant_type=client_credentials"),
        "{}",
        asked.body
    );
    assert!(
        server.no_more_requests(),
        "one token for all brokers and polls"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_signed_for_amazon_msk() {
    let kafka = Kafka::secure(1, Tokens::Msk, &[]).await;
    let scene = Scene::open(&kafka).await;
    let security = Security {
        tls: trusting(&kafka.tls("ca.crt")),
        sasl: Some(Sasl::MskIam {
            region: "eu-central-1".to_owned(),
            credentials: AwsCredentials {
                access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
                secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
                session_token: None,
            },
        }),
    };
    let connection = scene.connection(Listener::SaslSsl, security).await;
    scene.until_read(&mut scene.poll_helper(&connection)).await;
}
