//! The user's settings, already validated: no value in here can be malformed.

use jiff::SignedDuration;

use crate::scaling::tuning::SharedTuning;

/// The user's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// A number for group, cluster, target, objective and thread count together: when it changes,
    /// measurements are dropped and the last action is kept (KEEP-28).
    pub measurement_key: i64,
    /// Fewest replicas, >= 0.
    pub min: i32,
    /// Most replicas, >= `min` and >= 1; the partition limit applies as well.
    pub max: Option<i32>,
    /// The objective.
    pub objective: Objective,
    /// The least times between actions.
    pub pacing: Pacing,
    /// Consumers that one replica runs, >= 1.
    pub threads: i32,
    /// How a partition without a committed offset counts.
    pub offset_reset: OffsetReset,
    /// Whether the log may hold transaction markers, which the consumers never read: they read only
    /// committed records.
    pub may_hold_markers: bool,
    /// Nothing is written, so changes of the replicas by others are no contest.
    pub dry_run: bool,
    /// Floor while Kafka cannot be read.
    pub fallback: Option<Fallback>,
    /// The pausing annotations (ACT-10).
    pub pauses: Pauses,
    /// The numbers that users do not set.
    pub tuning: SharedTuning,
}

/// The objective of scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// Lag in records per replica, >= 1, as KEDA's `lagThreshold`.
    LagPerReplica(i64),
    /// No record waits longer than this; 1 s to 24 h.
    MaxDelay(SignedDuration),
}

/// Least times between actions. All of them are positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// Between any two actions, in either direction.
    pub min_interval: SignedDuration,
    /// From any action to a scale-down; also the least window of load history for a scale-down.
    pub min_scale_down_interval: SignedDuration,
    /// How long an action, a rebalance or a rollout is waited for.
    pub settle_timeout: SignedDuration,
    /// How long nothing may arrive or be unread before a group is scaled to zero.
    pub scale_to_zero_delay: SignedDuration,
}

/// `auto.offset.reset` of the consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    /// They begin at the end: a partition without a commit has nothing to read yet.
    Latest,
    /// They begin at the log start: all of it is unread.
    Earliest,
}

/// Floor while Kafka cannot be read (ACT-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback {
    /// Raise to this many replicas, >= 1.
    pub replicas: i32,
    /// After this time without a complete poll.
    pub after: SignedDuration,
}

/// The values of the pausing annotations (ACT-10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// Hold everything, possibly at a given size.
    pub pause: Option<Pause>,
    /// No scale-down.
    pub no_scale_in: bool,
    /// No scale-up.
    pub no_scale_out: bool,
}

/// Why everything is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pause {
    /// `paused: "true"`.
    AtCurrentSize,
    /// `paused-replicas: "n"`: one action to n, then hold. 0 <= n <= `max`.
    At(i32),
    /// An annotation with a value that is not understood: paused, and reported.
    NotUnderstood {
        /// The annotation's key.
        annotation: String,
        /// Its value, cut to a readable length.
        value: String,
    },
}
