//! Which members of a group belong to the target and which are foreign, and the rebalances that the
//! target's size has not caused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use crate::scaling::input::observation::{
    GroupSnapshot, GroupState, Members, Observation, Rollout, Topic,
};
use crate::scaling::input::policy::Policy;
use crate::scaling::number::later;
use crate::scaling::state::memory::{BeforeUp, LastAction, Memory};
use crate::scaling::tuning::Tuning;

/// The state of the membership, from the described members.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct Membership {
    /// Members beyond the target's own consumers that take partitions of what the target reads.
    foreign: i32,
    /// A number of foreign members that differs from the counted one, and since when it has been
    /// seen.
    seen: Option<(i32, Timestamp)>,
    /// Some poll has counted foreign members.
    is_counted: bool,
    /// Members that have partitions, when the group was last seen settled.
    with_partitions: Option<i32>,
    /// When a description last showed a new member.
    joined: Option<Timestamp>,
    /// The poll in which each member was first described.
    members: BTreeMap<Arc<str>, u64>,
    /// Topics that are not named, of which a member has a partition next to one of a topic of the
    /// target: the target reads them.
    shared: BTreeSet<Arc<str>>,
    /// When rebalances began that neither an action nor a rollout explains.
    rebalances: VecDeque<Timestamp>,
    /// The group was settled at the last poll.
    was_stable: bool,
    /// When the last of these rebalances, or the last rollout, ended.
    pub(in crate::scaling) disturbed: Option<Timestamp>,
    was_disturbed: bool,
}

impl Membership {
    /// Records a poll, once.
    pub(in crate::scaling) fn take(
        &mut self,
        policy: &Policy,
        memory: &Memory,
        observation: &Observation,
    ) {
        let Ok(snapshot) = &observation.snapshot else {
            return;
        };
        self.note_rebalance(policy, memory, snapshot, observation);
        let members = snapshot.group.members.as_ref();
        self.note_members(snapshot);
        let shown = members.filter(|members| {
            is_at_rest(policy, memory, snapshot, members, observation)
                && self.no_member_joined(policy, memory, observation).is_none()
        });
        let consumers = observation.target.replicas.saturating_mul(policy.threads);
        let all = shown.map(|members| i32::try_from(members.list.len()).unwrap_or(i32::MAX));
        self.note_shared(snapshot, all.is_some_and(|all| all <= consumers));
        match (shown, all) {
            (Some(members), Some(all)) => {
                let elsewhere = elsewhere(snapshot, members, &self.shared);
                let foreign = (all - elsewhere - consumers).max(0);
                self.count(foreign, snapshot.at, &policy.tuning);
            }
            _ => self.seen = None,
        }
    }

    /// Foreign members that take partitions of what the target reads.
    pub(in crate::scaling) fn foreign(&self) -> i32 {
        self.foreign
    }

    /// Whether a member was first described in the latest description, so that it is newer than one
    /// poll.
    pub(in crate::scaling) fn has_young(&self, members: &Members) -> bool {
        let first = |id| self.members.get(id);
        let mut list = members.list.iter();
        list.any(|m| first(&m.id).is_none_or(|first| *first >= members.poll))
    }

    /// Whether the target reads a topic that is not named.
    pub(in crate::scaling) fn reads(&self, topic: &Arc<str>) -> bool {
        self.shared.contains(topic)
    }

    /// Working replicas: those whose consumers have partitions, whatever their Pods report.
    pub(in crate::scaling) fn working(&self, policy: &Policy) -> i32 {
        let own = self.with_partitions.unwrap_or(0) - self.foreign;
        own.max(0) / policy.threads.max(1)
    }

    /// The group as last described, to judge a scale-up from `from` replicas by. `None`: it has not
    /// been described.
    pub(in crate::scaling) fn before_up(&self, from: i32) -> Option<BeforeUp> {
        let members = i32::try_from(self.members.len()).ok().filter(|n| *n > 0)?;
        Some(BeforeUp {
            members,
            working: from,
        })
    }

    /// The number of members, if the last scale-up should have added some, its Pods are ready, and
    /// none has joined.
    pub(in crate::scaling) fn no_member_joined(
        &self,
        policy: &Policy,
        memory: &Memory,
        observation: &Observation,
    ) -> Option<i32> {
        let target = observation.target;
        let is_open = |last: &LastAction| last.settled_after.is_none();
        let last = memory
            .last
            .filter(|last| last.to > last.from)
            .filter(is_open)?;
        let before = memory.before_up?;
        let snapshot = observation.snapshot.as_ref().ok()?;
        let members = snapshot.group.members.as_ref()?;
        let members = i32::try_from(members.list.len()).unwrap_or(i32::MAX);
        let partitions = snapshot
            .topics
            .iter()
            .flat_map(|t| t.partitions.iter().flatten());
        let partitions = i32::try_from(partitions.count()).unwrap_or(i32::MAX);
        let consumers = target.replicas.saturating_mul(policy.threads);
        let expected = consumers.saturating_add(self.foreign).min(partitions);
        let is_missing = snapshot.group.state == GroupState::Stable
            && target.ready == target.replicas
            && target.replicas == last.to
            && members <= before.members
            && members < expected
            && self.joined.is_none_or(|joined| joined < last.time);
        is_missing.then_some(members)
    }

    /// The number of rebalances without a known cause in the last ten minutes, if there are too
    /// many.
    pub(in crate::scaling) fn storm(&self, now: Timestamp, tuning: &Tuning) -> Option<usize> {
        let tuning = &tuning.membership;
        let lately = |at: &&Timestamp| now.duration_since(**at) <= tuning.storm_within;
        let count = self.rebalances.iter().filter(lately).count();
        (count >= tuning.storm).then_some(count)
    }

