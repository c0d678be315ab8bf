//! The lines that are read: what is asked of a group, and what was seen of it. Fields that are
//! absent have defaults; fields that are not known are ignored, so that a later version's
//! recordings can be read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::answer::Answer;
use crate::api::ConsumerGroup;
use crate::intent::InvalidSpec;
use crate::text::{clean, mistake};

/// Version of the format.
pub const PROTOCOL: i64 = 1;

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Line {
    /// What the group is sized for. The first line, and again where another group or setting
    /// begins.
    Init(Box<Init>),
    /// What was seen at one moment.
    Observe(Box<Observe>),
    /// What the operator decided on the observation before. Says nothing to a decision; held
    /// against one on request.
    Decided(Box<Answer>),
    /// Nothing more will come.
    End,
}

impl Line {
    /// Reads a line.
    pub fn read(text: &str) -> Result<Self, BadLine> {
        serde_json::from_str(text).map_err(|error| BadLine::Format(problem(text, &error)))
    }
}

/// Why a line cannot be used. The text says what to write instead.
#[derive(Debug, Error)]
pub enum BadLine {
    /// Not a line of this format.
    #[error("not a line of this format: {0}")]
    Format(String),
    /// An observation before the settings.
    #[error("the first line has to be an init line, unless --manifest is given")]
    NoInit,
    /// A format of another version.
    #[error("protocol {0} is not known; this program reads protocol {known}", known = PROTOCOL)]
    Protocol(i64),
    /// The manifest cannot be managed as it is written.
    #[error("manifest: {0}")]
    Manifest(#[from] InvalidSpec),
    /// Nothing says what to size for.
    #[error("spec: give max_delay_s (1 to 86400) or lag_per_replica (1 or more)")]
    Objective,
    /// Bounds that make no sense.
    #[error(
        "spec: min_replicas 0 or more, max_replicas 1 or more and not below it, threads 1 or more"
    )]
    Bounds,
    /// Many more partitions than are named.
    #[error(
        "topics: {0} partitions, and few of them are named; correct a count or number that no topic has"
    )]
    Partitions(usize),
    /// A workload of fewer replicas than none.
    #[error("workload.{field}: {replicas} is not possible; write 0 or more")]
    Replicas {
        /// Which count.
        field: &'static str,
        /// What it says.
        replicas: i32,
    },
    /// A time that goes back, or is none.
    #[error("t: {0} comes before the observation before it, or is no time")]
    Time(f64),
}

/// What is wrong with a line that cannot be read: in which field, and what to write there.
fn problem(text: &str, error: &serde_json::Error) -> String {
    let Ok(line) = serde_json::from_str::<Value>(text) else {
        let words = mistake::words(&error.to_string());
        return format!("no JSON, {words} at column {}", error.column());
    };
    let found = match line.get("type").and_then(Value::as_str) {
        Some("init") => mistake::read::<Init>(&line).map(drop),
        Some("observe") => mistake::read::<Observe>(&line).map(drop),
        Some("decided") => mistake::read::<Answer>(&line).map(drop),
        Some(other) => Err(format!("type: {} is not known", clean(other))),
        None if line.is_object() => Err("type is missing".to_owned()),
        None => Err("write an object".to_owned()),
    };
    // A line is read by way of its type, which does not know the fields any better.
    found.map_or_else(|problem| problem, |()| mistake::words(&error.to_string()))
}

/// What the group is sized for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Init {
    /// Version of the format: [`PROTOCOL`].
    #[serde(default = "protocol")]
    pub protocol: i64,
    /// The settings.
    pub spec: Spec,
    /// What the last answer gave as its status: the memory that survives a restart.
    #[serde(default)]
    pub status: Option<serde_json::Value>,
    /// The same group with other settings, or in another file: what has been seen before stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
}

fn protocol() -> i64 {
    PROTOCOL
}

/// The settings: a whole manifest, or the few numbers that matter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// A ConsumerGroup. With it, no other field counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Box<ConsumerGroup>>,
    /// `minReplicas`; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,
    /// `maxReplicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// `objective.maxDelay` in seconds. One of this and `lag_per_replica`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay_s: Option<f64>,
    /// `objective.lagPerReplica`; goes before `max_delay_s` if both are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_per_replica: Option<i64>,
    /// `threadsPerReplica`; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<i32>,
    /// `pacing`, as in a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pacing: Option<crate::api::Pacing>,
}

