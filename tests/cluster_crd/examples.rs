//! Every example of a resource is what a real API server takes, without a warning, and what the operator can manage.

use std::path::Path;

use lagrange::{api::ConsumerGroup, intent::Intent};
use serde_json::Value;

use crate::server::Server;

#[tokio::test]
async fn every_example_is_accepted_and_can_be_managed() {
    let server = Server::with_definitions().await;
    let mut seen = 0;
    for path in manifests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        for mut object in documents.into_iter().filter(ours) {
            object["metadata"]["namespace"] = "default".into();
            let accepted = server.dry_run(&object).await;
            assert_eq!(
                accepted.status,
                201,
                "{}: {}",
                path.display(),
                accepted.body
            );
            assert_eq!(accepted.warnings, [] as [&str; 0], "{}", path.display());
            if object["kind"] == "ConsumerGroup" {
                let group: ConsumerGroup = serde_json::from_value(accepted.body).unwrap();
                Intent::of(&group).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
            seen += 1;
        }
    }
    assert!(seen >= 7, "only {seen} examples were found");
}

fn ours(object: &Value) -> bool {
    object["apiVersion"]
        .as_str()
        .is_some_and(|version| version.starts_with("lagrange.dev/"))
}

fn manifests(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let yaml = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    yaml.chain(
        directories
            .iter()
            .flat_map(|directory| manifests(directory)),
    )
    .collect()
}
