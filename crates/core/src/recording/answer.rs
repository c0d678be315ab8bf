//! The lines that are written: the decision with its steps, and the memory for the next one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::time::seconds;
use crate::scaling::Memory;
use crate::scaling::decision::{Decision, Verdict};

/// The decision on one observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Seconds, as in the observation.
    pub t: f64,
    /// Replicas to scale to; `null`: hold.
    pub replicas: Option<i32>,
    /// The reason, one of a bounded set: `DelayAboveTarget`, `CoolingDown`, ...
    pub reason: String,
    /// Seconds before which nothing will change, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<f64>,
    /// Replicas that there would be if no gate held the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<i32>,
    /// The partition limit: the most replicas that can be given a partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i32>,
    /// What keeps the desired replicas from being what the load asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
    /// Lag of the partitions that are known, in records.
    pub lag: i64,
    /// Age in seconds of the oldest record that is not committed; only under `maxDelay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_s: Option<f64>,
    /// The steps, in order.
    pub trail: Vec<String>,
    /// The memory that survives a restart, to pass to the next `init`.
    pub status: Memory,
}

impl Answer {
    /// The first field in which another answer differs, with both values.
    pub fn difference(&self, other: &Self) -> Option<(String, Value, Value)> {
        let fields = |answer| match serde_json::to_value(answer) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let (ours, theirs) = (fields(self), fields(other));
        let named = |name: &String| {
            let value = |fields: &Map<_, _>| fields.get(name).cloned().unwrap_or_default();
            (name.clone(), value(&ours), value(&theirs))
        };
        let mut all = ours.keys().chain(theirs.keys()).map(named);
        all.find(|(_, ours, theirs)| ours != theirs)
    }

    /// The decision at `now`, with the memory that `decide` left. The action counts as done.
    pub fn new(now: Timestamp, decision: &Decision, memory: &Memory) -> Self {
        let (replicas, reason, until, status) = match decision.verdict {
            Verdict::Scale { from, to, why } => {
                let done = memory.begin(from, to, now).confirm();
                (Some(to), why.as_str(), None, done)
            }
            Verdict::Hold(wait) => (None, wait.why.as_str(), wait.until, memory.clone()),
        };
        let facts = &decision.facts;
        Self {
            t: seconds(now),
            replicas,
            reason: reason.to_owned(),
            not_before: until.map(seconds),
            desired: facts.desired,
            limit: facts.limit,
            limited_by: decision.limited_by.map(|by| by.as_str().to_owned()),
            lag: facts.lag.total,
            delay_s: facts
                .delay
                .map(|delay| (delay.as_secs_f64() * 10.0).round() / 10.0),
            trail: decision.trail.0.iter().map(ToString::to_string).collect(),
            status,
        }
    }
}