/// What was seen at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Observe {
    /// Seconds; the only clock. Counted from anywhere, never back.
    pub t: f64,
    /// Number of the look; equal numbers saw equal data. Default: another look on each line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<u64>,
    /// When the look began, in seconds; default `t`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<f64>,
    /// When the last reply arrived, in seconds; default `t`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
    /// The line says all that there is: topics and partitions that it lacks are gone, and no offset
    /// is put right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// The memory before this decision, where it is not what the last answer left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Value>,
    /// The workload.
    pub workload: Workload,
    /// Whether Kafka could be read; else `topics` and `group` are absent.
    #[serde(default = "yes")]
    pub kafka_ok: bool,
    /// With `kafka_ok` false: nothing has been read yet, and nothing has failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_yet: bool,
    /// Topics by name.
    #[serde(default)]
    pub topics: BTreeMap<String, TopicLine>,
    /// The group. Absent: its state is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupLine>,
}

fn yes() -> bool {
    true
}

/// The workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Workload {
    /// Replicas wanted.
    pub spec_replicas: i32,
    /// Replicas ready.
    pub ready_replicas: i32,
    /// Pods are being replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollout: bool,
}

/// A topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TopicLine {
    /// Its partitions. One that could not be read is missing, or has no `log_end`. `null`: how many
    /// there are is not known.
    #[serde(default)]
    pub partitions: Option<Vec<PartitionLine>>,
    /// How many it has, where the last ones may be missing above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Its lag does not count; it bears on the partition limit alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_assigned: bool,
    /// Its records wait on purpose: they ask for no replicas.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delayed: bool,
}

/// A partition.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PartitionLine {
    /// Its number.
    pub p: u32,
    /// First offset still kept.
    #[serde(default)]
    pub log_start: Option<i64>,
    /// One past the last record.
    #[serde(default)]
    pub log_end: Option<i64>,
    /// Ends at earlier times, in seconds, oldest first, by the timestamps of records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<(f64, i64)>,
    /// What the group has committed; `null`: nothing. Absent where that is not known.
    #[serde(default, skip_serializing_if = "Committed::is_unknown")]
    pub committed: Committed,
}

/// A committed offset: a number, `null`, or absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<i64>", into = "Option<i64>")]
pub enum Committed {
    /// Not known.
    #[default]
    Unknown,
    /// Nothing is committed.
    Nothing,
    /// At this offset.
    At(i64),
}

impl Committed {
    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

impl From<Option<i64>> for Committed {
    fn from(offset: Option<i64>) -> Self {
        offset.map_or(Self::Nothing, Self::At)
    }
}

impl From<Committed> for Option<i64> {
    fn from(committed: Committed) -> Self {
        match committed {
            Committed::At(offset) => Some(offset),
            Committed::Nothing | Committed::Unknown => None,
        }
    }
}

/// The group.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupLine {
    /// `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Assigning`, `Reconciling`, `Empty`,
    /// `Dead`; anything else is not known.
    pub state: String,
    /// The assignor; `uniform` also says KIP-848.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `Classic` or `Consumer` (KIP-848).
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `Eager`, `Cooperative` or `Consumer`, where that is not what `protocol` and `type` say;
    /// `""`: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<String>,
    /// Its members. Absent: not described.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<MemberLine>>,
    /// How many looks ago the members were described; 0: in this one.
    #[serde(skip_serializing_if = "is_zero")]
    pub described_before: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A member.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberLine {
    /// The coordinator's id for it.
    pub id: String,
    /// Topic and number of each of its partitions; empty while a classic group rebalances.
    pub assignment: Vec<(String, u32)>,
    /// How many partitions it has, where those are not all in `assignment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<usize>,
    /// It has a `group.instance.id`.
    #[serde(rename = "static", skip_serializing_if = "std::ops::Not::not")]
    pub is_static: bool,
}
