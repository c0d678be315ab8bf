use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::condition::Reason;

/// A ConsumerGroup with `changes` merged into a plain spec; null removes a field.
fn group(changes: Value) -> ConsumerGroup {
    let mut object = json!({
        "apiVersion": "lagrange.dev/v1alpha1",
        "kind": "ConsumerGroup",
        "metadata": { "name": "fulfillment", "namespace": "shop" },
        "spec": {
            "scaleTargetRef": { "name": "fulfillment" },
            "kafka": { "clusterRef": { "name": "main" } },
            "objective": { "lagPerReplica": 1000 },
        },
    });
    merge(&mut object["spec"], changes);
    serde_json::from_value(object).unwrap()
}

fn merge(into: &mut Value, changes: Value) {
    match changes {
        Value::Object(fields) if into.is_object() => {
            for (name, value) in fields {
                if value.is_null() {
                    into.as_object_mut().unwrap().remove(&name);
                } else {
                    merge(&mut into[name], value);
                }
            }
        }
        other => *into = other,
    }
}

fn of(changes: Value) -> Result<Intent, InvalidSpec> {
    Intent::of(&group(changes))
}

fn intent(changes: Value) -> Intent {
    of(changes).unwrap()
}

#[test]
fn a_minimal_resource_has_the_documented_defaults() {
    let Intent {
        policy,
        reading,
        source,
        delayed,
        target,
        mode,
    } = intent(json!({}));

    assert_eq!((policy.min, policy.max, policy.threads), (1, None, 1));
    assert_eq!(policy.objective, Objective::LagPerReplica(1_000));
    assert_eq!(
        policy.pacing,
        Pacing {
            min_interval: SignedDuration::from_secs(30),
            min_scale_down_interval: SignedDuration::from_mins(2),
            settle_timeout: SignedDuration::from_mins(5),
            scale_to_zero_delay: SignedDuration::from_mins(5),
        }
    );
    assert_eq!(policy.offset_reset, OffsetReset::Latest);
    assert_eq!(policy.fallback, None);
    assert_eq!(policy.brake, crate::scaling::policy::Brake::default());
    assert_eq!(&*reading.id, "fulfillment", "the resource's name");
    assert_eq!(reading.topics, TopicSelection::OfGroup);
    assert_eq!(reading.isolation, Isolation::ReadUncommitted);
    assert_eq!(
        source,
        Source::Cluster {
            namespace: "shop".to_owned(),
            name: "main".to_owned()
        },
        "the resource's own namespace"
    );
    assert_eq!(
        (target.api_version.as_str(), target.kind.as_str()),
        ("apps/v1", "Deployment")
    );
    assert_eq!((mode, delayed), (Mode::Auto, None));
}

/// TELL-32.
#[test]
fn every_field_is_converted() {
    let Intent {
        policy,
        reading,
        source,
        delayed,
        target,
        mode,
    } = intent(json!({
        "groupId": "shop.fulfillment",
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "worker" },
        "kafka": { "clusterRef": null, "bootstrapServers": ["kafka-0.kafka:9092"] },
        "topics": ["order-events", "returns"],
        "delayedTopicPattern": "return.*",
        "minReplicas": 0,
        "maxReplicas": 20,
        "pacing": { "minInterval": "1m", "minScaleDownInterval": "10m", "settleTimeout": "3m", "scaleToZeroDelay": "1h30m" },
        "mode": "DryRun",
        "threadsPerReplica": 4,
        "autoOffsetReset": "Earliest",
        "isolationLevel": "ReadCommitted",
        "fallback": { "replicas": 6, "after": "90s" },
    }));

    assert_eq!((policy.min, policy.max, policy.threads), (0, Some(20), 4));
    assert_eq!(
        policy.pacing,
        Pacing {
            min_interval: SignedDuration::from_mins(1),
            min_scale_down_interval: SignedDuration::from_mins(10),
            settle_timeout: SignedDuration::from_mins(3),
            scale_to_zero_delay: SignedDuration::from_mins(90),
        }
    );
    assert_eq!(policy.offset_reset, OffsetReset::Earliest);
    assert_eq!(
        policy.fallback,
        Some(Fallback {
            replicas: 6,
            after: SignedDuration::from_secs(90)
        })
    );
    assert_eq!(&*reading.id, "shop.fulfillment");
    assert_eq!(
        reading.topics,
        TopicSelection::Named(vec!["order-events".into(), "returns".into()])
    );
    assert_eq!(reading.isolation, Isolation::ReadCommitted);
    assert_eq!(delayed, Some(TopicPattern::new("return.*").unwrap()));
    let Source::Inline(plan) = source else {
        panic!("{source:?}");
    };
    assert_eq!(plan.servers().to_string(), "kafka-0.kafka:9092");
    assert_eq!(
        (target.kind.as_str(), target.name.as_str()),
        ("StatefulSet", "worker")
    );
    assert_eq!(mode, Mode::DryRun);
}

