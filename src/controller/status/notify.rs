//! What is told and measured of one report: which events, and which numbers. Renders decisions;
//! decides nothing.

use std::time::Duration;

use kube::ResourceExt as _;
use lagrange_core::api::condition::{reasons, types};
use lagrange_core::api::{
    ConsumerGroup, ConsumerGroupStatus, DecisionStatus, Mode, ScaleRecord, condition,
};
use lagrange_core::scaling::decision::{Knowledge, Notice};
use lagrange_core::scaling::{Decision, Verdict};

use super::group;
use crate::controller::context::Context;
use crate::controller::group::report::View;
use crate::controller::group::session::Managed;
use crate::controller::kube::error::Problem;
use crate::controller::kube::event::Happening;
use crate::metrics::{ConditionStatus, GroupInfo, GroupNumbers};

/// The reason of the event that names who changed the replicas.
pub(in crate::controller) const SCALED_EXTERNALLY: &str = "ScaledExternally";

const SCALE: &str = "Scale";
const OBSERVE: &str = "Observe";
const CONNECT: &str = "Connect";

/// What happened at the target or in Kafka and is told each time.
pub(in crate::controller) fn notices(decision: &Decision) -> Vec<Happening> {
    let of = |notice: &Notice| match notice {
        Notice::ScaledExternally { from, to } => Some(Happening::normal(
            SCALED_EXTERNALLY,
            OBSERVE,
            format!(
                "replicas changed from {from} to {to} by somebody else; taken over, and counted as an action"
            ),
        )),
        Notice::PartitionsAdded { topic, from, to } => Some(Happening::normal(
            "PartitionsAdded",
            OBSERVE,
            format!(
                "topic {topic} has {to} partitions instead of {from}. Keys move between partitions, so that order per key is not kept across the change; consumers with auto.offset.reset=latest skip what is written to the new ones before they notice them"
            ),
        )),
        Notice::Settled { .. } => None,
    };
    decision.notices.iter().filter_map(of).collect()
}

/// Says who changed the replicas, where that could be found out.
pub(in crate::controller) fn name_manager(happening: &mut Happening, manager: Option<String>) {
    if let Some(manager) = manager {
        happening.note = happening
            .note
            .replacen("by somebody else", &format!("by {manager}"), 1);
    }
}

/// What the step from one status to the next tells.
pub(in crate::controller) fn transitions(
    stored: &ConsumerGroupStatus,
    next: &ConsumerGroupStatus,
    view: &View<'_>,
) -> Vec<Happening> {
    let mut told = Vec::new();
    let ours = |record: &&ScaleRecord| record.reason != group::TAKEN_OVER;
    if let Some(record) = new_record(stored, next).filter(ours) {
        told.push(scaled(record, stored, next));
    }
    if view.intent.mode == Mode::DryRun {
        told.extend(would_scale(
            stored.decision.as_ref(),
            next.decision.as_ref(),
        ));
    }
    let turned =
        |condition, status, reason: &[&str]| turned(stored, next, condition, status, reason);
    if let Some(message) = turned(types::SCALING_LIMITED, "True", &[reasons::PARTITION_LIMIT]) {
        told.push(Happening::normal("PartitionLimitReached", OBSERVE, message).flapping());
    }
    if let Some(message) = turned(types::HEALTHY, "False", &[reasons::IDLE_CONSUMERS]) {
        told.push(Happening::warning("IdleConsumers", OBSERVE, message).flapping());
    }
    if let Some(message) = turned(types::HEALTHY, "False", &[reasons::PARTITIONS_STUCK]) {
        told.push(Happening::warning("PartitionStuck", OBSERVE, message).flapping());
    }
    if let Some(message) = turned(types::READY, "False", &[reasons::TARGET_CONTESTED]) {
        told.push(Happening::warning("TargetContested", OBSERVE, message).flapping());
    }
    told.extend(of_kafka(stored, next, view));
    told
}

