//! Runs Helm on the chart.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use serde_json::Value;

/// The root of the repository.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Built or found once per test run.
static HELM: LazyLock<PathBuf> = LazyLock::new(|| {
    let script = Path::new(ROOT).join("tests/env/kubernetes/kube.sh");
    let output = Command::new(script).arg("bin").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no Helm:\n{said}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).join("helm")
});

/// The path of the chart.
pub(crate) fn chart() -> PathBuf {
    Path::new(ROOT).join("charts/lagrange")
}

/// The text of a file of the repository.
pub(crate) fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs Helm without the configuration of this machine.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(HELM.as_path())
        .args(arguments)
        .env("HELM_CACHE_HOME", home.path())
        .env("HELM_CONFIG_HOME", home.path())
        .env("HELM_DATA_HOME", home.path())
        .env("KUBECONFIG", home.path().join("none"))
        .output()
        .unwrap()
}

/// The output of `helm template` with these values (YAML), for a release `lagrange` in
/// `lagrange-system`.
pub(crate) fn template(values: &str) -> Result<String, String> {
    template_of(&chart(), values)
}

/// The same for another copy of the chart.
pub(crate) fn template_of(chart: &Path, values: &str) -> Result<String, String> {
    on_release(chart, &["template", "lagrange"], values)
}

/// The notes that `helm install` prints.
pub(crate) fn notes(values: &str) -> String {
    let said = on_release(
        &chart(),
        &["install", "lagrange", "--dry-run=client"],
        values,
    )
    .unwrap();
    said.split_once("NOTES:\n").unwrap().1.to_owned()
}

fn on_release(chart: &Path, command: &[&str], values: &str) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("values.yaml");
    std::fs::write(&path, values).unwrap();
    let common = [
        chart.to_str().unwrap(),
        "--namespace=lagrange-system",
        "--values",
        path.to_str().unwrap(),
    ];
    let output = run(&[command, &common].concat());
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// The documents of a rendered chart as text, without the line that names their template.
pub(crate) fn documents(rendered: &str) -> Vec<String> {
    let written = |document: &str| {
        let lines = document
            .lines()
            .filter(|line| !line.starts_with("# Source: "));
        lines.collect::<Vec<_>>().join("\n").trim().to_owned()
    };
    format!("\n{rendered}")
        .split("\n---\n")
        .map(written)
        .filter(|document| !document.is_empty())
        .collect()
}

/// The documents of a rendered chart as data.
pub(crate) fn objects(rendered: &str) -> Vec<Value> {
    let read = |document: &String| {
        serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}"))
    };
    documents(rendered).iter().map(read).collect()
}

/// The only object of its kind.
pub(crate) fn only(rendered: &str, kind: &str) -> Value {
    let mut found = objects(rendered)
        .into_iter()
        .filter(|object| object["kind"] == kind);
    let object = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    object
}
