//! Lines in, decisions out.

mod foreign;
mod round_trip;

use lagrange_fuzz::lines::behind;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::scaling::memory::LastAction;

fn init(spec: impl Into<Value>) -> Value {
    let spec = spec.into();
    json!({ "type": "init", "protocol": 1, "spec": spec, "status": null })
}

fn line(value: Value) -> Line {
    serde_json::from_value(value).unwrap()
}

fn begun(spec: Value) -> Session {
    let mut session = Session::default();
    session.take(line(init(spec))).unwrap();
    session
}

#[test]
fn an_observation_gives_a_decision_its_steps_and_the_memory() {
    let mut session = begun(json!({ "min_replicas": 1, "lag_per_replica": 1000 }));
    let first = session.take(line(behind(61.0))).unwrap().unwrap();
    assert_eq!((first.replicas, first.lag), (None, 11_829));
    let second = session.take(line(behind(76.0))).unwrap().unwrap();
    assert_eq!(second.replicas, Some(4));
    assert_eq!(second.reason, "LagAboveTarget");
    assert!(second.trail[0].contains("lag 11829"), "{:?}", second.trail);
    assert_eq!(second.status.last.unwrap().to, 4);
}

/// Recordings of earlier versions call the number of the poll `look`.
#[test]
fn the_number_of_a_poll_has_an_older_name() {
    let named = |name: &str| {
        let mut shown = behind(61.0);
        shown[name] = json!(7);
        match line(shown) {
            Line::Observe(observed) => observed.poll,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((named("poll"), named("look")), (Some(7), Some(7)));
}

#[test]
fn memory_passes_from_one_session_to_the_next() {
    let mut session = begun(json!({ "lag_per_replica": 1000 }));
    session.take(line(behind(61.0))).unwrap();
    let acted = session.take(line(behind(76.0))).unwrap().unwrap();
    let mut next = Session::default();
    let mut first = init(json!({ "lag_per_replica": 1000 }));
    first["status"] = serde_json::to_value(&acted.status).unwrap();
    next.take(line(first)).unwrap();
    // It is still as far behind, but the action that the other session reported is too recent.
    let mut shown = behind(100.0);
    shown["workload"]["spec_replicas"] = json!(4);
    let answer = next.take(line(shown)).unwrap().unwrap();
    assert_eq!(answer.replicas, None, "{answer:?}");
    let landed = acted.status.last.map(|last| LastAction {
        landed: true,
        ..last
    });
    assert_eq!(answer.status.last, landed);
}

#[test]
fn a_manifest_replaces_the_numbers() {
    let manifest = json!({
        "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
        "metadata": { "name": "orders", "namespace": "shop" },
        "spec": { "scaleTargetRef": { "name": "orders" }, "kafka": { "clusterRef": { "name": "main" } },
                  "maxReplicas": 3, "objective": { "lagPerReplica": 1000 } },
    });
    let mut session = begun(json!({ "manifest": manifest }));
    session.take(line(behind(61.0))).unwrap();
    let answer = session.take(line(behind(76.0))).unwrap().unwrap();
    assert_eq!(answer.limited_by.as_deref(), Some("MaxReplicas"));
    assert_eq!(
        answer.replicas, None,
        "3 of 4 partitions are not worth a rebalance: 2, 1, 1"
    );
}

#[test]
fn a_partition_that_is_missing_or_has_no_end_is_unknown_and_not_gone() {
    let mut session = begun(json!({ "max_delay_s": 60 }));
    session.take(line(behind(61.0))).unwrap();
    let mut holed = behind(76.0);
    holed["topics"]["orders"]["partitions"]
        .as_array_mut()
        .unwrap()
        .pop();
    let answer = session.take(line(holed)).unwrap().unwrap();
    assert_eq!(answer.limit, Some(4));
    assert!(
        answer.trail[0].contains("1 partition unknown"),
        "{:?}",
        answer.trail
    );
    let mut unread = behind(91.0);
    unread["kafka_ok"] = json!(false);
    let answer = session.take(line(unread)).unwrap().unwrap();
    assert_eq!(
        (answer.replicas, answer.reason.as_str()),
        (None, "LagUnknown")
    );
}

#[test]
fn an_end_a_moment_older_than_the_commit_is_raised_to_it() {
    let mut session = begun(json!({ "max_delay_s": 60 }));
    session.take(line(behind(61.0))).unwrap();
    let with = |t: f64, committed: i64| {
        let mut observed = behind(t);
        observed["topics"]["orders"]["partitions"][0]["log_end"] = json!(10_744);
        observed["topics"]["orders"]["partitions"][0]["committed"] = json!(committed);
        line(observed)
    };
    // 100 records a second arrive, and the end may be two seconds old.
    let answer = session.take(with(76.0, 10_900)).unwrap().unwrap();
    assert!(
        !answer
            .trail
            .iter()
            .any(|step| step.contains("past its end"))
    );
    let answer = session.take(with(91.0, 99_000)).unwrap().unwrap();
    assert!(
        answer
            .trail
            .iter()
            .any(|step| step.contains("past its end"))
    );
}

#[rstest]
#[case::no_objective(init(json!({ "min_replicas": 1 })), "spec: give max_delay_s")]
#[case::bounds(init(json!({ "max_delay_s": 60, "min_replicas": 3, "max_replicas": 2 })), "spec: write min_replicas")]
#[case::delay(init(json!({ "max_delay_s": 0.5 })), "spec: give max_delay_s")]
#[case::protocol(json!({ "type": "init", "protocol": 2, "spec": {} }), "protocol 2 is not known")]
#[case::no_init(behind(1.0), "the first line has to be an init line")]
fn an_unusable_line_gets_a_message_that_says_what_to_write(
    #[case] first: Value,
    #[case] says: &str,
) {
    let error = Session::default().take(line(first)).unwrap_err();
    assert!(error.to_string().starts_with(says), "{error}");
}

#[rstest]
#[case::wanted("spec_replicas", -2)]
#[case::ready("ready_replicas", -1)]
fn negative_replicas_are_refused(#[case] field: &str, #[case] replicas: i32) {
    let mut session = begun(json!({ "max_delay_s": 60 }));
    let mut odd = behind(61.0);
    odd["workload"][field] = json!(replicas);
    let error = session.take(line(odd)).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("workload.{field}: {replicas} is not possible; write 0 or more")
    );
}

/// Regression: `invalid type: string "x", expected f64 at line 1 column 28`.
#[rstest]
#[case(r#"{"type":"observe","t":"soon"}"#, "t: write a number, not \"soon\"")]
#[case(
    r#"{"type":"observe","t":1,"workload":{"spec_replicas":1}}"#,
    "workload: ready_replicas is missing"
)]
#[case(r#"{"type":"observe","t":1,"workload":{"spec_replicas":1,"ready_replicas":1},"topics":{"a":{"partitions":[{"p":-1}]}}}"#,
    "topics.a.partitions[0].p: -1 is not possible; write a whole number from 0 to 4294967295")]
