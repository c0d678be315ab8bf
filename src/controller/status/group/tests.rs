//! The status and the text of decisions.

mod conditions;
mod record;

use std::collections::BTreeMap;

use lagrange_core::api::condition::{MAX_MESSAGE, Reason, Type, find};
use lagrange_core::intent::topics::{Isolation, TopicSelection};
use lagrange_core::scaling::decision::{Facts, HoldReason, Lag, LimitedBy, Overdue, ScaleReason};
use lagrange_core::scaling::policy::{Objective, OffsetReset, Pacing, Pauses};
use lagrange_core::scaling::trail::{Step, Trail};
use lagrange_core::scaling::{Backlogged, Rate, SharedTuning};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::controller::status::conditions::PollHealth;
use crate::kafka::model::snapshot::{GroupState, NodeId};

fn at(text: &str) -> Timestamp {
    format!("2026-11-24T{text}Z").parse().unwrap()
}

fn policy() -> Policy {
    let span = SignedDuration::from_secs;
    Policy {
        measurement_key: 1,
        min: 1,
        max: None,
        objective: Objective::LagPerReplica(100),
        pacing: Pacing {
            min_interval: span(30),
            min_scale_down_interval: span(120),
            settle_timeout: span(300),
            scale_to_zero_delay: span(300),
        },
        threads: 1,
        offset_reset: OffsetReset::Latest,
        may_hold_markers: false,
        dry_run: false,
        fallback: None,
        pauses: Pauses::default(),
        tuning: SharedTuning::default(),
    }
}

fn reading() -> GroupInterest {
    GroupInterest {
        id: "fulfillment".into(),
        topics: TopicSelection::Named(vec!["order-events".into()]),
        isolation: Isolation::ReadUncommitted,
        max_delay: None,
    }
}

fn seen() -> snapshot::Group {
    snapshot::Group {
        state: Ok(GroupState::Stable),
        protocol: Protocol::Consumer,
        coordinator: Some(NodeId(2)),
        committed: BTreeMap::new(),
        committed_at: at("12:00:00"),
        earlier: BTreeMap::new(),
        description: Some(Ok(snapshot::Description {
            at: at("12:00:00"),
            poll: 1,
            state: Ok(GroupState::Stable),
            assignor: Some("uniform".into()),
            members: Vec::new(),
        })),
        topics: BTreeMap::new(),
    }
}

fn hold(why: HoldReason, until: Option<&str>) -> Wait {
    Wait {
        why,
        until: until.map(at),
    }
}

/// Two replicas of a group of six partitions that have the desired size.
fn decision() -> Decision {
    Decision {
        verdict: Verdict::Hold(hold(HoldReason::AsDesired, None)),
        up_blocked: None,
        limited_by: None,
        facts: Facts {
            current: 2,
            ready: 2,
            desired: Some(2),
            limit: Some(6),
            partitions: Some(6),
            lag: Lag {
                total: 12_437,
                max: 9_876,
                max_partition: Some(("order-events".into(), 3)),
                unknown: 0,
                unknown_partitions: Vec::new(),
            },
            knowledge: Knowledge::Complete,
            members: Some(2),
            idle_members: Some(0),
            produced: Some(1_234_567),
            consumed: Some(1_250),
            capacity: None,
            delay: None,
            delay_partition: None,
            stuck_partitions: Vec::new(),
            hot_partitions: Vec::new(),
            backlogged: Backlogged::default(),
            bottleneck: None,
            overdue: None,
            group_missing: false,
            members_missing: false,
            foreign_members: 0,
            rebalances: None,
            uncommitted: 0,
            nothing_committed: None,
            wants_members: false,
            asked: Some(2),
            past_end: None,
            not_understood: None,
        },
        notices: Vec::new(),
        trail: Trail(vec![
            Step::Lag {
                total: 12_437,
                unknown: 0,
            },
            Step::Demand {
                replicas: 2,
                lag_per_replica: 10_000,
            },
        ]),
    }
}

fn found(decision: &Decision) -> ConditionInput<'_> {
    ConditionInput {
        decision,
        trouble: None,
        stale: None,
        refusal: None,
        polls: PollHealth::Answered,
        beside: None,
        idle_lasts: false,
        fleeting_instances: false,
        dry_run: false,
        unmatched: None,
    }
}

