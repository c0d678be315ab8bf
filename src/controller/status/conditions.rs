//! The conditions of a ConsumerGroup, read off a decision (KNOW-16 and TELL-30). Pure: decides
//! nothing again.

mod healthy;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use lagrange_core::api::condition::{self, reasons::NOT_YET_OBSERVED};
use lagrange_core::api::condition::{Finding, Status, reasons, types};
use lagrange_core::scaling::Decision;
use lagrange_core::scaling::decision::{HoldReason, Knowledge, LimitedBy, Wait};
use lagrange_core::scaling::trail::Step;

use super::format::clock;
use crate::controller::kube::error::Problem;
use crate::controller::ownership;
use healthy::{healthy, nobody_joined};

/// What a condition says now; `None`: what it said before.
type Said = Option<Finding>;

/// How the latest look at the cluster went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Looks {
    /// A broker answered, perhaps not all that was asked.
    Answered,
    /// None did.
    Failing,
    /// There has been no look for too long.
    Silent,
}

/// What the conditions are read off.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct Found<'a> {
    pub(in crate::controller) decision: &'a Decision,
    /// What keeps Kafka from being read, once it lasts.
    pub(in crate::controller) trouble: Option<&'a Problem>,
    /// Why Kafka is read with the credentials before: those of now are of no use.
    pub(in crate::controller) stale: Option<&'a str>,
    /// Why the target was not scaled when it was to be.
    pub(in crate::controller) refusal: Option<&'a Problem>,
    /// How the latest look went.
    pub(in crate::controller) looks: Looks,
    /// The group id, if a ConsumerGroup of another namespace manages that group, too.
    pub(in crate::controller) beside: Option<&'a str>,
    /// Whether members have been without a partition for more than one look.
    pub(in crate::controller) idle_lasts: bool,
    /// Members have a `group.instance.id`, and the target gives every Pod a new name.
    pub(in crate::controller) fleeting_instances: bool,
    /// `mode: DryRun`.
    pub(in crate::controller) dry_run: bool,
}

/// The conditions to write.
pub(in crate::controller) fn of(
    found: Found<'_>,
    previous: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let findings = [
        (types::READY, ready(found)),
        (types::LAG_KNOWN, lag_known(found)),
        (types::ABLE_TO_SCALE, Some(able_to_scale(found))),
        (types::SCALING_LIMITED, scaling_limited(found.decision)),
        (types::HEALTHY, healthy(found)),
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
    let findings = types::OF_CONSUMER_GROUP.map(|condition| match condition {
        types::READY => say(condition, Status::False, problem.reason, &*problem.message),
        other => Finding::not_yet_observed(other),
    });
    condition::merge(previous, &findings, generation, now)
}

fn say(
    condition: &'static str,
    status: Status,
    reason: &'static str,
    message: impl Into<String>,
) -> Finding {
    Finding {
        condition,
        status,
        reason,
        message: message.into(),
    }
}

fn ready(found: Found<'_>) -> Said {
    let contested = |wait: Wait| wait.why == HoldReason::TargetContested;
    if let Some(problem) = found.refusal.or(found.trouble) {
        return Some(say(
            types::READY,
            Status::False,
            problem.reason,
            &*problem.message,
        ));
    }
    if let Some(Wait { until, .. }) = found.decision.up_blocked.filter(|wait| contested(*wait)) {
        let until = until.map(clock).unwrap_or_default();
        return Some(say(
            types::READY,
            Status::False,
            reasons::TARGET_CONTESTED,
            format!(
                "somebody else keeps changing the replicas: leave them to Lagrange (drop replicas from the manifest), or delete this resource; held until {until}"
            ),
        ));
    }
    match found.decision.facts.knowledge {
        Knowledge::NotYet => Some(Finding::not_yet_observed(types::READY)),
        Knowledge::Complete | Knowledge::Missing { lasting: true, .. } => {
            let but = match (found.stale, found.beside) {
                (Some(why), _) => format!("Kafka is still read with the credentials before: {why}"),
                (None, Some(group)) => ownership::beside(group),
                (None, None) => String::new(),
            };
            Some(say(types::READY, Status::True, reasons::MANAGED, but))
        }
        Knowledge::Missing { lasting: false, .. } => None,
    }
}

fn lag_known(found: Found<'_>) -> Said {
    let facts = &found.decision.facts;
    match facts.knowledge {
        Knowledge::NotYet => Some(Finding::not_yet_observed(types::LAG_KNOWN)),
        Knowledge::Complete => Some(say(
            types::LAG_KNOWN,
            Status::True,
            reasons::ALL_PARTITIONS_READ,
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
                    if found.looks == Looks::Failing {
                        reasons::KAFKA_UNREACHABLE
                    } else {
                        reasons::PARTITIONS_UNREADABLE
                    },
                    format!("not read since {since}: {}", problem.message),
                ),
                None if found.looks == Looks::Silent => (
                    reasons::STALE,
                    format!("no look at Kafka since {since}; the size is held"),
                ),
                None if facts.nothing_committed.is_some() => (
                    reasons::NOTHING_COMMITTED,
                    format!(
                        "records are read since {since}, and the group has committed nothing: the lag is only seen in offsets that are committed to Kafka. Commit them, or scale this group by something else; the size is held"
                    ),
                ),
                None => (
                    reasons::PARTITIONS_UNREADABLE,
                    unreadable(found.decision, &since),
                ),
            };
            Some(say(types::LAG_KNOWN, Status::False, reason, message))
        }
    }
}

