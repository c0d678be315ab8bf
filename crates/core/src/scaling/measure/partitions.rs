//! The state of all partitions and members: offsets, owners, progress. Records polls; decides
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::scaling::input::observation::{
    Commit, GroupSnapshot, GroupState, Partition, Rebalance, Topic,
};
use crate::scaling::input::policy::{Objective, OffsetReset, Policy};
use crate::scaling::measure::notice::Notice;
use crate::scaling::measure::partition::{Moved, State};
use crate::scaling::number::{in_seconds, millis, real};
use crate::scaling::tuning::Tuning;

/// Partitions and members.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct Partitions {
    pub(in crate::scaling) topics: BTreeMap<Arc<str>, Vec<State>>,
    pub(in crate::scaling) members: Vec<Member>,
    /// The remembered skew, and until when it is remembered, in milliseconds.
    skew: Option<(f64, i64)>,
    /// When the members were last described, since the last action and since the group became
    /// stable, in milliseconds.
    pub(in crate::scaling) described: Option<i64>,
    /// The poll that described them, until the group is not stable.
    described_in: Option<u64>,
    /// Since when every poll has shown the group stable, in milliseconds.
    pub(in crate::scaling) stable_since: Option<i64>,
    pub(in crate::scaling) rebalance: Rebalance,
    /// Time of the first poll.
    pub(in crate::scaling) began: Option<i64>,
    /// Since when the group has not been stable, until its members are described again.
    unstable_since: Option<i64>,
    /// Seconds from the loss of a partition to the first commit of its new owner, for the latest
    /// hand-over.
    pauses: Vec<f64>,
    /// How long the last hand-over took, once it is complete: until nine in ten of its partitions
    /// had a new commit.
    pub(in crate::scaling) pause: Option<f64>,
    /// The longest standstill, in seconds, that ended under the same owner in a stable group.
    pub(in crate::scaling) longest: f64,
    /// When a commit last moved.
    last_move: Option<i64>,
    /// The last poll, and the last one before an action, in milliseconds.
    polled: i64,
    acted: Option<i64>,
    /// Some partition was just found to wait on purpose: until now the rate of its consumer
    /// measured nothing.
    pub(in crate::scaling) found_waits: bool,
}

/// How a poll differs from the one before it.
#[derive(Debug, Default)]
pub(in crate::scaling) struct Changes {
    /// Offsets went back, or partitions or topics changed: a new series begins.
    pub(in crate::scaling) is_other: bool,
    /// Some offset has moved.
    pub(in crate::scaling) has_moved: bool,
    /// Topics that have more partitions than before.
    pub(in crate::scaling) added: Vec<Notice>,
}

/// A member and since when it has had its present partitions.
#[derive(Debug, Clone)]
pub(in crate::scaling) struct Member {
    id: Arc<str>,
    digest: u64,
    pub(in crate::scaling) since: i64,
}

/// Ends of partitions before the first poll, by topic and partition: milliseconds and offset.
type Earlier<'a> = BTreeMap<(&'a str, u32), Vec<(i64, i64)>>;

fn earlier(snapshot: &GroupSnapshot) -> Earlier<'_> {
    let of_each = snapshot.earlier.iter().map(|earlier| {
        let ends = earlier.ends.iter();
        let millis = ends.map(|(at, end)| (at.as_millisecond(), *end));
        ((&*earlier.topic, earlier.partition), millis.collect())
    });
    of_each.collect()
}

/// The offsets of a partition in a poll.
struct Found {
    start: i64,
    end: i64,
    /// The commit, or without one the offset at which reading begins.
    position: Option<i64>,
    /// The position up to which nothing waits: expired records and unreadable offsets do not.
    committed: Option<i64>,
}

impl Found {
    /// `None`: too little is known, or the commit is past the end, which was not read either.
    fn of(partition: &Partition, policy: &Policy) -> Option<Self> {
        let position = match (partition.committed, policy.offset_reset) {
            (Commit::At(committed), _) => Some(committed),
            (Commit::Absent, OffsetReset::Earliest) => partition.log_start,
            (Commit::Absent, OffsetReset::Latest) => None,
            (Commit::Unknown, _) => return None,
        };
        let end = partition.log_end?;
        if position.is_some_and(|position| position > end) {
            return None;
        }
        let start = partition.log_start.unwrap_or(0);
        // A transaction marker takes an offset that no consumer reads (ACT-12).
        let remainder = i64::from(policy.may_hold_markers);
        let committed = position.map(|position| {
            let read = position.max(start).min(end);
            if end - read <= remainder { end } else { read }
        });
        Some(Self {
            start,
            end,
            position,
            committed,
        })
    }
}