fn render(
    found: ConditionInput<'_>,
    memory: &Memory,
    stored: &ConsumerGroupStatus,
    now: &str,
) -> ConsumerGroupStatus {
    let (policy, reading, group) = (policy(), reading(), seen());
    let is_seen = found.polls == PollHealth::Answered
        && !matches!(found.decision.facts.knowledge, Knowledge::NotYet);
    let input = StatusInput {
        now: at(now),
        generation: Some(4),
        policy: &policy,
        reading: &reading,
        group: is_seen.then_some(&group),
        found,
        memory,
    };
    status(input, stored)
}

fn first(found: ConditionInput<'_>) -> ConsumerGroupStatus {
    render(
        found,
        &Memory::default(),
        &ConsumerGroupStatus::default(),
        "12:00:10",
    )
}

fn yaml(status: &ConsumerGroupStatus) -> String {
    serde_saphyr::to_string(status).unwrap()
}

fn blind(knowledge: Knowledge) -> Decision {
    let decision = decision();
    Decision {
        verdict: Verdict::Hold(hold(HoldReason::LagUnknown, None)),
        up_blocked: Some(hold(HoldReason::LagUnknown, None)),
        facts: Facts {
            desired: None,
            partitions: None,
            lag: Lag::default(),
            knowledge,
            members: None,
            idle_members: None,
            produced: None,
            consumed: None,
            asked: None,
            ..decision.facts
        },
        trail: Trail(vec![Step::Unreadable(at("11:59:00"))]),
        ..decision
    }
}

fn scaled_to_the_limit() -> Decision {
    Decision {
        verdict: Verdict::Scale {
            from: 2,
            to: 6,
            why: ScaleReason::LagAboveTarget,
        },
        limited_by: Some(LimitedBy::PartitionLimit),
        facts: Facts {
            desired: Some(6),
            asked: Some(13),
            ..decision().facts
        },
        trail: Trail(vec![
            Step::Lag {
                total: 12_437,
                unknown: 0,
            },
            Step::Demand {
                replicas: 13,
                lag_per_replica: 1_000,
            },
            Step::Limited {
                by: LimitedBy::PartitionLimit,
                at: 6,
            },
        ]),
        ..decision()
    }
}

fn before_the_first_poll() -> Decision {
    Decision {
        verdict: Verdict::Hold(hold(HoldReason::NotYetObserved, None)),
        up_blocked: Some(hold(HoldReason::NotYetObserved, None)),
        trail: Trail::default(),
        ..blind(Knowledge::NotYet)
    }
}

fn waiting() -> Decision {
    Decision {
        verdict: Verdict::Hold(hold(HoldReason::CoolingDown, Some("12:00:30.7"))),
        up_blocked: Some(hold(HoldReason::RolloutInProgress, Some("12:04:00"))),
        facts: Facts {
            ready: 1,
            desired: Some(3),
            overdue: Some(Overdue {
                what: HoldReason::Settling,
                since: at("11:50:00"),
            }),
            asked: None,
            ..decision().facts
        },
        trail: Trail(vec![
            Step::NotBefore(at("12:00:30.7")),
            Step::Overdue {
                what: "Settling",
                waited: SignedDuration::from_secs(610),
            },
        ]),
        ..decision()
    }
}

fn partitions_unreadable() -> Decision {
    let lag = Lag {
        unknown: 2,
        unknown_partitions: vec![("order-events".into(), 1), ("order-events".into(), 4)],
        ..decision().facts.lag
    };
    Decision {
        verdict: Verdict::Hold(hold(HoldReason::LagUnknown, None)),
        up_blocked: Some(hold(HoldReason::LagUnknown, None)),
        facts: Facts {
            desired: None,
            lag,
            knowledge: LASTING,
            ..decision().facts
        },
        ..decision()
    }
}

fn idle_consumers() -> Decision {
    Decision {
        facts: Facts {
            members: Some(20),
            idle_members: Some(16),
            ..decision().facts
        },
        ..decision()
    }
}

const LASTING: Knowledge = Knowledge::Missing {
    since: Timestamp::constant(1_795_521_540, 0),
    lasting: true,
};

