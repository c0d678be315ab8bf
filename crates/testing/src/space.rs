//! A namespace of a real Kubernetes, and operations of tests in it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use lagrange_core::api::{ConsumerGroup, ConsumerGroupStatus, KafkaCluster};
use serde_json::{Value, json};

use crate::until::{secs, until};

/// A namespace, and operations of a test in it.
#[derive(Clone)]
pub struct Space {
    /// Client of an administrator.
    pub client: Client,
    /// Name of the namespace.
    pub name: String,
}

impl Space {
    /// The Deployments of the namespace.
    pub fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The ConsumerGroups of the namespace.
    pub fn groups(&self) -> Api<ConsumerGroup> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The KafkaClusters of the namespace.
    pub fn clusters(&self) -> Api<KafkaCluster> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Creates a Deployment whose Pods are fake, or run nothing.
    pub async fn deployment(&self, name: &str, replicas: i32) {
        let labels = json!({ "app": name });
        let deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": name },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "consumer", "image": "localhost/pause:1" }] },
                },
            },
        });
        let deployment = serde_json::from_value(deployment).unwrap();
        self.deployments()
            .create(&PostParams::default(), &deployment)
            .await
            .unwrap();
        self.until_ready(name, replicas).await;
    }

    /// Waits until `replicas` replicas are wanted and ready.
    pub async fn until_ready(&self, name: &str, replicas: i32) {
        until(secs(60), "the Deployment is ready", || async {
            let deployment = self
                .deployments()
                .get(name)
                .await
                .map_err(|e| e.to_string())?;
            let wanted = deployment.spec.and_then(|s| s.replicas).unwrap_or(1);
            let ready = deployment
                .status
                .and_then(|s| s.ready_replicas)
                .unwrap_or(0);
            if (wanted, ready) == (replicas, replicas) {
                Ok(())
            } else {
                Err(format!("{ready} of {wanted} ready"))
            }
        })
        .await;
    }

    /// `spec.replicas` of a Deployment.
    pub async fn replicas(&self, name: &str) -> i32 {
        self.deployments()
            .get(name)
            .await
            .unwrap()
            .spec
            .and_then(|s| s.replicas)
            .unwrap_or(1)
    }

    /// Scales by hand, as `kubectl scale` does.
    pub async fn scale(&self, name: &str, replicas: i32) {
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        let by_hand = PatchParams {
            field_manager: Some("a-hand".to_owned()),
            ..PatchParams::default()
        };
        self.deployments()
            .patch_scale(name, &by_hand, &patch)
            .await
            .unwrap();
    }

    /// Replaces the Pods, as another image would.
    pub async fn roll_out(&self, name: &str, mark: &str) {
        let patch = json!({ "spec": { "template": { "metadata": { "annotations": { "rolled": mark } } } } });
        self.deployments()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Sets another image for the Pods.
    pub async fn image(&self, name: &str, image: &str) {
        let containers = json!([{ "name": "consumer", "image": image }]);
        let patch = json!({ "spec": { "template": { "spec": { "containers": containers } } } });
        self.deployments()
            .patch(name, &PatchParams::default(), &Patch::Strategic(patch))
            .await
            .unwrap();
    }

    /// Creates a ConsumerGroup from its spec.
    pub async fn group(&self, name: &str, spec: Value) {
        let object = json!({
            "apiVersion": "lagrange.dev/v1alpha1",
            "kind": "ConsumerGroup",
            "metadata": { "name": name },
            "spec": spec,
        });
        let object = serde_json::from_value(object).unwrap();
        self.groups()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// Creates a KafkaCluster that is polled every 5 s.
    pub async fn cluster(&self, name: &str, bootstrap: &str) {
        let servers: Vec<&str> = bootstrap.split(',').collect();
        let object = json!({
            "apiVersion": "lagrange.dev/v1alpha1",
            "kind": "KafkaCluster",
            "metadata": { "name": name },
            "spec": { "bootstrapServers": servers, "pollInterval": "5s" },
        });
        let object = serde_json::from_value(object).unwrap();
        self.clusters()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// Changes the spec of a ConsumerGroup.
    pub async fn edit(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.groups()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Sets an annotation of a ConsumerGroup, or removes it.
    pub async fn annotate(&self, name: &str, key: &str, value: Option<&str>) {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { key: value } } }));
        self.groups()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Status of a ConsumerGroup; empty if none is written yet.
    pub async fn status(&self, name: &str) -> ConsumerGroupStatus {
        self.groups()
            .get(name)
            .await
            .unwrap()
            .status
            .unwrap_or_default()
    }

    /// Status and reason of a condition, such as `True/Managed`.
    pub async fn condition(&self, name: &str, condition: &str) -> String {
        let status = self.status(name).await;
        let found = status.conditions.into_iter().find(|c| c.type_ == condition);
        found.map_or_else(
            || "none".to_owned(),
            |c| format!("{}/{}", c.status, c.reason),
        )
    }

    /// Waits until a condition is `wanted`, such as `True/Managed`.
    pub async fn until_condition(&self, name: &str, condition: &str, wanted: &str) {
        until(
            secs(60),
            &format!("{condition} of {name} is {wanted}"),
            || async {
                let seen = self.condition(name, condition).await;
                if seen == wanted {
                    Ok(())
                } else {
                    Err(format!("{seen}; {:?}", self.status(name).await))
                }
            },
        )
        .await;
    }

    /// Waits until `spec.replicas` of the Deployment is `replicas`.
    pub async fn until_replicas(&self, name: &str, replicas: i32, within: u64) {
        until(
            secs(within),
            &format!("{name} has {replicas} replicas"),
            || async {
                let seen = self.replicas(name).await;
                if seen == replicas {
                    Ok(())
                } else {
                    Err(format!("{seen}; {:?}", self.status(name).await))
                }
            },
        )
        .await;
    }

    /// Reason and note of every event about a ConsumerGroup, oldest first.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.name);
        let mut events = events
            .list(&kube::api::ListParams::default())
            .await
            .unwrap()
            .items;
        events.retain(|e| {
            e.regarding
                .as_ref()
                .is_some_and(|r| r.name.as_deref() == Some(name))
        });
        events.sort_by_key(kube::ResourceExt::creation_timestamp);
        events
            .into_iter()
            .map(|e| (e.reason.unwrap_or_default(), e.note.unwrap_or_default()))
            .collect()
    }

    /// Waits for an event with this reason, and returns its note.
    pub async fn until_event(&self, name: &str, reason: &str) -> String {
        until(
            secs(60),
            &format!("event {reason} about {name}"),
            || async {
                let events = self.events(name).await;
                let found = events
                    .iter()
                    .find(|(r, _)| r == reason)
                    .map(|(_, note)| note.clone());
                found.ok_or_else(|| format!("{events:?}"))
            },
        )
        .await
    }

    /// Applies an object of any kind in this namespace.
    pub async fn apply(&self, object: Value) -> DynamicObject {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let types = object.types.clone().unwrap();
        let (group, version) = types
            .api_version
            .split_once('/')
            .unwrap_or(("", &types.api_version));
        let kind = kube::core::GroupVersionKind::gvk(group, version, &types.kind);
        let (resource, capabilities) = kube::discovery::pinned_kind(&self.client, &kind)
            .await
            .unwrap();
        let api: Api<DynamicObject> =
            Api::dynamic(self.client.clone(), &resource, &capabilities.scope).constrain(&self.name);
        let parameters = PatchParams::apply("test").force();
        api.patch(&object.name_any(), &parameters, &Patch::Apply(&object))
            .await
            .unwrap()
    }
}
