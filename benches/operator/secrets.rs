//! Time until a changed Secret is used: from just before its write to the end of the first poll
//! with the new value. With TLS and SCRAM, the most common setup with TLS.

use std::time::{Duration, Instant};

use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::{Kubernetes, Space};
use lagrange_testing::operator::Operator;
use lagrange_testing::secure::{Listener, Tokens};
use lagrange_testing::until::{secs, until};
use serde_json::{Value, json};

const NAME: &str = "renewed";
/// Timeout of a change.
const PATIENCE: Duration = Duration::from_secs(90);
/// Interval at which log and metrics are read.
const STEP: Duration = Duration::from_millis(10);
/// Not a divisor of the poll interval, so that changes fall anywhere between two polls.
const GAP: Duration = Duration::from_millis(3_700);

pub(crate) async fn measure(changes: usize) {
    println!("a changed Secret, with TLS and SCRAM and a poll every 15 s");
    let kafka = Kafka::secure(1, Tokens::Jwt, &[]).await;
    let kubernetes = Kubernetes::shared().await;
    let space = kubernetes.namespace("secrets").await;
    set_up(&kafka, &space).await;
    let mut while_it_reads = Vec::new();
    let operator = Operator::start_with(kubernetes, &space, &["--log-filter=info"]).await;
    until_lag(&space, "True").await;
    for number in 0..changes {
        tokio::time::sleep(GAP).await;
        let new = format!("password-{number}");
        kafka.set_password("lagrange", &new).await;
        let began = Instant::now();
        secret(&space, &new).await;
        until_read(&operator, number + 1).await;
        while_it_reads.push(began.elapsed());
    }
    report("to the first read with it", while_it_reads);
    drop(operator);

    let mut after_a_refusal = Vec::new();
    for number in 0..changes.min(3) {
        let new = format!("later-{number}");
        secret(&space, "wrong").await;
        kafka.set_password("lagrange", &new).await;
        let _operator = Operator::start_with(kubernetes, &space, &["--log-filter=info"]).await;
        until_lag(&space, "False").await;
        tokio::time::sleep(GAP).await;
        let began = Instant::now();
        secret(&space, &new).await;
        until_lag(&space, "True").await;
        after_a_refusal.push(began.elapsed());
    }
    report("to LagKnown, after a refused login", after_a_refusal);
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let Some(worst) = times.last() else { return };
    println!(
        "  {what:<42}{:6.2} s median, {:.2} s worst, of {} changes",
        times[times.len() / 2].as_secs_f64(),
        worst.as_secs_f64(),
        times.len()
    );
}

async fn secret(space: &Space, password: &str) {
    object(
        space,
        "Secret",
        "lagrange",
        "stringData",
        json!({ "password": password }),
    )
    .await;
}

async fn object(space: &Space, kind: &str, name: &str, field: &str, value: Value) {
    let mut object = json!({
        "apiVersion": "v1", "kind": kind, "metadata": { "name": name, "namespace": space.name },
    });
    object[field] = value;
    space.apply(object).await;
}

async fn set_up(kafka: &Kafka, space: &Space) {
    kafka.create_topic(NAME, 6).await;
    kafka.commit_at_ends(NAME, NAME).await;
    for kind in ["topic", "group"] {
        kafka.allow("User:lagrange", kind, NAME, "Describe").await;
    }
    let authorities = json!({ "ca.crt": kafka.tls("ca.crt") });
    object(space, "ConfigMap", "cluster-ca-cert", "data", authorities).await;
    secret(space, &kafka.password("lagrange")).await;
    let servers = kafka.listener(Listener::SaslSsl).await;
    space
        .apply(json!({
            "apiVersion": "lagrange.dev/v1alpha1",
            "kind": "KafkaCluster",
            "metadata": { "name": "kafka" },
            "spec": {
                "bootstrapServers": servers.split(',').collect::<Vec<_>>(),
                "pollInterval": "15s",
                "tls": { "trustedCertificates": [{ "configMapName": "cluster-ca-cert" }] },
                "sasl": {
                    "mechanism": "SCRAM-SHA-512",
                    "username": "lagrange",
                    "passwordSecret": { "secretName": "lagrange" },
                },
            },
        }))
        .await;
    space.deployment(NAME, 1).await;
    let spec = json!({
        "scaleTargetRef": { "name": NAME },
        "kafka": { "clusterRef": { "name": "kafka" } },
        "topics": [NAME],
        "objective": { "lagPerReplica": 10 },
    });
    space.group(NAME, spec).await;
}

/// Waits until the log has `times` lines about new credentials, and until the poll that began with
/// them has ended.
async fn until_read(operator: &Operator, times: usize) {
    let polls = || operator.metric_sum("lagrange_kafka_poll_seconds_count", "");
    let said = || operator.log().matches("reads with new credentials").count();
    let began = Instant::now();
    // The count before the log line: polls are at least a second apart, so that the next one is the
    // one that began with the new credentials.
    let mut before = polls();
    while said() < times {
        assert!(began.elapsed() < PATIENCE, "{}", operator.log());
        tokio::time::sleep(STEP).await;
        let now = polls();
        if said() < times {
            before = now;
        }
    }
    while polls() <= before {
        assert!(began.elapsed() < PATIENCE, "no poll has ended");
        tokio::time::sleep(STEP).await;
    }
}

async fn until_lag(space: &Space, wanted: &str) {
    until(secs(90), &format!("LagKnown is {wanted}"), || async {
        let status = space.status(NAME).await;
        let lag = status.conditions.iter().find(|c| c.type_ == "LagKnown");
        match lag {
            Some(lag) if lag.status == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