#[test]
fn a_cluster_reference_may_name_another_namespace() {
    let source = intent(json!({ "kafka": { "clusterRef": { "namespace": "kafka" } } })).source;
    assert_eq!(
        source,
        Source::Cluster {
            namespace: "kafka".to_owned(),
            name: "main".to_owned()
        }
    );
}

#[test]
fn pause_annotations_are_checked_against_max_replicas() {
    use crate::scaling::policy::Pause;

    let mut group = group(json!({ "maxReplicas": 5 }));
    let paused_at = |replicas: &str| {
        BTreeMap::from([(
            "lagrange.dev/paused-replicas".to_owned(),
            replicas.to_owned(),
        )])
    };
    group.metadata.annotations = Some(paused_at("5"));
    assert_eq!(
        Intent::of(&group).unwrap().policy.brake.pause,
        Some(Pause::At(5))
    );
    group.metadata.annotations = Some(paused_at("6"));
    assert!(matches!(
        Intent::of(&group).unwrap().policy.brake.pause,
        Some(Pause::NotUnderstood { .. })
    ));
}

/// An object may violate the current definitions: it was stored before a rule existed.
#[rstest]
#[case(json!({ "objective": { "lagPerReplica": null } }), "objective: set exactly one of maxDelay, how long a record may wait, and lagPerReplica, how many messages behind one replica may be (1 or more)")]
#[case(json!({ "objective": { "maxDelay": "60s" } }), "objective: set exactly one of maxDelay, how long a record may wait, and lagPerReplica, how many messages behind one replica may be (1 or more)")]
#[case(json!({ "objective": { "lagPerReplica": 0 } }), "objective: set exactly one of maxDelay, how long a record may wait, and lagPerReplica, how many messages behind one replica may be (1 or more)")]
#[case(json!({ "kafka": { "clusterRef": null } }), "kafka: set exactly one of clusterRef and bootstrapServers")]
#[case(json!({ "kafka": { "bootstrapServers": ["a:1"] } }), "kafka: set exactly one of clusterRef and bootstrapServers")]
#[case(json!({ "minReplicas": -1 }), "minReplicas: -1 is not possible; write 0 or more")]
#[case(json!({ "maxReplicas": 0 }), "maxReplicas: 0 is not possible; write 1 or more")]
#[case(json!({ "threadsPerReplica": 0 }), "threadsPerReplica: 0 is not possible; write 1 or more")]
#[case(json!({ "fallback": { "replicas": 0 } }), "fallback.replicas: 0 is not possible; write 1 or more")]
#[case(json!({ "minReplicas": 6, "maxReplicas": 5 }), "minReplicas 6 is above maxReplicas 5: lower minReplicas or raise maxReplicas")]
#[case(json!({ "topics": ["a"], "topicPattern": "b.*" }), "topics and topicPattern exclude each other: list the topics, or give a pattern for their names")]
#[case(json!({ "delayedTopicPattern": "(" }), "delayedTopicPattern is not a valid regular expression (unclosed group): see https://docs.rs/regex/latest/regex/#syntax")]
#[case(json!({ "topics": ["a"], "delayedTopicPattern": ".*" }), "delayedTopicPattern matches all of topics, so that nothing is left to scale by: add a topic, or write a narrower pattern")]
#[case(json!({ "topicPattern": "a.*", "delayedTopicPattern": "a.*" }), "delayedTopicPattern matches all of topics, so that nothing is left to scale by: add a topic, or write a narrower pattern")]
#[case(json!({ "minReplicas": 0 }), "minReplicas: 0 needs topics or topicPattern, so that a record for a sleeping group is noticed")]
#[case(json!({ "topicPattern": "orders(" }), "topicPattern is not a valid regular expression (unclosed group): see https://docs.rs/regex/latest/regex/#syntax")]
#[case(json!({ "topicPattern": r"\w{1000}{1000}" }), "topicPattern is too large once compiled: write one with fewer and smaller repetitions")]
#[case(json!({ "groupId": "a\nb" }), "groupId has control characters: write it without them")]
#[case(json!({ "groupId": "a\0b" }), "groupId has control characters: write it without them")]
#[case(json!({ "topics": ["orders\u{1b}"] }), r#"topics: "orders\u{1b}" is not a topic name: write letters, digits, '.', '_' and '-'; for a pattern use topicPattern"#)]
#[case(json!({ "kafka": { "clusterRef": null, "bootstrapServers": ["a:1"], "allowInsecure": true, "sasl": { "mechanism": "PLAIN", "username": "a\0b", "passwordSecret": { "secretName": "s" } } } }),
    "sasl.username has control characters: write it without them")]
fn an_invalid_resource_gets_a_message_that_says_what_to_write(
    #[case] changes: Value,
    #[case] message: &str,
) {
    let error = of(changes).unwrap_err();
    assert_eq!(error.to_string(), message);
    assert_eq!(error.reason(), Reason::InvalidSpec);
    assert_eq!(
        api::condition::bounded_message(message),
        message,
        "it fits into a condition message"
    );
}

