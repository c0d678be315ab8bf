//! Inconsistent offsets: a topic that is recreated while its group runs, and a commit past the end.

use std::collections::BTreeMap;

use lagrange_testing::until::{secs, until};
use serde_json::json;

use crate::stage::{APP, Chronicle, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_recreated_with_lower_offsets_causes_no_negative_lag_and_no_action() {
    let stage = Stage::new("recreated").await;
    let consumers = stage.set(6, 3).await;
    consumers.micros_per_record(0);
    stage.kafka.produce(&stage.topic, 3_000).await;
    let pacing = json!({ "minScaleDownInterval": "40s" });
    stage.group(json!({ "pacing": pacing })).await;
    let operator = stage.operator().await;
    until(secs(60), "all records are read", || async {
        let status = stage.status().await;
        match status.lag.as_ref().and_then(|lag| lag.total) {
            Some(0) => Ok(()),
            _ => Err(format!("{status:?}")),
        }
    })
    .await;
    let chronicle = Chronicle::of(&stage.space, APP);

    stage.kafka.delete_topic(&stage.topic).await;
    stage
        .space
        .until_condition(APP, "Ready", "False/TopicNotFound")
        .await;
    stage.kafka.create_topic(&stage.topic, 6).await;
    stage.kafka.produce(&stage.topic, 60).await;
    stage
        .space
        .until_condition(APP, "Ready", "True/Managed")
        .await;
    stage
        .space
        .until_condition(APP, "LagKnown", "True/AllPartitionsRead")
        .await;
    let series = format!(
        "lagrange_consumergroup_lag{{namespace=\"{}\",name=\"{APP}\"}}",
        stage.space.name
    );
    let lag = operator.metric(&series).unwrap();
    assert!((0.0..=60.0).contains(&lag), "{lag}");
    stage.hold(3, 10).await;
    assert_eq!(stage.sizes(), [0; 0]);
    for status in chronicle.statuses() {
        let lag = status.lag.unwrap_or_default();
        assert!(lag.total.is_none_or(|lag| lag >= 0), "{lag:?}");
        assert!(lag.max.is_none_or(|lag| lag >= 0), "{lag:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_past_the_end_is_unknown_lag_and_blocks_a_scale_down() {
    let stage = Stage::new("past").await;
    stage.kafka.create_topic(&stage.topic, 6).await;
    stage.kafka.produce(&stage.topic, 60).await;
    let mut commits: BTreeMap<i32, i64> = stage.kafka.ends(&stage.topic).await;
    commits.insert(4, 1_000);
    stage
        .kafka
        .commit(&stage.topic, &stage.topic, &commits)
        .await;
    // Nothing reads the topic: the only commits are those of the test.
    stage.space.deployment(APP, 3).await;
    stage.group(json!({})).await;
    let _operator = stage.operator().await;

    stage
        .space
        .until_condition(APP, "LagKnown", "False/PartitionsUnreadable")
        .await;
    let conditions = stage.status().await.conditions;
    let known = conditions.iter().find(|c| c.type_ == "LagKnown").unwrap();
    let said = format!(
        "the commit of {}/4 lies past its end: was the topic recreated?",
        stage.topic
    );
    assert_eq!(known.message, said);
    // Longer than a scale-down waits.
    stage.hold(3, 20).await;

    stage.kafka.commit_at_ends(&stage.topic, &stage.topic).await;
    stage
        .space
        .until_condition(APP, "LagKnown", "True/AllPartitionsRead")
        .await;
    // A scale-down on the lag needs members.
    let _consumers = stage.consumers(&[]);
    stage.space.until_replicas(APP, 2, 60).await;
}
