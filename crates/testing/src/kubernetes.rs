//! A real Kubernetes, and operations of tests on it.

use std::path::PathBuf;
use std::sync::OnceLock;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use lagrange_core::api::{ConsumerGroup, KafkaCluster};
use serde_json::{Value, json};

pub use crate::space::Space;
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
