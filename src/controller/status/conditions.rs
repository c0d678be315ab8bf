//! The conditions of a ConsumerGroup, derived from a decision (KNOW-16 and TELL-30). Pure: decides
//! nothing itself.

mod healthy;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use lagrange_core::api::condition::{self, Finding, Reason, Status, Type};
use lagrange_core::intent::topics::TopicPattern;
use lagrange_core::scaling::Decision;
use lagrange_core::scaling::decision::{HoldReason, Knowledge, LimitedBy, Wait};
use lagrange_core::scaling::trail::Step;

use super::format::clock;
use crate::controller::kube::error::Problem;
use crate::controller::ownership;
use healthy::{healthy, no_member_joined};

/// The present state of a condition; `None`: it stays as it was.
type Said = Option<Finding>;

/// How the latest poll of the cluster went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum PollHealth {
    /// A broker answered, perhaps not every request.
    Answered,
    /// No broker answered.
    Failing,
    /// There has been no poll for too long.
    Silent,
}

/// The input of the conditions.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct ConditionInput<'a> {
    pub(in crate::controller) decision: &'a Decision,
    /// The problem that keeps Kafka from being read, once it lasts.
    pub(in crate::controller) trouble: Option<&'a Problem>,
    /// Why Kafka is read with the previous credentials: the present ones are unusable.
    pub(in crate::controller) stale: Option<&'a str>,
    /// Why a decided action was refused.
    pub(in crate::controller) refusal: Option<&'a Problem>,
    /// How the latest poll went.
    pub(in crate::controller) polls: PollHealth,
    /// The group id, if a ConsumerGroup of another namespace manages that group, too.
    pub(in crate::controller) beside: Option<&'a str>,
    /// Whether members have been without a partition for more than one poll.
    pub(in crate::controller) idle_lasts: bool,
    /// Members have a `group.instance.id`, and the target gives every Pod a new name.
    pub(in crate::controller) fleeting_instances: bool,
    /// `mode: DryRun`.
    pub(in crate::controller) dry_run: bool,
    /// `delayedTopicPattern`, if it matches none of `topics`.
    pub(in crate::controller) unmatched: Option<&'a TopicPattern>,
}

/// The conditions to write.
pub(in crate::controller) fn of(
    found: ConditionInput<'_>,
    previous: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let findings = [
        (Type::Ready, ready(found)),
        (Type::LagKnown, lag_known(found)),
        (Type::AbleToScale, Some(able_to_scale(found))),
        (Type::ScalingLimited, scaling_limited(found.decision)),
        (Type::Healthy, healthy(found)),
    ];
    findings
        .into_iter()
        .flat_map(|(condition, said)| {
            if said.is_none()
                && let Some(kept) = condition::find(previous, condition)
            {
                return vec![Condition {
                    observed_generation: generation,
                    ..kept.clone()
                }];
            }
            let said = said.unwrap_or_else(|| Finding::not_yet_observed(condition));
            condition::merge(previous, &[said], generation, now)
        })
        .collect()
}

/// The conditions of a group that is not managed at present.
pub(in crate::controller) fn of_problem(
    problem: &Problem,
    previous: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let findings = Type::OF_CONSUMER_GROUP.map(|condition| match condition {
        Type::Ready => say(condition, Status::False, problem.reason, &*problem.message),
        other => Finding::not_yet_observed(other),
    });
    condition::merge(previous, &findings, generation, now)
}

fn say(condition: Type, status: Status, reason: Reason, message: impl Into<String>) -> Finding {
    Finding {
        condition,
        status,
        reason,
        message: message.into(),
    }
}

