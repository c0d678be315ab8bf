//! The resource definitions are missing, deleted and created again, or allow what this operator
//! cannot read. The administrator of a cluster does that, so each test has a cluster of its own.

use kube::api::{Patch, PatchParams};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::Kubernetes;
use lagrange_testing::operator::Operator;
use lagrange_testing::proxy::Proxy;
use lagrange_testing::until::{secs, until};
use rstest::rstest;
use serde_json::{Value, json};

use crate::stage::{APP, DOWN, Stage, UP, assert_spaced};

const BOTH: [&str; 2] = ["consumergroups", "kafkaclusters"];

async fn until_ready_page(operator: &Operator, wanted: &str) {
    until(secs(60), &format!("readiness names {wanted}"), || async {
        let said = operator.get("/readyz");
        let is_named = said.contains(wanted);
        is_named.then_some(()).ok_or(said)
    })
    .await;
}

/// Whether the operator sees its groups being deleted, or finds no definitions when it reaches the
/// API server again.
#[rstest]
#[case::seen(false)]
#[case::missed(true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_keep_their_size_when_the_definitions_are_deleted(#[case] is_missed: bool) {
    let kubernetes = Kubernetes::own().await;
    let stage = Stage::at(&kubernetes, Kafka::shared().await, "defined").await;
    let consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 600).await;
    let proxy = Proxy::bind(1).await;
    proxy.serve(&kubernetes.address());
    let access = std::fs::read_to_string(&kubernetes.kubeconfig).unwrap();
    let access = access.replace(&kubernetes.address(), &proxy.addresses());
    let kubeconfig = kubernetes.file("through-proxy.kubeconfig", &access);

    kubernetes.undefine(&BOTH);
    let flags = [
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--watch-namespace={}", stage.space.name),
    ];
    let flags = flags.each_ref().map(String::as_str);
    let command = std::process::Command::new(lagrange_testing::operator::binary());
    let operator = Operator::launch(command, &kubeconfig, &stage.space.name, &flags);
    let missing = "consumergroups.lagrange.dev and kafkaclusters.lagrange.dev not installed";
    until_ready_page(&operator, missing).await;
    kubernetes.define().await;
    operator.until_ready().await;
    stage.group(json!({})).await;
    stage.space.until_replicas(APP, 6, 90).await;
    stage.until_settled(6).await;

    if is_missed {
        proxy.silence(1, secs(3_600));
    }
    kubernetes.undefine(&BOTH);
    proxy.release();
    // Without the lag the group would be scaled down.
    consumers.micros_per_record(0);
    until_ready_page(&operator, missing).await;
    stage.hold(6, 30).await;

    kubernetes.define().await;
    operator.until_ready().await;
    stage.group(json!({})).await;
    let managed = "True/Managed";
    stage.space.until_condition(APP, "Ready", managed).await;
    stage.space.until_replicas(APP, 1, 120).await;
    let actions = stage.actions();
    assert_eq!(actions[0].to, 6, "{actions:?}");
    assert_spaced(1, &actions, UP, DOWN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_held_while_the_definition_of_its_cluster_is_gone() {
    let kubernetes = Kubernetes::own().await;
    let stage = Stage::at(&kubernetes, Kafka::shared().await, "clusters").await;
    let _consumers = stage.set(6, 1).await;
    stage.space.cluster("main", &stage.kafka.bootstrap).await;
    let by_name = json!({ "bootstrapServers": null, "clusterRef": { "name": "main" } });
    stage.group(json!({ "kafka": by_name })).await;
    let operator = stage.operator().await;
    stage.until_members(1).await;

    kubernetes.undefine(&["kafkaclusters"]);
    until_ready_page(
        &operator,
        "watch of KafkaClusters (the API server serves no",
    )
    .await;
    let gone = "False/ClusterNotFound";
    stage.space.until_condition(APP, "Ready", gone).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.hold(1, 15).await;

    kubernetes.define().await;
    stage.space.cluster("main", &stage.kafka.bootstrap).await;
    operator.until_ready().await;
    stage.space.until_replicas(APP, 6, 90).await;
    stage.until_settled(6).await;
    assert_eq!(stage.sizes(), [6]);
}

/// Lets a definition allow any `spec`, as one of another version may.
fn loosen(kubernetes: &Kubernetes, plural: &str) {
    let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let patch = json!([{ "op": "replace", "path": path, "value": any }]).to_string();
    let name = format!("{plural}.lagrange.dev");
    let arguments = [
        "patch",
        "customresourcedefinition",
        &name,
        "--type=json",
        "--patch",
        &patch,
    ];
    kubernetes.kubectl(&arguments);
}

/// Creates an object as soon as the API server takes it.
async fn create_odd(
    kubernetes: &Kubernetes,
    stage: &Stage<'_>,
    kind: &str,
    name: &str,
    spec: Value,
) {
    let object = json!({
        "apiVersion": "lagrange.dev/v1alpha1", "kind": kind,
        "metadata": { "name": name, "namespace": stage.space.name }, "spec": spec,
    });
    let file = kubernetes.file(&format!("{kind}-{name}.json"), &object.to_string());
    let file = file.to_str().unwrap();
    until(secs(60), "the loosened definition is in force", || async {
        let said = kubernetes.ask(&["create", "--filename", file]);
        let is_taken = said.contains("created");
        is_taken.then_some(()).ok_or(said)
    })
    .await;
}

/// Waits for the reason and the message of the first condition.
async fn until_says(kubernetes: &Kubernetes, stage: &Stage<'_>, object: &str, wanted: &[&str]) {
    let path = "jsonpath={.status.conditions[0].reason}: {.status.conditions[0].message}";
    let namespace = &stage.space.name;
    until(secs(60), &format!("{object} says {wanted:?}"), || async {
        let said = kubernetes.ask(&["get", object, "--namespace", namespace, "--output", path]);
        let is_said = wanted.iter().all(|part| said.contains(part));
        is_said.then_some(()).ok_or(said)
    })
    .await;
}

/// Objects that an earlier or later definition allowed: they are stored, come through a watch or a
/// list, and are still there when the definition is strict again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_cannot_be_read_name_themselves_and_stop_no_others() {
    let kubernetes = Kubernetes::own().await;
    let stage = Stage::at(&kubernetes, Kafka::shared().await, "odd").await;
    let _consumers = stage.set(6, 1).await;
    stage.space.deployment("odd", 1).await;
    stage.space.deployment("user", 1).await;
    let operator = stage.operator().await;
    for plural in BOTH {
        loosen(&kubernetes, plural);
    }
    let odd = json!({ "scaleTargetRef": 7 });
    create_odd(&kubernetes, &stage, "ConsumerGroup", "odd", odd).await;
    let odd = json!({ "bootstrapServers": { "all": true } });
    create_odd(&kubernetes, &stage, "KafkaCluster", "odd", odd).await;
    let by_name = json!({ "bootstrapServers": null, "clusterRef": { "name": "odd" } });
    let user = json!({ "kafka": by_name, "scaleTargetRef": { "name": "user" }, "groupId": "user" });
    stage.space.group("user", stage.spec(user)).await;
    stage.group(json!({})).await;

    assert_odd(&kubernetes, &stage, &operator).await;
    operator.kill();
    kubernetes.define().await;
    let operator = stage.operator().await;
    assert_odd(&kubernetes, &stage, &operator).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.space.until_replicas(APP, 6, 90).await;

    let mended = stage.spec(json!({ "scaleTargetRef": { "name": "odd" }, "groupId": "odd" }));
    let patch = Patch::Merge(json!({ "spec": mended }));
    let groups = stage.space.groups();
    groups
        .patch("odd", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let servers = json!(stage.kafka.bootstrap.split(',').collect::<Vec<_>>());
    let patch = Patch::Merge(json!({ "spec": { "bootstrapServers": servers } }));
    let clusters = stage.space.clusters();
    clusters
        .patch("odd", &PatchParams::default(), &patch)
        .await
        .unwrap();
    until_says(
        &kubernetes,
        &stage,
        "kafkacluster/odd",
        &["BrokersReachable"],
    )
    .await;
    for group in ["odd", "user"] {
        let managed = "True/Managed";
        stage.space.until_condition(group, "Ready", managed).await;
    }
    until(secs(60), "everything can be read", || async {
        let number = operator.metric_sum("lagrange_unreadable_objects", "kind");
        (number < 0.5).then_some(()).ok_or(number.to_string())
    })
    .await;
}

/// Panics unless both objects are reported: on themselves, in the log and in the metrics.
async fn assert_odd(kubernetes: &Kubernetes, stage: &Stage<'_>, operator: &Operator) {
    let unreadable = ["InvalidSpec", "the spec cannot be read"];
    until_says(kubernetes, stage, "consumergroup/odd", &unreadable).await;
    until_says(kubernetes, stage, "kafkacluster/odd", &unreadable).await;
    let named = ["InvalidSpec", "KafkaCluster odd cannot be read"];
    until_says(kubernetes, stage, "consumergroup/user", &named).await;
    let managed = "True/Managed";
    stage.space.until_condition(APP, "Ready", managed).await;
    for kind in ["ConsumerGroups", "KafkaClusters"] {
        let series = format!("lagrange_unreadable_objects{{kind=\"{kind}\"}}");
        assert_eq!(operator.metric(&series), Some(1.0), "{kind}");
        let log = operator.log();
        let is_named = |line: &str| line.contains(kind) && line.contains("its spec cannot be read");
        assert!(log.lines().any(is_named), "{log}");
    }
    assert!(operator.get("/readyz").starts_with("HTTP/1.1 200"));
}