#[test]
fn an_invalid_server_is_refused_by_name() {
    let error = of(json!({ "kafka": { "clusterRef": null, "bootstrapServers": ["kafka-0.kafka"  , "::1:x"] } })).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("kafka.bootstrapServers: bootstrap server \"::1:x\""),
        "{error}"
    );
}

#[test]
fn a_pattern_matches_whole_names() {
    let TopicSelection::Pattern(pattern) = intent(json!({ "topicPattern": r"orders\..*" }))
        .reading
        .topics
    else {
        panic!("no pattern");
    };
    assert!(pattern.matches("orders.eu") && !pattern.matches("preorders.eu"));
}

/// KEEP-28.
#[rstest]
#[case::group(json!({ "groupId": "other" }))]
#[case::cluster(json!({ "kafka": { "clusterRef": { "name": "other" } } }))]
#[case::cluster_of_another_namespace(json!({ "kafka": { "clusterRef": { "namespace": "other" } } }))]
#[case::servers(json!({ "kafka": { "clusterRef": null, "bootstrapServers": ["main:9092"] } }))]
#[case::target(json!({ "scaleTargetRef": { "name": "other" } }))]
#[case::kind(json!({ "scaleTargetRef": { "kind": "StatefulSet" } }))]
#[case::threads(json!({ "threadsPerReplica": 2 }))]
#[case::objective(json!({ "objective": { "lagPerReplica": 1001 } }))]
#[case::other_objective(json!({ "objective": { "lagPerReplica": null, "maxDelay": "60s" } }))]
fn the_measurement_key_changes_with(#[case] changes: Value) {
    assert_ne!(
        intent(changes).policy.subject,
        intent(json!({})).policy.subject
    );
}

#[rstest]
#[case::bounds(json!({ "minReplicas": 2, "maxReplicas": 30 }))]
#[case::pacing(json!({ "pacing": { "minInterval": "5m" } }))]
#[case::mode(json!({ "mode": "DryRun" }))]
#[case::topics(json!({ "topics": ["orders"] }))]
#[case::fallback(json!({ "fallback": { "replicas": 3 } }))]
#[case::the_default_written_out(json!({ "groupId": "fulfillment", "kafka": { "clusterRef": { "namespace": "shop" } } }))]
fn the_measurement_key_does_not_change_with(#[case] changes: Value) {
    assert_eq!(
        intent(changes).policy.subject,
        intent(json!({})).policy.subject
    );
}

#[test]
fn the_order_of_servers_does_not_change_the_measurement_key() {
    let servers = |list: Value| {
        intent(json!({ "kafka": { "clusterRef": null, "bootstrapServers": list } }))
            .policy
            .subject
    };
    assert_eq!(
        servers(json!(["a:9092", "b:9092"])),
        servers(json!(["b:9092", "a:9092"]))
    );
}

/// Every status stores the number: a release that computed another one would drop all measurements.
/// KEEP-27.
#[test]
fn the_measurement_key_never_changes_between_releases() {
    assert_eq!(intent(json!({})).policy.subject, 7_818_030_205_975_264);
}

#[test]
fn a_mangled_resource_gives_a_one_line_error() {
    let plain = group(
        json!({ "topicPattern": "orders\\..*", "pacing": { "minInterval": "1m" }, "maxReplicas": 9 }),
    );
    let inline = group(json!({
        "kafka": { "clusterRef": null, "bootstrapServers": ["kafka:9093", "[fd00::1]"] },
        "topics": ["orders"], "groupId": "orders", "objective": { "lagPerReplica": null, "maxDelay": "1m" },
    }));
    let seeds = [plain, inline].map(|group| serde_json::to_string(&group).unwrap());
    lagrange_fuzz::fuzz(&seeds, |bytes| {
        let Ok(group) = serde_json::from_slice::<ConsumerGroup>(bytes) else {
            return;
        };
        let _ = Intent::of(&group);
    });
}

#[rstest]
#[case(json!({ "topics": ["a"] }), false)]
#[case(json!({ "topics": ["a", "a-retry"], "delayedTopicPattern": ".*-retry" }), false)]
#[case::misspelt(json!({ "topics": ["a", "a-retry"], "delayedTopicPattern": ".*-retries" }), true)]
#[case::that_may_come_yet(json!({ "topicPattern": "a.*", "delayedTopicPattern": ".*-retry" }), false)]
#[case::that_may_be_read_yet(json!({ "delayedTopicPattern": ".*-retry" }), false)]
fn a_pattern_of_delayed_topics_has_to_match_one_of_those_that_are_named(
    #[case] changes: Value,
    #[case] is_unmatched: bool,
) {
    let intent = Intent::of(&group(changes)).unwrap();
    assert_eq!(intent.unmatched_pattern().is_some(), is_unmatched);
}