#[rstest]
#[case("as_desired", decision(), PollHealth::Answered)]
#[case("before_the_first_look", before_the_first_poll(), PollHealth::Answered)]
#[case("scaled_to_the_limit", scaled_to_the_limit(), PollHealth::Answered)]
#[case("waiting", waiting(), PollHealth::Answered)]
#[case("partitions_unreadable", partitions_unreadable(), PollHealth::Answered)]
#[case("silent", blind(LASTING), PollHealth::Silent)]
#[case("idle_consumers", idle_consumers(), PollHealth::Answered)]
fn a_status_reads_as_its_decision(
    #[case] name: &str,
    #[case] decision: Decision,
    #[case] polls: PollHealth,
) {
    let found = ConditionInput {
        polls,
        idle_lasts: true,
        ..found(&decision)
    };
    insta::assert_snapshot!(name, yaml(&first(found)));
}

#[test]
fn dry_run_reads_as_what_would_be_done() {
    let decision = scaled_to_the_limit();
    let dry = ConditionInput {
        dry_run: true,
        ..found(&decision)
    };
    insta::assert_snapshot!("dry_run", yaml(&first(dry)));
}

#[test]
fn unreachable_kafka_reads_as_what_to_check() {
    let decision = blind(LASTING);
    let trouble = Problem::new(Reason::KafkaUnreachable, "no broker answered: wrong port?");
    let failing = ConditionInput {
        trouble: Some(&trouble),
        polls: PollHealth::Failing,
        ..found(&decision)
    };
    insta::assert_snapshot!("unreachable", yaml(&first(failing)));
}

#[test]
fn a_group_that_is_not_managed_says_why_and_keeps_its_memory() {
    let decision = decision();
    let stored = first(found(&decision));
    let problem = Problem::new(Reason::TargetNotFound, "Deployment/app does not exist");
    let memory = acted(true, true, 6, Some(9));
    let status = of_problem(&problem, Some(5), at("12:01:00"), &memory, &stored);
    insta::assert_snapshot!("not_managed", yaml(&status));
}

#[test]
fn a_gap_that_does_not_last_changes_no_condition_and_no_number() {
    let known = decision();
    let before = first(found(&known));
    let gap = blind(Knowledge::Missing {
        since: at("12:00:15"),
        lasting: false,
    });
    let failing = ConditionInput {
        polls: PollHealth::Failing,
        ..found(&gap)
    };
    let after = render(failing, &Memory::default(), &before, "12:00:15");
    let of = |status: &ConsumerGroupStatus, condition: &str| {
        let conditions = status.conditions.iter();
        conditions
            .clone()
            .find(|one| one.type_ == condition)
            .cloned()
    };
    for condition in ["Ready", "LagKnown", "ScalingLimited", "Healthy"] {
        assert_eq!(of(&after, condition), of(&before, condition));
    }
    assert_eq!(
        (&after.lag, &after.rate, &after.group),
        (&before.lag, &before.rate, &before.group)
    );
    assert_eq!(after.decision.unwrap().reason, "LagUnknown", "held at once");
}

#[test]
fn a_decision_keeps_the_time_at_which_it_began() {
    let wait = |until| Decision {
        verdict: Verdict::Hold(hold(HoldReason::CoolingDown, Some(until))),
        ..decision()
    };
    let (one, same, later) = (wait("12:00:30"), wait("12:00:34"), wait("12:00:50"));
    let begun = first(found(&one));
    let next = render(found(&same), &Memory::default(), &begun, "12:00:15");
    assert_eq!(
        next.decision, begun.decision,
        "an end that hardly moves stands still"
    );
    let moved = render(found(&later), &Memory::default(), &next, "12:00:20");
    let (moved, begun) = (moved.decision.unwrap(), begun.decision.unwrap());
    assert_eq!(moved.time, begun.time);
    assert_eq!(moved.not_before.as_deref(), Some("2026-11-24T12:00:50Z"));
    let other = decision();
    let other = render(found(&other), &Memory::default(), &next, "12:00:40");
    assert_eq!(other.decision.unwrap().time, Some(Time(at("12:00:40"))));
}

fn acted(confirmed: bool, landed: bool, expected: i32, settled_after: Option<i64>) -> Memory {
    Memory {
        expected: Some(expected),
        last: Some(LastAction {
            time: at("12:00:10.123"),
            from: 2,
            to: 6,
            external: false,
            confirmed,
            landed,
            settled_after,
        }),
        ..Memory::default()
    }
}
