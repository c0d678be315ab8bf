//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file and its text.
pub(crate) struct Source {
    /// The path from the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files that git lists and whose names have this ending.
pub(crate) fn files(ending: &str) -> Vec<Source> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        listed.status.success(),
        "git could not list the files of the repository"
    );
    let listed = String::from_utf8(listed.stdout).unwrap();
    let paths = listed.split('\0').filter(|path| path.ends_with(ending));
    // A file that was moved without git is listed but missing.
    let read = |path: &str| {
        let text = fs::read_to_string(root().join(path)).ok()?;
        let path = path.into();
        Some(Source { path, text })
    };
    paths.filter_map(read).collect()
}

/// All Rust sources.
pub(crate) fn sources() -> Vec<Source> {
    files(".rs")
}

impl Source {
    /// Whether the file is compiled only for tests.
    pub(crate) fn is_test(&self) -> bool {
        let path = self.path.to_string_lossy();
        let is_shared = path.starts_with("crates/testing/") || path.starts_with("crates/fuzz/");
        let mut parts = self.path.iter();
        is_shared || parts.any(|part| part == "tests" || part == "tests.rs" || part == "benches")
    }
}

/// The part of a file before its tests.
pub(crate) fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}
