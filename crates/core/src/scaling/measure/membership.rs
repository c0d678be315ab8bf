//! Whose consumers the members of a group are: those of the target, or of somebody else who uses
//! the same group id. And the rebalances that the target's size has not caused.

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

/// What the members of a group showed.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct Membership {
    /// Members beyond the target's own consumers that take part in what the target reads.
    foreign: i32,
    /// The number that was seen last, and since when, while it is another one.
    seen: Option<(i32, Timestamp)>,
    /// Some look has counted.
    is_counted: bool,
    /// Members that have partitions, when the group was last seen settled.
    with_partitions: Option<i32>,
    /// When a member was last described that had not been there before.
    joined: Option<Timestamp>,
    /// The look in which each member was first described.
    members: BTreeMap<Arc<str>, u64>,
    /// Topics that nobody has named, of which some member has a partition beside one of a topic
    /// that is the target's: the target reads them.
    shared: BTreeSet<Arc<str>>,
    /// When rebalances began that no action and no rollout explains.
    rebalances: VecDeque<Timestamp>,
    /// The group was settled at the last look.
    was_stable: bool,
    /// When the last of these rebalances, or the last rollout, was over.
    pub(in crate::scaling) disturbed: Option<Timestamp>,
    was_disturbed: bool,
}

impl Membership {
    /// Takes in a look, once.
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
                && self.nobody_joined(policy, memory, observation).is_none()
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

    /// Members of somebody else, as far as they take partitions of what the target reads.
    pub(in crate::scaling) fn foreign(&self) -> i32 {
        self.foreign
    }

    /// Whether some member was first described in the latest description: younger than one look.
    pub(in crate::scaling) fn has_young(&self, members: &Members) -> bool {
        let first = |id| self.members.get(id);
        let mut list = members.list.iter();
        list.any(|m| first(&m.id).is_none_or(|first| *first >= members.poll))
    }

    /// Whether the target reads a topic that nobody has named.
    pub(in crate::scaling) fn reads(&self, topic: &Arc<str>) -> bool {
        self.shared.contains(topic)
    }

    /// Replicas that work: those whose consumers have partitions, whatever their pods say of
    /// themselves.
    pub(in crate::scaling) fn working(&self, policy: &Policy) -> i32 {
        let own = self.with_partitions.unwrap_or(0) - self.foreign;
        own.max(0) / policy.threads.max(1)
    }

    /// The group as it was last seen, for a scale-up of so many replicas to be judged by. `None`:
    /// it has not been seen.
    pub(in crate::scaling) fn before_up(&self, from: i32) -> Option<BeforeUp> {
        let members = i32::try_from(self.members.len()).ok().filter(|n| *n > 0)?;
        Some(BeforeUp {
            members,
            working: from,
        })
    }

    /// Members of the group, where they should have become more by the last action, and its pods
    /// are ready, and nobody has joined.
    pub(in crate::scaling) fn nobody_joined(
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

    /// How many rebalances of no known cause there were in the last ten minutes, if they are a
    /// storm.
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

    /// `all_ours`: no member can be somebody else's.
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

    /// One count of members beyond the target's consumers.
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

/// Whether the members that this look shows are there to stay: leavers are members until their pods
/// have ended, and newcomers take a while to join.
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

/// Members that have partitions, and none of a topic that the target reads: they take nothing from
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

/// Topics and owners of their partitions; of those that are the target's to read, or of the others.
fn owners(snapshot: &GroupSnapshot, is_own: bool) -> impl Iterator<Item = (&Arc<str>, u32)> {
    let topics = snapshot.topics.iter().filter(move |t| t.is_own() == is_own);
    topics.flat_map(|topic| {
        let partitions = topic.partitions.iter().flatten();
        partitions.filter_map(|partition| Some((&topic.name, partition.owner?)))
    })
}
