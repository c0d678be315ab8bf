//! Kerberos, with a real KDC: a keytab of the operator's own logs in, for the namespaces that may.
//! In builds that have it: `make gssapi`.

use std::time::Duration;

use lagrange_testing::kafka::Kafka;
use lagrange_testing::operator::Operator;
use lagrange_testing::secure::Listener;
use lagrange_testing::until::{secs, until};
use rstest::rstest;
use serde_json::{Value, json};

use crate::credentials::{authority, cluster, group, until_connected, until_scaled};
use crate::stage::{APP, Stage};

/// How long a user's ticket lasts at this KDC.
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

/// An operator with this keytab, whose tickets are in memory.
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
async fn a_keytab_logs_in_for_the_namespaces_that_are_named(#[case] listener: Listener) {
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
async fn a_ticket_that_ends_is_renewed_by_the_keytab() {
    let kafka = Kafka::kerberos().await;
    let stage = Stage::on(&kafka, "renewed").await;
    let listener = Listener::SaslPlaintext;
    cluster(&stage, &stage.space, listener, gssapi(listener)).await;
    let _operator = operator(&stage, "lagrange.keytab", &stage.space.name).await;
    until_connected(&stage.space, "True/BrokersReachable", &[]).await;
    let first = kafka.tickets("lagrange");
    assert!(first >= 1);
    // Nothing tells when a ticket ends but the time. A login is wanted with the next connection.
    tokio::time::sleep(TICKET).await;
    kafka.stop(1).await;
    kafka.start_node(1).await;
    until(secs(60), "another ticket is got", || async {
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
async fn why_there_is_no_ticket_is_said(
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
