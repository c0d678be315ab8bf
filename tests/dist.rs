//! The files of a release, made as the workflow makes them, and the commands that the workflows
//! name.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests unwrap what they expect"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use regex::Regex;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs a step of `release/dist.sh`. The program is the one for macOS and Windows, without
/// optimisation: the operator would be compiled for minutes.
fn dist(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(format!("{ROOT}/release/dist.sh"))
        .args(arguments)
        .env("LAGRANGE_DIST", directory)
        .env("LAGRANGE_PROFILE", "dev")
        .env("LAGRANGE_OPERATOR", "no")
        .output()
        .unwrap()
}

/// The output of a command that succeeds.
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn file(path: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{path}")).unwrap()
}

#[test]
fn a_release_has_the_program_the_chart_the_notes_and_their_checksums() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for step in ["check", "archive", "chart", "notes", "checksums"] {
        let output = dist(path, &[step]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{step}: {error}");
    }
    let version = env!("CARGO_PKG_VERSION");
    let target = succeeds(Command::new("rustc").arg("-vV"));
    let target = target.lines().find_map(|line| line.strip_prefix("host: "));
    let name = format!("lagrange-{version}-{}", target.unwrap());

    succeeds(Command::new("sha256sum").current_dir(path).args([
        "--check",
        "--strict",
        "SHA256SUMS",
    ]));
    let sums = fs::read_to_string(path.join("SHA256SUMS")).unwrap();
    let summed: Vec<&str> = sums.lines().map(|line| &line[66..]).collect();
    let (chart, archive) = (format!("lagrange-{version}.tgz"), format!("{name}.tar.gz"));
    assert_eq!(summed, [&archive, &chart]);

    succeeds(
        Command::new("tar")
            .current_dir(path)
            .args(["-xzf", &archive]),
    );
    let unpacked = path.join(&name);
    for text in ["LICENSE", "README.md"] {
        assert_eq!(fs::read_to_string(unpacked.join(text)).unwrap(), file(text));
    }
    let commit = succeeds(
        Command::new("git")
            .current_dir(ROOT)
            .args(["rev-parse", "HEAD"]),
    );
    let said = succeeds(Command::new(unpacked.join("lagrange")).arg("--version"));
    assert!(
        said.contains(&format!("commit: {}", commit.trim())),
        "{said}"
    );
    let definitions = succeeds(Command::new(unpacked.join("lagrange")).arg("crd"));
    assert!(definitions.contains("consumergroups.lagrange.dev"));

    let helm = succeeds(Command::new(format!("{ROOT}/tests/env/kubernetes/kube.sh")).arg("bin"));
    let helm = Path::new(helm.trim()).join("helm");
    let manifests = succeeds(
        Command::new(helm)
            .current_dir(path)
            .args(["template", "lagrange", &chart]),
    );
    assert!(
        manifests.contains(&format!("/lagrange:{version}")),
        "{manifests}"
    );

    let notes = fs::read_to_string(path.join("notes.md")).unwrap();
    assert!(file("CHANGELOG.md").contains(notes.trim_end()) && notes.lines().count() > 3);
    assert!(
        !notes.lines().any(|line| line.starts_with("## ")),
        "{notes}"
    );
}

#[test]
fn a_tag_of_another_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = dist(directory.path(), &["check", "v9.8.7"]);
    assert!(!output.status.success());
    let version = env!("CARGO_PKG_VERSION");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains(&format!("the tag is v9.8.7, not v{version}")),
        "{error}"
    );
}

/// The words after each occurrence of a command in the workflows.
fn in_workflows(command: &str) -> Vec<String> {
    let pattern = Regex::new(&format!(r"(?m){command} ([a-z -]+)")).unwrap();
    let workflows = ["test", "release"].map(|name| file(&format!(".github/workflows/{name}.yaml")));
    let workflows = workflows.concat();
    let words = pattern.captures_iter(&workflows);
    words
        .flat_map(|found| {
            found[1]
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_workflows_name_targets_and_steps_that_exist() {
    for target in in_workflows("make") {
        let mut make = Command::new("make");
        succeeds(make.current_dir(ROOT).args(["--dry-run", &target]));
    }
    let script = file("release/dist.sh");
    for step in in_workflows("dist.sh") {
        assert!(
            script.contains(&format!("\n{step}() {{")),
            "dist.sh has no step {step}"
        );
    }
}

/// A level that is added to the tests is added to the workflow.
#[test]
fn the_workflow_of_the_tests_has_all_levels() {
    let script = file("tests/all.sh");
    let levels = script
        .lines()
        .find_map(|line| line.split_once("levels=(format "))
        .unwrap()
        .1;
    let mut wanted: Vec<&str> = levels.trim_end_matches("); fi").split(' ').collect();
    wanted.push("format");
    let workflow = file(".github/workflows/test.yaml");
    let rows = workflow
        .lines()
        .skip_while(|line| !line.contains("levels:"))
        .skip(1);
    let rows = rows.map_while(|line| line.trim().strip_prefix("- "));
    let mut found: Vec<&str> = rows.flat_map(|row| row.split(' ')).collect();
    for levels in [&mut wanted, &mut found] {
        levels.sort_unstable();
        levels.dedup();
    }
    assert_eq!(found, wanted);
}
