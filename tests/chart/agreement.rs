//! Chart, definitions, image and versions agree: everything that is written twice is compared.

use std::{collections::BTreeSet, path::Path, process::Command};

use rstest::rstest;
use serde_json::{Value, json};

use crate::helm::{ROOT, file, objects, only, template};

/// The names of the files in a directory of the repository.
fn definitions(directory: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(Path::new(ROOT).join(directory)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The chart has copies, because a packaged chart cannot read outside of its directory and not
/// every way to deliver charts follows symbolic links. `make crds` or UPDATE=1 writes them.
#[test]
fn chart_brings_the_committed_definitions() {
    let names = definitions("crds");
    assert!(!names.is_empty());
    if std::env::var_os("UPDATE").is_some() {
        for name in &names {
            std::fs::write(
                format!("{ROOT}/charts/lagrange/files/crds/{name}"),
                file(&format!("crds/{name}")),
            )
            .unwrap();
        }
    }
    assert_eq!(names, definitions("charts/lagrange/files/crds"));
    for name in names {
        let same =
            file(&format!("crds/{name}")) == file(&format!("charts/lagrange/files/crds/{name}"));
        assert!(
            same,
            "charts/lagrange/files/crds/{name} differs from crds/{name}: run `make crds`"
        );
    }
}

#[rstest]
#[case("", Some("keep"))]
#[case("crds: {keep: false}", None)]
fn rendering_changes_only_the_keep_annotation_of_a_definition(
    #[case] values: &str,
    #[case] policy: Option<&str>,
) {
    let rendered = objects(&template(values).unwrap());
    for name in definitions("crds") {
        let mut wanted: Value = serde_saphyr::from_str(&file(&format!("crds/{name}"))).unwrap();
        if let Some(policy) = policy {
            wanted["metadata"]["annotations"] = json!({"helm.sh/resource-policy": policy});
        }
        let found = rendered
            .iter()
            .filter(|object| object["metadata"]["name"] == wanted["metadata"]["name"]);
        assert_eq!(found.collect::<Vec<_>>(), [&wanted]);
    }
}

#[test]
fn chart_image_and_crate_have_one_version() {
    let version = env!("CARGO_PKG_VERSION");
    let chart: Value = serde_saphyr::from_str(&file("charts/lagrange/Chart.yaml")).unwrap();
    assert_eq!(
        (&chart["version"], &chart["appVersion"]),
        (&json!(version), &json!(version))
    );
    let images = chart["annotations"]["artifacthub.io/images"].as_str();
    let published = format!("ghcr.io/lagrange-dev/lagrange:{version}\n");
    assert!(images.unwrap().contains(&published), "{images:?}");
    let image = |values: &str| {
        let pod =
            only(&template(values).unwrap(), "Deployment")["spec"]["template"]["spec"].clone();
        pod["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    assert_eq!(image(""), format!("localhost/lagrange:{version}"));
    assert_eq!(
        image("image: {repository: registry.example/l}"),
        format!("registry.example/l:{version}")
    );
}

#[test]
fn the_image_is_built_with_the_repositorys_toolchain_on_the_debian_that_it_runs_on() {
    let toolchain = file("rust-toolchain.toml");
    let channel = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .unwrap()
        .trim_matches('"');
    let dockerfile = file("Dockerfile");
    let bases: Vec<_> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "))
        .collect();
    assert_eq!(
        bases,
        [
            &format!("--platform=$BUILDPLATFORM rust:{channel}-bookworm AS tools"),
            "tools AS manifests",
            "tools AS build",
            "gcr.io/distroless/cc-debian12:nonroot"
        ]
    );
}

/// A release that is linked to the OpenSSL of the build machine does not start in the image.
#[test]
fn releases_are_built_with_their_own_openssl() {
    for (path, command) in [
        (
            "Makefile",
            "cargo build --release --locked --features vendored",
        ),
        (
            "Dockerfile",
            "--profile \"$PROFILE\" --locked --bin lagrange --features \"vendored ",
        ),
    ] {
        assert!(file(path).contains(command), "{path}");
    }
}

/// Cargo first looks for every file that the manifests name. Only if all exist does it report that
/// the binary `none-such` is missing.
#[test]
fn the_image_build_has_every_file_that_cargo_needs() {
    let context = tempfile::tempdir().unwrap();
    for line in file(".dockerignore").lines() {
        if let Some(path) = line.strip_prefix('!') {
            let copied = Command::new("cp")
                .args(["--recursive", "--parents", path])
                .arg(context.path())
                .current_dir(ROOT)
                .status()
                .unwrap();
            assert!(copied.success());
        } else if !line.starts_with('#') && line != "*" && !line.contains("**") {
            std::fs::remove_dir_all(context.path().join(line)).unwrap();
        }
    }
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--offline", "--bin=none-such"])
        .current_dir(context.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(said.contains("no bin target named `none-such`"), "{said}");
}

/// Sources that include a file that .dockerignore excludes would build everywhere except in the
/// image.
#[test]
fn sources_include_only_files_that_the_image_build_has() {
    let output = Command::new("grep")
        .args(["-rnE", r"include_(str|bytes)!\(.*\.\./\.\."])
        .arg(format!("{ROOT}/src"))
        .output()
        .unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    assert!(found.is_empty(), "{found}");
}