impl Partitions {
    /// Records a poll, once. `longest`: the longest standstill, in seconds, that is known to have
    /// been work.
    pub(in crate::scaling) fn take(
        &mut self,
        snapshot: &GroupSnapshot,
        policy: &Policy,
        longest: f64,
    ) -> Changes {
        let at = snapshot.at.as_millisecond();
        let is_first = self.began.is_none();
        self.began.get_or_insert(at);
        self.polled = at;
        self.take_group(snapshot, at);
        let counts = |name: &Arc<str>| {
            snapshot
                .topics
                .iter()
                .any(|t| t.is_counted() && t.name == *name)
        };
        let known = |topics: &BTreeMap<_, Vec<State>>| {
            let known = topics.values().filter(|states| !states.is_empty());
            known.count()
        };
        let before = known(&self.topics);
        self.topics.retain(|name, _| counts(name));
        let mut changes = Changes {
            is_other: known(&self.topics) != before,
            ..Changes::default()
        };
        let counted = snapshot.topics.iter().filter(|t| t.is_counted());
        let begins = counted.clone().any(|t| !self.topics.contains_key(&t.name));
        let earlier = earlier(snapshot);
        let mut passed = Vec::new();
        for topic in counted {
            if before > 0 {
                self.compare(topic, &mut changes);
            }
            passed.extend(self.take_topic(topic, &earlier, policy, is_first, &mut changes));
        }
        self.take_members(snapshot, at, begins);
        self.note_states(at, policy, longest);
        self.note_waits(at, &policy.tuning);
        self.note_passed(at, &passed, &policy.tuning);
        changes
    }

    /// Compares the partitions of a topic with those before.
    fn compare(&self, topic: &Topic, changes: &mut Changes) {
        let Some(now) = topic.partitions.as_ref().map(Vec::len) else {
            return;
        };
        let before = self.topics.get(&topic.name).map_or(0, Vec::len);
        changes.is_other |= now != before;
        if let (Ok(from), Ok(to)) = (i32::try_from(before), i32::try_from(now))
            && (1..to).contains(&from)
        {
            changes.added.push(Notice::PartitionsAdded {
                topic: Arc::clone(&topic.name),
                from,
                to,
            });
        }
    }

    /// Notes since when the group has been stable, or has not been.
    fn take_group(&mut self, snapshot: &GroupSnapshot, at: i64) {
        self.rebalance = snapshot.group.rebalance.unwrap_or(self.rebalance);
        if snapshot.group.state == GroupState::Stable {
            self.stable_since.get_or_insert(at);
        } else {
            self.stable_since = None;
            self.described = None;
            self.described_in = None;
            self.unstable_since.get_or_insert(at);
        }
    }

    /// Records the ends and commits of a topic. Returns the commits that have moved.
    fn take_topic(
        &mut self,
        topic: &Topic,
        earlier: &Earlier<'_>,
        policy: &Policy,
        is_first: bool,
        changes: &mut Changes,
    ) -> Vec<Moved> {
        let (at, tuning) = (self.polled, &*policy.tuning);
        let keep = kept_for(policy);
        let hands_over = self
            .acted
            .is_some_and(|acted| at - acted <= millis(tuning.handover.commits_for));
        let stable_since = self.stable_since.filter(|_| !hands_over);
        let was_unknown = self.topics.get(&topic.name).is_some_and(Vec::is_empty);
        let states = self.topics.entry(Arc::clone(&topic.name)).or_default();
        let Some(partitions) = topic.partitions.as_deref() else {
            return Vec::new();
        };
        // A topic that could not be read before is not new.
        let is_new = !is_first && !was_unknown;
        states.resize_with(partitions.len(), || State {
            moved: at,
            born: is_new.then_some(at),
            ..State::default()
        });
        let mut passed = Vec::new();
        for (index, (state, partition)) in (0u32..).zip(states.iter_mut().zip(partitions)) {
            let read = state.read(partition);
            changes.is_other |= read.went_back;
            changes.has_moved |= read.moved_on;
            let Some(found) = Found::of(partition, policy) else {
                continue;
            };
            let unread = |position: i64| position < found.start;
            if found.position.is_some_and(unread) || state.series.committed().is_some_and(unread) {
                state.expired = Some(at);
            }
            passed.extend(state.note(at, found.end, found.committed, keep, stable_since, tuning));
            let earlier = earlier.get(&(&*topic.name, index)).into_iter().flatten();
            state.series.set_earlier(earlier.copied(), tuning);
        }
        passed
    }