fn unreadable(decision: &Decision, since: &str) -> String {
    let lag = &decision.facts.lag;
    let past_end = decision.trail.0.iter().find_map(|step| match step {
        Step::CommitPastEnd { .. } => Some(step.to_string()),
        _ => None,
    });
    if let Some(past_end) = past_end {
        return past_end;
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

fn able_to_scale(found: Found<'_>) -> Finding {
    let able = |status, reason, message: String| say(types::ABLE_TO_SCALE, status, reason, message);
    if found.dry_run {
        return able(
            Status::False,
            reasons::DRY_RUN,
            "mode: DryRun decides and reports, and changes nothing".to_owned(),
        );
    }
    let Some(Wait { why, until }) = found.decision.up_blocked else {
        return able(Status::True, reasons::READY_FOR_NEW_SCALE, String::new());
    };
    let until = until.map(clock);
    let before = |what: &str| match &until {
        Some(until) => format!("{what}; until {until} at the latest"),
        None => what.to_owned(),
    };
    let (reason, message) = match why {
        HoldReason::NotYetObserved | HoldReason::GatheringEvidence => {
            return able(Status::Unknown, NOT_YET_OBSERVED, String::new());
        }
        HoldReason::CoolingDown => (
            reasons::COOLING_DOWN,
            match until {
                Some(until) => format!("the next scale-up may come at {until}"),
                None => String::new(),
            },
        ),
        HoldReason::Settling => (
            reasons::COOLING_DOWN,
            before("waiting for the last action to settle"),
        ),
        HoldReason::TargetContested => (
            reasons::COOLING_DOWN,
            before("standing back, since somebody else keeps changing the replicas"),
        ),
        HoldReason::GroupRebalancing => (
            reasons::GROUP_REBALANCING,
            before("the group hands out its partitions anew"),
        ),
        HoldReason::RolloutInProgress => (
            reasons::ROLLOUT_IN_PROGRESS,
            before("the workload replaces its pods"),
        ),
        HoldReason::ReplicasNotReady => {
            let (ready, current) = (found.decision.facts.ready, found.decision.facts.current);
            (
                reasons::REPLICAS_NOT_READY,
                match until {
                    Some(_) => before(&format!("{ready} of {current} replicas are ready")),
                    None => format!(
                        "{ready} of {current} replicas are ready, and none that the last scale-up added: look at its Pods"
                    ),
                },
            )
        }
        HoldReason::MembersMissing => (reasons::MEMBERS_MISSING, nobody_joined(found.decision)),
        HoldReason::GroupMissing => (
            reasons::REPLICAS_NOT_READY,
            "replicas are ready, and none of them has joined the group".to_owned(),
        ),
        HoldReason::LagUnknown
        | HoldReason::AsDesired
        | HoldReason::ArrivalsTooHigh
        | HoldReason::DelayTooHigh
        | HoldReason::RecordsInHand
        | HoldReason::RebalancingOften => (
            reasons::LAG_UNKNOWN,
            "no scale-up on a lag that is not known".to_owned(),
        ),
        HoldReason::ScalingDisabled => (
            reasons::SCALING_DISABLED,
            "the target was scaled to 0 by hand; scale it to 1 or more to hand it back".to_owned(),
        ),
        HoldReason::Paused => (reasons::PAUSED, paused(found.decision)),
    };
    able(Status::False, reason, message)
}

fn paused(decision: &Decision) -> String {
    let not_understood = decision.trail.0.iter().find_map(|step| match step {
        Step::NotUnderstood { .. } => Some(step.to_string()),
        _ => None,
    });
    not_understood.unwrap_or_else(|| "an annotation lagrange.dev/paused... holds it".to_owned())
}

fn scaling_limited(decision: &Decision) -> Said {
    let limited = |status, reason, message: String| {
        Some(say(types::SCALING_LIMITED, status, reason, message))
    };
    let asked = decision.trail.0.iter().find_map(|step| match step {
        Step::Demand { replicas, .. } | Step::Load { replicas, .. } => Some(*replicas),
        _ => None,
    });
    let Some(by) = decision.limited_by else {
        return match (decision.facts.desired, decision.facts.knowledge) {
            (Some(_), _) => limited(Status::False, reasons::DESIRED_WITHIN_RANGE, String::new()),
            (None, Knowledge::NotYet) => Some(Finding::not_yet_observed(types::SCALING_LIMITED)),
            (None, _) => None,
        };
    };
    let limit = decision.facts.limit.unwrap_or_default();
    let wants = asked.map_or_else(String::new, |asked| {
        format!("the load asks for {asked} replicas; ")
    });
    match by {
        LimitedBy::PartitionLimit => limited(
            Status::True,
            reasons::PARTITION_LIMIT,
            format!(
                "{wants}the partitions can feed {limit}. More partitions would allow more, and move keys between partitions: order per key is not kept across that change"
            ),
        ),
        LimitedBy::MaxReplicas => limited(
            Status::True,
            reasons::MAX_REPLICAS,
            format!("{wants}maxReplicas allows fewer: raise it if the group should grow"),
        ),
        LimitedBy::MinReplicas => limited(
            Status::True,
            reasons::MIN_REPLICAS,
            format!("{wants}minReplicas keeps more"),
        ),
    }
}
