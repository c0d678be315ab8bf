//! Topics whose records wait on purpose (`delayedTopicPattern`): what waits there asks for nothing,
//! and is read all the same.

use std::collections::BTreeMap;

use kube::api::PostParams;
use lagrange_core::api::condition::{Type, find};
use lagrange_testing::consumers::{Consumers, IDLE};
use lagrange_testing::operator::Operator;
use lagrange_testing::until::{same, secs, until};
use rstest::rstest;
use serde_json::{Value, json};

use crate::stage::{APP, Chronicle, Stage, now};

/// A stage with a second topic, whose records the members read when their time has come.
struct Scene {
    stage: Stage<'static>,
    retries: String,
}

impl Scene {
    /// A topic and one for its retries.
    async fn set(stem: &str, partitions: i32, of_retries: i32) -> Self {
        let stage = Stage::new(stem).await;
        let retries = format!("{}-retry-1", stage.topic);
        stage.kafka.create_topic(&stage.topic, partitions).await;
        stage.kafka.create_topic(&retries, of_retries).await;
        Self { stage, retries }
    }

    /// Members that read both topics.
    fn members(&self, settings: &[(&str, &str)]) -> Consumers {
        Consumers::follow_with(
            self.stage.kafka,
            self.stage.space.deployments(),
            APP,
            &self.stage.topic,
            &format!("^{}(-retry-[0-9]+)?$", self.stage.topic),
            settings,
        )
    }

    /// A Deployment of so many replicas, each a member that shares all partitions with the others.
    async fn replicas(&self, replicas: i32) -> Consumers {
        self.stage.space.deployment(APP, replicas).await;
        self.members(&[("partition.assignment.strategy", "cooperative-sticky")])
    }

    /// What a ConsumerGroup says that reads both topics.
    fn both(&self) -> Value {
        json!({
            "topics": [self.stage.topic, self.retries],
            "delayedTopicPattern": format!("{}-retry-[0-9]+", self.stage.topic),
        })
    }

