//! Behaviour that needs a real API server: its discovery, certificates and RBAC.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::{Value, json};

use super::{
    assert_last_line,
    child::{Home, get, until},
};

#[test]
fn the_operator_is_ready_once_definitions_are_served_and_needs_permission_to_list() {
    let home = Home::new();
    let operator = home.run(&[&format!("--kubeconfig={}", kubeconfig())]);
    let pages = operator.pages();
    let (status, text) = until(
        || get(pages, "/readyz"),
        |(_, text)| text.contains("resource definitions ("),
    );
    assert_eq!(status, 503);
    assert!(
        text.contains("consumergroups.lagrange.dev and kafkaclusters.lagrange.dev not installed"),
        "{text}"
    );

    let definitions = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    kube("kubectl", &["apply", "-f", definitions]);
    until(|| get(pages, "/readyz"), |(status, _)| *status == 200);

    // The definitions are deleted and created again. The check of the definitions and the watches
    // both report it.
    kube("kubectl", &["delete", "-f", definitions]);
    let (_, text) = until(
        || get(pages, "/readyz"),
        |(_, text)| {
            text.contains("resource definitions (consumergroups.lagrange.dev and")
                && text.contains(
                    "watch of ConsumerGroups (the API server serves no ConsumerGroups (HTTP 404)",
                )
                && text.contains("watch of KafkaClusters (")
        },
    );
    assert!(!text.contains("watch of Deployments"), "{text}");
    kube("kubectl", &["apply", "-f", definitions]);
    until(|| get(pages, "/readyz"), |(status, _)| *status == 200);
    operator.logged("resource definitions are served again");
    let group = r#"{"apiVersion":"lagrange.dev/v1alpha1","kind":"ConsumerGroup","metadata":{"name":"late"},"spec":{
        "scaleTargetRef":{"name":"late"},"kafka":{"clusterRef":{"name":"none"}},"objective":{"lagPerReplica":1}}}"#;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), group).unwrap();
    kube("kubectl", &["create", "-f", file.path().to_str().unwrap()]);
    until(
        || {
            kube(
                "kubectl",
                &[
                    "get",
                    "consumergroups",
                    "late",
                    "-o",
                    "jsonpath={.status.conditions[0].reason}",
                ],
            )
        },
        |reason| reason == "ClusterNotFound",
    );

    operator.signal("TERM");
    let (status, log) = operator.ended();
    assert!(status.success(), "{status} {log:#?}");

    kube("kubectl", &["create", "serviceaccount", "nobody"]);
    let token = kube("kubectl", &["create", "token", "nobody"]);
    let (status, log) = run_as(&json!({ "token": token.trim() }));
    assert_eq!(status, Some(1));
    assert_last_line(
        &log,
        "cannot list resource \"consumergroups\" in API group \"lagrange.dev\" at the cluster scope",
    );
}

#[test]
fn a_bad_token_and_no_token_have_different_errors() {
    let (status, log) = run_as(&json!({ "token": "nonsense" }));
    assert_eq!(status, Some(1));
    assert_last_line(&log, "did not authenticate the operator (Unauthorized)");

    let (status, log) = run_as(&json!({}));
    assert_eq!(status, Some(1));
    assert_last_line(
        &log,
        "denies the operator access (forbidden: User \"system:anonymous\"",
    );
}

/// Runs the operator with the real kubeconfig, but with this user.
fn run_as(user: &Value) -> (Option<i32>, Vec<String>) {
    let home = Home::new();
    let mut config: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(kubeconfig()).unwrap()).unwrap();
    config["users"][0]["user"] = user.clone();
    let path = home.write_kubeconfig(&config);
    let (status, log) = home
        .run(&[&format!("--kubeconfig={}", path.display())])
        .ended();
    (status.code(), log)
}

fn kubeconfig() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let owner = std::process::id().to_string();
        script("up", &["--mode", "control", "--owner", &owner])
            .trim()
            .to_owned()
    })
}

fn kube(verb: &str, arguments: &[&str]) -> String {
    kubeconfig();
    script(verb, arguments)
}

/// Runs `tests/env/kubernetes/kube.sh VERB STATE ARGUMENT...`. Its processes end with this one.
fn script(verb: &str, arguments: &[&str]) -> String {
    static STATE: OnceLock<PathBuf> = OnceLock::new();
    let state = STATE.get_or_init(|| tempfile::tempdir().unwrap().keep());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/env/kubernetes/kube.sh");
    let mut command = Command::new(script);
    command
        .arg(verb)
        .arg(state)
        .args(arguments)
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{verb} {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}
