//! Compares the replicas with the expected ones: whether the operator's own action has landed, and
//! whether something else has changed them (ACT-1, ACT-7, ACT-8).

use jiff::Timestamp;

use crate::scaling::input::policy::{Pause, Policy};
use crate::scaling::measure::notice::Notice;
use crate::scaling::number::{later, to_millis};
use crate::scaling::state::capacity_model::CapacityModel;
use crate::scaling::state::memory::{LastAction, Memory, VERSION};

/// The result of comparing the target's replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scaling) enum ReplicaMatch {
    /// They are as expected.
    AsExpected,
    /// The operator's own write may not have reached the watch.
    NotLanded,
}

/// Reconciles memory and target.
pub(in crate::scaling) fn adopt(
    policy: &Policy,
    memory: &mut Memory,
    replicas: i32,
    now: Timestamp,
    notices: &mut Vec<Notice>,
) -> (ReplicaMatch, bool) {
    tidy(policy, memory, now);
    let before = memory.last.map(|l| (l.time, l.to));
    let replica_match = compare(policy, memory, replicas, now, notices);
    note_pause(policy, memory, replicas, now);
    (replica_match, before != memory.last.map(|l| (l.time, l.to)))
}

/// Corrects what an older version, a changed resource or a wrong clock left.
fn tidy(policy: &Policy, memory: &mut Memory, now: Timestamp) {
    memory.version = VERSION;
    if memory
        .measurement_key
        .is_some_and(|measurement_key| measurement_key != policy.measurement_key)
    {
        memory.flap_backoff = None;
        memory.model = CapacityModel::default();
        memory.assignor = None;
        memory.limit = None;
        memory.before_up = None;
        // A changed measurement key may mean another target: its size is no external change.
        memory.expected = None;
        memory.external.clear();
    }
    memory.measurement_key = Some(policy.measurement_key);
    if memory.pending.is_some() {
        // The process that wrote it is gone and the outcome is unknown, so it counts as an action.
        *memory = memory.unknown();
    }
    let ahead = later(now, policy.tuning.pacing.clock_skew);
    let sane = |time: &mut Timestamp| {
        if *time > ahead {
            *time = now;
        }
    };
    if let Some(last) = &mut memory.last {
        sane(&mut last.time);
        // Settling cannot have taken longer than the time since the action; a wait depends on it.
        let age = now.duration_since(last.time).as_secs().max(0);
        last.settled_after = last.settled_after.map(|after| after.clamp(0, age));
    }
    if let Some(flap_backoff) = &mut memory.flap_backoff {
        sane(&mut flap_backoff.time);
    }
    memory.model.tidy(now, &sane, &policy.tuning);
    memory.external.iter_mut().for_each(sane);
    let longest = later(now, policy.tuning.pacing.stand_back);
    memory.contested_until = memory
        .contested_until
        .map(|until| until.min(longest))
        .filter(|until| *until > now);
}

fn compare(
    policy: &Policy,
    memory: &mut Memory,
    replicas: i32,
    now: Timestamp,
    notices: &mut Vec<Notice>,
) -> ReplicaMatch {
    let pacing = &policy.tuning.pacing;
    let Some(expected) = memory.expected else {
        memory.expected = Some(replicas);
        return ReplicaMatch::AsExpected;
    };
    if let Some(last) = memory
        .last
        .as_mut()
        .filter(|last| !last.landed && !last.external)
    {
        if replicas == last.to {
            last.landed = true;
            memory.expected = Some(replicas);
            return ReplicaMatch::AsExpected;
        } else if replicas == last.from {
            if now.duration_since(last.time) < pacing.watch_lag {
                return ReplicaMatch::NotLanded;
            }
            if !last.confirmed {
                // It was not carried out, and counts as an action anyway.
                last.landed = true;
                memory.expected = Some(replicas);
                return ReplicaMatch::AsExpected;
            }
        }
    }
    if replicas != expected {
        notices.push(Notice::ScaledExternally {
            from: expected,
            to: replicas,
        });
        memory.expected = Some(replicas);
        memory.last = Some(LastAction {
            time: now,
            from: expected,
            to: replicas,
            external: true,
            confirmed: true,
            landed: true,
            settled_after: None,
        });
        memory
            .external
            .retain(|at| now.duration_since(*at) < pacing.contested_within);
        if policy.dry_run {
            return ReplicaMatch::AsExpected;
        }
        memory.external.push(now);
        if memory.external.len() >= pacing.contested {
            memory.contested_until = now.checked_add(pacing.stand_back).ok();
            memory.external.clear();
        }
    }
    ReplicaMatch::AsExpected
}

/// Removing `paused-replicas` counts as an action (ACT-10).
fn note_pause(policy: &Policy, memory: &mut Memory, replicas: i32, now: Timestamp) {
    let paused_at = match policy.pauses.pause {
        Some(Pause::At(at)) => Some(at),
        _ => None,
    };
    if memory.paused_at.is_some() && paused_at.is_none() {
        // A target that was scaled to zero by hand stays off.
        let by_us = |last: LastAction| !last.external && last.to == 0;
        let is_off = replicas == 0 && !memory.last.is_some_and(by_us);
        memory.last = Some(LastAction {
            time: to_millis(now),
            from: replicas,
            to: replicas,
            external: is_off,
            confirmed: true,
            landed: true,
            settled_after: Some(0),
        });
    }
    memory.paused_at = paused_at;
}
