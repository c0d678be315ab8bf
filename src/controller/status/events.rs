//! The events of one report: those of the decision, and those of the change from the stored status
//! to the next. Pure: writes none.

use lagrange_core::api::condition::{Reason, Status, Type};
use lagrange_core::api::{ConsumerGroupStatus, DecisionStatus, ScaleRecord, condition};
use lagrange_core::scaling::Decision;
use lagrange_core::scaling::decision::Notice;

use super::group;
use crate::controller::kube::error::Problem;
use crate::controller::kube::event::note::{EventNote, EventReason};

/// The conditions under which events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) struct Circumstances {
    /// `mode: DryRun`.
    pub(in crate::controller) dry_run: bool,
    /// The group uses a KafkaCluster, which has its own events.
    pub(in crate::controller) has_cluster: bool,
    /// Nothing at all could be read from Kafka.
    pub(in crate::controller) is_unread: bool,
}

/// Whether the replicas were changed externally.
pub(in crate::controller) fn is_scaled_externally(decision: &Decision) -> bool {
    let is_it = |notice: &Notice| matches!(notice, Notice::ScaledExternally { .. });
    decision.notices.iter().any(is_it)
}

/// What happened to the target or in Kafka and is reported each time. `by`: the field manager of an
/// external change of the replicas, if it is known.
pub(in crate::controller) fn notices(decision: &Decision, by: Option<&str>) -> Vec<EventNote> {
    let of = |notice: &Notice| match notice {
        Notice::ScaledExternally { from, to } => Some(EventNote::new(
            EventReason::ScaledExternally,
            format!(
                "replicas changed from {from} to {to} by {}; taken over, and counted as an action",
                by.unwrap_or("an unknown field manager")
            ),
        )),
        Notice::PartitionsAdded { topic, from, to } => Some(EventNote::new(
            EventReason::PartitionsAdded,
            format!(
                "topic {topic} has {to} partitions instead of {from}. Keys move between partitions, so that order per key is not kept across the change; consumers with auto.offset.reset=latest skip what is written to the new ones before they notice them"
            ),
        )),
        Notice::Settled { .. } => None,
    };
    decision.notices.iter().filter_map(of).collect()
}

/// The events for the change from one status to the next.
pub(in crate::controller) fn transitions(
    stored: &ConsumerGroupStatus,
    next: &ConsumerGroupStatus,
    circumstances: Circumstances,
) -> Vec<EventNote> {
    let mut events = Vec::new();
    let ours = |record: &&ScaleRecord| record.reason != group::TAKEN_OVER;
    if let Some(record) = new_record(stored, next).filter(ours) {
        events.push(scaled(record, stored, next));
    }
    if circumstances.dry_run {
        events.extend(would_scale(
            stored.decision.as_ref(),
            next.decision.as_ref(),
        ));
    }
    let turns = [
        (
            Type::ScalingLimited,
            Status::True,
            Reason::PartitionLimit,
            EventReason::PartitionLimitReached,
        ),
        (
            Type::Healthy,
            Status::False,
            Reason::IdleConsumers,
            EventReason::IdleConsumers,
        ),
        (
            Type::Healthy,
            Status::False,
            Reason::PartitionsStuck,
            EventReason::PartitionStuck,
        ),
        (
            Type::Ready,
            Status::False,
            Reason::TargetContested,
            EventReason::TargetContested,
        ),
    ];
    for (condition, status, reason, event) in turns {
        let message = turned(stored, next, condition, status, &[reason]);
        events.extend(message.map(|message| EventNote::new(event, message)));
    }
    events.extend(of_kafka(stored, next, circumstances));
    events
}

/// Reasons for which Kafka cannot be read.
const UNREACHABLE: [Reason; 3] = [
    Reason::KafkaUnreachable,
    Reason::AuthenticationFailed,
    Reason::AuthorizationFailed,
];

