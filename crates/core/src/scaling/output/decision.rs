//! A decision as data: what to do, why, until when, and every number on the way. Status, events,
//! metrics and logs are rendered from it; none of them computes again.

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
    /// What stands in the way of a scale-up at this moment, wanted or not (TELL-30). `None`:
    /// nothing.
    pub up_blocked: Option<Wait>,
    /// What keeps the wanted count from being what the lag asks for.
    pub limited_by: Option<LimitedBy>,
    /// The numbers that were decided on.
    pub facts: Facts,
    /// What happened since the last decision that a user should be told once.
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
    /// Less lag than this size is for, and arrivals that fewer can take.
    LagBelowTarget,
    /// The delay that is predicted passes `maxDelay`.
    DelayAboveTarget,
    /// Fewer replicas would have kept the delay calm, for long enough to pay for the rebalance.
    DelayBelowTarget,
    /// A careful step down, because nobody knows yet what one consumer can do.
    ProbingCapacity,
    /// The last scale-up brought nothing.
    ScalingIneffective,
    /// More replicas than can be given a partition.
    PartitionLimit,
    /// More replicas than `maxReplicas`.
    MaxReplicas,
    /// Fewer replicas than `minReplicas`.
    MinReplicas,
    /// Nothing to do for `scaleToZeroDelay`.
    ScaleToZero,
    /// Something to read while asleep.
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
    /// The lag, or part of it, is not known.
    LagUnknown,
    /// Too soon after the last action.
    CoolingDown,
    /// The last action has not settled.
    Settling,
    /// The group rebalances, or its state is not known.
    GroupRebalancing,
    /// The workload rolls out.
    RolloutInProgress,
    /// Fewer replicas are ready than wanted.
    ReplicasNotReady,
    /// Replicas are ready and the group has no members.
    GroupMissing,
    /// The last scale-up has brought no member, though its replicas are ready.
    MembersMissing,
    /// A scale-down waits for evidence that covers its window.
    GatheringEvidence,
    /// The arrivals are more than fewer replicas have been seen to take.
    ArrivalsTooHigh,
    /// Fewer replicas would do, but records wait for too long at this moment.
    DelayTooHigh,
    /// Fewer replicas might do, but consumers may have records in hand that take long, and would do
    /// them again.
    RecordsInHand,
    /// Fewer replicas might do, but the group keeps handing out its partitions anew, and not
    /// because of its size.
    RebalancingOften,
    /// Scaled to zero by hand, with `minReplicas` of at least 1 (ACT-8).
    ScalingDisabled,
    /// A pausing annotation.
    Paused,
    /// Somebody else keeps changing the replicas (ACT-7).
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

/// The numbers that were decided on.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Replicas wanted by the target now.
    pub current: i32,
    /// Replicas ready.
    pub ready: i32,
    /// Replicas that this decision would have, were nothing in the way. `None`: cannot be said.
    pub desired: Option<i32>,
    /// Most replicas that can be given a partition, as last known.
    pub limit: Option<i32>,
    /// Partitions of all topics that count, as last known.
    pub partitions: Option<i32>,
    /// The lag of this look.
    pub lag: Lag,
    /// Whether the lag is known.
    pub knowledge: Knowledge,
    /// Members, as last described.
    pub members: Option<usize>,
    /// Members without a partition; only of a description of a stable group.
    pub idle_members: Option<usize>,
    /// Arrivals of all partitions, in thousandths of a record per second.
    pub produced: Option<i64>,
    /// Consumption of all partitions, in thousandths of a record per second.
    pub consumed: Option<i64>,
    /// What one consumer can do, measured or bracketed, in thousandths of a record per second.
    pub capacity: Option<i64>,
    /// Age of the oldest record that is not consumed and that replicas can help.
    pub delay: Option<SignedDuration>,
    /// Its partition.
    pub delay_partition: Option<(Arc<str>, i32)>,
    /// Partitions that do not move although they have lag and an owner.
    pub stuck_partitions: Vec<(Arc<str>, i32)>,
    /// Late partitions whose arrivals alone are more than one consumer can do.
    pub hot_partitions: Vec<(Arc<str>, i32)>,
    /// Under `lagPerReplica`: partitions whose backlog no size shortens, where the lag asks for
    /// more replicas.
    pub backlogged: Backlogged,
    /// The size beyond which nothing is gained, while that is believed.
    pub bottleneck: Option<i32>,
    /// A settling, a rebalance or a rollout that has taken longer than `settleTimeout`: since when.
    pub overdue: Option<Overdue>,
    /// Ready replicas and a group without members, for longer than `settleTimeout` (ACT-4).
    pub group_missing: bool,
    /// The last scale-up has brought no member, though its replicas are ready.
    pub members_missing: bool,
    /// Members that are not of the target, and take partitions of what it reads.
    pub foreign_members: usize,
    /// Rebalances of the last ten minutes that neither an action nor a rollout explains, where they
    /// are many.
    pub rebalances: Option<usize>,
    /// Partitions that are read and have no commit, so that their lag is not known.
    pub uncommitted: usize,
    /// The same, where nothing at all has been committed: since when.
    pub nothing_committed: Option<Timestamp>,
    /// Whether the next look should describe the members (KNOW-22).
    pub wants_members: bool,
    /// Replicas that the load asks for, before any bound.
    pub asked: Option<i32>,
    /// A partition whose commit lies past its end.
    pub past_end: Option<(Arc<str>, i32)>,
    /// Key and value of a pausing annotation that cannot be interpreted.
    pub not_understood: Option<(String, String)>,
}

impl Facts {
    /// What one replica of so many threads can do, in thousandths of a record per second.
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
