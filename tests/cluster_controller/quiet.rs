//! KEEP-29 and ACT-1 in the API server's audit log: an idle group causes no writes, and two
//! operators act once.

use lagrange_testing::audit;
use lagrange_testing::until::{secs, until};
use serde_json::json;

use crate::stage::{APP, Stage, assert_spaced, now};

/// KEEP-29.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninety_idle_seconds_cause_no_write_and_no_more_reconciles_than_polls() {
    let stage = Stage::new("quiet").await;
    let consumers = stage.set(6, 1).await;
    consumers.micros_per_record(0);
    stage.kafka.produce(&stage.topic, 60).await;
    stage.space.cluster("main", &stage.kafka.bootstrap).await;
    let kafka = json!({ "bootstrapServers": null, "clusterRef": { "name": "main" } });
    stage.group(json!({ "kafka": kafka })).await;
    let operator = stage.operator().await;
    stage.until_members(1).await;
    stage.until_reason("AsDesired").await;
    // The last minute's rates change the status, too, at most once a minute.
    until(secs(240), "the rates are zero again", || async {
        let rate = stage.status().await.rate.unwrap_or_default();
        let are_zero = [&rate.produced, &rate.consumed]
            .iter()
            .all(|rate| rate.as_deref() == Some("0"));
        are_zero.then_some(()).ok_or_else(|| format!("{rate:?}"))
    })
    .await;

    let version = || async {
        let group = stage.space.groups().get(APP).await.unwrap();
        let cluster = stage.space.clusters().get("main").await.unwrap();
        (
            group.metadata.resource_version,
            cluster.metadata.resource_version,
        )
    };
    let count = |series: &str| operator.metric_sum(series, "");
    let (began, before) = (now(), version().await);
    let (polls, reconciles) = (
        count("lagrange_kafka_poll_seconds_count"),
        count("lagrange_reconcile_seconds_count"),
    );
    tokio::time::sleep(secs(90)).await;
    let polls = count("lagrange_kafka_poll_seconds_count") - polls;
    let reconciles = count("lagrange_reconcile_seconds_count") - reconciles;
    assert_eq!(version().await, before);
    let written = audit::writes(stage.kubernetes, &stage.space);
    let written: Vec<_> = written
        .iter()
        .filter(|write| write.at >= began && !write.resource.starts_with("leases"))
        .collect();
    assert!(written.is_empty(), "{written:?}");
    assert!((16.0..=20.0).contains(&polls), "{polls} polls");
    // One poll may be under way at either end.
    assert!(
        reconciles <= polls + 1.0,
        "{reconciles} reconciles for {polls} polls"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_operators_at_once_act_once_for_each_decision() {
    let stage = Stage::new("two").await;
    let _consumers = stage.set(12, 1).await;
    let pacing =
        json!({ "minInterval": "5s", "minScaleDownInterval": "5s", "settleTimeout": "30s" });
    stage
        .group(json!({ "minReplicas": 1, "maxReplicas": 1, "pacing": pacing }))
        .await;
    let _first = stage.operator().await;
    let _second = stage.operator().await;
    stage.until_members(1).await;
    let rounds = [2, 3, 4, 6, 4, 3, 2, 1];
    for replicas in rounds {
        let bounds = json!({ "minReplicas": replicas, "maxReplicas": replicas });
        stage.space.edit(APP, bounds).await;
        stage.space.until_replicas(APP, replicas, 60).await;
    }
    stage.hold(1, 6).await;
    assert_eq!(stage.sizes(), rounds);
    assert_spaced(1, &stage.actions(), 5, 5);
    let events = stage.space.events(APP).await;
    let reported = events
        .iter()
        .filter(|(reason, _)| reason == "ScaledUp" || reason == "ScaledDown");
    assert_eq!(reported.count(), rounds.len(), "{events:?}");
    let others = events
        .iter()
        .filter(|(reason, _)| reason == "ScaledExternally");
    assert_eq!(others.count(), 0, "{events:?}");
}