#[case(
    r#"{"type":"init","spec":{"min_replicas":1.5}}"#,
    "spec.min_replicas: write a whole number, not 1.5"
)]
#[case(r#"{"type":"init"}"#, "spec is missing")]
#[case(r#"{"type":"look"}"#, "type: look is not known")]
#[case(r#"{"t":1}"#, "type is missing")]
#[case("5", "write an object")]
#[case(
    r#"{"type":"observe","#,
    "not JSON, it ends within a value at column 18"
)]
#[case("time,rate", "not JSON, expected ident at column 2")]
fn an_unreadable_line_gets_a_message_with_the_field_and_what_to_write(
    #[case] text: &str,
    #[case] says: &str,
) {
    let error = Line::read(text).unwrap_err().to_string();
    assert_eq!(error, format!("not a line of this format: {says}"));
}

#[test]
fn time_never_goes_back() {
    let mut session = begun(json!({ "max_delay_s": 60 }));
    session.take(line(behind(61.0))).unwrap();
    let error = session.take(line(behind(60.0))).unwrap_err();
    assert!(
        error.to_string().starts_with("t: 60 is earlier than"),
        "{error}"
    );
    assert!(session.take(line(behind(f64::MAX))).is_err());
}

/// KEEP-27.
#[test]
fn unreadable_memory_is_treated_as_absent() {
    let mut garbled = init(json!({ "max_delay_s": 60 }));
    garbled["status"] = json!({ "version": 1, "last": "yesterday" });
    let mut session = Session::default();
    session.take(line(garbled)).unwrap();
    let answer = session.take(line(behind(61.0))).unwrap().unwrap();
    assert_eq!(answer.status.last, None);
}

#[test]
fn a_topic_that_a_line_lacks_is_unknown_and_not_gone() {
    let mut session = begun(json!({ "max_delay_s": 60 }));
    session.take(line(behind(61.0))).unwrap();
    let mut empty = behind(76.0);
    empty["topics"] = json!({ "other": { "partitions": [
        { "p": 0, "log_start": 0, "log_end": 10, "committed": 10 } ] } });
    for t in [76.0, 91.0, 106.0] {
        empty["t"] = json!(t);
        let answer = session.take(line(empty.clone())).unwrap().unwrap();
        assert_eq!(
            (answer.replicas, answer.reason.as_str()),
            (None, "LagUnknown")
        );
    }
}

#[test]
fn impossible_offsets_are_unknown() {
    let mut session = begun(json!({ "max_delay_s": 60 }));
    let mut odd = behind(61.0);
    odd["topics"]["orders"]["partitions"][0]["log_end"] = json!(-5);
    odd["topics"]["orders"]["partitions"][0]["committed"] = json!(i64::MAX);
    odd["topics"]["orders"]["partitions"][1]["log_start"] = json!(i64::MIN);
    odd["topics"]["orders"]["partitions"][2]["log_end"] = json!(i64::MAX);
    odd["topics"]["orders"]["partitions"][2]["committed"] = json!(i64::MIN);
    for t in [61.0, 76.0, 91.0] {
        odd["t"] = json!(t);
        let answer = session.take(line(odd.clone())).unwrap().unwrap();
        assert_eq!(answer.reason, "LagUnknown");
    }
}
