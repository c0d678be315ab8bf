//! The status of a ConsumerGroup, rendered from a decision. Pure: computes nothing that `decide`
//! has not computed.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lagrange_core::api::condition::bounded_message;
use lagrange_core::api::{
    ConsumerGroupStatus, DecisionAction, DecisionStatus, GroupStatus, LagStatus, MAX_HISTORY,
    RateStatus, ReplicasStatus, ScaleRecord, milli_quantity,
};
use lagrange_core::intent::topics::GroupInterest;
use lagrange_core::scaling::decision::{Knowledge, Wait};
use lagrange_core::scaling::memory::LastAction;
use lagrange_core::scaling::{Decision, Memory, Policy, Verdict};
use serde_json::{Map, Value};

use super::conditions::{self, ConditionInput};
use super::format::{self, two_digits};
use super::reported::Numbers;
use crate::controller::kube::error::Problem;
use crate::kafka::model::snapshot::{self, Protocol};

/// `notBefore` changes only by more than this: the end of a wait is not known more exactly.
const NOT_BEFORE_TOLERANCE: SignedDuration = SignedDuration::from_secs(5);

/// The reason of an action that another ConsumerGroup did on the same target before this one
/// managed it.
pub(super) const TAKEN_OVER: &str = "Unknown";

/// The most partitions that a list in the status names (TELL-33).
const NAMED: usize = 8;

/// The input of a status.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct StatusInput<'a> {
    pub(in crate::controller) now: Timestamp,
    pub(in crate::controller) generation: Option<i64>,
    pub(in crate::controller) policy: &'a Policy,
    pub(in crate::controller) reading: &'a GroupInterest,
    /// The group in the latest snapshot.
    pub(in crate::controller) group: Option<&'a snapshot::Group>,
    pub(in crate::controller) found: ConditionInput<'a>,
    pub(in crate::controller) memory: &'a Memory,
}

/// The next status. It keeps from the stored one what the input does not replace.
pub(in crate::controller) fn status(
    input: StatusInput<'_>,
    stored: &ConsumerGroupStatus,
) -> ConsumerGroupStatus {
    let decision = input.found.decision;
    let facts = &decision.facts;
    let keep = matches!(facts.knowledge, Knowledge::Missing { lasting: false, .. });
    let mut status = ConsumerGroupStatus {
        observed_generation: input.generation,
        group: group(input).or_else(|| stored.group.clone().filter(|_| keep)),
        partitions: facts.partitions.or(stored.partitions.filter(|_| keep)),
        lag: if keep { stored.lag.clone() } else { lag(input) },
        rate: if keep {
            stored.rate.clone()
        } else {
            rate(input)
        },
        replicas: Some(replicas(input.policy, decision)),
        decision: outstanding(input.memory, stored.decision.as_ref())
            .or_else(|| Some(decided(decision, input.now, stored.decision.as_ref()))),
        last_scale: stored.last_scale.clone(),
        history: stored.history.clone(),
        memory: memory(input.memory),
        conditions: conditions::of(input.found, &stored.conditions, input.generation, input.now),
    };
    record(&mut status, input.memory, stored.decision.as_ref());
    status
}

/// The status of a group that is not managed at present: observations are dropped, the actions and
/// the memory stay.
pub(in crate::controller) fn of_problem(
    problem: &Problem,
    generation: Option<i64>,
    now: Timestamp,
    remembered: &Memory,
    stored: &ConsumerGroupStatus,
) -> ConsumerGroupStatus {
    let decision = DecisionStatus {
        action: DecisionAction::Hold.as_str().to_owned(),
        reason: problem.reason.as_str().to_owned(),
        message: bounded_message(&problem.message).into_owned(),
        ..DecisionStatus::default()
    };
    ConsumerGroupStatus {
        observed_generation: generation,
        decision: Some(begun(decision, now, stored.decision.as_ref())),
        last_scale: stored.last_scale.clone(),
        history: stored.history.clone(),
        memory: memory(remembered).filter(|_| *remembered != Memory::default()),
        conditions: conditions::of_problem(problem, &stored.conditions, generation, now),
        ..ConsumerGroupStatus::default()
    }
}

