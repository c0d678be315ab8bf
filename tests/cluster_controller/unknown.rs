//! Promise 2 on three real brokers that are killed, paused and restarted: unknown is not zero. One
//! test at a time, because two cores are enough for only one such cluster.

use lagrange_testing::consumers::Consumers;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::until::{secs, until};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

use crate::stage::{APP, Chronicle, Stage};

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Three brokers, which stop when this is dropped.
async fn brokers() -> (MutexGuard<'static, ()>, Kafka) {
    let turn = ONE_AT_A_TIME.lock().await;
    (turn, Kafka::start(3).await)
}

/// A topic of 6 partitions with this many copies, 3 members without lag, and a ConsumerGroup that
/// would scale down after `quiet`.
async fn idle_group(stage: &Stage<'_>, copies: i32, quiet: &str) -> Consumers {
    stage.kafka.create_replicated(&stage.topic, 6, copies).await;
    // All records have been read.
    stage.kafka.produce(&stage.topic, 600).await;
    stage.kafka.commit_at_ends(&stage.topic, &stage.topic).await;
    stage.space.deployment(APP, 3).await;
    let consumers = stage.consumers(&[]);
    consumers.micros_per_record(0);
    let pacing = json!({ "minInterval": "5s", "minScaleDownInterval": quiet });
    stage.group(json!({ "pacing": pacing })).await;
    consumers
}

async fn until_whole(stage: &Stage<'_>) {
    stage
        .space
        .until_condition(APP, "LagKnown", "True/AllPartitionsRead")
        .await;
    stage.until_members(3).await;
}

/// A broker that leads partitions of the topic and is not the group's coordinator.
async fn leader_only(stage: &Stage<'_>) -> u32 {
    let coordinator = stage.kafka.coordinator(&stage.topic).await;
    let leaders = stage.kafka.leaders(&stage.topic).await;
    let found = leaders.into_values().find(|leader| *leader != coordinator);
    u32::try_from(found.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_leader_blocks_at_once_is_reported_if_it_lasts_and_recovers() {
    let (_turn, kafka) = brokers().await;
    let stage = Stage::on(&kafka, "leader").await;
    let _consumers = idle_group(&stage, 1, "25s").await;
    let operator = stage.operator().await;
    until_whole(&stage).await;

    let broker = leader_only(&stage).await;
    kafka.kill(broker).await;
    stage.until_reason("LagUnknown").await;
    stage
        .space
        .until_condition(APP, "LagKnown", "False/PartitionsUnreadable")
        .await;
    let status = stage.status().await;
    let lag = status.lag.unwrap();
    // Unknown partitions are not counted as zero: the total is unknown.
    assert_eq!((lag.total, lag.unknown_partitions), (None, 2), "{lag:?}");
    let series = format!(
        "lagrange_consumergroup_lag{{namespace=\"{}\",name=\"{APP}\"}}",
        stage.space.name
    );
    assert_eq!(operator.metric(&series), None);
    stage.space.until_event(APP, "LagUnknown").await;
    // Longer than the scale-down would have waited.
    stage.hold(3, 20).await;
    assert_eq!(stage.sizes(), [0; 0]);

    kafka.start_node(broker).await;
    stage
        .space
        .until_condition(APP, "LagKnown", "True/AllPartitionsRead")
        .await;
    let back = crate::stage::now();
    stage.space.until_replicas(APP, 2, 90).await;
    let waited = stage.actions()[0].at.duration_since(back);
    assert!(
        waited.as_secs() >= 20,
        "scaled down {waited:#} after the gap"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_silent_for_a_moment_changes_no_condition() {
    let (_turn, kafka) = brokers().await;
    let stage = Stage::on(&kafka, "moment").await;
    let _consumers = idle_group(&stage, 1, "60s").await;
    let _operator = stage.operator().await;
    until_whole(&stage).await;
    let chronicle = Chronicle::of(&stage.space, APP);

    let broker = leader_only(&stage).await;
    for _ in 0..2 {
        kafka.pause(broker).await;
        stage.until_reason("LagUnknown").await;
        kafka.resume(broker).await;
        until(secs(30), "the lag is read again", || async {
            match stage.reason().await {
                reason if reason == "LagUnknown" => Err(reason),
                _ => Ok(()),
            }
        })
        .await;
    }
    assert_eq!(chronicle.condition("LagKnown"), ["True/AllPartitionsRead"]);
    assert_eq!(chronicle.condition("Ready"), ["True/Managed"]);
    let events = stage.space.events(APP).await;
    assert!(
        events.iter().all(|(reason, _)| reason != "LagUnknown"),
        "{events:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_goes_on_after_the_coordinator_is_killed() {
    let (_turn, kafka) = brokers().await;
    let stage = Stage::on(&kafka, "coordinator").await;
    let consumers = idle_group(&stage, 3, "40s").await;
    let _operator = stage.operator().await;
    until_whole(&stage).await;
    let chronicle = Chronicle::of(&stage.space, APP);

    consumers.micros_per_record(lagrange_testing::consumers::IDLE);
    let coordinator = kafka.coordinator(&stage.topic).await;
    kafka.kill(u32::try_from(coordinator).unwrap()).await;
    // The operator reads this without the broker, and acts on it.
    kafka.produce(&stage.topic, 600).await;
    stage.space.until_replicas(APP, 6, 90).await;
    assert_eq!(stage.sizes(), [6]);
    for status in chronicle.statuses() {
        let reason = status.decision.unwrap_or_default().reason;
        assert_ne!(reason, "GroupMissing", "the group existed all the time");
        if let Some(members) = status.group.and_then(|group| group.members) {
            assert!(
                members > 0,
                "a group whose coordinator is lost is not empty"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losing_all_brokers_scales_nothing_and_recovers_without_help() {
    let (_turn, kafka) = brokers().await;
    let stage = Stage::on(&kafka, "gone").await;
    let consumers = idle_group(&stage, 3, "25s").await;
    let operator = stage.operator().await;
    until_whole(&stage).await;

    for node in 1..=3 {
        kafka.kill(node).await;
    }
    stage
        .space
        .until_condition(APP, "Ready", "False/KafkaUnreachable")
        .await;
    assert_eq!(
        stage.space.condition(APP, "LagKnown").await,
        "False/KafkaUnreachable"
    );
    stage.space.until_event(APP, "KafkaConnectionFailed").await;
    stage.hold(3, 20).await;
    // A fault of Kafka, not of the operator: it stays ready and alive.
    assert!(operator.get("/readyz").starts_with("HTTP/1.1 200"));

    // A single broker does not serve, so all start together.
    futures::future::join_all((1..=3).map(|node| kafka.start_node(node))).await;
    stage
        .space
        .until_condition(APP, "Ready", "True/Managed")
        .await;
    stage
        .space
        .until_event(APP, "KafkaConnectionRestored")
        .await;
    assert_eq!(stage.sizes(), [0; 0]);
    consumers.micros_per_record(lagrange_testing::consumers::IDLE);
    kafka.produce(&stage.topic, 600).await;
    stage.space.until_replicas(APP, 6, 90).await;
}
