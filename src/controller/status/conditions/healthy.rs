//! The `Healthy` condition: what is wrong with the group, and whose members it has.

use std::sync::Arc;

use lagrange_core::api::condition::{Finding, Reason, Status, Type};
use lagrange_core::scaling::Decision;
use lagrange_core::scaling::decision::Knowledge;

use super::{ConditionInput, Said, say};
use crate::controller::status::format;

/// Problems that more replicas do not solve.
fn unhelped(decision: &Decision) -> Option<(Reason, String)> {
    let facts = &decision.facts;
    let named = |partitions: &[(Arc<str>, i32)]| {
        let names: Vec<_> = partitions.iter().take(3).map(format::partition).collect();
        let more = match partitions.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}", names.join(", "))
    };
    if !facts.stuck_partitions.is_empty() {
        let named = named(&facts.stuck_partitions);
        return Some((
            Reason::PartitionsStuck,
            format!(
                "no progress on {named}: find the record that the consumer cannot get past; more replicas do not help, so none are added"
            ),
        ));
    }
    if !facts.hot_partitions.is_empty() {
        let named = named(&facts.hot_partitions);
        return Some((
            Reason::HotPartition,
            format!(
                "more arrives on {named} than one consumer can do: spread the keys or make consumers faster; replicas do not help"
            ),
        ));
    }
    let backlogged = &facts.backlogged;
    if !backlogged.partitions.is_empty() {
        let named = named(&backlogged.partitions);
        return Some((
            Reason::HotPartition,
            format!(
                "{}% of the records that wait are in {named}: a partition has one consumer, so more replicas do not help; spread the keys or make consumers faster",
                backlogged.percent
            ),
        ));
    }
    let bottleneck = facts.bottleneck?;
    Some((
        Reason::ScalingIneffective,
        format!(
            "more than {bottleneck} replicas brought nothing: something that they share is the bottleneck, such as a database"
        ),
    ))
}

pub(super) fn healthy(found: ConditionInput<'_>) -> Said {
    let facts = &found.decision.facts;
    if facts.group_missing {
        return Some(say(
            Type::Healthy,
            Status::False,
            Reason::GroupMissing,
            format!(
                "{} replicas are ready, and none has joined the group for longer than settleTimeout: check spec.groupId and the consumers' logs",
                facts.ready
            ),
        ));
    }
    if facts.members_missing {
        return Some(say(
            Type::Healthy,
            Status::False,
            Reason::MembersMissing,
            no_member_joined(found.decision),
        ));
    }
    if let Some(times) = facts.rebalances {
        return Some(say(
            Type::Healthy,
            Status::False,
            Reason::RebalancingOften,
            format!(
                "{times} rebalances in ten minutes that no scaling and no rollout explains: look for consumers that restart, or take longer than max.poll.interval.ms; no scale-down until they end"
            ),
        ));
    }
    if facts.knowledge == Knowledge::Complete
        && let Some((reason, message)) = unhelped(found.decision)
    {
        return Some(say(Type::Healthy, Status::False, reason, message));
    }
    if facts.foreign_members > 0 && facts.knowledge != Knowledge::NotYet {
        return Some(say(
            Type::Healthy,
            Status::False,
            Reason::MembersForeign,
            foreign(found.decision),
        ));
    }
    match (facts.knowledge, facts.idle_members) {
        (Knowledge::NotYet, _) => Some(Finding::not_yet_observed(Type::Healthy)),
        (_, Some(idle)) if idle > 0 => found.idle_lasts.then(|| {
            let members = facts.members.unwrap_or_default();
            say(
                Type::Healthy,
                Status::False,
                Reason::IdleConsumers,
                format!("{idle} of {members} consumers have no partition: there are more consumers than partitions to give them"),
            )
        }),
        // The owners of partitions are unknown while partitions are handed out.
        (_, None) if facts.members.is_some_and(|members| members > 0) => None,
        (Knowledge::Complete, _) if found.fleeting_instances => Some(say(
            Type::Healthy,
            Status::False,
            Reason::StaticMembership,
            "the consumers set group.instance.id, but this target gives each Pod a new name: a member that leaves keeps its partitions for session.timeout.ms. Remove group.instance.id, or use a StatefulSet",
        )),
        (Knowledge::Complete, _) => Some(say(Type::Healthy, Status::True, Reason::AsExpected, "")),
        (Knowledge::Missing { .. }, _) => None,
    }
}

pub(super) fn no_member_joined(decision: &Decision) -> String {
    let facts = &decision.facts;
    format!(
        "{} replicas are ready, the group has {}, and the last scale-up brought none: are these Pods in this group? Check spec.groupId and the consumers' logs",
        facts.ready,
        count(facts.members.unwrap_or_default(), "member")
    )
}

fn foreign(decision: &Decision) -> String {
    let facts = &decision.facts;
    let limit = match facts.limit {
        Some(limit) => format!(", which leaves room for {limit} replicas"),
        None => String::new(),
    };
    format!(
        "{} of the group's {} are not of this target's {} replicas, and take partitions{limit}: another workload uses the same group id, or threadsPerReplica is too low",
        facts.foreign_members,
        count(facts.members.unwrap_or_default(), "member"),
        facts.current,
    )
}

/// A count with its noun.
fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
