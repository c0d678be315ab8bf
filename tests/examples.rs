//! Every manifest under `examples/`, applied to a real API server: taken without a warning, and what its comments say of it.

// clippy.toml allows these in tests, and takes only what is in a test function for one.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lagrange::{api::ConsumerGroup, intent::Intent};
use serde_json::Value;

use support::kubernetes::Kubernetes;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
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
        files.len() >= 12,
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

/// One test, since both parts are about the same objects.
#[tokio::test]
async fn every_example_is_taken_without_a_warning_and_again_without_touching_sizes() {
    let kubernetes = Kubernetes::shared().await;
    // In one go, as a user would: the directory's order is one that works. It makes the namespaces that the others are for.
    apply(kubernetes, DEMO);
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
fn every_group_is_one_that_the_operator_can_manage() {
    let files = files();
    let mut seen = 0;
    for (name, object) in of_kind("ConsumerGroup", &files) {
        let group: ConsumerGroup = serde_json::from_value(object.clone()).unwrap();
        Intent::of(&group).unwrap_or_else(|error| panic!("{name}: {error}"));
        seen += 1;
    }
    assert!(seen >= 11, "only {seen} groups were found");
}

#[test]
fn every_deployment_has_a_group_and_what_it_takes_to_be_sized() {
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
