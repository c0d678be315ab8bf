//! The command line as a user meets it: messages about unusable input, output to a closed pipe, and
//! output on a terminal.

// clippy.toml allows these in tests, but counts only code inside test functions.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rstest::rstest;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lagrange");

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn lagrange(arguments: &[&str]) -> Output {
    let ended = Command::new(PROGRAM)
        .args(arguments)
        .current_dir(here(""))
        .stdin(Stdio::null())
        .output();
    ended.unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Both outputs as shown on a terminal of this many columns.
fn on_a_terminal(columns: u32, arguments: &str) -> String {
    let command = format!("stty cols {columns} rows 50; exec {PROGRAM} {arguments}");
    let ended = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(here(""))
        .stdin(Stdio::null())
        .output()
        .expect("script, of the package bsdutils");
    let shown = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{shown}");
    shown
}

/// Regression: `lagrange crd | head -1` reported a broken pipe and failed.
#[rstest]
#[case::definitions(&["crd"])]
#[case::decisions(&["decide", "tests/recordings/morning.jsonl"])]
#[case::simulation(&["simulate", "--manifest", "examples/max-delay.yaml", "--trace", "step", "--output", "csv"])]
#[case::help(&["--help"])]
fn a_closed_pipe_is_not_an_error(#[case] arguments: &[&str]) {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .current_dir(here(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(complaint(&ended), "");
    assert!(ended.status.success());
}

/// Regression: `maxReplica: 12` ran without a maximum.
#[rstest]
#[case::simulate(&["simulate", "--trace", "day", "--manifest"])]
#[case::decide(&["decide", "tests/recordings/morning.jsonl", "--manifest"])]
fn a_manifest_with_an_unknown_field_is_refused(#[case] arguments: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("group.yaml");
    let example = fs::read_to_string(here("examples/max-delay.yaml")).unwrap();
    fs::write(&path, example.replace("maxReplicas: 20", "maxReplica: 12")).unwrap();
    let path = path.to_str().unwrap();
    let ended = lagrange(&[arguments, &[path]].concat());
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        complaint(&ended),
        format!(
            "lagrange: {path}: not a ConsumerGroup: unknown field spec.maxReplica; did you mean \
             maxReplicas?\n"
        )
    );
}

/// The recorded morning, with the decision beside each observation.
fn recording_with_decisions() -> Vec<String> {
    let morning = here("tests/recordings/morning.jsonl");
    let answers = lagrange(&["decide", morning.to_str().unwrap()]);
    let answers = String::from_utf8(answers.stdout).unwrap();
    let mut answers = answers.lines();
    let mut lines = Vec::new();
    for line in fs::read_to_string(morning).unwrap().lines() {
        lines.push(line.to_owned());
        if line.contains(r#""type":"observe""#) || line.contains(r#""type": "observe""#) {
            let answer = answers.next().unwrap();
            lines.push(answer.replacen('{', r#"{"type":"decided","#, 1));
        }
    }
    lines
}

fn checked(lines: &[String]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recording.jsonl");
    fs::write(&path, lines.join("\n")).unwrap();
    lagrange(&["decide", "--check", path.to_str().unwrap()])
}

#[test]
fn a_check_ends_with_the_number_of_decisions() {
    let mut lines = recording_with_decisions();
    let decisions = lines.iter().filter(|line| line.contains("\"decided\""));
    let decisions = decisions.count();
    assert!(decisions > 10);
    let ended = checked(&lines);
    assert_eq!(
        (ended.status.code(), complaint(&ended)),
        (
            Some(0),
            format!("lagrange: {decisions} decisions checked, none differs\n")
        )
    );
    let second = lines
        .iter()
        .position(|line| line.contains("\"decided\""))
        .unwrap();
    lines.truncate(second + 1);
    let ended = checked(&lines);
    assert_eq!(
        complaint(&ended),
        "lagrange: 1 decision checked, none differs\n"
    );
}

/// Regression: a file with observations only passed the check.
#[test]
fn a_check_of_a_file_without_decisions_fails() {
    let mut lines = recording_with_decisions();
    lines.retain(|line| !line.contains("\"decided\""));
    for lines in [lines.as_slice(), &[]] {
        let ended = checked(lines);
        assert_eq!(ended.status.code(), Some(1));
        assert_eq!(
            complaint(&ended),
            "lagrange: nothing to check: no line of the type decided after an observation; \
             lagrange run --record writes one for each decision\n"
        );
    }
}

#[test]
fn a_simulation_fits_the_terminal() {
    let arguments = "simulate --manifest examples/max-delay.yaml --trace step \
                     --compare keda=lagThreshold:2000,hpa-cpu=70,static=12,static=24";
    for columns in [50, 80, 120] {
        let shown = on_a_terminal(columns, arguments);
        let widest = shown.lines().map(|line| {
            // What is overwritten later does not stay.
            let line = line.trim_end_matches('\r');
            let stays = line.rsplit("\u{1b}[2K").next().unwrap_or_default();
            stays.chars().count()
        });
        let widest = widest.max().unwrap();
        let most = usize::try_from(columns).unwrap();
        assert!(
            (most / 2..=most).contains(&widest),
            "{widest} of {columns}:\n{shown}"
        );
    }
}

#[test]
fn a_long_run_shows_its_progress_on_a_terminal_only() {
    // One autoscaler and one seed: more cores do not make it faster.
    let arguments = "simulate --manifest examples/max-delay.yaml --trace taxi";
    let shown = on_a_terminal(80, arguments);
    assert!(
        shown.contains("simulating: ") && shown.contains(" left"),
        "{shown}"
    );
    let (progress, report) = shown.rsplit_once("simulating: ").unwrap();
    assert!(!progress.contains("fulfillment: "), "{shown}");
    assert!(report.contains("fulfillment: 7.0 days of load"), "{shown}");
    // There is no progress in a pipe.
    let piped = lagrange(&arguments.split_whitespace().collect::<Vec<_>>());
    assert_eq!(complaint(&piped), "");

    let directory = tempfile::tempdir().unwrap();
    let load = directory.path().join("load.csv");
    fs::write(&load, "0,100\n300,100\n").unwrap();
    let short = format!(
        "simulate --manifest examples/max-delay.yaml --partitions 6 --consumer-rate 200 --load {}",
        load.display()
    );
    let shown = on_a_terminal(80, &short);
    assert!(!shown.contains("simulating"), "{shown}");
}
