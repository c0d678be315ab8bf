//! What a status keeps: actions, memory, and the patch that writes them.

use lagrange_core::scaling::CapacityModel;

use super::*;
use crate::controller::status::reported::Reported;

fn decided_to_scale() -> ConsumerGroupStatus {
    ConsumerGroupStatus {
        decision: Some(DecisionStatus {
            action: "ScaleUp".to_owned(),
            from: Some(2),
            to: Some(6),
            reason: "LagAboveTarget".to_owned(),
            ..DecisionStatus::default()
        }),
        ..ConsumerGroupStatus::default()
    }
}

#[rstest]
#[case::confirmed(acted(true, false, 6, None), true)]
#[case::seen_on_the_target(acted(false, true, 6, None), true)]
#[case::unknown(acted(false, false, 6, None), false)]
#[case::given_up(acted(false, true, 2, None), false)]
fn an_action_is_recorded_when_it_is_known_to_have_been_done(
    #[case] memory: Memory,
    #[case] recorded: bool,
) {
    let decision = decision();
    let status = render(found(&decision), &memory, &decided_to_scale(), "12:00:15");
    assert_eq!(status.last_scale.is_some(), recorded);
    assert_eq!(status.history.len(), usize::from(recorded));
    if recorded {
        assert_eq!(status.history[0].reason, "LagAboveTarget");
        let again = render(found(&decision), &memory, &status, "12:00:30");
        assert_eq!(again.history, status.history, "once");
    }
}

#[test]
fn what_was_decided_stays_until_it_is_known_whether_it_was_done() {
    let decision = decision();
    let ahead = decided_to_scale();
    let open = render(
        found(&decision),
        &acted(false, false, 6, None),
        &ahead,
        "12:00:15",
    );
    assert_eq!(open.decision, ahead.decision);
    let done = render(
        found(&decision),
        &acted(false, true, 6, None),
        &open,
        "12:00:20",
    );
    assert_eq!(done.history[0].reason, "LagAboveTarget");
    assert_eq!(done.decision.unwrap().reason, "AsDesired");
    // There was no decision here for an external action.
    let taken_over = ConsumerGroupStatus::default();
    let memory = acted(true, true, 6, None);
    let taken_over = render(found(&decision), &memory, &taken_over, "12:00:25");
    assert_eq!(taken_over.history[0].reason, TAKEN_OVER);
}

#[test]
fn how_long_an_action_took_to_settle_is_entered_where_the_action_stands() {
    let decision = decision();
    let scaled = decided_to_scale();
    let status = render(
        found(&decision),
        &acted(true, false, 6, None),
        &scaled,
        "12:00:15",
    );
    assert_eq!(status.history[0].settled_after, None);
    let settled = acted(true, true, 6, Some(65));
    let status = render(found(&decision), &settled, &status, "12:01:15");
    assert_eq!(status.history[0].settled_after.as_deref(), Some("1m5s"));
    assert_eq!(status.last_scale, status.history.first().cloned());
}

#[test]
fn ten_actions_are_kept_newest_first() {
    let decision = decision();
    let mut status = ConsumerGroupStatus::default();
    for minute in 0..12 {
        let mut memory = acted(true, true, 6, Some(1));
        memory.last.as_mut().unwrap().time = at(&format!("12:{minute:02}:00"));
        status = render(found(&decision), &memory, &status, "13:00:00");
    }
    let times: Vec<_> = status
        .history
        .iter()
        .map(|record| record.time.clone().unwrap().0)
        .collect();
    assert_eq!(
        (times.len(), times[0], times[9]),
        (10, at("12:11:00"), at("12:02:00"))
    );
}

#[test]
fn memory_survives_the_status() {
    let memory = Memory {
        model: CapacityModel {
            lower_bound: Some(Rate {
                milli: 1_250,
                time: at("12:00:00.5"),
            }),
            ..CapacityModel::default()
        },
        ..acted(true, true, 6, Some(3)).begin(6, 3, at("12:05:00.25"))
    };
    let decision = decision();
    let status = render(
        found(&decision),
        &memory,
        &ConsumerGroupStatus::default(),
        "12:05:00",
    );
    let stored: ConsumerGroupStatus = serde_json::from_value(json!(status)).unwrap();
    assert_eq!(memory_of(Some(&stored)), memory);
}

#[rstest]
#[case::nothing(json!(null))]
#[case::a_word(json!("yesterday"))]
#[case::another_layout(json!({ "version": 1, "last": { "when": 3 } }))]
#[case::another_version(json!({ "version": 3, "sequence": 7 }))]
fn memory_that_cannot_be_read_is_absent(#[case] memory: Value) {
    let status = json!({ "memory": memory });
    let status: ConsumerGroupStatus = serde_json::from_value(status).unwrap();
    assert_eq!(memory_of(Some(&status)), Memory::default());
}

/// With a field under its old name next to the new one the memory could not be read.
#[test]
fn memory_of_version_1_is_replaced_whole() {
    let stored =
        json!({ "version": 1, "subject": 7, "sleptAt": 36_000, "learnt": { "regrets": 2 } });
    let status = json!({ "memory": stored });
    let status: ConsumerGroupStatus = serde_json::from_value(status).unwrap();
    let next = json!(memory_of(Some(&status)));
    let mut patched = stored.clone();
    merge(&mut patched, &merge_patch(&stored, &next).unwrap());
    assert_eq!(patched, next);
    assert_eq!(next["version"], 2);
    assert_eq!(next["capacityModel"]["flaps"], 2);
}

/// JSON as in a status: objects, texts and numbers, never null.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0..5_i64).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

proptest! {
    #[test]
    fn a_patch_makes_of_what_is_stored_what_it_should_be(
        stored in proptest::collection::btree_map("[a-d]", value(), 0..4),
        next in proptest::collection::btree_map("[a-d]", value(), 0..4),
    ) {
        let (mut stored, next) = (json!(stored), json!(next));
        match merge_patch(&stored, &next) {
            None => prop_assert_eq!(&stored, &next),
            Some(patch) => merge(&mut stored, &patch),
        }
        prop_assert_eq!(stored, next);
    }
}

#[test]
fn a_gap_that_does_not_last_leaves_the_numbers_of_the_report() {
    let known = decision();
    let before = Reported::of(&found(&known), 1, None);
    let gap = blind(Knowledge::Missing {
        since: at("12:00:15"),
        lasting: false,
    });
    let after = Reported::of(&found(&gap), 1, Some(&before));
    assert_eq!(after.numbers, before.numbers);
    let lasting = blind(LASTING);
    let after = Reported::of(&found(&lasting), 1, Some(&before));
    assert_eq!(after.numbers, Numbers::default());
}
