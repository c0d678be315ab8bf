//! Sets the series of one ConsumerGroup from a decision. Decides nothing.

use std::time::Duration;

use lagrange_core::api::condition::{Status, Type};
use lagrange_core::api::{ConsumerGroupStatus, condition};
use lagrange_core::intent::Intent;
use lagrange_core::scaling::decision::{HoldReason, Knowledge, Notice};
use lagrange_core::scaling::{Decision, Verdict};

use crate::controller::kafka::source::Resolved;
use crate::controller::kube::name::{Name, TargetKey};
use crate::kafka::model::snapshot::Snapshot;
use crate::metrics::{GroupInfo, GroupNumbers, Metrics};

/// The input for the series of a group.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct Measured<'a> {
    pub(in crate::controller) intent: &'a Intent,
    pub(in crate::controller) resolved: &'a Resolved,
    pub(in crate::controller) target: &'a TargetKey,
    /// The latest poll.
    pub(in crate::controller) snapshot: Option<&'a Snapshot>,
    pub(in crate::controller) decision: &'a Decision,
}

/// Sets the series of one group.
pub(in crate::controller) fn measure(
    metrics: &Metrics,
    group: &Name,
    measured: &Measured<'_>,
    next: &ConsumerGroupStatus,
) {
    let Measured {
        intent, decision, ..
    } = measured;
    let facts = &decision.facts;
    let known = facts.knowledge == Knowledge::Complete;
    let count = |n: Option<i32>| n.map(i64::from);
    let per_second = |milli: Option<i64>| milli.map(thousandths);
    let members = |n: Option<usize>| n.and_then(|n| i64::try_from(n).ok());
    let series = metrics.group(&group.namespace, &group.name);
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
        topics: topics(measured),
        target: measured.target.to_string(),
        // By its name if it has one: the servers of a foreign cluster are shown only by its owner
        // (SAFE-34).
        cluster: match &measured.resolved.cluster {
            Some(cluster) => cluster.to_string(),
            None => measured.resolved.connection.identity().to_string(),
        },
        mode: intent.mode.as_str().to_owned(),
    });
    series.conditions(conditions(next));
    for notice in &decision.notices {
        if let Notice::Settled { after } = notice {
            let after = Duration::try_from(*after).unwrap_or_default();
            metrics.settled(after);
        }
    }
}

/// Sets the series of a group that is not managed at present: its conditions, and no numbers.
pub(in crate::controller) fn measure_problem(
    metrics: &Metrics,
    group: &Name,
    next: &ConsumerGroupStatus,
) {
    let series = metrics.group(&group.namespace, &group.name);
    series.set(GroupNumbers::default());
    series.conditions(conditions(next));
}

/// Counts a hold when it begins: `before` is the last one, which it replaces.
pub(in crate::controller) fn count_hold(
    metrics: &Metrics,
    before: &mut Option<HoldReason>,
    verdict: Option<Verdict>,
) {
    let held = match verdict {
        Some(Verdict::Hold(wait)) => Some(wait.why),
        Some(Verdict::Scale { .. }) | None => None,
    };
    if let Some(reason) = held.filter(|_| held != *before) {
        metrics.held(reason.as_str());
    }
    *before = held;
}

fn conditions(status: &ConsumerGroupStatus) -> Vec<(Type, Status)> {
    let of = |condition| Some((condition, condition::said(&status.conditions, condition)?.0));
    Type::OF_CONSUMER_GROUP.into_iter().filter_map(of).collect()
}

/// The counted topics, as a label of bounded length.
fn topics(measured: &Measured<'_>) -> String {
    let reading = &measured.intent.reading;
    let group = measured
        .snapshot
        .and_then(|snapshot| snapshot.groups.get(&reading.id));
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
