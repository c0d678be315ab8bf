//! The content of a recording, and the handling of its file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lagrange_core::api::ConsumerGroup;
use lagrange_core::recording::{Answer, Line, Reader, Session, Words, time};
use lagrange_core::scaling::observation::Observation;
use lagrange_core::scaling::{Policy, State, Verdict, decide};
use lagrange_fuzz::lines::behind;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::file::Recording;
use super::recorder::{Entry, Recorder, Turn};

fn line(value: Value) -> Line {
    serde_json::from_value(value).unwrap()
}

/// A small operator: decides on given observations and records.
struct Desk {
    group: ConsumerGroup,
    state: State,
    reader: Reader,
    recorder: Recorder,
    entries: mpsc::Receiver<Entry>,
}

fn group(lag: i64) -> ConsumerGroup {
    let value = json!({
        "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
        "metadata": { "name": "orders", "namespace": "shop", "uid": "1", "managedFields": [],
            "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "SECRET", "lagrange.dev/paused-scale-in": "true" } },
        "spec": { "scaleTargetRef": { "name": "orders" }, "kafka": { "clusterRef": { "name": "main" } },
                  "objective": { "lagPerReplica": lag } },
    });
    serde_json::from_value(value).unwrap()
}

impl Desk {
    fn new() -> Self {
        let (sender, entries) = mpsc::channel(64);
        Self {
            group: group(1000),
            state: State::default(),
            reader: Reader::default(),
            recorder: Recorder::new("shop".to_owned(), "orders".to_owned(), sender),
            entries,
        }
    }

    fn policy(&self) -> Policy {
        lagrange_core::intent::Intent::of(&self.group)
            .unwrap()
            .policy
    }

    /// Decides on one poll, and applies the decision if `acts`.
    fn see(&mut self, t: f64, replicas: i32, acts: bool) -> Verdict {
        let mut value = behind(t);
        value["workload"]["spec_replicas"] = json!(replicas);
        value["workload"]["ready_replicas"] = json!(replicas);
        let Line::Observe(observe) = line(value) else {
            panic!()
        };
        let observation: Observation = self.reader.observation(&observe, time(t).unwrap());
        let (before, is_fresh) = (self.state.memory.clone(), self.state.is_fresh());
        let state = std::mem::take(&mut self.state);
        let (decision, state) = decide(&self.policy(), state, &observation);
        self.state = state;
        self.recorder.record(&Turn {
            group: &self.group,
            before,
            is_fresh,
            observation: &observation,
            words: Words::default(),
            decision: &decision,
            after: &self.state.memory,
        });
        if let (true, Verdict::Scale { from, to, .. }) = (acts, decision.verdict) {
            // A moment later, because a call to the API server takes time.
            let begun = self.state.memory.begin(from, to, time(t + 0.1).unwrap());
            self.state.memory = begun.confirm();
        }
        decision.verdict
    }

    fn entries(&mut self) -> Vec<Entry> {
        std::iter::from_fn(|| self.entries.try_recv().ok()).collect()
    }
}

/// Replays lines. Returns how many decisions equal the recorded ones, and the first difference.
fn replayed(text: &str) -> (usize, Option<String>) {
    let mut session = Session::default();
    let (mut last, mut same) = (None, 0);
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).unwrap();
        if let Line::Decided(recorded) = &line {
            let here: &Answer = last.as_ref().unwrap();
            if let Some(difference) = recorded.difference(here) {
                return (same, Some(format!("{difference:?}")));
            }
            same += 1;
        }
        last = session.take(line).unwrap().or(last);
    }
    (same, None)
}

fn text(entries: &[Entry]) -> String {
    let lines = entries.iter().flat_map(|entry| &entry.lines);
    lines
        .map(|line| serde_json::to_string(line).unwrap() + "\n")
        .collect()
}

#[test]
fn a_recording_replays_to_the_decisions_that_were_made() {
    let mut desk = Desk::new();
    desk.see(61.0, 2, true);
    // Refused: the action was not applied, and the memory shows it.
    assert!(matches!(
        desk.see(76.0, 2, false),
        Verdict::Scale { to: 4, .. }
    ));
    assert!(matches!(
        desk.see(91.0, 2, true),
        Verdict::Scale { to: 4, .. }
    ));
    // The action is confirmed 100 ms after the decision.
    desk.see(106.0, 4, true);
    desk.group = group(500);
    desk.see(121.0, 4, true);
    // A restart.
    desk.state = State::after_restart(desk.state.memory.clone());
    desk.see(136.0, 4, true);
    desk.see(151.0, 4, true);
    let entries = desk.entries();
    let text = text(&entries);
    assert_eq!(replayed(&text), (7, None));
    let init = |entry: &Entry| match entry.lines.first() {
        Some(Line::Init(init)) => Some(init.continues),
        _ => None,
    };
    let begun: Vec<_> = entries.iter().map(init).collect();
    let expected = [Some(false), None, None, None, Some(true), Some(false), None];
    assert_eq!(begun, expected);
}

