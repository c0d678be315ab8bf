//! The lines that are read: the settings of a group, and its observations. Absent fields have
//! defaults. Unknown fields are ignored, so that recordings of a later version can be read.

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
    /// The settings. The first line, and again wherever another group or other settings begin.
    Init(Box<Init>),
    /// What was observed at one moment.
    Observe(Box<Observe>),
    /// The operator's decision on the observation before it. A replay ignores it, or compares it on
    /// request.
    Decided(Box<Answer>),
    /// Nothing follows.
    End,
}

impl Line {
    /// Reads a line.
    pub fn read(text: &str) -> Result<Self, BadLine> {
        serde_json::from_str(text).map_err(|error| BadLine::Format(problem(text, &error)))
    }
}

/// Why a line cannot be used. The message says what to write instead.
#[derive(Debug, Error)]
pub enum BadLine {
    /// Not a line of this format.
    #[error("not a line of this format: {0}")]
    Format(String),
    /// An observation before any settings.
    #[error("the first line has to be an init line, unless --manifest is given")]
    NoInit,
    /// Another version of the format.
    #[error("protocol {0} is not known; this program reads protocol {known}", known = PROTOCOL)]
    Protocol(i64),
    /// The manifest cannot be managed as it is written.
    #[error("manifest: {0}")]
    Manifest(#[from] InvalidSpec),
    /// The settings have no objective.
    #[error("spec: give max_delay_s (1 to 86400) or lag_per_replica (1 or more)")]
    Objective,
    /// Bounds that contradict each other or are out of range.
    #[error(
        "spec: write min_replicas 0 or more, max_replicas 1 or more and not below it, threads 1 or \
         more"
    )]
    Bounds,
    /// Many more partitions than the lines name.
    #[error(
        "topics: {0} partitions, but few of them are named; correct the count or the partition \
         number that is too large"
    )]
    Partitions(usize),
    /// A workload with a negative number of replicas.
    #[error("workload.{field}: {replicas} is not possible; write 0 or more")]
    Replicas {
        /// The field.
        field: &'static str,
        /// Its value.
        replicas: i32,
    },
    /// A time that goes back, or is not a time.
    #[error("t: {0} is earlier than the previous observation, or is not a time")]
    Time(f64),
}

/// What is wrong with a line that cannot be read: the field, and what to write there.
fn problem(text: &str, error: &serde_json::Error) -> String {
    let Ok(line) = serde_json::from_str::<Value>(text) else {
        let words = mistake::words(&error.to_string());
        return format!("not JSON, {words} at column {}", error.column());
    };
    let found = match line.get("type").and_then(Value::as_str) {
        Some("init") => mistake::read::<Init>(&line).map(drop),
        Some("observe") => mistake::read::<Observe>(&line).map(drop),
        Some("decided") => mistake::read::<Answer>(&line).map(drop),
        Some(other) => Err(format!("type: {} is not known", clean(other))),
        None if line.is_object() => Err("type is missing".to_owned()),
        None => Err("write an object".to_owned()),
    };
    // The line itself is read through its type, which reports no more about its fields.
    found.map_or_else(|problem| problem, |()| mistake::words(&error.to_string()))
}

/// The settings of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Init {
    /// Version of the format: [`PROTOCOL`].
    #[serde(default = "protocol")]
    pub protocol: i64,
    /// The settings.
    pub spec: Spec,
    /// The status of the last answer: the memory that survives a restart.
    #[serde(default)]
    pub status: Option<serde_json::Value>,
    /// The same group with other settings, or in another file: the measurements so far are kept.
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
    /// A ConsumerGroup. The other fields are then ignored.
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
    /// `objective.lagPerReplica`. It takes precedence over `max_delay_s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_per_replica: Option<i64>,
    /// `threadsPerReplica`; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<i32>,
    /// `pacing`, as in a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pacing: Option<crate::api::Pacing>,
}

/// What was observed at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Observe {
    /// Seconds; the only clock. It starts anywhere and never goes back.
    pub t: f64,
    /// Number of the poll; equal numbers mean equal data. Default: a new poll on each line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(alias = "look")]
    pub poll: Option<u64>,
    /// When the poll began, in seconds; default `t`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<f64>,
    /// When the last reply arrived, in seconds; default `t`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
    /// The line is complete: topics and partitions that it lacks are gone, and no offset is
    /// corrected.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// The memory before this decision, if it is not the one that the last answer left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Value>,
    /// The workload.
    pub workload: Workload,
    /// Whether Kafka could be read. Otherwise `topics` and `group` are absent.
    #[serde(default = "yes")]
    pub kafka_ok: bool,
    /// With `kafka_ok` false: nothing has been read yet, but nothing has failed either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_yet: bool,
    /// Topics by name.
    #[serde(default)]
    pub topics: BTreeMap<String, TopicLine>,
    /// The group. Absent: its state is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupLine>,
}

fn yes() -> bool {
    true
}

/// The workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Workload {
    /// `spec.replicas`.
    pub spec_replicas: i32,
    /// `status.readyReplicas`.
    pub ready_replicas: i32,
    /// Whether Pods are being replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollout: bool,
}

/// A topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TopicLine {
    /// Its partitions. A partition that could not be read is missing, or has no `log_end`. `null`:
    /// their number is unknown.
    #[serde(default)]
    pub partitions: Option<Vec<PartitionLine>>,
    /// Number of its partitions, if the last ones may be missing above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Its lag does not count; it only affects the partition limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_assigned: bool,
    /// Its records wait on purpose and ask for no replicas.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delayed: bool,
}

/// A partition.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PartitionLine {
    /// Its number.
    pub p: u32,
    /// The first offset that is still kept.
    #[serde(default)]
    pub log_start: Option<i64>,
    /// The offset after the last record.
    #[serde(default)]
    pub log_end: Option<i64>,
    /// Earlier ends, by the timestamps of records: seconds and offset, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<(f64, i64)>,
    /// The committed offset; `null`: nothing is committed. Absent: unknown.
    #[serde(default, skip_serializing_if = "Committed::is_unknown")]
    pub committed: Committed,
}

/// A committed offset: a number, `null`, or absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<i64>", into = "Option<i64>")]
pub enum Committed {
    /// Unknown.
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
    /// `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Assigning`, `Reconciling`, `Empty`
    /// or `Dead`. Any other text means unknown.
    pub state: String,
    /// The assignor. `uniform` also implies KIP-848.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `Classic` or `Consumer` (KIP-848).
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `Eager`, `Cooperative` or `Consumer`, if `protocol` and `type` do not imply it; `""`:
    /// unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<String>,
    /// Its members. Absent: not described.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<MemberLine>>,
    /// How many polls ago the members were described; 0: in this poll.
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
    /// The id that the coordinator gave it.
    pub id: String,
    /// Topic and number of each of its partitions. Empty while a classic group rebalances.
    pub assignment: Vec<(String, u32)>,
    /// Number of its partitions, if `assignment` does not have all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<usize>,
    /// Whether it has a `group.instance.id`.
    #[serde(rename = "static", skip_serializing_if = "std::ops::Not::not")]
    pub is_static: bool,
}
