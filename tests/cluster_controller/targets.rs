//! Which targets can be scaled, and what is reported for those that cannot.

use std::path::PathBuf;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use lagrange_testing::audit;
use lagrange_testing::operator::Operator;
use lagrange_testing::until::{same, secs, until};
use serde_json::json;

use crate::stage::{APP, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_set_is_scaled() {
    let stage = Stage::new("stateful").await;
    // The Deployment gives the group a member; the StatefulSet's Pods are only counted.
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    let labels = json!({ "app": "set" });
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": "set" },
        "spec": {
            "replicas": 1,
            "serviceName": "set",
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "consumer", "image": "localhost/pause:1" }] },
            },
        },
    });
    stage.space.apply(set).await;
    let reference = json!({ "kind": "StatefulSet", "name": "set" });
    stage.group(json!({ "scaleTargetRef": reference })).await;
    let _operator = stage.operator().await;

    let sets: Api<StatefulSet> = Api::namespaced(stage.space.client.clone(), &stage.space.name);
    until(secs(60), "the set is scaled", || async {
        let set = sets.get("set").await.unwrap();
        same(&set.spec.unwrap().replicas, &Some(2))
    })
    .await;
    // A second member, so that the action settles.
    stage.space.scale(APP, 2).await;
    until(secs(60), "the action has settled", || async {
        let status = stage.status().await;
        let last = status.last_scale.clone().unwrap_or_default();
        match (last.to, last.settled_after) {
            (2, Some(_)) => Ok(()),
            _ => Err(format!("{status:?}")),
        }
    })
    .await;
    let related = stage.space.until_event(APP, "ScaledUp").await;
    assert!(related.starts_with("replicas 1 -> 2"), "{related}");
}

/// Defines a custom kind that can be scaled.
fn readers(stage: &Stage<'_>) -> Api<DynamicObject> {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "readers.test.lagrange.dev" },
        "spec": {
            "group": "test.lagrange.dev",
            "scope": "Namespaced",
            "names": { "kind": "Reader", "plural": "readers" },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                "subresources": { "status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.selector" } },
            }],
        },
    });
    let file = stage
        .kubernetes
        .file("readers.json", &definition.to_string());
    stage
        .kubernetes
        .kubectl(&["apply", "-f", file.to_str().unwrap()]);
    stage.kubernetes.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/readers.test.lagrange.dev",
        "--timeout=30s",
    ]);
    let kind = GroupVersionKind::gvk("test.lagrange.dev", "v1", "Reader");
    Api::namespaced_with(
        stage.space.client.clone(),
        &stage.space.name,
        &ApiResource::from_gvk_with_plural(&kind, "readers"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custom_kind_is_scaled_through_its_scale_subresource() {
    let stage = Stage::new("custom").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    let readers = readers(&stage);
    let reader = json!({
        "apiVersion": "test.lagrange.dev/v1", "kind": "Reader",
        "metadata": { "name": "reader" }, "spec": { "replicas": 1 },
    });
    let reader = serde_json::from_value(reader).unwrap();
    until(secs(30), "the kind is served", || async {
        readers
            .create(&kube::api::PostParams::default(), &reader)
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    // In place of the kind's controller.
    let has = |replicas: i32| {
        let patch = Patch::Merge(json!({ "status": { "replicas": replicas } }));
        let readers = readers.clone();
        async move {
            readers
                .patch_status("reader", &PatchParams::default(), &patch)
                .await
                .unwrap()
        }
    };
    has(1).await;
    let reference =
        json!({ "apiVersion": "test.lagrange.dev/v1", "kind": "Reader", "name": "reader" });
    stage.group(json!({ "scaleTargetRef": reference })).await;
    let _operator = stage.operator().await;

    until(secs(60), "the reader is scaled", || async {
        let reader = readers.get("reader").await.unwrap();
        same(&reader.data["spec"]["replicas"], &json!(2))
    })
    .await;
    has(2).await;
    stage.space.scale(APP, 2).await;
    until(secs(60), "the action has settled", || async {
        let status = stage.status().await;
        match status
            .last_scale
            .clone()
            .and_then(|last| last.settled_after)
        {
            Some(_) => Ok(()),
            None => Err(format!("{status:?}")),
        }
    })
    .await;
    assert_eq!(
        audit::actions(stage.kubernetes, &stage.space, "reader").len(),
        1
    );
}

/// A kubeconfig of a ServiceAccount with the operator's permissions, except to scale Deployments.
fn without_scale(stage: &Stage<'_>) -> PathBuf {
    let namespace = stage.space.name.as_str();
    let rules = json!([
        { "apiGroups": ["lagrange.dev"], "resources": ["*"], "verbs": ["*"] },
        { "apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["get", "list", "watch"] },
        { "apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list", "watch"] },
        { "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"] },
    ]);
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "weak", "namespace": namespace } });
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "weak", "namespace": namespace }, "rules": rules });
    let binding = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "weak", "namespace": namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "weak" },
        "subjects": [{ "kind": "ServiceAccount", "name": "weak", "namespace": namespace }] });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [account, role, binding] });
    let file = stage
        .kubernetes
        .file(&format!("{namespace}.json"), &list.to_string());
    stage
        .kubernetes
        .kubectl(&["apply", "-f", file.to_str().unwrap()]);
    let kubeconfig = stage.kubernetes.kubeconfig_of(namespace, "weak");
    stage
        .kubernetes
        .file(&format!("{namespace}.kubeconfig"), &kubeconfig)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_target_is_reported_and_tried_again_when_the_resource_changes() {
    let stage = Stage::new("forbidden").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    stage.group(json!({})).await;
    let kubeconfig = without_scale(&stage);
    let _operator = Operator::start_as(&kubeconfig, &stage.space, &[]).await;
    stage
        .space
        .until_condition(APP, "Ready", "False/TargetForbidden")
        .await;
    let conditions = stage.status().await.conditions;
    let ready = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert!(ready.message.contains("scaleTargets"), "{}", ready.message);
    stage.hold(1, 10).await;

    let rule = json!([{ "op": "add", "path": "/rules/-", "value":
        { "apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get", "patch"] } }]);
    stage.kubernetes.kubectl(&[
        "patch",
        "role",
        "weak",
        "--namespace",
        &stage.space.name,
        "--type=json",
        "--patch",
        &rule.to_string(),
    ]);
    stage
        .space
        .edit(APP, json!({ "objective": { "lagPerReplica": 99 } }))
        .await;
    stage.space.until_replicas(APP, 2, 40).await;
    stage
        .space
        .until_condition(APP, "Ready", "True/Managed")
        .await;
}

