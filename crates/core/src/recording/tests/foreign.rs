//! Lines and memory that no program of ours wrote.

use lagrange_fuzz::{file, fuzz};
use rstest::rstest;
use serde_json::{Value, json};

use super::{behind, init, line};
use crate::recording::{Line, Session};
use crate::scaling::Memory;

/// Every field, as a later poll finds it.
fn memory() -> Value {
    let time = "1970-01-01T00:00:30Z";
    json!({
        "version": 2, "measurementKey": 7, "sequence": 3,
        "pending": { "from": 2, "to": 4, "time": time },
        "last": { "time": time, "from": 1, "to": 2, "external": true, "confirmed": true, "landed": true, "settledAfter": 30 },
        "expected": 2, "external": [time, time, time], "contestedUntil": time, "pausedAt": 2,
        "assignor": "Range", "limit": 4, "flapBackoff": { "wait": 300, "time": time }, "endsAtZero": 36000,
    })
}

/// Memory as decisions leave it, with their measurements.
fn model() -> Vec<Value> {
    let recorded = file("tests/recordings/morning.decisions.jsonl");
    let answers = recorded
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let memories = answers.filter_map(|answer: Value| answer.get("status").cloned());
    memories.filter(Value::is_object).step_by(40).collect()
}

#[test]
fn mangled_memory_does_not_fail_a_decision() {
    let mut seeds = model();
    assert!(seeds.len() > 3);
    seeds.push(memory());
    let seeds: Vec<String> = seeds.iter().map(Value::to_string).collect();
    fuzz(&seeds, |bytes| {
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
            return;
        };
        if let Ok(read) = serde_json::from_value::<Memory>(value.clone()) {
            let written = serde_json::to_value(&read).unwrap();
            assert_eq!(serde_json::from_value::<Memory>(written).unwrap(), read);
        }
        for spec in [
            json!({ "lag_per_replica": 1000 }),
            json!({ "max_delay_s": 60, "min_replicas": 0, "max_replicas": 9 }),
        ] {
            let mut begin = init(spec);
            begin["status"] = value.clone();
            let mut session = Session::default();
            session.take(line(begin)).unwrap();
            for t in [61.0, 76.0, 4_000.0] {
                session.take(line(behind(t))).unwrap();
            }
            let mut observe = behind(4_015.0);
            observe["status"] = value.clone();
            session.take(line(observe)).unwrap();
            session.take(line(behind(4_030.0))).unwrap();
        }
    });
}

/// Regression: a number of seconds far below 0 overflowed in the decision, and one far above held
/// the group without end.
#[rstest]
#[case(i64::MIN, 0)]
#[case(i64::MAX, 30)]
fn an_impossible_settling_time_is_corrected(#[case] written: i64, #[case] taken: i64) {
    let mut observe = behind(61.0);
    observe["status"] = memory();
    observe["status"]["pending"] = Value::Null;
    observe["status"]["pausedAt"] = Value::Null;
    observe["status"]["last"] = json!({ "time": "1970-01-01T00:00:31Z", "from": 6, "to": 2, "landed": true, "settledAfter": written });
    observe["status"]["capacityModel"] =
        json!({ "lowerBound": { "milli": 175_083, "time": "1970-01-01T00:00:30Z" } });
    observe["status"]["endsAtZero"] = i64::MIN.into();
    let mut session = Session::default();
    session
        .take(line(init(json!({ "max_delay_s": 60 }))))
        .unwrap();
    session.take(line(behind(46.0))).unwrap();
    let answer = session.take(line(observe)).unwrap().unwrap();
    assert_eq!(answer.status.last.unwrap().settled_after, Some(taken));
}

#[test]
fn impossible_partition_counts_use_no_memory() {
    let mut observe = behind(61.0);
    let topics: serde_json::Map<String, Value> = (0..20_000)
        .map(|topic| {
            (
                topic.to_string(),
                json!({ "partitions": [], "count": u32::MAX }),
            )
        })
        .collect();
    observe["topics"] = topics.into();
    let mut session = Session::default();
    session
        .take(line(init(json!({ "lag_per_replica": 1000 }))))
        .unwrap();
    let error = session.take(line(observe)).unwrap_err();
    assert!(error.to_string().contains("partitions"), "{error}");
}

#[test]
fn every_named_partition_is_accepted() {
    let mut observe = behind(61.0);
    let partitions: Vec<Value> = (0..30_000)
        .map(|p| json!({ "p": p, "log_start": 0, "log_end": 9, "committed": 9 }))
        .collect();
    observe["topics"]["orders"]["partitions"] = partitions.into();
    let mut session = Session::default();
    session
        .take(line(init(json!({ "lag_per_replica": 1000 }))))
        .unwrap();
    let answer = session.take(line(observe)).unwrap().unwrap();
    assert_eq!(answer.limit, Some(30_000));
}

#[test]
fn mangled_lines_do_not_panic() {
    let recorded = file("tests/recordings/morning.jsonl");
    let mut seeds: Vec<String> = recorded.lines().step_by(40).map(str::to_owned).collect();
    seeds.push(
        init(json!({ "lag_per_replica": 1000, "pacing": { "minInterval": "5s" } })).to_string(),
    );
    seeds.push(behind(61.0).to_string());
    fuzz(&seeds, |bytes| {
        let mut session = Session::default();
        session
            .take(line(init(json!({ "max_delay_s": 60 }))))
            .unwrap();
        let Ok(read) = serde_json::from_slice::<Line>(bytes) else {
            return;
        };
        let _ = session.take(read.clone());
        let _ = session.take(line(behind(61.0)));
        let _ = session.take(read);
        let _ = session.take(line(behind(76.0)));
    });
}
