//! Kerberos with a real KDC: the operator logs in with its own keytab, for the allowed namespaces.
//! Only in builds with the feature: `make gssapi`.

use std::time::Duration;

use lagrange_testing::kafka::Kafka;
use lagrange_testing::operator::Operator;
use lagrange_testing::secure::Listener;
use lagrange_testing::until::{secs, until};
use rstest::rstest;
use serde_json::{Value, json};

use crate::credentials::{authority, cluster, group, until_connected, until_scaled};
use crate::stage::{APP, Stage};

/// The lifetime of a ticket at this KDC.
const TICKET: Duration = Duration::from_secs(20);

fn gssapi(over: Listener) -> Value {
    let sasl = json!({ "mechanism": "GSSAPI" });
    match over {
        Listener::SaslPlaintext => json!({ "sasl": sasl }),
        _ => json!({
            "sasl": sasl, "tls": { "trustedCertificates": [{ "configMapName": "cluster-ca-cert" }] },
        }),
    }
}

/// An operator with this keytab. Its tickets are kept in memory.
async fn operator(stage: &Stage<'_>, keytab: &str, named: &str) -> Operator {
    let flag = format!("--ambient-identity-namespaces={named}");
    let environment = [
        ("KRB5_CONFIG", stage.kafka.kerberos_file("krb5.conf")),
        ("KRB5_CLIENT_KTNAME", stage.kafka.kerberos_file(keytab)),
        ("KRB5CCNAME", "MEMORY:".to_owned()),
    ];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, &**value));
    Operator::start_within(stage.kubernetes, &stage.space, &[&flag], &environment).await
}

/// SAFE-36.
#[rstest]
#[case(Listener::SaslPlaintext)]
#[case(Listener::SaslSsl)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_named_namespaces_log_in_with_the_keytab(#[case] listener: Listener) {
    let kafka = Kafka::kerberos().await;
    let stage = Stage::on(&kafka, "keytab").await;
    let _consumers = stage.set(6, 1).await;
    kafka.produce(&stage.topic, 180).await;
    authority(&stage.space, &kafka.tls("ca.crt")).await;
    cluster(&stage, &stage.space, listener, gssapi(listener)).await;
    group(&stage, &stage.space).await;

    let refused = "False/IdentityNotAllowed";
    let first = operator(&stage, "lagrange.keytab", "elsewhere").await;
    until_connected(&stage.space, refused, &[]).await;
    stage.space.until_condition(APP, "Ready", refused).await;
    first.kill();

    let _operator = operator(&stage, "lagrange.keytab", &stage.space.name).await;
    until_connected(&stage.space, "True/BrokersReachable", &[]).await;
    until_scaled(&stage, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_ticket_is_renewed_with_the_keytab() {
    let kafka = Kafka::kerberos().await;
    let stage = Stage::on(&kafka, "renewed").await;
    let listener = Listener::SaslPlaintext;
    cluster(&stage, &stage.space, listener, gssapi(listener)).await;
    let _operator = operator(&stage, "lagrange.keytab", &stage.space.name).await;
    until_connected(&stage.space, "True/BrokersReachable", &[]).await;
    let first = kafka.tickets("lagrange");
    assert!(first >= 1);
    // Nothing reports that a ticket has expired. The next connection needs a login.
    tokio::time::sleep(TICKET).await;
    kafka.stop(1).await;
    kafka.start_node(1).await;
    until(secs(60), "another ticket is issued", || async {
        match kafka.tickets("lagrange") {
            more if more > first => Ok(()),
            same => Err(format!("{same} tickets")),
        }
    })
    .await;
    until_connected(&stage.space, "True/BrokersReachable", &[]).await;
}

#[rstest]
#[case::no_keytab("none.keytab", json!({ "mechanism": "GSSAPI" }), &["no ticket", "check its keytab"])]
#[case::another_service("lagrange.keytab", json!({ "mechanism": "GSSAPI", "kerberos": { "serviceName": "other" } }), &["Server other/127.0.0.1@LAGRANGE.TEST not found"])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_message_says_why_there_is_no_ticket(
    #[case] keytab: &str,
    #[case] sasl: Value,
    #[case] words: &[&str],
) {
    let kafka = Kafka::kerberos().await;
    let stage = Stage::on(&kafka, "noticket").await;
    let security = json!({ "sasl": sasl });
    cluster(&stage, &stage.space, Listener::SaslPlaintext, security).await;
    let _operator = operator(&stage, keytab, &stage.space.name).await;
    until_connected(&stage.space, "False/AuthenticationFailed", words).await;
}