#[test]
fn a_recording_holds_only_what_affects_decisions() {
    let mut desk = Desk::new();
    desk.see(61.0, 2, true);
    let text = text(&desk.entries());
    assert!(
        !text.contains("SECRET") && !text.contains("managedFields") && !text.contains("uid"),
        "{text}"
    );
    assert!(text.contains("lagrange.dev/paused-scale-in"), "{text}");
}

#[test]
fn a_different_decision_is_reported_with_its_field() {
    let mut desk = Desk::new();
    desk.see(61.0, 2, true);
    desk.see(76.0, 2, true);
    let text = text(&desk.entries()).replace("LagAboveTarget", "LagBelowTarget");
    let (same, difference) = replayed(&text);
    assert_eq!(same, 1);
    assert!(difference.unwrap().contains("LagBelowTarget"));
}

struct Kept {
    directory: tempfile::TempDir,
}

impl Kept {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("orders.jsonl")
    }

    fn before(&self) -> PathBuf {
        self.directory.path().join("orders.jsonl.1")
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_recording_stays_within_its_limit_and_its_two_files_replay_as_one() {
    let kept = Kept::new();
    let mut desk = Desk::new();
    let limit = 64 * 1024;
    let mut recording = Recording::new(kept.path(), limit);
    let mut t = 61.0;
    let mut replicas = 2;
    while !kept.before().exists() {
        if let Verdict::Scale { to, .. } = desk.see(t, replicas, true) {
            replicas = to;
        }
        t += 15.0;
        for entry in desk.entries() {
            recording.write(entry).unwrap();
        }
    }
    for _ in 0..5 {
        desk.see(t, replicas, true);
        t += 15.0;
        for entry in desk.entries() {
            recording.write(entry).unwrap();
        }
    }
    let (older, newer) = (
        fs::read_to_string(kept.before()).unwrap(),
        fs::read_to_string(kept.path()).unwrap(),
    );
    assert!(older.len() as u64 <= limit / 2, "{}", older.len());
    assert!(newer.starts_with(r#"{"type":"init""#), "{newer}");
    let (same, difference) = replayed(&(older.clone() + &newer));
    assert_eq!(difference, None);
    assert_eq!(
        same,
        (older + &newer).matches(r#""type":"decided""#).count()
    );
    // Full once more: the oldest lines are dropped.
    while fs::read_to_string(kept.before())
        .unwrap()
        .contains(r#""t":61.0"#)
    {
        desk.see(t, replicas, true);
        t += 15.0;
        for entry in desk.entries() {
            recording.write(entry).unwrap();
        }
    }
    assert_eq!(fs::read_dir(kept.directory.path()).unwrap().count(), 2);
    assert_eq!((mode(&kept.path()), mode(&kept.before())), (0o600, 0o600));
}

#[test]
fn a_partial_line_is_removed_and_the_file_becomes_owner_only() {
    let kept = Kept::new();
    fs::write(kept.path(), "{\"type\":\"end\"}\n{\"type\":\"obs").unwrap();
    fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let mut desk = Desk::new();
    desk.see(61.0, 2, true);
    let mut recording = Recording::new(kept.path(), 1 << 20);
    for entry in desk.entries() {
        recording.write(entry).unwrap();
    }
    let text = fs::read_to_string(kept.path()).unwrap();
    assert!(
        text.starts_with("{\"type\":\"end\"}\n{\"type\":\"init\""),
        "{text}"
    );
    assert_eq!(mode(&kept.path()), 0o600);
}

#[test]
fn after_lost_lines_a_recording_starts_again() {
    let kept = Kept::new();
    let mut desk = Desk::new();
    let mut recording = Recording::new(kept.path(), 1 << 20);
    for t in [61.0, 76.0, 91.0] {
        desk.see(t, 2, true);
    }
    let mut entries = desk.entries();
    entries.remove(1);
    for entry in entries {
        recording.write(entry).unwrap();
    }
    let text = fs::read_to_string(kept.path()).unwrap();
    let inits: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(r#""type":"init""#))
        .collect();
    assert_eq!(inits.len(), 2);
    assert!(!inits[1].contains("continues"), "{}", inits[1]);
}

#[rstest]
#[case::directory(|path: &Path| fs::create_dir(path).unwrap())]
#[case::link(|path: &Path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap())]
#[case::pipe(|path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success()))]
fn anything_but_a_regular_file_is_refused_without_waiting(#[case] make: fn(&Path)) {
    let kept = Kept::new();
    make(&kept.path());
    let mut desk = Desk::new();
    desk.see(61.0, 2, true);
    let mut recording = Recording::new(kept.path(), 1 << 20);
    for entry in desk.entries() {
        recording.write(entry).unwrap_err();
    }
}

#[test]
fn a_poll_larger_than_half_of_the_limit_is_refused() {
    let kept = Kept::new();
    let mut desk = Desk::new();
    desk.see(61.0, 2, true);
    let mut recording = Recording::new(kept.path(), 512);
    let error = recording.write(desk.entries().remove(0)).unwrap_err();
    assert!(
        error.to_string().contains("raise --record-limit"),
        "{error}"
    );
}
