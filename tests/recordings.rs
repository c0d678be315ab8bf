//! A recording replays to the same decisions, byte for byte, so that a user's recording shows what
//! the operator saw. `UPDATE=1` writes the decisions again when they are meant to change.

// clippy.toml allows these in tests, but counts only code inside test functions.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, process::Command};

/// KEEP-25.
#[test]
fn a_recording_replays_to_the_same_decisions_byte_for_byte() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let replayed = Command::new(env!("CARGO_BIN_EXE_lagrange"))
        .arg("decide")
        .arg(here.join("morning.jsonl"))
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&replayed.stderr);
    assert!(replayed.status.success(), "{complaints}");
    let kept = here.join("morning.decisions.jsonl");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&kept, &replayed.stdout).unwrap();
    }
    let reported = String::from_utf8(replayed.stdout).unwrap();
    let before = fs::read_to_string(&kept).unwrap();
    for (line, (now, then)) in reported.lines().zip(before.lines()).enumerate() {
        assert_eq!(now, then, "answer {}", line + 1);
    }
    assert_eq!(reported, before);
}

#[test]
fn an_unusable_line_ends_the_replay_with_its_number_and_what_to_write() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("odd.jsonl");
    fs::write(&file, "\n{\"type\":\"init\",\"spec\":{}}\n").unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_lagrange"))
        .arg("decide")
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(
        said,
        "lagrange: line 2: spec: give max_delay_s (1 to 86400) or lag_per_replica (1 or more)\n"
    );
}
