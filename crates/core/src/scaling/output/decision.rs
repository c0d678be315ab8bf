//! A decision as data: what to do, why, until when, and every number that led to it. Status,
//! events, metrics and logs are rendered from it and compute nothing themselves.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

pub use crate::scaling::measure::estimate::Backlogged;
pub use crate::scaling::measure::history::Knowledge;
pub use crate::scaling::measure::lag::Lag;
pub use crate::scaling::measure::limits::LimitedBy;
pub use crate::scaling::measure::notice::Notice;
use crate::scaling::output::trail::Trail;

/// What to do and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What to do.
    pub verdict: Verdict,
    /// What blocks a scale-up at this moment, whether or not one is wanted (TELL-30). `None`:
    /// nothing.
    pub up_blocked: Option<Wait>,
    /// The bound that keeps the wanted count from being what the lag asks for.
    pub limited_by: Option<LimitedBy>,
    /// The numbers that the decision used.
    pub facts: Facts,
    /// Events since the last decision that are reported once.
    pub notices: Vec<Notice>,
    /// The steps, in order.
    pub trail: Trail,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Change the replicas.
    Scale {
        /// Replicas now.
        from: i32,
        /// Replicas wanted; never equal to `from`.
        to: i32,
        /// Why.
        why: ScaleReason,
    },
    /// Leave them.
    Hold(Wait),
}

/// Why nothing is done, and until when if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Why.
    pub why: HoldReason,
    /// Not before.
    pub until: Option<Timestamp>,
}

impl Wait {
    /// A wait without a known end.
    pub(in crate::scaling) fn open(why: HoldReason) -> Self {
        Self { why, until: None }
    }
}

/// Why the replicas change. `as_str` is the reason in the status and in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleReason {
    /// More lag than `lagPerReplica` allows at this size.
    LagAboveTarget,
    /// Less lag than this size is for, and arrivals that fewer replicas can carry.
    LagBelowTarget,
    /// The predicted delay is above `maxDelay`.
    DelayAboveTarget,
    /// Fewer replicas would have kept the delay calm, for long enough to pay for the rebalance.
    DelayBelowTarget,
    /// A probe by one aligned size, because the capacity of a consumer is unknown.
    ProbingCapacity,
    /// The last scale-up was ineffective.
    ScalingIneffective,
    /// More replicas than can be given a partition.
    PartitionLimit,
    /// More replicas than `maxReplicas`.
    MaxReplicas,
    /// Fewer replicas than `minReplicas`.
    MinReplicas,
    /// Nothing to do for `scaleToZeroDelay`.
    ScaleToZero,
    /// Records to read at zero replicas.
    WakeUp,
    /// Kafka has been unreadable for too long (ACT-11).
    Fallback,
    /// `lagrange.dev/paused-replicas`.
    PausedReplicas,
}

impl ScaleReason {
    /// The reason as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LagAboveTarget => "LagAboveTarget",
            Self::LagBelowTarget => "LagBelowTarget",
            Self::DelayAboveTarget => "DelayAboveTarget",
            Self::DelayBelowTarget => "DelayBelowTarget",
            Self::ProbingCapacity => "ProbingCapacity",
            Self::ScalingIneffective => "ScalingIneffective",
            Self::PartitionLimit => "PartitionLimit",
            Self::MaxReplicas => "MaxReplicas",
            Self::MinReplicas => "MinReplicas",
            Self::ScaleToZero => "ScaleToZero",
            Self::WakeUp => "WakeUp",
            Self::Fallback => "Fallback",
            Self::PausedReplicas => "PausedReplicas",
        }
    }
}

/// Why nothing is done. `as_str` is the reason in the status, in conditions and in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldReason {
    /// The replicas are what they should be.
    AsDesired,
    /// Nothing has been read since the start.
    NotYetObserved,
    /// The lag, or part of it, is unknown.
    LagUnknown,
    /// Too soon after the last action.
    CoolingDown,
    /// The last action has not settled.
    Settling,
    /// The group rebalances, or its state is unknown.
    GroupRebalancing,
    /// A rollout of the workload is in progress.
    RolloutInProgress,
    /// Fewer replicas are ready than wanted.
    ReplicasNotReady,
    /// Replicas are ready and the group has no members.
    GroupMissing,
    /// The last scale-up has brought no member, although its replicas are ready.
    MembersMissing,
    /// A scale-down waits until the load history covers its window.
    GatheringEvidence,
    /// More records arrive than fewer replicas have been measured to carry.
    ArrivalsTooHigh,
    /// Fewer replicas would be enough, but records are late at the moment.
    DelayTooHigh,
    /// Fewer replicas may be enough, but consumers may be processing records that take long, which
    /// would have to be processed again.
    RecordsInHand,
    /// Fewer replicas may be enough, but the group keeps rebalancing for a reason other than its
    /// size.
    RebalancingOften,
    /// Scaled to zero by hand, with `minReplicas` of at least 1 (ACT-8).
    ScalingDisabled,
    /// A pausing annotation.
    Paused,
    /// Something else keeps changing the replicas (ACT-7).
    TargetContested,
}