fn ready(found: ConditionInput<'_>) -> Said {
    let contested = |wait: Wait| wait.why == HoldReason::TargetContested;
    if let Some(problem) = found.refusal.or(found.trouble) {
        return Some(say(
            Type::Ready,
            Status::False,
            problem.reason,
            &*problem.message,
        ));
    }
    if let Some(Wait { until, .. }) = found.decision.up_blocked.filter(|wait| contested(*wait)) {
        let until = until.map(clock).unwrap_or_default();
        return Some(say(
            Type::Ready,
            Status::False,
            Reason::TargetContested,
            format!(
                "something else keeps changing the replicas: leave them to Lagrange (remove replicas from the manifest), or delete this resource; held until {until}"
            ),
        ));
    }
    match found.decision.facts.knowledge {
        Knowledge::NotYet => Some(Finding::not_yet_observed(Type::Ready)),
        Knowledge::Complete | Knowledge::Missing { lasting: true, .. } => {
            let but = match (found.stale, found.beside) {
                (Some(why), _) => format!("Kafka is still read with the previous credentials: {why}"),
                (None, Some(group)) => ownership::beside(group),
                (None, None) if found.unmatched.is_some() => {
                    "delayedTopicPattern matches none of topics, so no topic is left out: correct it, or remove it".to_owned()
                }
                (None, None) => String::new(),
            };
            Some(say(Type::Ready, Status::True, Reason::Managed, but))
        }
        Knowledge::Missing { lasting: false, .. } => None,
    }
}

fn lag_known(found: ConditionInput<'_>) -> Said {
    let facts = &found.decision.facts;
    match facts.knowledge {
        Knowledge::NotYet => Some(Finding::not_yet_observed(Type::LagKnown)),
        Knowledge::Complete => Some(say(
            Type::LagKnown,
            Status::True,
            Reason::AllPartitionsRead,
            "",
        )),
        Knowledge::Missing { lasting: false, .. } => None,
        Knowledge::Missing {
            since,
            lasting: true,
        } => {
            let since = clock(since);
            let (reason, message) = match found.trouble {
                Some(problem) => (
                    if found.polls == PollHealth::Failing {
                        Reason::KafkaUnreachable
                    } else {
                        Reason::PartitionsUnreadable
                    },
                    format!("not read since {since}: {}", problem.message),
                ),
                None if found.polls == PollHealth::Silent => (
                    Reason::Stale,
                    format!("no poll of Kafka since {since}; the size is held"),
                ),
                None if facts.nothing_committed.is_some() => (
                    Reason::NothingCommitted,
                    format!(
                        "records are read since {since}, and the group has committed nothing: the lag is only seen in offsets that are committed to Kafka. Commit them, or scale this group by something else; the size is held"
                    ),
                ),
                None => (
                    Reason::PartitionsUnreadable,
                    unreadable(found.decision, &since),
                ),
            };
            Some(say(Type::LagKnown, Status::False, reason, message))
        }
    }
}

fn unreadable(decision: &Decision, since: &str) -> String {
    let lag = &decision.facts.lag;
    if let Some((topic, partition)) = decision.facts.past_end.clone() {
        return Step::CommitPastEnd { topic, partition }.to_string();
    }
    if lag.unknown_partitions.is_empty() {
        return format!("the group or its topics cannot be read since {since}; the size is held");
    }
    let names: Vec<String> = lag
        .unknown_partitions
        .iter()
        .take(3)
        .map(|(topic, partition)| format!("{topic}-{partition}"))
        .collect();
    let why = match usize::try_from(lag.unknown) {
        Ok(unknown) if unknown == decision.facts.uncommitted => {
            format!("read since {since} without a commit")
        }
        _ => format!("not readable since {since}"),
    };
    format!(
        "{} {why}: {}{}; unknown is not zero, so no scale-down",
        match lag.unknown {
            1 => "1 partition".to_owned(),
            n => format!("{n} partitions"),
        },
        names.join(", "),
        if lag.unknown_partitions.len() > names.len() {
            ", ..."
        } else {
            ""
        }
    )
}

