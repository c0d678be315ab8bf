//! Topics whose records wait on purpose (`delayedTopicPattern`): their lag asks for no replicas,
//! but they are read.

use std::collections::BTreeMap;

use kube::api::PostParams;
use lagrange_core::api::condition::{Type, find};
use lagrange_testing::consumers::{Consumers, IDLE};
use lagrange_testing::operator::Operator;
use lagrange_testing::until::{same, secs, until};
use rstest::rstest;
use serde_json::{Value, json};

use crate::stage::{APP, Chronicle, Stage, now};

/// A stage with a second topic, whose records the members read later, when they are due.
struct Scene {
    stage: Stage<'static>,
    retries: String,
}

impl Scene {
    /// Creates a topic and one for its retries.
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

    /// Creates a Deployment. Its replicas are members that share the partitions of both topics.
    async fn replicas(&self, replicas: i32) -> Consumers {
        self.stage.space.deployment(APP, replicas).await;
        self.members(&[("partition.assignment.strategy", "cooperative-sticky")])
    }

    /// The fields of a ConsumerGroup that reads both topics.
    fn both(&self) -> Value {
        json!({
            "topics": [self.stage.topic, self.retries],
            "delayedTopicPattern": format!("{}-retry-[0-9]+", self.stage.topic),
        })
    }

    /// Waits for this many more polls, and for the decisions on them.
    async fn until_polled(&self, operator: &Operator, polls: u32) {
        let count = |of: &str| operator.metric_sum(&format!("lagrange_{of}_seconds_count"), "");
        let (polled, reconciled) = (count("kafka_poll"), count("reconcile"));
        until(secs(120), "the operator has polled and decided", || async {
            let seen = (
                count("kafka_poll") - polled,
                count("reconcile") - reconciled,
            );
            if seen.0 >= f64::from(polls) && seen.1 >= f64::from(polls) {
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

    /// The columns of `kubectl get` and their values, without empty ones.
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
async fn a_backlog_of_retries_asks_for_no_replicas_and_an_ordinary_one_does(
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
    scene.until_polled(&operator, 4).await;
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

    // It grows to more replicas than the ordinary topic has partitions.
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
async fn waiting_retries_add_no_delay_and_waiting_ordinary_records_do() {
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
    scene.until_polled(&operator, 6).await;
    assert_eq!(stage.sizes(), [0; 0]);
    assert_eq!(scene.columns().get("DELAY").map(String::as_str), Some("0s"));
    for status in chronicle.statuses() {
        let lag = status.lag.unwrap();
        assert_eq!(lag.delay.as_deref(), Some("0s"), "{lag:?}");
        assert_eq!(lag.stuck_partitions, [""; 0], "{lag:?}");
    }
    assert_eq!(chronicle.condition("Healthy"), ["True/AsExpected"]);

    // Two minutes of work for one replica, which reads 500 records in 20 s.
    consumers.micros_per_record(40_000);
    stage.kafka.produce(&stage.topic, 3_000).await;
    until(secs(90), "the operator scales up", || async {
        match stage.space.replicas(APP).await {
            1 => Err(format!("{:?}", stage.status().await)),
            _ => Ok(()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_wake_a_group_at_zero_and_keep_it_awake_until_they_are_read() {
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
    scene.until_polled(&operator, 2).await;
    assert_eq!(stage.sizes(), [0]);

    consumers.leave(Some(&scene.retries));
    stage.kafka.produce(&scene.retries, 500).await;
    stage.space.until_replicas(APP, 1, 60).await;
    stage.until_settled(1).await;
    let last = stage.status().await.last_scale.unwrap();
    assert_eq!((last.from, last.to, last.reason.as_str()), (0, 1, "WakeUp"));
    stage.until_members(1).await;
    scene.until_lag(0).await;
    // Five times as long as scaling to zero takes.
    scene.until_polled(&operator, 10).await;
    assert_eq!(stage.sizes(), [0, 1]);

    consumers.leave(None);
    stage.space.until_replicas(APP, 0, 120).await;
    stage.until_settled(0).await;
    assert_eq!(stage.sizes(), [0, 1, 0]);
    // The same number of records in the ordinary topic asks for more than one replica.
    consumers.micros_per_record(IDLE);
    stage.kafka.produce(&stage.topic, 500).await;
    stage.space.until_replicas(APP, 6, 60).await;
    assert_eq!(stage.sizes(), [0, 1, 0, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_topic_that_is_created_while_the_group_is_at_zero_wakes_it() {
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
    // The operator lists topic names once a minute.
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
async fn setting_and_removing_the_pattern_takes_effect_on_a_running_group() {
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

    // The pattern matches another topic, so the records of this one count.
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
async fn an_unknown_lag_of_retries_blocks_a_scale_down_only_without_the_pattern() {
    let scene = Scene::set("beyond", 6, 3).await;
    let stage = &scene.stage;
    stage.kafka.produce(&scene.retries, 30).await;
    // Nothing reads the topic: the only commits are those of the test.
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
    scene.until_polled(&operator, 6).await;
    assert_eq!(stage.sizes(), [0; 0]);

    stage.space.edit(APP, both).await;
    stage
        .space
        .until_condition(APP, "LagKnown", "True/AllPartitionsRead")
        .await;
    stage.space.until_replicas(APP, 2, 90).await;
}

/// The API server does not validate regular expressions. The operator does, and reports the error
/// in the status.
#[rstest]
#[case::not_closed(
    "(",
    "delayedTopicPattern is not a valid regular expression (unclosed group): see https://docs.rs/regex/latest/regex/#syntax"
)]
#[case::not_supported(
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
async fn an_unusable_pattern_is_reported_with_what_to_write_and_blocks_until_it_is_fixed(
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
    // A bad pattern on a running group: its size is kept.
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