/// What a KafkaCluster is told of once is not told of each of its groups again.
fn of_kafka(
    stored: &ConsumerGroupStatus,
    next: &ConsumerGroupStatus,
    view: &View<'_>,
) -> Option<Happening> {
    let unreachable = [
        reasons::KAFKA_UNREACHABLE,
        "AuthenticationFailed",
        reasons::AUTHORIZATION_FAILED,
    ];
    let whole = view.looked.is_some_and(|looked| looked.error.is_some());
    if whole && view.resolved.cluster.is_some() {
        return None;
    }
    if let Some(message) = turned(stored, next, types::READY, "False", &unreachable) {
        return Some(Happening::warning("KafkaConnectionFailed", CONNECT, message).flapping());
    }
    let was = condition::find(&stored.conditions, types::READY);
    let was_unreachable = was.is_some_and(|was| unreachable.contains(&was.reason.as_str()));
    if was_unreachable
        && view.resolved.cluster.is_none()
        && turned(stored, next, types::READY, "True", &[]).is_some()
    {
        let note = "Kafka can be read again".to_owned();
        return Some(Happening::normal("KafkaConnectionRestored", CONNECT, note).flapping());
    }
    let message = turned(stored, next, types::LAG_KNOWN, "False", &[])?;
    Some(Happening::warning("LagUnknown", OBSERVE, message).flapping())
}

/// What is told of a group that cannot be managed at present.
pub(in crate::controller) fn of_problem(
    stored: &ConsumerGroupStatus,
    problem: &Problem,
) -> Option<Happening> {
    let contested = [reasons::TARGET_CONTESTED, reasons::GROUP_CONTESTED];
    let was = condition::find(&stored.conditions, types::READY);
    let is_new = was.is_none_or(|was| was.reason != problem.reason);
    let event = match problem.reason {
        reason if contested.contains(&reason) => "TargetContested",
        reasons::TARGET_UNREADABLE => "TargetUnreadable",
        _ => return None,
    };
    is_new.then(|| Happening::warning(event, OBSERVE, problem.message.clone()).flapping())
}

/// The message of a condition that says `status`, for one of these reasons if there are any, and
/// did not before.
fn turned(
    stored: &ConsumerGroupStatus,
    next: &ConsumerGroupStatus,
    condition: &str,
    status: &str,
    reasons: &[&str],
) -> Option<String> {
    let says = |of: &ConsumerGroupStatus| {
        condition::find(&of.conditions, condition)
            .filter(|found| found.status == status)
            .filter(|found| reasons.is_empty() || reasons.contains(&found.reason.as_str()))
            .map(|found| found.message.clone())
    };
    says(next).filter(|_| says(stored).is_none())
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
) -> Happening {
    let ScaleRecord {
        from, to, reason, ..
    } = record;
    // The decision is in the status that was written ahead, also of a process that died in between.
    let decided = [next.decision.as_ref(), stored.decision.as_ref()];
    let why = decided
        .into_iter()
        .flatten()
        .find(|decision| (decision.from, decision.to) == (Some(*from), Some(*to)))
        .filter(|decision| !decision.message.is_empty())
        .map(|decision| format!(": {}", decision.message))
        .unwrap_or_default();
    let event = if to > from { "ScaledUp" } else { "ScaledDown" };
    Happening::normal(
        event,
        SCALE,
        format!("replicas {from} -> {to}, {reason}{why}"),
    )
}

fn would_scale(
    stored: Option<&DecisionStatus>,
    next: Option<&DecisionStatus>,
) -> Option<Happening> {
    let next = next.filter(|next| next.action != "Hold")?;
    let what = |decision: &DecisionStatus| (decision.from, decision.to, decision.reason.clone());
    if stored.map(what) == Some(what(next)) {
        return None;
    }
    let (from, to) = (next.from.unwrap_or_default(), next.to.unwrap_or_default());
    Some(Happening::normal(
        "WouldScale",
        SCALE,
        format!(
            "replicas {from} -> {to}, {}: {} (mode: DryRun)",
            next.reason, next.message
        ),
    ))
}

