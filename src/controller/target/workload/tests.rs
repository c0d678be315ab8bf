//! Which changes are a rollout.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn deployment(change: Value) -> Object {
    let mut deployment = json!({
        "metadata": { "name": "app", "generation": 3 },
        "spec": { "replicas": 4, "selector": {}, "template": { "metadata": { "labels": { "v": "1" } } } },
        "status": { "observedGeneration": 3, "replicas": 4, "readyReplicas": 4, "updatedReplicas": 4 },
    });
    merge(&mut deployment, change);
    read(&deployment.to_string()).unwrap()
}

fn stateful_set(change: Value) -> Object {
    let mut set = json!({
        "metadata": { "name": "app", "generation": 3 },
        "spec": { "replicas": 4, "selector": {}, "serviceName": "x", "template": { "metadata": {} } },
        "status": { "observedGeneration": 3, "replicas": 4, "readyReplicas": 4, "updatedReplicas": 4,
                    "currentRevision": "a", "updateRevision": "a" },
    });
    merge(&mut set, change);
    read(&set.to_string()).unwrap()
}

fn merge(target: &mut Value, change: Value) {
    match (target, change) {
        (Value::Object(target), Value::Object(change)) => {
            for (key, value) in change {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, change) => *target = change,
    }
}

fn rolls(workload: Workload) -> bool {
    workload.target.rollout == Rollout::InProgress
}

#[rstest]
#[case::at_rest(json!({}), false)]
#[case::old_pods_left(json!({ "status": { "replicas": 5, "updatedReplicas": 1 } }), true)]
#[case::pods_of_a_scale_up_pending(json!({ "spec": { "replicas": 9 }, "status": { "replicas": 9, "updatedReplicas": 9, "readyReplicas": 4 } }), false)]
#[case::pods_of_a_scale_up_not_made_yet(json!({ "spec": { "replicas": 9 } }), false)]
#[case::paused_in_the_middle(json!({ "spec": { "paused": true }, "status": { "updatedReplicas": 1 } }), false)]
#[case::never_observed(json!({ "status": { "observedGeneration": null } }), true)]
fn a_deployment_rolls_while_pods_of_another_template_are_left(
    #[case] change: Value,
    #[case] expected: bool,
) {
    assert_eq!(
        rolls(Workload::of(Kind::Deployment, &deployment(change), None)),
        expected
    );
}

#[rstest]
#[case::at_rest(json!({}), false)]
#[case::old_pods_left(json!({ "status": { "updateRevision": "b", "updatedReplicas": 1 } }), true)]
#[case::done_but_for_the_name(json!({ "status": { "updateRevision": "b" } }), false)]
#[case::up_to_its_partition(json!({
    "spec": { "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 3 } } },
    "status": { "updateRevision": "b", "updatedReplicas": 1 },
}), false)]
#[case::not_yet_up_to_its_partition(json!({
    "spec": { "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } } },
    "status": { "updateRevision": "b", "updatedReplicas": 1 },
}), true)]
#[case::on_delete(json!({
    "spec": { "updateStrategy": { "type": "OnDelete" } },
    "status": { "updateRevision": "b", "updatedReplicas": 0 },
}), false)]
fn a_stateful_set_rolls_while_pods_of_another_revision_are_left(
    #[case] change: Value,
    #[case] expected: bool,
) {
    assert_eq!(
        rolls(Workload::of(Kind::StatefulSet, &stateful_set(change), None)),
        expected
    );
}

#[test]
fn a_specification_that_its_controller_has_not_seen_rolls_only_with_another_template() {
    let before = Workload::of(Kind::Deployment, &deployment(json!({})), None);
    let scaled = deployment(json!({ "metadata": { "generation": 4 }, "spec": { "replicas": 9 } }));
    let scaled = Workload::of(Kind::Deployment, &scaled, Some(&before));
    assert!(!rolls(scaled));
    assert_eq!(scaled.target.replicas, 9);

    let other = json!({
        "metadata": { "generation": 5 },
        "spec": { "template": { "metadata": { "labels": { "v": "2" } } } },
    });
    let other = Workload::of(Kind::Deployment, &deployment(other), Some(&scaled));
    assert!(rolls(other));
    let again = json!({
        "metadata": { "generation": 6 },
        "spec": { "replicas": 2, "template": { "metadata": { "labels": { "v": "2" } } } },
    });
    let again = Workload::of(Kind::Deployment, &deployment(again), Some(&other));
    assert!(rolls(again), "a scale in between does not end it");
}

#[test]
fn what_is_not_said_is_one_replica_wanted_and_none_ready() {
    let young = deployment(json!({ "spec": { "replicas": null }, "status": null }));
    let target = Workload::of(Kind::Deployment, &young, None).target;
    assert_eq!((target.replicas, target.ready), (1, 0));
}

#[test]
fn one_that_is_being_deleted_is_going() {
    let going = deployment(json!({ "metadata": { "deletionTimestamp": "2026-11-24T12:00:00Z" } }));
    assert!(Workload::of(Kind::Deployment, &going, None).is_going);
}
