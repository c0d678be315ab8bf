//! The status of a ConsumerGroup, rendered from a decision, and whether it says enough that is new to be written
//! (decision 29). Pure: computes nothing that `decide` has not.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, Value};

use crate::{
    api::{
        ConsumerGroupStatus, DecisionStatus, GroupStatus, LagStatus, MAX_HISTORY, RateStatus,
        ReplicasStatus, ScaleRecord, condition::bounded_message, milli_quantity,
    },
    kafka::{
        interest::GroupInterest,
        snapshot::{self, Protocol},
    },
    scaling::{
        Decision, Memory, Policy, Verdict,
        decision::{Knowledge, Wait},
        memory::LastAction,
    },
};

use super::{
    conditions::{self, Found},
    error::Problem,
    words::{self, steady},
};

/// `notBefore` moves only by more than this: what a wait ends at is known no better.
const NOT_BEFORE_GRAIN: SignedDuration = SignedDuration::from_secs(5);
/// Memory is written when the best consumption has changed by more than this share ...
const MEMORY_SHARE: u64 = 20;
/// ... or was measured so much later.
const MEMORY_AGE: SignedDuration = SignedDuration::from_mins(30);

/// What a status is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) now: Timestamp,
    pub(super) generation: Option<i64>,
    pub(super) policy: &'a Policy,
    pub(super) reading: &'a GroupInterest,
    /// The group in the latest look.
    pub(super) group: Option<&'a snapshot::Group>,
    pub(super) found: Found<'a>,
    pub(super) memory: &'a Memory,
}

/// The status to have, laid over the one that is stored.
pub(super) fn status(scene: Scene<'_>, stored: &ConsumerGroupStatus) -> ConsumerGroupStatus {
    let decision = scene.found.decision;
    let facts = &decision.facts;
    let keep = matches!(facts.knowledge, Knowledge::Missing { lasting: false, .. });
    let mut status = ConsumerGroupStatus {
        observed_generation: scene.generation,
        group: group(scene).or_else(|| stored.group.clone().filter(|_| keep)),
        partitions: facts.partitions.or(stored.partitions.filter(|_| keep)),
        lag: if keep {
            stored.lag.clone()
        } else {
            lag(decision, stored.lag.as_ref())
        },
        rate: if keep {
            stored.rate.clone()
        } else {
            rate(decision, stored.rate.as_ref())
        },
        replicas: Some(replicas(scene.policy, decision)),
        decision: Some(decided(decision, scene.now, stored.decision.as_ref())),
        last_scale: stored.last_scale.clone(),
        history: stored.history.clone(),
        memory: memory(scene.memory),
        conditions: conditions::of(scene.found, &stored.conditions, scene.generation, scene.now),
    };
    record(&mut status, scene.memory.last, stored.decision.as_ref());
    status
}

/// The status of a group that is not managed at present: what was seen no longer holds, what was done stays.
pub(super) fn of_problem(
    problem: &Problem,
    generation: Option<i64>,
    now: Timestamp,
    stored: &ConsumerGroupStatus,
) -> ConsumerGroupStatus {
    let decision = DecisionStatus {
        action: "Hold".to_owned(),
        reason: problem.reason.to_owned(),
        message: bounded_message(&problem.message).into_owned(),
        ..DecisionStatus::default()
    };
    ConsumerGroupStatus {
        observed_generation: generation,
        decision: Some(begun(decision, now, stored.decision.as_ref())),
        last_scale: stored.last_scale.clone(),
        history: stored.history.clone(),
        memory: stored.memory.clone(),
        conditions: conditions::of_problem(problem, &stored.conditions, generation, now),
        ..ConsumerGroupStatus::default()
    }
}

/// Memory as it is stored. It is made of optional numbers and times, so that this cannot fail.
pub(super) fn memory(memory: &Memory) -> Option<Value> {
    serde_json::to_value(memory).ok()
}

/// Memory as it was stored; what cannot be read is absent.
pub(super) fn memory_of(status: Option<&ConsumerGroupStatus>) -> Memory {
    status
        .and_then(|status| status.memory.clone())
        .and_then(|memory| serde_json::from_value::<Memory>(memory).ok())
        .unwrap_or_default()
        .readable()
}