/// Memory as it is stored. It consists of optional numbers and times, so this cannot fail.
pub(in crate::controller) fn memory(memory: &Memory) -> Option<Value> {
    serde_json::to_value(memory).ok()
}

/// Memory as it was stored; memory that cannot be read is treated as absent.
pub(in crate::controller) fn memory_of(status: Option<&ConsumerGroupStatus>) -> Memory {
    status
        .and_then(|status| status.memory.clone())
        .and_then(|memory| serde_json::from_value::<Memory>(memory).ok())
        .unwrap_or_default()
        .readable()
}

fn group(input: StatusInput<'_>) -> Option<GroupStatus> {
    let group = input.group?;
    let facts = &input.found.decision.facts;
    let description = group
        .description
        .as_ref()
        .and_then(|known| known.as_ref().ok());
    Some(GroupStatus {
        id: input.reading.id.to_string(),
        state: (group.state.as_ref().ok()).map(|state| state.as_str().to_owned()),
        protocol: match group.protocol {
            Protocol::Classic => Some("Classic".to_owned()),
            Protocol::Consumer => Some("Consumer".to_owned()),
            Protocol::Unknown => None,
        },
        assignor: description
            .and_then(|description| description.assignor.as_deref())
            .map(ToOwned::to_owned),
        members: facts.members.and_then(|n| i32::try_from(n).ok()),
        idle_members: facts.idle_members.and_then(|n| i32::try_from(n).ok()),
        coordinator: group.coordinator.map(|node| node.0),
    })
}

fn lag(input: StatusInput<'_>) -> Option<LagStatus> {
    let facts = &input.found.decision.facts;
    let numbers = Numbers::of(facts, input.policy.threads);
    let lag = &facts.lag;
    if facts.partitions.is_none() && lag.unknown == 0 {
        return None;
    }
    let known = lag.unknown == 0;
    let max_partition = lag.max_partition.as_ref().map(format::partition);
    Some(LagStatus {
        total: known.then(|| two_digits(lag.total)),
        max: Some(two_digits(lag.max)),
        max_partition,
        delay: numbers.delay.map(format::duration),
        unknown_partitions: lag.unknown,
        stuck_partitions: facts
            .stuck_partitions
            .iter()
            .take(NAMED)
            .map(format::partition)
            .collect(),
    })
}

fn rate(input: StatusInput<'_>) -> Option<RateStatus> {
    let facts = &input.found.decision.facts;
    let numbers = Numbers::of(facts, input.policy.threads);
    let rate = RateStatus {
        produced: numbers.produced.map(milli_quantity),
        consumed: numbers.consumed.map(milli_quantity),
        per_replica: numbers.per_replica.map(milli_quantity),
    };
    (rate != RateStatus::default()).then_some(rate)
}

fn replicas(policy: &Policy, decision: &Decision) -> ReplicasStatus {
    let facts = &decision.facts;
    let (limit, limited_by) = match (facts.limit, policy.max) {
        (Some(limit), Some(max)) if max < limit => (Some(max), Some("MaxReplicas")),
        (Some(limit), _) => (Some(limit), Some("Partitions")),
        (None, _) => (None, None),
    };
    ReplicasStatus {
        current: Some(facts.current),
        ready: Some(facts.ready),
        desired: facts.desired,
        limit,
        limited_by: limited_by.map(ToOwned::to_owned),
    }
}

fn decided(decision: &Decision, now: Timestamp, stored: Option<&DecisionStatus>) -> DecisionStatus {
    let message = bounded_message(&format::message(decision, now)).into_owned();
    let new = match decision.verdict {
        Verdict::Scale { from, to, why } => DecisionStatus {
            action: if to > from {
                DecisionAction::ScaleUp
            } else {
                DecisionAction::ScaleDown
            }
            .as_str()
            .to_owned(),
            from: Some(from),
            to: Some(to),
            reason: why.as_str().to_owned(),
            message,
            ..DecisionStatus::default()
        },
        Verdict::Hold(Wait { why, until }) => DecisionStatus {
            action: DecisionAction::Hold.as_str().to_owned(),
            reason: why.as_str().to_owned(),
            message,
            not_before: until.map(format::instant),
            ..DecisionStatus::default()
        },
    };
    begun(new, now, stored)
}