/// An event that a KafkaCluster has already is not repeated for each of its groups.
fn of_kafka(
    stored: &ConsumerGroupStatus,
    next: &ConsumerGroupStatus,
    circumstances: Circumstances,
) -> Option<EventNote> {
    if circumstances.is_unread && circumstances.has_cluster {
        return None;
    }
    if let Some(message) = turned(stored, next, Type::Ready, Status::False, &UNREACHABLE) {
        return Some(EventNote::new(EventReason::KafkaConnectionFailed, message));
    }
    let was = condition::said(&stored.conditions, Type::Ready).and_then(|(_, why)| why);
    if was.is_some_and(|was| UNREACHABLE.contains(&was))
        && !circumstances.has_cluster
        && turned(stored, next, Type::Ready, Status::True, &[]).is_some()
    {
        let text = "Kafka can be read again";
        return Some(EventNote::new(EventReason::KafkaConnectionRestored, text));
    }
    let message = turned(stored, next, Type::LagKnown, Status::False, &[])?;
    Some(EventNote::new(EventReason::LagUnknown, message))
}

/// The event of a group that cannot be managed at present.
pub(in crate::controller) fn of_problem(
    stored: &ConsumerGroupStatus,
    problem: &Problem,
) -> Option<EventNote> {
    let event = match problem.reason {
        Reason::TargetContested | Reason::GroupContested => EventReason::TargetContested,
        Reason::TargetUnreadable => EventReason::TargetUnreadable,
        _ => return None,
    };
    let was = condition::said(&stored.conditions, Type::Ready);
    let is_new = was.is_none_or(|(_, why)| why != Some(problem.reason));
    is_new.then(|| EventNote::new(event, problem.message.clone()))
}

/// The message of a condition that has turned to `status`, for one of these reasons if any are
/// given.
fn turned(
    stored: &ConsumerGroupStatus,
    next: &ConsumerGroupStatus,
    condition: Type,
    status: Status,
    reasons: &[Reason],
) -> Option<String> {
    let says = |of: &ConsumerGroupStatus| {
        condition::said(&of.conditions, condition).is_some_and(|(is, why)| {
            is == status && (reasons.is_empty() || why.is_some_and(|why| reasons.contains(&why)))
        })
    };
    if says(stored) || !says(next) {
        return None;
    }
    condition::find(&next.conditions, condition).map(|found| found.message.clone())
}

fn new_record<'a>(
    stored: &ConsumerGroupStatus,
    next: &'a ConsumerGroupStatus,
) -> Option<&'a ScaleRecord> {
    let time = |record: &ScaleRecord| record.time.as_ref().map(|time| time.0);
    let record = next.last_scale.as_ref()?;
    (stored.last_scale.as_ref().and_then(time) != time(record)).then_some(record)
}

fn scaled(
    record: &ScaleRecord,
    stored: &ConsumerGroupStatus,
    next: &ConsumerGroupStatus,
) -> EventNote {
    let ScaleRecord {
        from, to, reason, ..
    } = record;
    // The decision is in the status that was written ahead, even if that process has died since.
    let decided = [next.decision.as_ref(), stored.decision.as_ref()];
    let why = decided
        .into_iter()
        .flatten()
        .find(|decision| (decision.from, decision.to) == (Some(*from), Some(*to)))
        .filter(|decision| !decision.message.is_empty())
        .map(|decision| format!(": {}", decision.message))
        .unwrap_or_default();
    let event = if to > from {
        EventReason::ScaledUp
    } else {
        EventReason::ScaledDown
    };
    EventNote::new(event, format!("replicas {from} -> {to}, {reason}{why}"))
}

fn would_scale(
    stored: Option<&DecisionStatus>,
    next: Option<&DecisionStatus>,
) -> Option<EventNote> {
    let next = next.filter(|next| !next.is_hold())?;
    let what = |decision: &DecisionStatus| (decision.from, decision.to, decision.reason.clone());
    if stored.map(what) == Some(what(next)) {
        return None;
    }
    let (from, to) = (next.from.unwrap_or_default(), next.to.unwrap_or_default());
    Some(EventNote::new(
        EventReason::WouldScale,
        format!(
            "replicas {from} -> {to}, {}: {} (mode: DryRun)",
            next.reason, next.message
        ),
    ))
}