impl HoldReason {
    /// The reason as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AsDesired => "AsDesired",
            Self::NotYetObserved => "NotYetObserved",
            Self::LagUnknown => "LagUnknown",
            Self::CoolingDown => "CoolingDown",
            Self::Settling => "Settling",
            Self::GroupRebalancing => "GroupRebalancing",
            Self::RolloutInProgress => "RolloutInProgress",
            Self::ReplicasNotReady => "ReplicasNotReady",
            Self::GroupMissing => "GroupMissing",
            Self::MembersMissing => "MembersMissing",
            Self::GatheringEvidence => "GatheringEvidence",
            Self::ArrivalsTooHigh => "ArrivalsTooHigh",
            Self::DelayTooHigh => "DelayTooHigh",
            Self::RecordsInHand => "RecordsInHand",
            Self::RebalancingOften => "RebalancingOften",
            Self::ScalingDisabled => "ScalingDisabled",
            Self::Paused => "Paused",
            Self::TargetContested => "TargetContested",
        }
    }
}

/// The numbers that the decision used.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The target's `spec.replicas` now.
    pub current: i32,
    /// Replicas ready.
    pub ready: i32,
    /// Replicas that this decision would set if nothing blocked it. `None`: unknown.
    pub desired: Option<i32>,
    /// Last known partition limit, in replicas.
    pub limit: Option<i32>,
    /// Last known number of partitions of all counted topics.
    pub partitions: Option<i32>,
    /// The lag of this poll.
    pub lag: Lag,
    /// Whether the lag is known.
    pub knowledge: Knowledge,
    /// Members, as last described.
    pub members: Option<usize>,
    /// Members without a partition; only from a description of a stable group.
    pub idle_members: Option<usize>,
    /// Arrivals of all partitions, in thousandths of a record per second.
    pub produced: Option<i64>,
    /// Consumption of all partitions, in thousandths of a record per second.
    pub consumed: Option<i64>,
    /// Capacity of one consumer, measured or bounded, in thousandths of a record per second.
    pub capacity: Option<i64>,
    /// Age of the oldest record that is not consumed, among partitions that replicas can help.
    pub delay: Option<SignedDuration>,
    /// Its partition.
    pub delay_partition: Option<(Arc<str>, i32)>,
    /// Stuck partitions: lag and an owner, and a commit that does not move.
    pub stuck_partitions: Vec<(Arc<str>, i32)>,
    /// Late partitions whose arrivals alone exceed the capacity of one consumer.
    pub hot_partitions: Vec<(Arc<str>, i32)>,
    /// Under `lagPerReplica`: partitions whose backlog no size shortens, if the lag asks for more
    /// replicas.
    pub backlogged: Backlogged,
    /// The size of the present bottleneck, beyond which nothing is gained.
    pub bottleneck: Option<i32>,
    /// A settling, a rebalance or a rollout that has taken longer than `settleTimeout`, and since
    /// when.
    pub overdue: Option<Overdue>,
    /// Ready replicas and a group without members, for longer than `settleTimeout` (ACT-4).
    pub group_missing: bool,
    /// The last scale-up has brought no member, although its replicas are ready.
    pub members_missing: bool,
    /// Members that do not belong to the target and take partitions of what it reads.
    pub foreign_members: usize,
    /// Rebalances of the last ten minutes that neither an action nor a rollout explains, if there
    /// are too many.
    pub rebalances: Option<usize>,
    /// Partitions that are read and have no commit, so that their lag is unknown.
    pub uncommitted: usize,
    /// Since when, if the whole group has committed nothing.
    pub nothing_committed: Option<Timestamp>,
    /// Whether the next poll should describe the members (KNOW-22).
    pub wants_members: bool,
    /// Replicas that the load needs, before any bound.
    pub asked: Option<i32>,
    /// A partition whose commit is past its log end.
    pub past_end: Option<(Arc<str>, i32)>,
    /// Key and value of a pausing annotation that cannot be interpreted.
    pub not_understood: Option<(String, String)>,
}

impl Facts {
    /// Capacity of one replica with `threads` consumers, in thousandths of a record per second.
    pub fn capacity_of_replica(&self, threads: i32) -> Option<i64> {
        self.capacity
            .map(|milli| milli.saturating_mul(i64::from(threads)))
    }
}

/// Something that takes longer than `settleTimeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// What.
    pub what: HoldReason,
    /// Since when.
    pub since: Timestamp,
}