    /// Waits for so many looks more, and that what they showed has been decided on.
    async fn until_looked(&self, operator: &Operator, looks: u32) {
        let count = |of: &str| operator.metric_sum(&format!("lagrange_{of}_seconds_count"), "");
        let (polls, reconciles) = (count("kafka_poll"), count("reconcile"));
        until(secs(120), "the operator has looked", || async {
            let seen = (count("kafka_poll") - polls, count("reconcile") - reconciles);
            if seen.0 >= f64::from(looks) && seen.1 >= f64::from(looks) {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await;
    }

    async fn until_lag(&self, lag: i64) {
        until(secs(60), &format!("the lag is {lag}"), || async {
            let status = self.stage.status().await;
            let seen = status.lag.as_ref().and_then(|lag| lag.total);
            same(&seen, &Some(lag)).map_err(|seen| format!("{seen}; {status:?}"))
        })
        .await;
    }

    async fn message(&self, condition: Type) -> String {
        let conditions = self.stage.status().await.conditions;
        find(&conditions, condition).unwrap().message.clone()
    }

    /// What `kubectl get` shows in the columns, those that are empty left out.
    fn columns(&self) -> BTreeMap<String, String> {
        let arguments = ["get", "consumergroup", APP, "-o", "wide", "--namespace"];
        let arguments = [&arguments[..], &[&self.stage.space.name]].concat();
        let table = self.stage.kubernetes.kubectl(&arguments);
        let (heads, row) = table.split_once('\n').unwrap();
        let starts = heads.char_indices().filter(|&(at, head)| {
            head != ' ' && heads[..at].chars().next_back().is_none_or(|c| c == ' ')
        });
        let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
        let ends = starts
            .iter()
            .skip(1)
            .copied()
            .chain([heads.len().max(row.len())]);
        let cell = |line: &str, start: usize, end: usize| {
            let line = line.get(start..end.min(line.len())).unwrap_or_default();
            line.trim().to_owned()
        };
        let cells = starts.iter().zip(ends);
        cells
            .map(|(&start, end)| (cell(heads, start, end), cell(row, start, end)))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}

#[rstest]
#[case::classic(&[("partition.assignment.strategy", "cooperative-sticky")])]
#[case::kip_848(&[("group.protocol", "consumer")])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_retries_asks_for_nothing_and_the_same_in_the_ordinary_topic_fills_all_partitions(
    #[case] settings: &[(&str, &str)],
) {
    let scene = Scene::set("retries", 4, 2).await;
    let stage = &scene.stage;
    stage.space.deployment(APP, 1).await;
    let consumers = scene.members(settings);
    consumers.leave(Some(&scene.retries));
    consumers.micros_per_record(0);
    stage.kafka.produce(&stage.topic, 40).await;
    stage.kafka.produce(&scene.retries, 1_000).await;
    stage.group(scene.both()).await;
    let operator = stage.operator().await;

    stage.until_members(1).await;
    scene.until_lag(0).await;
    stage.until_reason("AsDesired").await;
    let chronicle = Chronicle::of(&stage.space, APP);
    scene.until_looked(&operator, 4).await;
    assert_eq!(stage.sizes(), [0; 0]);
    assert_eq!(chronicle.condition("Healthy"), ["True/AsExpected"]);
    let status = stage.status().await;
    assert_eq!(status.partitions, Some(6));
    let lag = status.lag.unwrap();
    assert_eq!((lag.total, lag.max), (Some(0), Some(0)));
    let replicas = status.replicas.unwrap();
    assert_eq!((replicas.desired, replicas.limit), (Some(1), Some(6)));
    assert_eq!(replicas.limited_by.as_deref(), Some("Partitions"));
    for (condition, says) in [
        ("Ready", "True/Managed"),
        ("LagKnown", "True/AllPartitionsRead"),
        ("AbleToScale", "True/ReadyForNewScale"),
        ("ScalingLimited", "False/DesiredWithinRange"),
        ("Healthy", "True/AsExpected"),
    ] {
        assert_eq!(stage.space.condition(APP, condition).await, says);
    }
    let columns = scene.columns();
    for (head, value) in [
        ("REPLICAS", "1"),
        ("DESIRED", "1"),
        ("LAG", "0"),
        ("READY", "True"),
        ("REASON", "AsDesired"),
        ("PARTITIONS", "6"),
        ("MEMBERS", "1"),
        ("IDLE", "0"),
    ] {
        assert_eq!(
            columns.get(head).map(String::as_str),
            Some(value),
            "{columns:?}"
        );
    }

    // More than the ordinary topic has partitions.
    consumers.micros_per_record(IDLE);
    stage.kafka.produce(&stage.topic, 1_000).await;
    stage.space.until_replicas(APP, 6, 60).await;
    stage.until_members(6).await;
    scene.until_lag(1_000).await;
    stage
        .space
        .until_condition(APP, "ScalingLimited", "True/PartitionLimit")
        .await;
    assert_eq!(stage.status().await.group.unwrap().idle_members, Some(0));
    assert_eq!(stage.sizes(), [6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_that_wait_are_no_delay_and_ordinary_records_that_wait_are() {
    let scene = Scene::set("late", 6, 6).await;
    let stage = &scene.stage;
    let consumers = scene.replicas(1).await;
    consumers.leave(Some(&scene.retries));
    consumers.micros_per_record(0);
    let an_hour_ago = now().as_millisecond() - 3_600_000;
    for partition in 0..6 {
        stage
            .kafka
            .produce_at(&scene.retries, partition, &[an_hour_ago; 50])
            .await;
    }
    stage.kafka.produce(&stage.topic, 60).await;
    let mut change = scene.both();
    change["objective"] = json!({ "lagPerReplica": null, "maxDelay": "20s" });
    stage.group(change).await;
    let operator = stage.operator().await;
    stage.until_members(1).await;
    scene.until_lag(0).await;
    let chronicle = Chronicle::of(&stage.space, APP);
    scene.until_looked(&operator, 6).await;
    assert_eq!(stage.sizes(), [0; 0]);
    assert_eq!(scene.columns().get("DELAY").map(String::as_str), Some("0s"));
    for status in chronicle.statuses() {
        let lag = status.lag.unwrap();
        assert_eq!(lag.delay.as_deref(), Some("0s"), "{lag:?}");
        assert_eq!(lag.stuck_partitions, [""; 0], "{lag:?}");
    }
    assert_eq!(chronicle.condition("Healthy"), ["True/AsExpected"]);

    // A minute's work, of which one replica does half a thousand in 20 s.
    consumers.micros_per_record(40_000);
    stage.kafka.produce(&stage.topic, 3_000).await;
    until(secs(90), "it grows", || async {
        match stage.space.replicas(APP).await {
            1 => Err(format!("{:?}", stage.status().await)),
            _ => Ok(()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_group_is_woken_by_retries_with_one_replica_and_kept_awake_until_they_are_read()
{
    let scene = Scene::set("nap", 6, 6).await;
    let stage = &scene.stage;
    let consumers = scene.replicas(1).await;
    consumers.micros_per_record(0);
    stage.kafka.produce(&stage.topic, 60).await;
    stage.kafka.produce(&scene.retries, 6).await;
    let pattern = format!("{}(-retry-[0-9]+)?", stage.topic);
    let mut change = json!({ "topics": null, "topicPattern": pattern, "minReplicas": 0 });
    change["delayedTopicPattern"] = scene.both()["delayedTopicPattern"].clone();
    change["pacing"] = json!({ "minScaleDownInterval": "5s", "scaleToZeroDelay": "10s" });
    stage.group(change).await;
    let operator = stage.operator().await;
    stage.space.until_replicas(APP, 0, 120).await;
    stage.until_settled(0).await;
    scene.until_looked(&operator, 2).await;
    assert_eq!(stage.sizes(), [0]);

    consumers.leave(Some(&scene.retries));
    stage.kafka.produce(&scene.retries, 500).await;
    stage.space.until_replicas(APP, 1, 60).await;
    stage.until_settled(1).await;
    let last = stage.status().await.last_scale.unwrap();
    assert_eq!((last.from, last.to, last.reason.as_str()), (0, 1, "WakeUp"));
    stage.until_members(1).await;
    scene.until_lag(0).await;
    // Five times what it takes to fall asleep.
    scene.until_looked(&operator, 10).await;
    assert_eq!(stage.sizes(), [0, 1]);

    consumers.leave(None);
    stage.space.until_replicas(APP, 0, 120).await;
    stage.until_settled(0).await;
    assert_eq!(stage.sizes(), [0, 1, 0]);
    // As many of the other topic are worth more than one replica.
    consumers.micros_per_record(IDLE);
    stage.kafka.produce(&stage.topic, 500).await;
    stage.space.until_replicas(APP, 6, 60).await;
    assert_eq!(stage.sizes(), [0, 1, 0, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_for_retries_that_is_made_while_the_group_sleeps_wakes_it_with_its_first_record() {
    let scene = Scene::set("second", 3, 3).await;
    let stage = &scene.stage;
    let consumers = scene.replicas(1).await;
    consumers.micros_per_record(0);
    stage.kafka.produce(&stage.topic, 60).await;
    let pattern = format!("{}(-retry-[0-9]+)?", stage.topic);
    let mut change = json!({ "topics": null, "topicPattern": pattern, "minReplicas": 0 });
    change["delayedTopicPattern"] = scene.both()["delayedTopicPattern"].clone();
    change["pacing"] = json!({ "minScaleDownInterval": "5s", "scaleToZeroDelay": "10s" });
    stage.group(change).await;
    let _operator = stage.operator().await;
    stage.space.until_replicas(APP, 0, 120).await;
    stage.until_settled(0).await;

    let second = format!("{}-retry-2", stage.topic);
    stage.kafka.create_topic(&second, 3).await;
    consumers.leave(Some(&second));
    stage.kafka.produce(&second, 500).await;
    // Names are listed once a minute.
    stage.space.until_replicas(APP, 1, 120).await;
    stage.until_settled(1).await;
    scene.until_lag(0).await;
    assert_eq!(stage.status().await.partitions, Some(9));
    assert_eq!(stage.sizes(), [0, 1]);
    consumers.leave(None);
    stage.space.until_replicas(APP, 0, 120).await;
    assert_eq!(stage.sizes(), [0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_field_takes_effect_on_a_living_group_and_so_does_taking_it_away() {
    let scene = Scene::set("living", 4, 2).await;
    let stage = &scene.stage;
    let consumers = scene.replicas(1).await;
    consumers.leave(Some(&scene.retries));
    consumers.micros_per_record(0);
    stage.kafka.produce(&stage.topic, 40).await;
    stage.kafka.produce(&scene.retries, 200).await;
    let both = scene.both();
    stage.group(json!({ "topics": both["topics"] })).await;
    let _operator = stage.operator().await;
    stage.space.until_replicas(APP, 2, 60).await;
    scene.until_lag(200).await;
    stage.until_settled(2).await;

    stage.space.edit(APP, both.clone()).await;
    scene.until_lag(0).await;
    let status = stage.status().await;
    let generation = stage
        .space
        .groups()
        .get(APP)
        .await
        .unwrap()
        .metadata
        .generation;
    assert_eq!(status.observed_generation, generation);
    assert_eq!(status.replicas.unwrap().limit, Some(6));
    stage.space.until_replicas(APP, 1, 90).await;
    stage.until_settled(1).await;

    // It names another topic, so that this one's records count.
    let other = json!({ "delayedTopicPattern": format!("{}-later", stage.topic) });
    stage.space.edit(APP, other).await;
    stage.space.until_replicas(APP, 2, 60).await;
    scene.until_lag(200).await;
    stage.space.edit(APP, both).await;
    scene.until_lag(0).await;
    stage
        .space
        .edit(APP, json!({ "delayedTopicPattern": null }))
        .await;
    scene.until_lag(200).await;
    assert_eq!(stage.sizes(), [2, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_that_cannot_be_counted_hold_no_scale_down_once_the_field_names_them() {
    let scene = Scene::set("beyond", 6, 3).await;
    let stage = &scene.stage;
    stage.kafka.produce(&scene.retries, 30).await;
    // Nobody reads: the commits are those that were made here.
    let commits = BTreeMap::from([(0, 10), (1, 1_000), (2, 10)]);
    let kafka = stage.kafka;
    kafka.commit(&stage.topic, &scene.retries, &commits).await;
    let consumers = scene.replicas(3).await;
    consumers.leave(Some(&scene.retries));
    consumers.micros_per_record(0);
    kafka.produce(&stage.topic, 60).await;
    let both = scene.both();
    stage.group(json!({ "topics": both["topics"] })).await;
    let operator = stage.operator().await;
    stage.until_members(3).await;
    stage
        .space
        .until_condition(APP, "LagKnown", "False/PartitionsUnreadable")
        .await;
    let said = format!(
        "the commit of {}/1 lies past its end: was the topic recreated?",
        scene.retries
    );
    assert_eq!(scene.message(Type::LagKnown).await, said);
    scene.until_looked(&operator, 6).await;
    assert_eq!(stage.sizes(), [0; 0]);

    stage.space.edit(APP, both).await;
    stage
        .space
        .until_condition(APP, "LagKnown", "True/AllPartitionsRead")
        .await;
    stage.space.until_replicas(APP, 2, 90).await;
}

/// The API server cannot tell a regular expression from another text; the status can.
#[rstest]
#[case::not_closed(
    "(",
    "delayedTopicPattern is not a valid regular expression (unclosed group): see https://docs.rs/regex/latest/regex/#syntax"
)]
#[case::of_java(
    "(?!orders).*",
    "delayedTopicPattern is not a valid regular expression (look-around, including look-ahead and look-behind, is not supported): see https://docs.rs/regex/latest/regex/#syntax"
)]
#[case::too_large(
    "(a{1000}){1000}",
    "delayedTopicPattern is too large once compiled: write one with fewer and smaller repetitions"
)]
#[case::everything(
    ".*",
    "delayedTopicPattern matches all of topics, so that nothing is left to scale by: add a topic, or write a narrower pattern"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_that_cannot_be_used_is_said_with_what_to_write_and_holds_until_it_is_mended(
    #[case] pattern: &str,
    #[case] says: &str,
) {
    let scene = Scene::set("mistaken", 4, 2).await;
    let stage = &scene.stage;
    let consumers = scene.replicas(1).await;
    consumers.leave(Some(&scene.retries));
    stage.kafka.produce(&stage.topic, 1_000).await;
    let mut change = scene.both();
    change["delayedTopicPattern"] = json!(pattern);
    stage.group(change).await;
    let _operator = stage.operator().await;
    stage
        .space
        .until_condition(APP, "Ready", "False/InvalidSpec")
        .await;
    assert_eq!(scene.message(Type::Ready).await, says);
    assert_eq!(
        scene.columns().get("READY").map(String::as_str),
        Some("False")
    );

    stage.space.edit(APP, scene.both()).await;
    stage
        .space
        .until_condition(APP, "Ready", "True/Managed")
        .await;
    stage.space.until_replicas(APP, 6, 60).await;
    stage.until_settled(6).await;
    // A mistake in a living group: it stays as it is.
    consumers.micros_per_record(0);
    stage
        .space
        .edit(APP, json!({ "delayedTopicPattern": pattern }))
        .await;
    stage
        .space
        .until_condition(APP, "Ready", "False/InvalidSpec")
        .await;
    assert_eq!(scene.message(Type::Ready).await, says);
    assert_eq!(stage.sizes(), [6]);
    stage.space.edit(APP, scene.both()).await;
    stage
        .space
        .until_condition(APP, "Ready", "True/Managed")
        .await;
    scene.until_lag(0).await;
}

#[rstest]
#[case::empty(
    String::new(),
    "spec.delayedTopicPattern in body should be at least 1 chars long"
)]
#[case::long("a".repeat(257), "spec.delayedTopicPattern: Too long: may not be more than 256 bytes")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_refuses_a_pattern_that_is_empty_or_too_long(
    #[case] pattern: String,
    #[case] says: &str,
) {
    let stage = Stage::new("refused").await;
    let object = json!({
        "apiVersion": "lagrange.dev/v1alpha1",
        "kind": "ConsumerGroup",
        "metadata": { "name": APP },
        "spec": stage.spec(json!({ "delayedTopicPattern": pattern })),
    });
    let object = serde_json::from_value(object).unwrap();
    let groups = stage.space.groups();
    let created = groups.create(&PostParams::default(), &object).await;
    let refused = created.unwrap_err().to_string();
    assert!(refused.contains(says), "{refused}");
}
