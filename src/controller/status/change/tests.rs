//! What is written, and how soon.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn status() -> Value {
    json!({
        "observedGeneration": 1,
        "group": { "id": "g", "state": "Stable", "members": 2 },
        "partitions": 6,
        "lag": { "total": 1200, "max": 300, "maxPartition": "t-1", "delay": "42s", "unknownPartitions": 0, "stuckPartitions": ["t-5"] },
        "rate": { "produced": "1200", "consumed": "1200" },
        "replicas": { "current": 2, "ready": 2, "desired": 2, "limit": 6, "limitedBy": "Partitions" },
        "decision": { "action": "Hold", "reason": "CoolingDown", "message": "lag 1200; wants 3", "notBefore": "2026-11-24T12:00:30Z" },
        "memory": { "version": 2, "expected": 2,
                    "capacityModel": { "capacity": { "milli": 200_000, "measured": true, "time": "2026-11-24T12:00:00Z" },
                                "lowerBound": { "milli": 150_000, "time": "2026-11-24T12:00:00Z" },
                                "saturated": { "consumers": 2, "milli": 400_000, "time": "2026-11-24T12:00:00Z" } } },
        "conditions": [{ "type": "Ready", "status": "True", "reason": "Managed", "message": "until 12:00:30Z",
                         "lastTransitionTime": "2026-11-24T11:00:00Z" },
                       { "type": "ScalingLimited", "status": "False", "reason": "DesiredWithinRange", "message": "",
                         "lastTransitionTime": "2026-11-24T11:00:00Z" }],
    })
}

fn tolerance(lag: i64) -> Tolerance {
    Tolerance {
        lag,
        delay: 6,
        is_by_delay: true,
    }
}

fn numbers() -> Numbers {
    Numbers {
        delay: Some(42),
        produced: Some(1_200_000),
        consumed: Some(1_200_000),
        per_replica: None,
    }
}

fn resting_on(numbers: Numbers) -> Reported {
    Reported {
        numbers,
        ..Reported::default()
    }
}

/// The difference of two statuses that are made from the same values.
fn compared(
    stored: &ConsumerGroupStatus,
    next: &ConsumerGroupStatus,
    tolerance: Tolerance,
) -> StatusChange {
    let same = resting_on(numbers());
    let report = |status| Report {
        status,
        rests_on: Some(&same),
    };
    of(report(stored), report(next), tolerance)
}

fn with(pointer: &str, value: Value) -> StatusChange {
    let mut next = status();
    *next.pointer_mut(pointer).unwrap() = value;
    compared(&read(status()), &read(next), tolerance(50))
}

/// The difference of two reports, of which the second has other numbers and another text.
fn with_numbers(change: fn(&mut Numbers)) -> StatusChange {
    let mut next = status();
    next["decision"]["message"] = json!("of now");
    let mut changed = numbers();
    change(&mut changed);
    let (stored, next) = (read(status()), read(next));
    let before = Report {
        status: &stored,
        rests_on: Some(&resting_on(numbers())),
    };
    let now = Report {
        status: &next,
        rests_on: Some(&resting_on(changed)),
    };
    of(before, now, tolerance(50))
}

fn read(status: Value) -> ConsumerGroupStatus {
    serde_json::from_value(status).unwrap()
}

#[test]
fn nothing_new_is_nothing() {
    let same = compared(&read(status()), &read(status()), tolerance(0));
    assert_eq!(same, StatusChange::None);
    assert_eq!(StatusChange::None.due_after(), None);
}

#[rstest]
#[case("/group/state", json!("Empty"))]
#[case("/group/members", json!(3))]
#[case("/partitions", json!(12))]
#[case("/lag/unknownPartitions", json!(1))]
#[case("/lag/total", json!(null))]
#[case("/replicas/current", json!(3))]
#[case("/replicas/ready", json!(1))]
#[case("/decision/reason", json!("AsDesired"))]
#[case("/decision/action", json!("ScaleUp"))]
#[case("/conditions/0/status", json!("False"))]
#[case("/conditions/0/reason", json!("Other"))]
#[case("/observedGeneration", json!(2))]
#[case::memory_of_an_action("/memory/expected", json!(3))]
#[case::memory_that_moved("/memory/capacityModel/lowerBound/milli", json!(159_000))]
#[case::capacity_that_moved("/memory/capacityModel/capacity/milli", json!(189_000))]
#[case::capacity_that_was_measured("/memory/capacityModel/capacity/measured", json!(false))]
#[case::capacity_that_is_old("/memory/capacityModel/capacity/time", json!("2026-11-24T12:31:00Z"))]
#[case::a_saturated_group_that_grew("/memory/capacityModel/saturated/consumers", json!(3))]
#[case::memory_that_is_old("/memory/capacityModel/lowerBound/time", json!("2026-11-24T12:31:00Z"))]
fn what_a_reader_waits_for_is_written_at_once(#[case] pointer: &str, #[case] value: Value) {
    assert_eq!(with(pointer, value), StatusChange::Words);
}

