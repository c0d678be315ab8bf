//! One real API server with the definitions for the whole test program, and its answers with their
//! warnings.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, Request};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Config};
use lagrange_core::api;
use serde_json::Value;

/// An API server with the definitions.
pub(crate) struct Server {
    pub(crate) client: Client,
}

/// An answer of the API server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) warnings: Vec<String>,
    pub(crate) body: Value,
}

impl Server {
    /// Starts the server unless another test has. It ends with the test program.
    pub(crate) async fn with_definitions() -> Self {
        let config = tokio::task::spawn_blocking(started).await.unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig((*config).clone(), &options)
            .await
            .unwrap();
        let server = Self {
            client: Client::try_from(config).unwrap(),
        };
        let definitions: Api<CustomResourceDefinition> = Api::all(server.client.clone());
        for definition in api::definitions() {
            let name = definition.metadata.name.clone().unwrap();
            let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
            let applied = server
                .send(
                    Method::PATCH,
                    &format!("{path}?fieldManager=test"),
                    &definition,
                )
                .await;
            assert!(
                matches!(applied.status, 200 | 201),
                "{name}: {}",
                applied.body
            );
            assert_eq!(applied.warnings, [] as [&str; 0], "{name}");
            let established =
                await_condition(definitions.clone(), &name, conditions::is_crd_established());
            tokio::time::timeout(Duration::from_secs(30), established)
                .await
                .expect("the definitions were not served in time")
                .unwrap();
        }
        server
    }

    /// Asks whether `object` could be created, and creates nothing. Unknown fields are errors.
    pub(crate) async fn dry_run(&self, object: &Value) -> Answer {
        self.send(
            Method::POST,
            &format!("{}?dryRun=All&fieldValidation=Strict", collection(object)),
            object,
        )
        .await
    }

    /// Creates `namespace`, and `object` in it.
    pub(crate) async fn create(&self, namespace: &str, object: &Value) -> Answer {
        let made = serde_json::json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        self.send(Method::POST, "/api/v1/namespaces", &made).await;
        let mut object = object.clone();
        object["metadata"]["namespace"] = namespace.into();
        self.send(
            Method::POST,
            &format!("{}?fieldValidation=Strict", collection(&object)),
            &object,
        )
        .await
    }

    /// Sends one request. A PATCH is a server-side apply.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Answer {
        self.send_with(None, method, path, body).await
    }

    /// Sends one request as `user`, who has only the permissions of `admission.yaml`.
    pub(crate) async fn send_as(
        &self,
        user: &str,
        method: Method,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Answer {
        self.send_with(Some(user), method, path, body).await
    }

    async fn send_with(
        &self,
        user: Option<&str>,
        method: Method,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Answer {
        let content = if method == Method::PATCH {
            "application/apply-patch+yaml"
        } else {
            "application/json"
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", content);
        if let Some(user) = user {
            request = request.header("Impersonate-User", user);
        }
        let request = request
            .body(kube::client::Body::from(serde_json::to_vec(body).unwrap()))
            .unwrap();
        let response = self.client.send(request).await.unwrap();
        let status = response.status().as_u16();
        let warnings = response
            .headers()
            .get_all("Warning")
            .iter()
            .map(|text| text.to_str().unwrap().to_owned());
        let warnings = warnings.collect();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        Answer {
            status,
            warnings,
            body: serde_json::from_slice(&bytes).unwrap(),
        }
    }
}

impl Answer {
    /// The refused fields and their messages.
    pub(crate) fn causes(&self) -> Vec<(String, String)> {
        let causes = self.body["details"]["causes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text =
            |cause: &Value, field: &str| cause[field].as_str().unwrap_or_default().to_owned();
        causes
            .iter()
            .map(|cause| (text(cause, "field"), text(cause, "message")))
            .collect()
    }
}

/// The output of kubectl.
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    started();
    script("kubectl", arguments)
}

/// The chart, rendered by Helm with these arguments for a release `lagrange` in `lagrange-system`.
pub(crate) fn render(arguments: &[&str]) -> String {
    started();
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/lagrange");
    let release = ["template", "lagrange", chart, "--namespace=lagrange-system"];
    script("helm", &[&release[..], arguments].concat())
}

fn collection(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let namespace = object["metadata"]["namespace"].as_str().unwrap();
    format!(
        "/apis/{}/namespaces/{namespace}/{kind}s",
        object["apiVersion"].as_str().unwrap()
    )
}

fn state() -> &'static Path {
    static STATE: OnceLock<PathBuf> = OnceLock::new();
    STATE.get_or_init(|| tempfile::tempdir().unwrap().keep())
}

fn started() -> Arc<Kubeconfig> {
    static KUBECONFIG: OnceLock<Arc<Kubeconfig>> = OnceLock::new();
    let start = || {
        let owner = std::process::id().to_string();
        let path = script("up", &["--mode", "control", "--owner", &owner]);
        Arc::new(Kubeconfig::read_from(path.trim()).unwrap())
    };
    KUBECONFIG.get_or_init(start).clone()
}

fn script(verb: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/env/kubernetes/kube.sh"
    ));
    let output = command
        .arg(verb)
        .arg(state())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{verb} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
