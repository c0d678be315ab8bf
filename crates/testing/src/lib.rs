//! Environment of integration tests: real brokers, a real Kubernetes, the operator as a process,
//! and consumers in place of those that fake Pods would run. Everything that is started here ends
//! with the test program, however it ends.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "used by test programs only; a test that cannot go on panics"
)]

pub mod api_proxy;
pub mod audit;
pub mod clock;
pub mod confined;
pub mod consumers;
pub mod control_group;
pub mod evidence;
mod groups;
pub mod kafka;
pub mod kubernetes;
pub mod members;
pub mod operator;
pub mod poll_helper;
pub mod proxy;
pub mod scene;
pub mod secure;
pub mod space;
pub mod until;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// Root of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A name that no other test uses.
pub fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{stem}-{}-{next}", std::process::id())
}

/// Runs a script of `tests/env` and returns its standard output.
fn script(path: &str, arguments: &[&str]) -> String {
    try_script(path, arguments).unwrap_or_else(|said| panic!("{path} {arguments:?}: {said}"))
}

/// The same; the error is the standard error of a failed run. Standard error is also shown at once,
/// because the first build takes minutes.
fn try_script(path: &str, arguments: &[&str]) -> Result<String, String> {
    let script = Path::new(ROOT).join("tests/env").join(path);
    let mut child = Command::new(&script)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    // On another thread: output of the test's own thread is captured until the test fails.
    let show = std::thread::spawn(move || {
        let mut said = String::new();
        for line in stderr.lines().map_while(Result::ok) {
            eprintln!("{line}");
            said.push_str(&line);
            said.push('\n');
        }
        said
    });
    let output = child.wait_with_output().unwrap();
    let said = show.join().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    } else {
        Err(said)
    }
}

/// A directory of this test program. The watchdog of the program ends everything that runs in it.
fn state_directory() -> PathBuf {
    tempfile::Builder::new()
        .prefix("lagrange-test-")
        .tempdir()
        .unwrap()
        .keep()
}

fn me() -> String {
    std::process::id().to_string()
}

/// Applies a JSON merge patch.
pub fn merge(base: &mut Value, change: Value) {
    match (base, change) {
        (Value::Object(base), Value::Object(change)) => {
            for (key, value) in change {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, change) => *base = change,
    }
}