fn group(scene: Scene<'_>) -> Option<GroupStatus> {
    let group = scene.group?;
    let facts = &scene.found.decision.facts;
    let description = group
        .description
        .as_ref()
        .and_then(|known| known.as_ref().ok());
    Some(GroupStatus {
        id: scene.reading.id.to_string(),
        state: group.state.as_ref().ok().map(|state| format!("{state:?}")),
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

fn lag(decision: &Decision, stored: Option<&LagStatus>) -> Option<LagStatus> {
    let facts = &decision.facts;
    let lag = &facts.lag;
    if facts.partitions.is_none() && lag.unknown == 0 {
        return None;
    }
    let known = lag.unknown == 0;
    let max_partition = lag
        .max_partition
        .as_ref()
        .map(|(topic, partition)| format!("{topic}-{partition}"));
    let max = steady(stored.and_then(|stored| stored.max), lag.max);
    let same_max = stored.is_some_and(|stored| stored.max == Some(max));
    Some(LagStatus {
        total: known.then(|| steady(stored.and_then(|stored| stored.total), lag.total)),
        max: Some(max),
        // Of partitions that are as far behind, the one that was named.
        max_partition: match stored.and_then(|stored| stored.max_partition.clone()) {
            Some(named) if same_max && max_partition.is_some() => Some(named),
            _ => max_partition,
        },
        unknown_partitions: lag.unknown,
    })
}

fn rate(decision: &Decision, stored: Option<&RateStatus>) -> Option<RateStatus> {
    let facts = &decision.facts;
    let told = |new: Option<i64>, old: Option<&String>| {
        new.map(|new| milli_quantity(steady(old.and_then(|old| milli(old)), new)))
    };
    let rate = RateStatus {
        produced: told(
            facts.produced,
            stored.and_then(|rate| rate.produced.as_ref()),
        ),
        consumed: told(
            facts.consumed,
            stored.and_then(|rate| rate.consumed.as_ref()),
        ),
        per_replica: told(
            facts.best_per_replica,
            stored.and_then(|rate| rate.per_replica.as_ref()),
        ),
    };
    (rate != RateStatus::default()).then_some(rate)
}

/// Thousandths that a quantity of [`milli_quantity`] stands for.
fn milli(quantity: &str) -> Option<i64> {
    match quantity.strip_suffix('m') {
        Some(milli) => milli.parse().ok(),
        None => quantity.parse::<i64>().ok()?.checked_mul(1_000),
    }
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
    let message = bounded_message(&words::message(decision, now)).into_owned();
    let new = match decision.verdict {
        Verdict::Scale { from, to, why } => DecisionStatus {
            action: if to > from { "ScaleUp" } else { "ScaleDown" }.to_owned(),
            from: Some(from),
            to: Some(to),
            reason: why.as_str().to_owned(),
            message,
            ..DecisionStatus::default()
        },
        Verdict::Hold(Wait { why, until }) => DecisionStatus {
            action: "Hold".to_owned(),
            reason: why.as_str().to_owned(),
            message,
            not_before: until.map(words::instant),
            ..DecisionStatus::default()
        },
    };
    begun(new, now, stored)
}

/// A decision that goes on keeps the time at which it began, and a `notBefore` that hardly moves stands still.
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
        && old.duration_since(fresh).abs() <= NOT_BEFORE_GRAIN
    {
        new.not_before = old_not_before.cloned();
    }
    new
}

/// Enters the last action once it is known to have been done, and how long it took to settle once that is known.
fn record(
    status: &mut ConsumerGroupStatus,
    last: Option<LastAction>,
    decided: Option<&DecisionStatus>,
) {
    let Some(last) = last.filter(|last| !last.external && last.from != last.to) else {
        return;
    };
    let settled_after = last.settled_after.map(words::duration);
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
    if !last.confirmed && !last.landed {
        return;
    }
    // Written ahead with the action, so that it is there after a crash too.
    let reason = decided
        .filter(|decided| (decided.from, decided.to) == (Some(last.from), Some(last.to)))
        .map_or_else(|| "Unknown".to_owned(), |decided| decided.reason.clone());
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

/// How much a status says that the stored one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    /// Nothing.
    None,
    /// Numbers have moved.
    Numbers,
    /// Something that a reader waits for.
    Words,
}

/// Compares two statuses of one group.
pub(super) fn news(stored: &ConsumerGroupStatus, next: &ConsumerGroupStatus) -> News {
    if stored == next {
        return News::None;
    }
    let (stored_memory, next_memory) = (memory_of(Some(stored)), memory_of(Some(next)));
    if memory_is_new(&stored_memory, &next_memory)
        || without_numbers(stored) != without_numbers(next)
    {
        News::Words
    } else if (
        &stored.lag,
        &stored.rate,
        &stored.decision,
        &stored.replicas,
    ) == (&next.lag, &next.rate, &next.decision, &next.replicas)
        && stored.conditions == next.conditions
    {
        // Only memory has moved, and not by enough.
        News::None
    } else {
        News::Numbers
    }
}

/// What is left of a status when everything goes that moves with every message.
fn without_numbers(status: &ConsumerGroupStatus) -> ConsumerGroupStatus {
    let mut status = status.clone();
    status.memory = None;
    status.rate = status.rate.map(|_| RateStatus::default());
    if let Some(lag) = &mut status.lag {
        lag.total = lag.total.map(|_| 0);
        lag.max = lag.max.map(|_| 0);
        lag.max_partition = None;
    }
    if let Some(decision) = &mut status.decision {
        decision.message.clear();
        if decision.action == "Hold" {
            decision.not_before = None;
            if let Some(replicas) = &mut status.replicas {
                replicas.desired = None;
            }
        }
    }
    for condition in &mut status.conditions {
        condition.message.clear();
    }
    status
}

fn memory_is_new(stored: &Memory, next: &Memory) -> bool {
    let moved = match (stored.best, next.best) {
        (Some(old), Some(new)) => {
            old.milli.abs_diff(new.milli).saturating_mul(MEMORY_SHARE) > old.milli.unsigned_abs()
                || new.time.duration_since(old.time) > MEMORY_AGE
        }
        (old, new) => old != new,
    };
    let others = Memory {
        best: stored.best,
        ..next.clone()
    };
    moved || others != *stored
}

/// The merge patch that makes `stored` into `next`; `None` when they are equal.
pub(super) fn merge_patch(stored: &Value, next: &Value) -> Option<Value> {
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

/// Kubernetes keeps times in whole seconds; a finer one would differ from itself after a round trip.
pub(super) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