/// Sets the series of one group.
pub(in crate::controller) fn measure(
    view: &View<'_>,
    managed: &mut Managed,
    next: &ConsumerGroupStatus,
) {
    let View {
        context,
        intent,
        decision,
        ..
    } = view;
    let group = managed.stored();
    let (namespace, name) = (group.namespace().unwrap_or_default(), group.name_any());
    let facts = &decision.facts;
    let known = facts.knowledge == Knowledge::Complete;
    let count = |n: Option<i32>| n.map(i64::from);
    let per_second = |milli: Option<i64>| milli.map(thousandths);
    let members = |n: Option<usize>| n.and_then(|n| i64::try_from(n).ok());
    let series = context.metrics.group(&namespace, &name);
    series.set(GroupNumbers {
        lag: known.then_some(facts.lag.total),
        lag_max: known.then_some(facts.lag.max),
        partitions: count(facts.partitions),
        unknown_partitions: Some(i64::from(facts.lag.unknown)),
        members: members(facts.members),
        idle_members: members(facts.idle_members),
        replicas: Some(i64::from(facts.current)),
        desired: count(facts.desired),
        limit: count(facts.limit),
        produced: per_second(facts.produced),
        consumed: per_second(facts.consumed),
        capacity: per_second(facts.capacity_of_replica(intent.policy.threads)),
        delay: facts.delay.map(|delay| delay.as_secs_f64()),
    });
    series.describe(GroupInfo {
        group: intent.reading.id.to_string(),
        topics: topics(view),
        target: view.target.key.to_string(),
        // By its name where it has one: the servers of a foreign cluster are its owner's to show
        // (SAFE-34).
        cluster: match &view.resolved.cluster {
            Some(cluster) => cluster.to_string(),
            None => view.resolved.connection.identity().to_string(),
        },
        mode: format!("{:?}", intent.mode),
    });
    series.conditions(conditions(next));
    for notice in &decision.notices {
        if let Notice::Settled { after } = notice {
            let after = Duration::try_from(*after).unwrap_or_default();
            context.metrics.settled(after);
        }
    }
    let held = match decision.verdict {
        Verdict::Hold(wait) => Some(wait.why.as_str()),
        Verdict::Scale { .. } => None,
    };
    count_hold(context, managed, held);
}

/// Sets the series of a group that is not managed at present: its conditions, and no numbers.
pub(in crate::controller) fn measure_problem(
    context: &Context,
    group: &ConsumerGroup,
    managed: &mut Managed,
    next: &ConsumerGroupStatus,
) {
    let series = context
        .metrics
        .group(&group.namespace().unwrap_or_default(), &group.name_any());
    series.set(GroupNumbers::default());
    series.conditions(conditions(next));
    count_hold(context, managed, None);
}

fn count_hold(context: &Context, managed: &mut Managed, held: Option<&'static str>) {
    if let Some(reason) = held.filter(|_| held != managed.held) {
        context.metrics.held(reason);
    }
    managed.held = held;
}

fn conditions(status: &ConsumerGroupStatus) -> Vec<(&'static str, ConditionStatus)> {
    let of = |condition: &'static str| {
        let found = condition::find(&status.conditions, condition)?;
        Some((
            condition,
            match found.status.as_str() {
                "True" => ConditionStatus::True,
                "False" => ConditionStatus::False,
                _ => ConditionStatus::Unknown,
            },
        ))
    };
    types::OF_CONSUMER_GROUP
        .into_iter()
        .filter_map(of)
        .collect()
}

/// The topics that count, as a label of bounded length.
fn topics(view: &View<'_>) -> String {
    let reading = &view.intent.reading;
    let group = view
        .looked
        .and_then(|looked| looked.groups.get(&reading.id));
    let topics = group.and_then(|group| group.topics_for(&reading.topics).ok());
    let names: Vec<&str> = topics
        .unwrap_or_default()
        .iter()
        .map(AsRef::as_ref)
        .collect();
    names.join(",").chars().take(256).collect()
}

/// Thousandths as a floating point number, for Prometheus.
#[expect(
    clippy::cast_precision_loss,
    reason = "rates of more than 2^53 need no last digit"
)]
fn thousandths(milli: i64) -> f64 {
    milli as f64 / 1000.0
}