    fn note_members(&mut self, snapshot: &GroupSnapshot) {
        let Some(members) = &snapshot.group.members else {
            return;
        };
        let before = std::mem::take(&mut self.members);
        let first = |id| before.get(id).copied().unwrap_or(members.poll);
        let described = members.list.iter();
        let described = described.map(|m| (Arc::clone(&m.id), first(&m.id)));
        self.members = described.collect();
        let is_new = |id: &Arc<str>| !before.contains_key(id);
        if !before.is_empty() && self.members.keys().any(is_new) {
            self.joined = Some(snapshot.at);
        }
        if members.poll == snapshot.number && snapshot.group.state == GroupState::Stable {
            let with = members.list.iter().filter(|member| member.partitions > 0);
            self.with_partitions = Some(i32::try_from(with.count()).unwrap_or(i32::MAX));
        }
    }

    /// `all_ours`: no member can be foreign.
    fn note_shared(&mut self, snapshot: &GroupSnapshot, all_ours: bool) {
        self.shared.retain(|name| {
            snapshot
                .topics
                .iter()
                .any(|t| !t.is_own() && t.name == *name)
        });
        if snapshot.topics.iter().all(Topic::is_own) {
            return;
        }
        let readers: BTreeSet<u32> = owners(snapshot, true).map(|(_, owner)| owner).collect();
        for (topic, owner) in owners(snapshot, false) {
            if (all_ours || readers.contains(&owner)) && !self.shared.contains(topic) {
                self.shared.insert(Arc::clone(topic));
            }
        }
    }

    fn note_rebalance(
        &mut self,
        policy: &Policy,
        memory: &Memory,
        snapshot: &GroupSnapshot,
        observation: &Observation,
    ) {
        let now = snapshot.at;
        let acted = is_in_flight(policy, memory, observation.now);
        let rolls = observation.target.rollout == Rollout::InProgress;
        let rebalances = snapshot.group.state == GroupState::Rebalancing;
        if rebalances && self.was_stable && !acted && !rolls {
            self.rebalances.push_back(now);
            if self.rebalances.len() > 2 * policy.tuning.membership.storm {
                self.rebalances.pop_front();
            }
        }
        match snapshot.group.state {
            GroupState::Stable => self.was_stable = true,
            GroupState::Rebalancing | GroupState::Empty | GroupState::Dead => {
                self.was_stable = false;
            }
            GroupState::Unknown => {}
        }
        let is_disturbed = rolls || (rebalances && !acted);
        if is_disturbed || (self.was_disturbed && self.was_stable) {
            self.disturbed = Some(now);
        }
        self.was_disturbed = is_disturbed || (self.was_disturbed && !self.was_stable);
    }

    /// Records one count of members beyond the target's consumers.
    fn count(&mut self, foreign: i32, at: Timestamp, tuning: &Tuning) {
        if foreign == self.foreign {
            self.seen = None;
        } else if !self.is_counted {
            self.foreign = foreign;
        } else {
            let same = self.seen.filter(|(seen, _)| *seen == foreign);
            let (_, since) = *self.seen.insert(same.unwrap_or((foreign, at)));
            if at.duration_since(since) >= tuning.membership.counted_after {
                self.foreign = foreign;
                self.seen = None;
            }
        }
        self.is_counted = true;
    }
}

/// Whether the members shown are final: leaving members stay until their Pods have ended, and new
/// ones take a while to join.
fn is_at_rest(
    policy: &Policy,
    memory: &Memory,
    snapshot: &GroupSnapshot,
    members: &Members,
    observation: &Observation,
) -> bool {
    let target = observation.target;
    snapshot.group.state == GroupState::Stable
        && members.poll == snapshot.number
        && target.rollout == Rollout::None
        && target.ready == target.replicas
        && !is_in_flight(policy, memory, observation.now)
}

/// Whether the last action has not settled, and may still do so.
fn is_in_flight(policy: &Policy, memory: &Memory, now: Timestamp) -> bool {
    let timeout = policy.pacing.settle_timeout;
    memory
        .last
        .is_some_and(|last| last.settled_after.is_none() && later(last.time, timeout) > now)
}

/// Members that have partitions but none of a topic that the target reads: they take nothing from
/// it.
fn elsewhere(snapshot: &GroupSnapshot, members: &Members, shared: &BTreeSet<Arc<str>>) -> i32 {
    let reads = |topic: &Arc<str>| shared.contains(topic);
    let readers: BTreeSet<u32> = owners(snapshot, true)
        .chain(owners(snapshot, false).filter(|(topic, _)| reads(topic)))
        .map(|(_, owner)| owner)
        .collect();
    let listed = (0u32..).zip(&members.list);
    let others = listed.filter(|(place, m)| m.partitions > 0 && !readers.contains(place));
    i32::try_from(others.count()).unwrap_or(i32::MAX)
}

/// Topics and the owners of their partitions: of the target's topics, or of the others.
fn owners(snapshot: &GroupSnapshot, is_own: bool) -> impl Iterator<Item = (&Arc<str>, u32)> {
    let topics = snapshot.topics.iter().filter(move |t| t.is_own() == is_own);
    topics.flat_map(|topic| {
        let partitions = topic.partitions.iter().flatten();
        partitions.filter_map(|partition| Some((&topic.name, partition.owner?)))
    })
}
