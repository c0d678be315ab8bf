//! The operator's recording of a group replays offline to the same decisions.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use lagrange_testing::operator::Operator;
use lagrange_testing::until::{secs, until};
use serde_json::{Value, json};

use crate::stage::{APP, Stage};

impl Stage<'_> {
    async fn recorded(&self, file: &Path) -> Operator {
        let flag = format!("--record={}/{APP}={}", self.space.name, file.display());
        Operator::start_with(self.kubernetes, &self.space, &[&flag]).await
    }

    async fn until_size(&self, replicas: i32) {
        self.space.until_replicas(APP, replicas, 90).await;
        self.until_settled(replicas).await;
    }
}

fn replay(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lagrange"))
        .arg("decide")
        .args(arguments)
        .arg(file)
        .output()
        .unwrap()
}

fn lines(text: &str, kind: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &Value| line["type"] == kind).collect()
}

/// KEEP-25.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_with_edits_external_changes_and_kills_replays_to_the_same_decisions() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("app.jsonl");
    let stage = Stage::new("record").await;
    let consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    stage.group(json!({})).await;
    let operator = stage.recorded(&file).await;
    stage.until_size(2).await;
    // A new process, then a new policy, a pause and an external change.
    operator.kill();
    stage.kafka.produce(&stage.topic, 400).await;
    let operator = stage.recorded(&file).await;
    stage.until_size(6).await;
    stage
        .space
        .edit(
            APP,
            json!({ "objective": { "lagPerReplica": 200 }, "maxReplicas": 5 }),
        )
        .await;
    stage
        .space
        .annotate(APP, "lagrange.dev/paused", Some("true"))
        .await;
    stage.until_reason("Paused").await;
    stage.space.annotate(APP, "lagrange.dev/paused", None).await;
    consumers.micros_per_record(0);
    until(secs(120), "the operator has scaled down", || async {
        match stage.sizes()[..] {
            [2, 6, ..] if stage.sizes().len() > 2 => Ok(()),
            ref other => Err(format!("{other:?}")),
        }
    })
    .await;
    stage.space.scale(APP, 4).await;
    stage.space.until_event(APP, "ScaledExternally").await;
    let (ended, _) = operator.terminate();
    assert!(ended.success());

    let text = fs::read_to_string(&file).unwrap();
    let decided = lines(&text, "decided");
    assert_replays_each(&file, decided.len());
    assert_recorded_what_was_done(&stage, &decided).await;
    let inits = lines(&text, "init");
    let anew = inits
        .iter()
        .filter(|line| line["continues"] != true)
        .count();
    assert_eq!(anew, 2, "one for each process: {inits:?}");
    assert!(inits.len() >= 4, "{inits:?}");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );

    assert_another_decision_is_found(&text, &directory.path().join("other.jsonl"));
}

/// Checks that the replay answers each decision, as it was recorded.
fn assert_replays_each(file: &Path, decisions: usize) {
    let replayed = replay(&["--check"], file);
    let said = String::from_utf8_lossy(&replayed.stderr);
    assert!(replayed.status.success(), "{said}");
    let answers = String::from_utf8(replayed.stdout).unwrap();
    assert_eq!(answers.lines().count(), decisions);
}

/// Checks the recording against the actions and the status.
async fn assert_recorded_what_was_done(stage: &Stage<'_>, decided: &[Value]) {
    let scaled: Vec<i64> = decided
        .iter()
        .filter_map(|line| line["replicas"].as_i64())
        .collect();
    let sizes: Vec<i64> = stage.sizes().into_iter().map(i64::from).collect();
    assert_eq!(scaled, sizes);
    let reported = stage.status().await.decision.unwrap();
    let reasons: Vec<&str> = decided
        .iter()
        .filter_map(|line| line["reason"].as_str())
        .collect();
    assert!(
        reasons.contains(&&*reported.reason),
        "{reported:?} {reasons:?}"
    );
}

/// Checks that the replay finds a different decision: `text` with one changed reason, in `other`.
fn assert_another_decision_is_found(text: &str, other: &Path) {
    let recorded = "\"reason\":\"LagAboveTarget\"";
    let changed = text.replacen(recorded, "\"reason\":\"AsDesired\"", 1);
    fs::write(other, changed).unwrap();
    let replayed = replay(&["--check"], other);
    let said = String::from_utf8_lossy(&replayed.stderr);
    assert_eq!(replayed.status.code(), Some(1));
    assert!(
        said.contains("reason was recorded as \"AsDesired\", and is \"LagAboveTarget\" here"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unwritable_recording_is_reported_once_and_does_not_stop_scaling() {
    let stage = Stage::new("norecord").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    stage.group(json!({})).await;
    let operator = stage.recorded(Path::new("/nowhere/app.jsonl")).await;
    stage.until_size(2).await;
    let log = operator.log();
    assert_eq!(log.matches("cannot record: ").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_late_when_the_operator_starts_grows_at_once_and_replays() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("app.jsonl");
    let stage = Stage::new("late").await;
    stage.kafka.create_topic(&stage.topic, 6).await;
    // One record every five seconds for a quarter of an hour. The second half is not committed.
    // Nothing arrives any longer, so without the records' timestamps the delay would count from the
    // first poll.
    let now = jiff::Timestamp::now().as_millisecond();
    let written: Vec<i64> = (0..180).rev().map(|age| now - 5000 * age).collect();
    let mut committed = std::collections::BTreeMap::new();
    for partition in 0..6 {
        stage
            .kafka
            .produce_at(&stage.topic, partition, &written)
            .await;
        committed.insert(partition, 90);
    }
    stage
        .kafka
        .commit(&stage.topic, &stage.topic, &committed)
        .await;
    stage.space.deployment(APP, 1).await;
    // One replica would need a minute and a half.
    let consumers = stage.consumers(&[]);
    consumers.micros_per_record(150_000);
    let objective = json!({ "lagPerReplica": null, "maxDelay": "60s" });
    stage.group(json!({ "objective": objective })).await;
    let operator = stage.recorded(&file).await;
    let began = crate::stage::now();
    until(secs(60), "the operator scales up", || async {
        match stage.sizes().first() {
            Some(2..) => Ok(()),
            other => Err(format!("{other:?} {:?}", stage.status().await)),
        }
    })
    .await;
    // Polls are 5 s apart. By its own polls alone the group would be late after 50 s.
    let waited = stage.actions()[0].at.duration_since(began);
    assert!(waited.as_secs() < 20, "{waited:#}");
    operator.terminate();
    let text = fs::read_to_string(&file).unwrap();
    let decided = lines(&text, "decided");
    let up = decided
        .iter()
        .find(|line| line["replicas"].is_i64())
        .unwrap();
    assert_eq!(up["reason"], "DelayAboveTarget");
    // Record 90 is 445 s old.
    let delay = up["delay_s"].as_f64().unwrap();
    assert!((430.0..490.0).contains(&delay), "{delay}");
    let replayed = replay(&["--check"], &file);
    assert!(
        replayed.status.success(),
        "{}",
        String::from_utf8_lossy(&replayed.stderr)
    );
}
