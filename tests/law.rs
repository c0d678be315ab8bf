//! The law, judged from outside: the plant of `tests/law` (Python, without dependencies) drives the
//! very program over a few of its scenarios and holds each decision against the promises. `make
//! bench-law` runs all of them.

// clippy.toml allows these in tests, and takes only what is in a test function for one.
#![allow(clippy::expect_used)]

use std::{path::Path, process::Command};

fn judge(arguments: &[&str]) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/law");
    let program = format!("{} decide --stream", env!("CARGO_BIN_EXE_lagrange"));
    let output = Command::new("python3")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(here.join("judge.py"))
        .args(["--command", &program])
        .args(arguments)
        .output()
        .expect("python3 is needed: install the package python3");
    let told = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{complaints}");
    assert!(told.contains("replica-h"), "{told}");
}

#[test]
fn bounds_sizes_and_spacing_are_kept_while_the_load_is_met() {
    judge(&["--scenarios", "step,multitopic,prime17,expansion,azurellm"]);
}

#[test]
fn what_replicas_cannot_help_buys_none() {
    judge(&["--scenarios", "downstream,flat,hot"]);
}

#[test]
fn looks_that_fail_or_lack_partitions_bring_nobody_down() {
    judge(&["--scenarios", "obsfault"]);
}

#[test]
fn a_process_that_is_started_anew_every_half_hour_keeps_every_promise() {
    judge(&["--scenarios", "step,tight848", "--restart-every", "1800"]);
}

#[test]
fn killed_every_five_minutes_of_a_day_it_costs_hardly_more() {
    judge(&[
        "--scenarios",
        "diurnal",
        "--restart-every",
        "300",
        "--cost-at-most",
        "1.05",
    ]);
}

#[test]
fn lag_per_replica_keeps_the_same_promises() {
    judge(&["--scenarios", "step,obsfault,kill", "--objective", "lag"]);
}
