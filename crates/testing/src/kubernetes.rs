//! A real Kubernetes, and operations of tests on it.

use std::path::PathBuf;
use std::sync::OnceLock;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use lagrange_core::api::{ConsumerGroup, ConsumerGroupStatus, KafkaCluster};
use serde_json::{Value, json};

use crate::until::{secs, until};
use crate::{ROOT, me, script, state_directory, try_script, unique};

const SCRIPT: &str = "kubernetes/kube.sh";

/// A cluster with the resource definitions.
#[derive(Debug)]
pub struct Kubernetes {
    state: PathBuf,
    /// Kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
}

impl Kubernetes {
    /// A control plane with fake nodes, shared by the whole test program.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceLock<Kubernetes> = OnceLock::new();
        let kubernetes =
            tokio::task::spawn_blocking(|| SHARED.get_or_init(|| Self::start_now("kwok")))
                .await
                .unwrap();
        kubernetes.until_defined().await;
        kubernetes
    }

    /// A real node, by kind. It ends when this is dropped.
    pub async fn real() -> Self {
        tokio::task::spawn_blocking(|| Self::start_bare("real"))
            .await
            .unwrap()
    }

    /// A control plane with fake nodes for this test only. It ends when this is dropped.
    pub async fn own() -> Self {
        let kubernetes = tokio::task::spawn_blocking(|| Self::start_now("kwok"))
            .await
            .unwrap();
        kubernetes.until_defined().await;
        kubernetes
    }

    fn start_bare(mode: &str) -> Self {
        let state = state_directory();
        let arguments = [
            "up",
            state.to_str().unwrap(),
            "--mode",
            mode,
            "--owner",
            &me(),
        ];
        let kubeconfig = PathBuf::from(script(SCRIPT, &arguments));
        Self { state, kubeconfig }
    }

    fn start_now(mode: &str) -> Self {
        let kubernetes = Self::start_bare(mode);
        kubernetes.apply_definitions();
        kubernetes
    }

    fn apply_definitions(&self) {
        let definitions = format!("{ROOT}/crds");
        self.kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            &definitions,
        ]);
    }

    /// Applies the resource definitions of a cluster that only this test has, and waits until they
    /// are served.
    pub async fn define(&self) {
        self.apply_definitions();
        self.until_defined().await;
    }

    /// Deletes resource definitions, such as `consumergroups`, with all objects, of a cluster that
    /// only this test has.
    pub fn undefine(&self, plurals: &[&str]) {
        for plural in plurals {
            self.kubectl(&[
                "delete",
                "customresourcedefinition",
                &format!("{plural}.lagrange.dev"),
            ]);
        }
    }

    async fn until_defined(&self) {
        let client = self.client().await;
        until(secs(30), "the definitions are served", || async {
            let groups: Api<ConsumerGroup> = Api::all(client.clone());
            let clusters: Api<KafkaCluster> = Api::all(client.clone());
            // Whatever the objects are.
            let one = kube::api::ListParams::default().limit(1);
            groups
                .list_metadata(&one)
                .await
                .map_err(|e| e.to_string())?;
            let listed = clusters.list_metadata(&one).await;
            listed.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }

    /// A client for this test only. A client ends with the runtime of the test that made it.
    pub async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        Client::try_from(config).unwrap()
    }

    /// Standard output of kubectl, which has to succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.script("kubectl", arguments)
    }

    /// Standard output of kubectl or, if it fails, standard error.
    pub fn ask(&self, arguments: &[&str]) -> String {
        let all = [&["kubectl", self.state.to_str().unwrap()], arguments].concat();
        try_script(SCRIPT, &all).unwrap_or_else(|said| said)
    }

    /// Standard output of Helm, which has to succeed.
    pub fn helm(&self, arguments: &[&str]) -> String {
        self.script("helm", arguments)
    }

    /// Text of the audit log. With kind the file may be root's: then the script reads it.
    pub fn audit(&self) -> String {
        let log = self.state.join("log/audit.log");
        std::fs::read_to_string(log).unwrap_or_else(|_| self.script("audit", &[]))
    }

    /// Writes a private file into the state directory, for `kubectl -f` or as a kubeconfig.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.state.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A token of a ServiceAccount.
    pub fn token_of(&self, namespace: &str, account: &str) -> String {
        let token = self.kubectl(&["create", "token", account, "--namespace", namespace]);
        token.trim().to_owned()
    }

    /// A kubeconfig with a token of a ServiceAccount.
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> String {
        self.kubeconfig_with(&json!({ "token": self.token_of(namespace, account) }))
    }

    /// A kubeconfig with these credentials.
    pub fn kubeconfig_with(&self, user: &Value) -> String {
        let users = json!([{ "name": "admin", "user": user }]);
        let admin = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let lines = admin.lines().map(|line| {
            if line.starts_with("users:") {
                format!("users: {users}")
            } else {
                line.to_owned()
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Address of the API server: host and port.
    pub fn address(&self) -> String {
        let admin = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let server = admin.split("https://").nth(1).unwrap();
        server.split('"').next().unwrap().to_owned()
    }

    /// `kill -9` of the API server of a cluster that only this test has.
    pub fn kill_api_server(&self) {
        self.script("kill-api", &[]);
    }

    /// Starts the killed API server again, and waits until it serves.
    pub fn restart_api_server(&self) {
        self.script("restart-api", &[]);
    }

    /// Loads an image that a script of `tests/env` has made, for Pods of the real node.
    pub fn load_image(&self, tar: &str) {
        self.script("load-image", &[tar]);
    }

    /// Address of this machine for Pods.
    pub fn host_address(&self) -> String {
        self.script("host-address", &[])
    }

    fn script(&self, verb: &str, arguments: &[&str]) -> String {
        let mut all = vec![verb, self.state.to_str().unwrap()];
        all.extend(arguments);
        script(SCRIPT, &all)
    }

    /// Creates a namespace for this test only.
    pub async fn namespace(&self, stem: &str) -> Space {
        let client = self.client().await;
        let name = unique(stem);
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        Space { client, name }
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        script(SCRIPT, &["down", self.state.to_str().unwrap()]);
    }
}

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