#[rstest]
#[case("/lag/total", json!(1300))]
#[case("/lag/max", json!(360))]
#[case("/lag/stuckPartitions", json!(["t-6"]))]
#[case::of_a_hold("/replicas/desired", json!(3))]
#[case::of_a_hold("/decision/notBefore", json!("2026-11-24T12:00:50Z"))]
// A lag that swings around a bound flips this with every poll.
#[case("/conditions/1/reason", json!("MinReplicas"))]
fn numbers_that_moved_are_written_once_a_minute(#[case] pointer: &str, #[case] value: Value) {
    assert_eq!(with(pointer, value), StatusChange::Numbers);
}

#[rstest]
#[case(|numbers: &mut Numbers| numbers.delay = Some(49))]
#[case(|numbers: &mut Numbers| numbers.produced = Some(1_300_000))]
#[case(|numbers: &mut Numbers| numbers.consumed = None)]
#[case(|numbers: &mut Numbers| numbers.per_replica = Some(600_000))]
fn numbers_in_texts_that_moved_are_written_once_a_minute(#[case] change: fn(&mut Numbers)) {
    assert_eq!(with_numbers(change), StatusChange::Numbers);
}

#[rstest]
#[case::within_tolerance(|numbers: &mut Numbers| numbers.delay = Some(48))]
#[case::within_a_twentieth(|numbers: &mut Numbers| numbers.produced = Some(1_260_000))]
fn numbers_in_texts_that_hardly_moved_can_wait(#[case] change: fn(&mut Numbers)) {
    assert_eq!(with_numbers(change), StatusChange::Drift);
}

/// The text is not parsed.
#[test]
fn a_text_that_another_process_has_written_is_replaced_within_a_minute() {
    let mut next = status();
    next["decision"]["message"] = json!("of now");
    let (stored, next) = (read(status()), read(next));
    let before = Report {
        status: &stored,
        rests_on: None,
    };
    let now = Report {
        status: &next,
        rests_on: Some(&resting_on(numbers())),
    };
    assert_eq!(of(before, now, tolerance(50)), StatusChange::Numbers);
}

#[test]
fn a_size_that_the_arrivals_alone_forbid_now_and_then_is_a_number() {
    let hold = |reason: &str, time: &str| {
        let mut status = status();
        status["decision"] =
            json!({ "action": "Hold", "reason": reason, "message": "", "time": time });
        read(status)
    };
    let (one, other) = (
        hold("AsDesired", "2026-11-24T12:00:00Z"),
        hold("ArrivalsTooHigh", "2026-11-24T12:00:15Z"),
    );
    assert_eq!(compared(&one, &other, tolerance(0)), StatusChange::Numbers);
    assert_eq!(compared(&other, &one, tolerance(0)), StatusChange::Numbers);
}

/// A group under `lagPerReplica` that shows a delay was taken for one under `maxDelay`.
#[test]
fn a_filling_window_is_a_change_of_numbers_under_max_delay_only() {
    let hold = |reason: &str| {
        let mut status = status();
        status["decision"] = json!({ "action": "Hold", "reason": reason, "message": "" });
        read(status)
    };
    let (one, other) = (hold("AsDesired"), hold("GatheringEvidence"));
    assert_eq!(compared(&one, &other, tolerance(0)), StatusChange::Numbers);
    let by_lag = Tolerance {
        is_by_delay: false,
        ..tolerance(0)
    };
    assert_eq!(compared(&one, &other, by_lag), StatusChange::Words);
}

#[rstest]
#[case::within_tolerance("/lag/total", json!(1250))]
#[case("/lag/maxPartition", json!("t-2"))]
#[case("/decision/message", json!("lag 1250; wants 3"))]
#[case("/conditions/0/message", json!("until 12:00:31Z"))]
fn numbers_that_hardly_moved_can_wait(#[case] pointer: &str, #[case] value: Value) {
    assert_eq!(with(pointer, value), StatusChange::Drift);
}

#[rstest]
#[case("/memory/capacityModel/capacity/milli", json!(191_000))]
#[case("/memory/capacityModel/lowerBound/milli", json!(149_000))]
#[case("/memory/capacityModel/capacity/time", json!("2026-11-24T12:20:00Z"))]
#[case("/memory/capacityModel/saturated/time", json!("2026-11-24T12:20:00Z"))]
#[case("/memory/capacityModel/lowerBound/time", json!("2026-11-24T12:20:00Z"))]
fn memory_that_hardly_moved_is_no_news(#[case] pointer: &str, #[case] value: Value) {
    assert_eq!(with(pointer, value), StatusChange::None);
}

#[test]
fn the_first_status_is_news() {
    let empty = ConsumerGroupStatus::default();
    assert_eq!(
        compared(&empty, &read(status()), tolerance(50)),
        StatusChange::Words
    );
}