    /// Updates what owner, progress and end show about each partition, once the owners are known.
    fn note_states(&mut self, at: i64, policy: &Policy, longest: f64) {
        let tuning = &*policy.tuning;
        let (new_for, silent_after) = (&tuning.progress.new_for, &tuning.progress.stuck_after);
        let (new_for, silent_after) = (millis(*new_for), millis(*silent_after));
        let unreadable = tuning.offsets.unreadable_most();
        let is_stable = self.stable_since.is_some();
        for state in self.topics.values_mut().flatten() {
            state.note_owner(at, is_stable && !self.members.is_empty(), tuning);
            if is_stable
                && (state.owner.is_some() || state.born.is_some_and(|born| at - born >= new_for))
            {
                state.born = None;
            }
            state.note_progress(at, self.stable_since, longest, tuning);
            state.is_silent = policy.may_hold_markers
                && at - state.grew >= silent_after
                && state.series.lag() <= real(unreadable);
            state.note_level(at, tuning);
        }
    }

    /// Finds the topics that wait on purpose: everything unread in a topic, in at least half of its
    /// partitions, has waited about equally long for a while, and another topic is read as records
    /// arrive. Consumers that barely carry their load also keep a backlog of constant age, but not
    /// in all partitions of one topic.
    fn note_waits(&mut self, at: i64, tuning: &Tuning) {
        let read_at_once = |state: &State| state.is_read_at_once(at, tuning);
        let is_read = |states: &Vec<State>| states.iter().any(read_at_once);
        let read: Vec<bool> = self.topics.values().map(is_read).collect();
        let read_topics = read.iter().filter(|is_read| **is_read).count();
        for (states, is_read) in self.topics.values_mut().zip(read) {
            let others = read_topics - usize::from(is_read);
            if others == 0 || !wait_alike(states, at, tuning) {
                continue;
            }
            for state in states {
                if let Some(waits) = state.waits_alike(at, tuning) {
                    self.found_waits |= state.wait <= 0.0;
                    state.wait = waits;
                }
            }
        }
    }

    /// Evaluates the commits that moved: hand-overs and standstills.
    fn note_passed(&mut self, at: i64, passed: &[Moved], tuning: &Tuning) {
        let handover = &tuning.handover;
        let waited_for = millis(handover.waited_for);
        for moved in passed {
            self.last_move = Some(at);
            self.longest = self.longest.max(moved.worked);
            if let Some(pause) = moved.pause
                && self.pauses.len() < handover.partitions_most
            {
                self.pauses.push(pause);
            }
        }
        let mut is_open = false;
        for state in self.topics.values_mut().flatten() {
            let Some(since) = state.handed else { continue };
            if state.series.lag() <= 0.0 {
                state.handed = None;
            } else if at - since >= waited_for {
                state.handed = None;
                if self.pauses.len() < handover.partitions_most {
                    self.pauses.push(real(waited_for) / 1000.0);
                }
            } else {
                is_open = true;
            }
        }
        if !is_open && !self.pauses.is_empty() {
            self.pauses.sort_by(f64::total_cmp);
            let place = self.pauses.len() * handover.percent / 100;
            self.pause = self.pauses.get(place.min(self.pauses.len() - 1)).copied();
            self.pauses.clear();
        }
    }

    /// Whether some commit has moved since `at`.
    pub(in crate::scaling) fn has_moved_since(&self, then: i64) -> bool {
        self.last_move.is_some_and(|at| at > then)
    }

    /// Whether the consumers of some partition commit less than once between two polls.
    pub(in crate::scaling) fn commits_rarely(&self, tuning: &Tuning) -> bool {
        let mut states = self.topics.values().flatten();
        states.any(|state| state.owner.is_some() && state.commits_rarely(tuning))
    }

    /// Whether records wait in a partition that has an owner.
    pub(in crate::scaling) fn is_behind(&self) -> bool {
        let mut states = self.topics.values().flatten();
        states.any(|state| state.owner.is_some() && state.series.lag() > 0.0)
    }

    /// Partitions that may have a record in hand that takes long: moving them could undo that work.
    pub(in crate::scaling) fn in_hand(&self) -> usize {
        self.topics
            .values()
            .flatten()
            .filter(|s| s.is_in_hand)
            .count()
    }