fn able_to_scale(found: ConditionInput<'_>) -> Finding {
    let able = |status, reason, message: String| say(Type::AbleToScale, status, reason, message);
    if found.dry_run {
        return able(
            Status::False,
            Reason::DryRun,
            "mode: DryRun decides and reports, and changes nothing".to_owned(),
        );
    }
    let Some(Wait { why, until }) = found.decision.up_blocked else {
        return able(Status::True, Reason::ReadyForNewScale, String::new());
    };
    let until = until.map(clock);
    let before = |what: &str| match &until {
        Some(until) => format!("{what}; until {until} at the latest"),
        None => what.to_owned(),
    };
    let (reason, message) = match why {
        HoldReason::NotYetObserved | HoldReason::GatheringEvidence => {
            return able(Status::Unknown, Reason::NotYetObserved, String::new());
        }
        HoldReason::CoolingDown => (
            Reason::CoolingDown,
            match until {
                Some(until) => format!("the next scale-up may come at {until}"),
                None => String::new(),
            },
        ),
        HoldReason::Settling => (
            Reason::CoolingDown,
            before("waiting for the last action to settle"),
        ),
        HoldReason::TargetContested => (
            Reason::CoolingDown,
            before("no action, because something else keeps changing the replicas"),
        ),
        HoldReason::GroupRebalancing => {
            (Reason::GroupRebalancing, before("the group is rebalancing"))
        }
        HoldReason::RolloutInProgress => (
            Reason::RolloutInProgress,
            before("the workload replaces its pods"),
        ),
        HoldReason::ReplicasNotReady => {
            let (ready, current) = (found.decision.facts.ready, found.decision.facts.current);
            (
                Reason::ReplicasNotReady,
                match until {
                    Some(_) => before(&format!("{ready} of {current} replicas are ready")),
                    None => format!(
                        "{ready} of {current} replicas are ready, and none that the last scale-up added: check the target's Pods"
                    ),
                },
            )
        }
        HoldReason::MembersMissing => (Reason::MembersMissing, no_member_joined(found.decision)),
        HoldReason::GroupMissing => (
            Reason::ReplicasNotReady,
            "replicas are ready, and none of them has joined the group".to_owned(),
        ),
        HoldReason::LagUnknown
        | HoldReason::AsDesired
        | HoldReason::ArrivalsTooHigh
        | HoldReason::DelayTooHigh
        | HoldReason::RecordsInHand
        | HoldReason::RebalancingOften => (
            Reason::LagUnknown,
            "no scale-up on a lag that is not known".to_owned(),
        ),
        HoldReason::ScalingDisabled => (
            Reason::ScalingDisabled,
            "the target was scaled to 0 by hand: scale it to 1 or more to resume autoscaling"
                .to_owned(),
        ),
        HoldReason::Paused => (Reason::Paused, paused(found.decision)),
    };
    able(Status::False, reason, message)
}

fn paused(decision: &Decision) -> String {
    match decision.facts.not_understood.clone() {
        Some((annotation, value)) => Step::NotUnderstood { annotation, value }.to_string(),
        None => "an annotation lagrange.dev/paused... holds the size".to_owned(),
    }
}

fn scaling_limited(decision: &Decision) -> Said {
    let limited =
        |status, reason, message: String| Some(say(Type::ScalingLimited, status, reason, message));
    let Some(by) = decision.limited_by else {
        return match (decision.facts.desired, decision.facts.knowledge) {
            (Some(_), _) => limited(Status::False, Reason::DesiredWithinRange, String::new()),
            (None, Knowledge::NotYet) => Some(Finding::not_yet_observed(Type::ScalingLimited)),
            (None, _) => None,
        };
    };
    let limit = decision.facts.limit.unwrap_or_default();
    let wants = decision.facts.asked.map_or_else(String::new, |asked| {
        format!("the load asks for {asked} replicas; ")
    });
    match by {
        LimitedBy::PartitionLimit => limited(
            Status::True,
            Reason::PartitionLimit,
            format!(
                "{wants}the partitions can feed {limit}. More partitions would allow more, and move keys between partitions: order per key is not kept across that change"
            ),
        ),
        LimitedBy::MaxReplicas => limited(
            Status::True,
            Reason::MaxReplicas,
            format!("{wants}maxReplicas allows fewer: raise it if the group should grow"),
        ),
        LimitedBy::MinReplicas => limited(
            Status::True,
            Reason::MinReplicas,
            format!("{wants}minReplicas keeps more"),
        ),
    }
}