/// Objects whose scale cannot be built: the API server answers 500, or 400 to a list with the
/// selector.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_scale_is_reported_with_the_api_servers_answer() {
    let stage = Stage::new("scaleless").await;
    let _consumers = stage.set(6, 1).await;
    let readers = readers(&stage);
    let create = |name: &str, spec: serde_json::Value| {
        let reader = json!({ "apiVersion": "test.lagrange.dev/v1", "kind": "Reader",
            "metadata": { "name": name }, "spec": spec });
        let reader: DynamicObject = serde_json::from_value(reader).unwrap();
        let readers = readers.clone();
        async move {
            until(secs(30), "the kind is served", || async {
                let created = readers
                    .create(&kube::api::PostParams::default(), &reader)
                    .await;
                created.map(|_| ()).map_err(|error| error.to_string())
            })
            .await;
        }
    };
    create("empty", json!({})).await;
    create("odd", json!({ "replicas": 1 })).await;
    let patch = Patch::Merge(json!({ "status": { "replicas": 1, "selector": "no selector (" } }));
    readers
        .patch_status("odd", &PatchParams::default(), &patch)
        .await
        .unwrap();
    for name in ["empty", "odd"] {
        let reference =
            json!({ "apiVersion": "test.lagrange.dev/v1", "kind": "Reader", "name": name });
        let spec = stage.spec(json!({ "groupId": name, "scaleTargetRef": reference }));
        stage.space.group(name, spec).await;
    }
    let _operator = stage.operator().await;
    for (name, says) in [
        ("empty", "The API server answered 500"),
        ("odd", "The API server answered 400"),
    ] {
        stage
            .space
            .until_condition(name, "Ready", "False/TargetUnreadable")
            .await;
        let note = stage.space.until_event(name, "TargetUnreadable").await;
        assert!(note.contains(says), "{note}");
    }
    let patch = Patch::Merge(json!({ "spec": { "replicas": 1 } }));
    readers
        .patch("empty", &PatchParams::default(), &patch)
        .await
        .unwrap();
    // The operator tries again within a minute.
    until(secs(90), "the target is readable again", || async {
        let seen = stage.space.condition("empty", "Ready").await;
        if seen.contains("TargetUnreadable") {
            Err(seen)
        } else {
            Ok(())
        }
    })
    .await;
    let reported = stage.space.events("empty").await;
    let reported = reported
        .iter()
        .filter(|(reason, _)| reason == "TargetUnreadable");
    assert_eq!(reported.count(), 1);
}
