//! Every manifest under `examples/`, applied to a real API server: it is accepted without a
//! warning, and its comments are true.

// clippy.toml allows these in tests, but counts only code inside test functions.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lagrange_core::api::{ConsumerGroup, KafkaCluster};
use lagrange_core::intent::Intent;
use lagrange_testing::kubernetes::Kubernetes;
use serde_json::Value;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
const DOCUMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/connections");
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/order-events");

/// A file's path below `examples/`, and the objects in it.
type File = (String, Vec<Value>);

fn files() -> Vec<File> {
    let mut files: Vec<File> = paths(Path::new(EXAMPLES))
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .map(|path| {
            let name = path.strip_prefix(EXAMPLES).unwrap().to_str().unwrap();
            let text = std::fs::read_to_string(path).unwrap();
            (name.to_owned(), serde_saphyr::from_multiple(&text).unwrap())
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(
        files.len() >= 21,
        "only {} examples were found",
        files.len()
    );
    files
}

fn paths(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let below = |path: PathBuf| {
        if path.is_dir() {
            paths(&path)
        } else {
            vec![path]
        }
    };
    entries
        .flat_map(|entry| below(entry.unwrap().path()))
        .collect()
}

fn of_kind<'a>(kind: &'a str, files: &'a [File]) -> impl Iterator<Item = (&'a str, &'a Value)> {
    files.iter().flat_map(move |(name, objects)| {
        let ours = objects.iter().filter(move |object| object["kind"] == kind);
        ours.map(move |object| (name.as_str(), object))
    })
}

fn apply(kubernetes: &Kubernetes, path: &str) {
    kubernetes.kubectl(&[
        "apply",
        "--validate=strict",
        "--warnings-as-errors",
        "--filename",
        path,
    ]);
}

/// One test, because both parts use the same objects.
#[tokio::test]
async fn every_example_applies_without_a_warning_and_again_without_changing_sizes() {
    let kubernetes = Kubernetes::shared().await;
    // All at once, as a user would: the order of the directory works. It creates the namespaces of
    // the other manifests.
    apply(kubernetes, DEMO);
    // The operator's own namespace, which the installation creates.
    kubernetes.kubectl(&["create", "namespace", "lagrange"]);
    for (name, _) in files() {
        apply(kubernetes, &format!("{EXAMPLES}/{name}"));
    }

    let replicas = || {
        kubernetes.kubectl(&[
            "get",
            "deployments",
            "--namespace=shop",
            "--output=jsonpath={.items[*].spec.replicas}",
        ])
    };
    assert_eq!(replicas(), "1 1 1");
    kubernetes.kubectl(&[
        "scale",
        "deployment",
        "--namespace=shop",
        "--all",
        "--replicas=3",
    ]);
    apply(kubernetes, DEMO);
    assert_eq!(replicas(), "3 3 3");
}

#[test]
fn the_operator_can_manage_every_group() {
    let files = files();
    let mut seen = 0;
    for (name, object) in of_kind("ConsumerGroup", &files) {
        let group: ConsumerGroup = serde_json::from_value(object.clone()).unwrap();
        Intent::of(&group).unwrap_or_else(|error| panic!("{name}: {error}"));
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} groups were found");
}

#[test]
fn every_deployment_has_a_group_and_resource_limits() {
    let files = files();
    let mut names = BTreeSet::new();
    for (name, deployment) in of_kind("Deployment", &files) {
        let target = &deployment["metadata"];
        assert!(
            of_kind("ConsumerGroup", &files).any(|(beside, group)| {
                beside == name
                    && group["metadata"]["namespace"] == target["namespace"]
                    && group["spec"]["scaleTargetRef"]["name"] == target["name"]
            }),
            "{name}"
        );
        assert_eq!(deployment["spec"]["replicas"], Value::Null, "{name}");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        for wanted in ["readinessProbe", "livenessProbe"] {
            assert!(container[wanted].is_object(), "{name}: {wanted}");
        }
        for limit in ["cpu", "memory"] {
            let limits = &container["resources"]["limits"];
            assert!(limits[limit].is_string(), "{name}: limit of {limit}");
        }
        names.insert(target["name"].as_str().unwrap().to_owned());
    }
    let demo = ["analytics", "fulfillment", "recommendation"];
    assert_eq!(names, BTreeSet::from(demo.map(ToOwned::to_owned)));
}

#[test]
fn the_readme_names_every_example() {
    let readme = std::fs::read_to_string(format!("{EXAMPLES}/README.md")).unwrap();
    for (name, _) in files() {
        assert!(readme.contains(&format!("]({name})")), "{name}");
    }
}

/// Otherwise a user who fills in credentials could commit them here.
#[test]
fn every_secret_has_a_placeholder_only() {
    let files = files();
    let mut seen = 0;
    for (name, secret) in of_kind("Secret", &files) {
        for (key, value) in secret["stringData"].as_object().unwrap() {
            let value = value.as_str().unwrap();
            assert!(
                value.starts_with('<') && value.ends_with('>'),
                "{name}: {key}"
            );
            seen += 1;
        }
        assert!(secret["data"].is_null(), "{name}");
    }
    assert!(seen >= 7, "only {seen} values were found");
}

#[test]
fn every_connection_is_secure_complete_and_explained() {
    let documents: Vec<String> = paths(Path::new(DOCUMENTS))
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let files: Vec<File> = files()
        .into_iter()
        .filter(|(name, _)| name.starts_with("connections/"))
        .collect();
    assert!(files.len() >= 9);
    for file in &files {
        let one = std::slice::from_ref(file);
        let name = &file.0;
        let (_, cluster) = of_kind("KafkaCluster", one).next().unwrap();
        let (_, group) = of_kind("ConsumerGroup", one).next().unwrap();
        for field in ["name", "namespace"] {
            assert_eq!(
                group["spec"]["kafka"]["clusterRef"][field], cluster["metadata"][field],
                "{name}"
            );
        }
        let typed: KafkaCluster = serde_json::from_value(cluster.clone()).unwrap();
        let allowed = typed.spec.allowed_namespaces.names.unwrap_or_default();
        assert!(
            allowed
                .iter()
                .any(|namespace| group["metadata"]["namespace"] == **namespace),
            "{name}"
        );
        assert!(
            typed.spec.tls.is_some() && !typed.spec.allow_insecure,
            "{name}"
        );
        assert!(
            documents
                .iter()
                .any(|text| text.contains(&format!("](../../examples/{name})"))),
            "no document links to {name}"
        );
    }
}

#[test]
fn every_connection_page_is_in_the_index_and_says_what_it_was_tested_with() {
    let index = std::fs::read_to_string(format!("{DOCUMENTS}/README.md")).unwrap();
    for path in paths(Path::new(DOCUMENTS)) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            name == "README.md"
                || (index.contains(&format!("]({name})")) && text.contains("\nRun against: ")),
            "{name}"
        );
    }
}
