//! The few numbers that must survive a restart. They are kept in `status.memory`; everything else
//! can be lost.
//!
//! A field never gets a new meaning, and unreadable memory counts as absent (KEEP-27).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::scaling::input::observation::Assignor;
use crate::scaling::number::to_millis;
use crate::scaling::state::capacity_model::CapacityModel;

/// The few numbers that must survive a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// Version of this layout.
    pub version: i64,
    /// [`crate::scaling::input::policy::Policy::measurement_key`] when the measurements were taken.
    #[serde(alias = "subject", skip_serializing_if = "Option::is_none")]
    pub measurement_key: Option<i64>,
    /// Number of actions begun; a higher number in the status than in the process means that
    /// another process acted.
    #[serde(skip_serializing_if = "is_zero")]
    pub sequence: i64,
    /// An action that was written ahead and is not confirmed (ACT-1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// The last action, by the operator or an external change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastAction>,
    /// The expected replica count: the one last seen or set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<i32>,
    /// The group before the operator's last scale-up, to find out whether that brought members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_up: Option<BeforeUp>,
    /// Times of the latest three external changes (ACT-7).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<Timestamp>,
    /// Until when the operator stands back because something else keeps changing the replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contested_until: Option<Timestamp>,
    /// `paused-replicas` as last seen: removing it counts as an action (ACT-10).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<i32>,
    /// The last assignor that was seen (KNOW-17).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignor: Option<Assignor>,
    /// The last known partition limit, in replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i32>,
    /// The capacity model.
    #[serde(
        rename = "capacityModel",
        alias = "learnt",
        skip_serializing_if = "is_empty"
    )]
    pub model: CapacityModel,
    /// The longer wait of a scale-down after an earlier one had to be undone.
    #[serde(alias = "regret", skip_serializing_if = "Option::is_none")]
    pub flap_backoff: Option<FlapBackoff>,
    /// Sum of the end offsets when the group was scaled to zero: a higher sum means records to read
    /// (ACT-12).
    #[serde(alias = "sleptAt", skip_serializing_if = "Option::is_none")]
    pub ends_at_zero: Option<i64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(n: &i64) -> bool {
    *n == 0
}

fn is_empty(model: &CapacityModel) -> bool {
    *model == CapacityModel::default()
}

/// An action that was written ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Replicas before.
    pub from: i32,
    /// Replicas after.
    pub to: i32,
    /// When it was written.
    pub time: Timestamp,
}

/// The last action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastAction {
    /// When.
    pub time: Timestamp,
    /// Replicas before.
    pub from: i32,
    /// Replicas after.
    pub to: i32,
    /// Whether it was an external change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
    /// Whether the API server confirmed it. An unknown outcome also counts as an action.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
    /// Whether its replica count has been seen at the target.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub landed: bool,
    /// Seconds from the action until the group had settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_after: Option<i64>,
}

/// The group before a scale-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeUp {
    /// Members.
    pub members: i32,
    /// Replicas that were ready or working.
    pub working: i32,
}

/// A wait that grew because a scale-down had to be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlapBackoff {
    /// Seconds to wait before the next scale-down.
    pub wait: i64,
    /// Time of the scale-down that was undone.
    pub time: Timestamp,
}

/// Version of the layout of [`Memory`]. In version 1 some fields had other names; both are read.
pub const VERSION: i64 = 2;

impl Memory {
    /// This memory if this version can use it, otherwise an empty one.
    #[must_use]
    pub fn readable(self) -> Self {
        match self.version {
            1 | VERSION => Self {
                version: VERSION,
                ..self
            },
            _ => Self::default(),
        }
    }

    /// Write-ahead: an action that is about to be tried (ACT-1).
    #[must_use]
    pub fn begin(&self, from: i32, to: i32, now: Timestamp) -> Self {
        Self {
            version: VERSION,
            sequence: self.sequence.saturating_add(1),
            pending: Some(Pending {
                from,
                to,
                time: to_millis(now),
            }),
            ..self.clone()
        }
    }

    /// The same actions, for a clock that is ahead by this much of the one that they were written
    /// with (KNOW-24).
    #[must_use]
    pub fn seen_by_clock_ahead(mut self, by: SignedDuration) -> Self {
        let later = |time: &mut Timestamp| *time = time.checked_add(by).unwrap_or(Timestamp::MAX);
        if let Some(pending) = &mut self.pending {
            later(&mut pending.time);
        }
        if let Some(last) = &mut self.last {
            later(&mut last.time);
        }
        if let Some(flap_backoff) = &mut self.flap_backoff {
            later(&mut flap_backoff.time);
        }
        self.external.iter_mut().for_each(later);
        if let Some(until) = &mut self.contested_until {
            later(until);
        }
        self
    }

    /// The API server confirmed the pending action.
    #[must_use]
    pub fn confirm(&self) -> Self {
        self.resolve(true)
    }

    /// The outcome of the pending action is unknown; it counts as an action at its time.
    #[must_use]
    pub fn unknown(&self) -> Self {
        self.resolve(false)
    }

    /// The API server reported that the pending action was not done.
    #[must_use]
    pub fn refuse(&self) -> Self {
        Self {
            pending: None,
            ..self.clone()
        }
    }

    fn resolve(&self, confirmed: bool) -> Self {
        let Some(Pending { from, to, time }) = self.pending else {
            return self.clone();
        };
        let last = LastAction {
            time,
            from,
            to,
            external: false,
            confirmed,
            landed: false,
            settled_after: None,
        };
        Self {
            pending: None,
            last: Some(last),
            expected: Some(to),
            ..self.clone()
        }
    }

    /// The part that a new resource with the same target takes over from the one before it: the
    /// last action (KEEP-28).
    #[must_use]
    pub fn take_over_action(&self) -> Self {
        let done = self.unknown();
        Self {
            version: VERSION,
            last: done.last,
            expected: done.expected,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn version_1() -> Value {
        let time = "2026-11-24T12:00:00Z";
        json!({
            "version": 1, "subject": 7, "sequence": 3, "sleptAt": 36_000,
            "regret": { "wait": 300, "time": time },
            "learnt": {
                "atLeast": { "milli": 150_000, "time": time },
                "regretted": time, "regrets": 2,
                "plateau": { "replicas": 4, "milli": 600_000, "until": time },
            },
        })
    }

    #[test]
    fn version_1_is_read_and_version_2_is_written() {
        let memory: Memory = serde_json::from_value(version_1()).unwrap();
        let memory = memory.readable();
        let time = "2026-11-24T12:00:00Z";
        let version_2 = json!({
            "version": 2, "measurementKey": 7, "sequence": 3, "endsAtZero": 36_000,
            "flapBackoff": { "wait": 300, "time": time },
            "capacityModel": {
                "lowerBound": { "milli": 150_000, "time": time },
                "lastFlap": time, "flaps": 2,
                "bottleneck": { "replicas": 4, "milli": 600_000, "until": time },
            },
        });
        assert_eq!(serde_json::to_value(&memory).unwrap(), version_2);
        let again: Memory = serde_json::from_value(version_2).unwrap();
        assert_eq!(again.readable(), memory);
    }

    #[test]
    fn a_version_of_the_future_is_not_read() {
        let memory = json!({ "version": VERSION + 1, "sequence": 7 });
        let memory: Memory = serde_json::from_value(memory).unwrap();
        assert_eq!(memory.readable(), Memory::default());
    }
}
