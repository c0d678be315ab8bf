//! The operator's own identity (SAFE-36): which namespaces may log in with it, and that it works.

use std::io::Write as _;

use jiff::{SignedDuration, Timestamp};
use lagrange_fakes::token_server::{Server, answer};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::operator::Operator;
use lagrange_testing::secure::{Listener, Tokens};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::credentials::{USER, authority, cluster, group, until_connected, until_scaled};
use crate::stage::{APP, Stage};

/// A login with the role of the operator's Pod.
fn by_role() -> Value {
    json!({
        "tls": { "trustedCertificates": [{ "configMapName": "cluster-ca-cert" }] },
        "sasl": { "mechanism": "AWS_MSK_IAM", "aws": { "region": "eu-central-1" } },
    })
}

/// Replaces the agent of EKS on each node, which lends a key for the token of a service account.
async fn agent() -> Server {
    let expires = Timestamp::now() + SignedDuration::from_hours(1);
    let body = json!({
        "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "marker-secret", "Token": "marker-session",
        "AccountId": "111122223333", "Expiration": expires.to_string(),
    });
    Server::start_plain(move |_| answer(200, &body.to_string())).await
}

fn token_file() -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(b"marker-token").unwrap();
    file
}

/// SAFE-36.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_named_namespaces_log_in_with_the_role_of_the_operators_pod() {
    let kafka = Kafka::secure(1, Tokens::Msk, &[]).await;
    let stage = Stage::on(&kafka, "role").await;
    let _consumers = stage.set(6, 1).await;
    kafka.produce(&stage.topic, 180).await;
    authority(&stage.space, &kafka.tls("ca.crt")).await;
    cluster(&stage, &stage.space, Listener::SaslSsl, by_role()).await;
    group(&stage, &stage.space).await;
    // The same login without a KafkaCluster.
    let mut inline = by_role();
    let servers = kafka.listener(Listener::SaslSsl).await;
    inline["bootstrapServers"] = json!(servers.split(',').collect::<Vec<_>>());
    let mut alone = stage.spec(
        json!({ "kafka": inline, "groupId": "alone", "scaleTargetRef": { "name": "alone" } }),
    );
    alone["kafka"]["clusterRef"] = Value::Null;
    stage.space.deployment("alone", 1).await;
    stage.space.group("alone", alone).await;

    let (mut agent, token) = (agent().await, token_file());
    let url = agent.url().to_owned();
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.path().to_str().unwrap(),
        ),
    ];
    let start = async |named: &str| {
        let flag = format!("--ambient-identity-namespaces={named}");
        Operator::start_within(stage.kubernetes, &stage.space, &[&flag], &environment).await
    };

    let operator = start("elsewhere").await;
    let refused = "False/IdentityNotAllowed";
    until_connected(&stage.space, refused, &[&stage.space.name, "name a Secret"]).await;
    for name in [APP, "alone"] {
        stage.space.until_condition(name, "Ready", refused).await;
    }
    assert!(
        agent.no_more_requests(),
        "the role was used although it is not allowed"
    );
    operator.kill();

    for kind in ["topic", "group"] {
        kafka.allow(USER, kind, "alone", "Describe").await;
    }
    let operator = start(&format!("elsewhere,{}", stage.space.name)).await;
    until_connected(&stage.space, "True/BrokersReachable", &[]).await;
    until_scaled(&stage, 2).await;
    let seen = agent.request().await;
    assert_eq!(seen.headers["authorization"], "marker-token");
    let said = format!("{:?} {}", stage.status().await, operator.log());
    assert!(!said.contains("marker"), "a secret is shown");
}

/// Outside of a Pod the operator has no namespace of its own. In a Pod without a role it has no
/// credentials.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_role_the_message_says_how_to_get_one() {
    let kafka = Kafka::shared_secure().await;
    let stage = Stage::on(kafka, "roleless").await;
    authority(&stage.space, &kafka.tls("ca.crt")).await;
    cluster(&stage, &stage.space, Listener::SaslSsl, by_role()).await;
    let operator = stage.operator().await;
    until_connected(&stage.space, "False/IdentityNotAllowed", &[]).await;
    operator.kill();

    let flag = format!("--ambient-identity-namespaces={}", stage.space.name);
    let _operator = Operator::start_with(stage.kubernetes, &stage.space, &[&flag]).await;
    until_connected(
        &stage.space,
        "False/AuthenticationFailed",
        &["EKS Pod Identity or IRSA"],
    )
    .await;
}

#[cfg(not(feature = "gssapi"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_without_kerberos_names_the_build_that_has_it() {
    let kafka = Kafka::shared_secure().await;
    let stage = Stage::on(kafka, "nokrb").await;
    let gssapi = json!({ "sasl": { "mechanism": "GSSAPI" } });
    cluster(&stage, &stage.space, Listener::SaslPlaintext, gssapi).await;
    let flag = format!("--ambient-identity-namespaces={}", stage.space.name);
    let _operator = Operator::start_with(stage.kubernetes, &stage.space, &[&flag]).await;
    until_connected(
        &stage.space,
        "False/InvalidSpec",
        &["cargo feature gssapi", "kerberos.md"],
    )
    .await;
}
