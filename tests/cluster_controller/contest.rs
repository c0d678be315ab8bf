//! ACT-7 to ACT-9: others scale the same target or manage the same group. The operator never fights
//! them, and reports them.

use lagrange_testing::kubernetes::Space;
use lagrange_testing::operator::Operator;
use lagrange_testing::until::{secs, until};
use serde_json::{Value, json};

use crate::stage::{APP, Stage, UP, assert_spaced, now};

fn autoscaler() -> Value {
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "rival" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": APP },
            "maxReplicas": 9,
            "metrics": [{ "type": "Resource", "resource": {
                "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } } }],
        },
    })
}

/// The message of a condition of this ConsumerGroup.
async fn message(stage: &Stage<'_>, group: &str, condition: &str) -> String {
    let status = stage.space.status(group).await;
    let found = status.conditions.into_iter().find(|c| c.type_ == condition);
    found.map(|found| found.message).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_with_a_horizontal_pod_autoscaler_is_not_scaled_until_that_is_deleted() {
    let stage = Stage::new("hpa").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.space.apply(autoscaler()).await;
    stage.group(json!({})).await;
    let _operator = stage.operator().await;
    stage
        .space
        .until_condition(APP, "Ready", "False/TargetContested")
        .await;
    let said = message(&stage, APP, "Ready").await;
    assert!(
        said.contains("HorizontalPodAutoscaler rival scales"),
        "{said}"
    );
    stage.space.until_event(APP, "TargetContested").await;
    stage.hold(1, 12).await;

    let autoscalers: kube::Api<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler> =
        kube::Api::namespaced(stage.space.client.clone(), &stage.space.name);
    autoscalers
        .delete("rival", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    stage.space.until_replicas(APP, 6, 40).await;
    stage
        .space
        .until_condition(APP, "Ready", "True/Managed")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_of_two_consumer_groups_scales_a_target_and_the_younger_takes_over() {
    let stage = Stage::new("target").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    stage.group(json!({})).await;
    // Creation times are whole seconds.
    tokio::time::sleep(secs(1)).await;
    let other = stage.spec(json!({ "groupId": "another", "minReplicas": 5 }));
    stage.space.group("younger", other).await;
    let _operator = stage.operator().await;
    stage.space.until_replicas(APP, 2, 40).await;
    stage
        .space
        .until_condition("younger", "Ready", "False/TargetContested")
        .await;
    let said = message(&stage, "younger", "Ready").await;
    assert!(said.contains("/app is older and manages"), "{said}");
    stage.space.until_event("younger", "TargetContested").await;
    stage.hold(2, 10).await;
    assert_eq!(stage.space.condition(APP, "Ready").await, "True/Managed");

    // The younger one inherits the last action, without reporting it as its own.
    let _ = stage
        .space
        .groups()
        .delete(APP, &kube::api::DeleteParams::default())
        .await
        .unwrap();
    until(secs(70), "the younger one has taken over", || async {
        match stage.space.replicas(APP).await {
            6 => Ok(()),
            other => Err(format!(
                "{other}; {:?}",
                stage.space.status("younger").await
            )),
        }
    })
    .await;
    assert_spaced(1, &stage.actions(), UP, UP);
    let note = stage.space.until_event("younger", "ScaledUp").await;
    assert!(note.starts_with("replicas 2 -> 6, MinReplicas"), "{note}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_of_two_consumer_groups_manages_a_kafka_group() {
    let stage = Stage::new("group").await;
    let _consumers = stage.set(6, 1).await;
    stage.space.deployment("second", 1).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.group(json!({})).await;
    tokio::time::sleep(secs(1)).await;
    let other = stage.spec(json!({ "scaleTargetRef": { "name": "second" } }));
    stage.space.group("younger", other).await;
    let _operator = stage.operator().await;
    stage.space.until_replicas(APP, 6, 40).await;
    stage
        .space
        .until_condition("younger", "Ready", "False/GroupContested")
        .await;
    assert_eq!(stage.space.replicas("second").await, 1);
}

/// An operator that watches both namespaces.
async fn operator_of(stage: &Stage<'_>, other: &Space) -> Operator {
    let flag = format!("--watch-namespace={}", other.name);
    Operator::start_with(stage.kubernetes, &stage.space, &[&flag]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_consumer_groups_of_another_namespace_do_not_contest_a_kafka_group() {
    let stage = Stage::new("hurt").await;
    let squat = stage.kubernetes.namespace("squat").await;
    // The same servers and group id, and a target that does not exist.
    let nowhere = stage.spec(json!({ "scaleTargetRef": { "name": "nowhere" } }));
    squat.group("nowhere", nowhere).await;
    // Another address, so another connection, and the broker behind it reports the same cluster id.
    let elsewhere = stage.kafka.bootstrap.replace("127.0.0.1", "localhost");
    assert_ne!(elsewhere, stage.kafka.bootstrap);
    squat.deployment("liar", 1).await;
    let liar = stage.spec(json!({
        "scaleTargetRef": { "name": "liar" },
        "kafka": { "bootstrapServers": elsewhere.split(',').collect::<Vec<_>>() },
    }));
    squat.group("liar", liar).await;
    tokio::time::sleep(secs(1)).await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.group(json!({})).await;
    let chronicle = crate::stage::Chronicle::of(&stage.space, APP);
    let _operator = operator_of(&stage, &squat).await;
    squat
        .until_condition("nowhere", "Ready", "False/TargetNotFound")
        .await;
    squat.until_condition("liar", "Ready", "True/Managed").await;
    stage.space.until_replicas(APP, 6, 40).await;
    stage
        .space
        .until_condition(APP, "Ready", "True/Managed")
        .await;
    let said = chronicle.condition("Ready");
    assert!(
        !said.iter().any(|said| said.contains("Contested")),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_namespaces_on_one_kafka_cluster_one_manages_and_the_log_names_both() {
    let stage = Stage::new("shared").await;
    let owner = stage.kubernetes.namespace("owner").await;
    owner.cluster("main", &stage.kafka.bootstrap).await;
    let allow =
        kube::api::Patch::Merge(json!({ "spec": { "allowedNamespaces": { "from": "All" } } }));
    let parameters = kube::api::PatchParams::default();
    let _ = owner
        .clusters()
        .patch("main", &parameters, &allow)
        .await
        .unwrap();
    let other = stage.kubernetes.namespace("other").await;
    let reference = json!({ "bootstrapServers": null, "clusterRef": { "name": "main", "namespace": owner.name } });
    let by_reference = |target| json!({ "kafka": reference, "scaleTargetRef": { "name": target } });

    // The older one has no target yet.
    other.group("older", stage.spec(by_reference("late"))).await;
    tokio::time::sleep(secs(1)).await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.group(by_reference(APP)).await;
    let watched = [
        format!("--watch-namespace={}", other.name),
        format!("--watch-namespace={}", owner.name),
    ];
    let flags: Vec<&str> = watched.iter().map(String::as_str).collect();
    let operator = Operator::start_with(stage.kubernetes, &stage.space, &flags).await;
    stage.space.until_replicas(APP, 6, 40).await;

    // Its target appears too late, for this process and for the next one.
    other.deployment("late", 1).await;
    other
        .until_condition("older", "Ready", "False/GroupContested")
        .await;
    let loser = format!("group={}/older", other.name);
    let winner = format!("rival={}/{APP}", stage.space.name);
    let log = operator.log();
    let both = |line: &&str| line.contains(&loser) && line.contains(&winner);
    assert_eq!(log.lines().filter(both).count(), 1, "{log}");
    operator.kill();
    let _next = Operator::start_with(stage.kubernetes, &stage.space, &flags).await;
    stage.until_settled(6).await;
    let status = other.status("older").await;
    let ready = status
        .conditions
        .iter()
        .find(|c| c.type_ == "Ready")
        .unwrap();
    assert_eq!(ready.reason, "GroupContested");
    assert!(
        ready.message.contains("ask the cluster's owner"),
        "{}",
        ready.message
    );
    let named = format!("{}/{APP}", stage.space.name);
    assert!(!ready.message.contains(&named), "{}", ready.message);
    assert_eq!(other.replicas("late").await, 1);

    // When the managing one is deleted, the other one manages.
    let _ = stage
        .space
        .groups()
        .delete(APP, &kube::api::DeleteParams::default())
        .await
        .unwrap();
    other
        .until_condition("older", "Ready", "True/Managed")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_age_of_a_consumer_group_cannot_be_forged() {
    let stage = Stage::new("age").await;
    let object = json!({
        "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
        "metadata": { "name": APP, "uid": "00000000-0000-0000-0000-000000000000",
            "creationTimestamp": "2000-01-01T00:00:00Z" },
        "spec": stage.spec(json!({})),
    });
    let object = serde_json::from_value(object).unwrap();
    let created = stage
        .space
        .groups()
        .create(&kube::api::PostParams::default(), &object)
        .await
        .unwrap();
    let (metadata, hour) = (created.metadata, jiff::SignedDuration::from_hours(1));
    assert_ne!(
        metadata.uid.as_deref(),
        Some("00000000-0000-0000-0000-000000000000")
    );
    assert!(now().duration_since(metadata.creation_timestamp.unwrap().0) < hour);
}

/// ACT-7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_external_changes_in_ten_minutes_contest_the_target_and_fewer_are_adopted() {
    let stage = Stage::new("hand").await;
    let _consumers = stage.set(6, 1).await;
    stage
        .group(json!({ "pacing": { "minInterval": "12s", "minScaleDownInterval": "10m" } }))
        .await;
    let _operator = stage.operator().await;
    stage.until_members(1).await;

    stage.space.scale(APP, 2).await;
    let by_hand = now();
    let note = stage.space.until_event(APP, "ScaledExternally").await;
    assert_eq!(
        note,
        "replicas changed from 1 to 2 by a-hand; taken over, and counted as an action"
    );
    stage.kafka.produce(&stage.topic, 400).await;
    stage.space.until_replicas(APP, 6, 60).await;
    let waited = stage.actions()[0].at.duration_since(by_hand);
    assert!(
        waited.as_secs() >= 11,
        "{waited:#} after the external change"
    );
    stage.until_settled(6).await;

    for (count, replicas) in [(2, 5), (3, 4)] {
        stage.space.scale(APP, replicas).await;
        until(secs(20), "the external change is reported", || async {
            let events = stage.space.events(APP).await;
            let noticed = events.iter().filter(|(r, _)| r == "ScaledExternally");
            if noticed.count() == count {
                Ok(())
            } else {
                Err(format!("{events:?}"))
            }
        })
        .await;
    }
    stage
        .space
        .until_condition(APP, "Ready", "False/TargetContested")
        .await;
    let note = stage.space.until_event(APP, "TargetContested").await;
    assert!(note.contains("remove replicas from the manifest"), "{note}");
    // The lag asks for 6 all the time.
    stage.hold(4, 20).await;
    assert_eq!(stage.sizes(), [6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_target_is_reported_and_managed_once_it_exists() {
    let stage = Stage::new("missing").await;
    stage.kafka.create_topic(&stage.topic, 6).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.group(json!({})).await;
    let _operator = stage.operator().await;
    stage
        .space
        .until_condition(APP, "Ready", "False/TargetNotFound")
        .await;
    let _consumers = stage.consumers(&[]);
    stage.space.deployment(APP, 1).await;
    stage.space.until_replicas(APP, 6, 40).await;
    stage
        .space
        .until_condition(APP, "Ready", "True/Managed")
        .await;
}

/// ACT-8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_set_to_zero_by_hand_is_not_scaled_until_it_is_set_to_one() {
    let stage = Stage::new("off").await;
    let _consumers = stage.set(6, 1).await;
    stage.group(json!({})).await;
    let _operator = stage.operator().await;
    stage.until_members(1).await;
    stage.space.scale(APP, 0).await;
    stage
        .space
        .until_condition(APP, "AbleToScale", "False/ScalingDisabled")
        .await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.hold(0, 15).await;
    assert_eq!(stage.space.condition(APP, "Ready").await, "True/Managed");

    stage.space.scale(APP, 1).await;
    stage.space.until_replicas(APP, 6, 60).await;
    assert_eq!(stage.sizes(), [6]);
}