    /// Records the owners if this poll described a stable group: members hide their partitions
    /// while they rebalance. `begins`: a topic now counts that did not before; its owners are taken
    /// from the last such description.
    fn take_members(&mut self, snapshot: &GroupSnapshot, at: i64, begins: bool) {
        let Some(members) = &snapshot.group.members else {
            return;
        };
        let shown = members.list.iter().any(|member| member.partitions > 0);
        let is_new = members.poll == snapshot.number;
        let is_reported_again = begins && self.described_in == Some(members.poll);
        if self.stable_since.is_none() || !(is_new || is_reported_again) || !shown {
            return;
        }
        if is_new {
            self.described = Some(at);
            self.described_in = Some(members.poll);
        }
        let since = self.unstable_since.take().unwrap_or(at);
        let known: Vec<Arc<str>> = self.members.iter().map(|m| Arc::clone(&m.id)).collect();
        let mut digests = vec![0u64; members.list.len()];
        for (name, states) in &mut self.topics {
            let Some(topic) = snapshot.topics.iter().find(|t| t.name == *name) else {
                continue;
            };
            let salt = name
                .bytes()
                .fold(1, |hash: u64, byte| mix(hash, u64::from(byte)));
            let partitions = topic.partitions.iter().flatten();
            for (index, (state, partition)) in (0u64..).zip(states.iter_mut().zip(partitions)) {
                let before = state.owner.and_then(|owner| known.get(owner));
                state.owner = partition
                    .owner
                    .and_then(|owner| usize::try_from(owner).ok());
                let now = state.owner.and_then(|owner| members.list.get(owner));
                if let (Some(before), Some(now)) = (before, now)
                    && *before != now.id
                {
                    state.handed.get_or_insert(since);
                }
                if let Some(digest) = state.owner.and_then(|owner| digests.get_mut(owner)) {
                    *digest = digest.wrapping_add(mix(salt, index));
                }
            }
        }
        let before: BTreeMap<&Arc<str>, (u64, i64)> = self
            .members
            .iter()
            .map(|m| (&m.id, (m.digest, m.since)))
            .collect();
        let now = members.list.iter().zip(digests).map(|(member, digest)| {
            let since = match before.get(&member.id) {
                Some((same, since)) if *same == digest => *since,
                _ => at,
            };
            Member {
                id: Arc::clone(&member.id),
                digest,
                since,
            }
        });
        self.members = now.collect();
    }

    /// Remembers that a size was too small because partitions were handed out with this skew.
    pub(in crate::scaling) fn note_skew(&mut self, times: f64, at: i64, tuning: &Tuning) {
        self.skew = Some((times, at + millis(tuning.skew.remembered_for)));
    }

    /// The remembered skew; 1 if there is none.
    pub(in crate::scaling) fn skew(&self, at: i64) -> f64 {
        let known = self.skew.filter(|(_, until)| *until > at);
        known.map_or(1.0, |(times, _)| times)
    }

    /// After an action the owners are unknown until they are described again.
    pub(in crate::scaling) fn note_action(&mut self) {
        self.described = None;
        self.acted = Some(self.polled);
    }

    /// Bytes on the heap, without names.
    #[cfg(test)]
    pub(in crate::scaling) fn bytes(&self) -> usize {
        let of = |states: &Vec<State>| -> usize {
            let series: usize = states.iter().map(|state| state.series.bytes()).sum();
            states.capacity() * size_of::<State>() + series
        };
        let partitions: usize = self.topics.values().map(of).sum();
        partitions + self.members.capacity() * size_of::<Member>()
    }

    /// All partitions in order: place of the topic, index, state.
    pub(in crate::scaling) fn all(&self) -> impl Iterator<Item = ((usize, i32), &State)> {
        self.topics
            .values()
            .enumerate()
            .flat_map(|(topic, states)| {
                (0..)
                    .zip(states)
                    .map(move |(index, state)| ((topic, index), state))
            })
    }

    /// The partition at such a place, by name.
    pub(in crate::scaling) fn name(&self, (topic, index): (usize, i32)) -> Option<(Arc<str>, i32)> {
        let name = self.topics.keys().nth(topic)?;
        Some((Arc::clone(name), index))
    }
}

/// Milliseconds for which offsets are kept.
fn kept_for(policy: &Policy) -> i64 {
    let twice = match policy.objective {
        Objective::MaxDelay(delay) => delay.as_secs().saturating_mul(2000),
        Objective::LagPerReplica(_) => 0,
    };
    let kept = &policy.tuning.series;
    millis(kept.kept_least).max(twice) + millis(kept.kept_extra)
}

/// Whether at least half of these partitions have unread records, and all of those have waited
/// about equally long for a while.
fn wait_alike(states: &[State], at: i64, tuning: &Tuning) -> bool {
    let read = states.iter().filter(|s| s.owner.is_some() && !s.is_stuck);
    let unread = read.clone().filter(|state| state.series.lag() > 0.0);
    let waits: Option<Vec<f64>> = unread.map(|state| state.waits_alike(at, tuning)).collect();
    let Some(waits) = waits.filter(|waits| !waits.is_empty() && 2 * waits.len() >= read.count())
    else {
        return false;
    };
    let (least, most) = waits
        .iter()
        .fold((f64::MAX, 0.0_f64), |(least, most), wait| {
            (least.min(*wait), most.max(*wait))
        });
    most - least <= in_seconds(tuning.delayed.alike)
}

/// One step of a hash that is the same on every machine and in every version.
fn mix(hash: u64, value: u64) -> u64 {
    (hash ^ value)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(29)
        .wrapping_mul(0xBF58_476D_1CE4_E5B9)
}