/// A decision that continues keeps the time at which it began, and its `notBefore` unless that has
/// changed enough.
fn begun(
    mut new: DecisionStatus,
    now: Timestamp,
    stored: Option<&DecisionStatus>,
) -> DecisionStatus {
    let same = stored.filter(|old| {
        (&old.action, old.from, old.to, &old.reason) == (&new.action, new.from, new.to, &new.reason)
    });
    new.time = Some(match same.and_then(|old| old.time.clone()) {
        Some(time) => time,
        None => Time(whole_second(now)),
    });
    let parsed = |text: Option<&String>| text.and_then(|text| text.parse::<Timestamp>().ok());
    let old_not_before = same.and_then(|old| old.not_before.as_ref());
    if let (Some(old), Some(fresh)) = (parsed(old_not_before), parsed(new.not_before.as_ref()))
        && old.duration_since(fresh).abs() <= NOT_BEFORE_TOLERANCE
    {
        new.not_before = old_not_before.cloned();
    }
    new
}

/// The decision that was written ahead with an action of unknown outcome. It stays until the
/// outcome is known, since it alone explains the action.
fn outstanding(memory: &Memory, stored: Option<&DecisionStatus>) -> Option<DecisionStatus> {
    let last = memory.last?;
    let ahead = stored?;
    let is_open = !last.external && !last.confirmed && !last.landed;
    (is_open && is_for(ahead, last)).then(|| ahead.clone())
}

fn is_for(decision: &DecisionStatus, action: LastAction) -> bool {
    (decision.from, decision.to) == (Some(action.from), Some(action.to))
}

/// Enters the last action once it is known to have been done, and its settling time once that is
/// known.
fn record(status: &mut ConsumerGroupStatus, memory: &Memory, decided: Option<&DecisionStatus>) {
    let ours = |last: &LastAction| !last.external && last.from != last.to;
    let Some(last) = memory.last.filter(ours) else {
        return;
    };
    let settled_after = last.settled_after.map(format::duration);
    let time = Time(whole_second(last.time));
    let is_it = |record: &ScaleRecord| {
        record.time.as_ref() == Some(&time) && (record.from, record.to) == (last.from, last.to)
    };
    if status.last_scale.as_ref().is_some_and(is_it) {
        for record in status
            .last_scale
            .iter_mut()
            .chain(status.history.first_mut())
        {
            if is_it(record) {
                record.settled_after.clone_from(&settled_after);
            }
        }
        return;
    }
    // An action of unknown outcome that was abandoned is marked as landed too, but its replicas are
    // then not expected.
    let was_seen = last.landed && memory.expected == Some(last.to);
    if !last.confirmed && !was_seen {
        return;
    }
    // Written ahead with the action, so it survives a crash.
    let reason = decided
        .filter(|decided| is_for(decided, last))
        .map_or_else(|| TAKEN_OVER.to_owned(), |decided| decided.reason.clone());
    let record = ScaleRecord {
        time: Some(time),
        from: last.from,
        to: last.to,
        reason,
        settled_after,
    };
    status.history.insert(0, record.clone());
    status.history.truncate(MAX_HISTORY);
    status.last_scale = Some(record);
}

/// The merge patch that makes `stored` into `next`; `None` when they are equal.
pub(in crate::controller) fn merge_patch(stored: &Value, next: &Value) -> Option<Value> {
    if stored == next {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (stored, next) else {
        return Some(next.clone());
    };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        let change = match old.get(key) {
            Some(before) => merge_patch(before, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    Some(Value::Object(patch))
}

/// Kubernetes keeps times in whole seconds; a finer one would differ after a round trip.
pub(super) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests;
