//! The image that the Dockerfile makes.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::node::{Node, OPERATOR_IMAGE, ROOT};

/// The most that its layers may take without compression, in MiB. Without optimisation the program
/// is twice as large as in a release, which is measured in docs/install.md.
const LARGEST: u64 = 96;

fn output(program: &str, arguments: &[&str], directory: &Path) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(directory).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_image_has_one_program_a_user_and_no_shell() {
    let node = Node::take();
    let unpacked = tempfile::tempdir().unwrap();
    let unpacked = unpacked.path();
    let archive = node.operator_archive();
    output("tar", &["-xf", archive.to_str().unwrap()], unpacked);
    let manifest = &read(&unpacked.join("manifest.json"))[0];
    let config = &read(&unpacked.join(manifest["Config"].as_str().unwrap()))["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!(["/usr/local/bin/lagrange"]));
    let commit = output("git", &["rev-parse", "HEAD"], Path::new(ROOT));
    let label = |name: &str| &config["Labels"][format!("org.opencontainers.image.{name}")];
    assert_eq!(label("revision"), commit.trim());
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), "Apache-2.0");

    let layers = manifest["Layers"].as_array().unwrap();
    let layers = layers.iter().map(|layer| layer.as_str().unwrap());
    let (mut files, mut bytes) = (String::new(), 0);
    for layer in layers {
        files += &output("tar", &["-tf", layer], unpacked);
        bytes += fs::metadata(unpacked.join(layer)).unwrap().len();
    }
    let program = |name: &str| {
        files
            .lines()
            .any(|file| file.ends_with(&format!("bin/{name}")))
    };
    assert!(program("lagrange"));
    for name in ["sh", "bash", "dash", "busybox", "apt-get", "dpkg"] {
        assert!(!program(name), "{name} is in the image");
    }
    assert!(bytes < LARGEST << 20, "{} MiB", bytes >> 20);
}

#[test]
fn the_program_in_the_image_says_what_it_was_built_from() {
    let node = Node::take();
    let image = format!("--image={OPERATOR_IMAGE}");
    let run = [
        "run",
        "version",
        &image,
        "--restart=Never",
        "--",
        "--version",
    ];
    node.kubectl(&run);
    let ended = "--for=jsonpath={.status.phase}=Succeeded";
    node.kubectl(&["wait", "pod/version", ended, "--timeout=90s"]);
    let said = node.kubectl(&["logs", "version"]);
    node.kubectl(&["delete", "pod", "version"]);
    let commit = output("git", &["rev-parse", "HEAD"], Path::new(ROOT));
    assert!(
        said.contains(&format!("commit: {}", commit.trim())),
        "{said}"
    );
    assert!(said.contains("vendored"), "{said}");
}
