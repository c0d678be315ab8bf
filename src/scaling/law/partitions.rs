//! What every partition and every member showed lately: offsets, owners, progress. Takes in looks; decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::observation::{Commit, GroupState, Look, Rebalance};
use super::super::offsets::UNREADABLE_AT_MOST;
use super::super::policy::{OffsetReset, Policy};
use super::real;
use super::series::{Of, Series};

/// No progress for so many milliseconds, with lag and an owner, is being stuck ...
const STUCK: i64 = 60_000;
/// ... or for so many typical gaps between two commits, where those are longer.
const STUCK_GAPS: f64 = 8.0;
/// So long where the typical gap is not known, as after a start: some commit every five minutes.
const STUCK_UNKNOWN: i64 = 360_000;
/// No gap counts for more seconds than this: idle hours say nothing about how often a consumer commits.
const GAP_MOST: f64 = 600.0;
/// Commits are rare from so many seconds between two on: no longer one at each look.
const RARE: f64 = 24.0;
/// Consumers refresh their metadata every 5 minutes: a new partition may belong to nobody for so long (decision 13).
const NEW: i64 = 360_000;

/// A partition that has an owner and has not moved since this process began may have a record in hand that takes long; so
/// long that is believed, in milliseconds.
const IN_HAND: i64 = 3_600_000;
/// A standstill that the same owner ended with no more than so many records was work at them ...
const AT_ONCE: i64 = 10;
/// ... and the next one is believed for so many times as long.
const LONGER: f64 = 1.5;
/// Who loses a partition commits what it had in hand: for so many milliseconds after an action a commit does not show that
/// records are read again.
const HANDS_OVER: i64 = 60_000;
/// A partition that another consumer has got is waited for so many milliseconds, and for no more than so many partitions.
const HANDED_FOR: i64 = 900_000;
const HANDED_MOST: usize = 512;

/// A delay of more than a minute that has varied by no more than so many seconds ...
const LEVEL: f64 = 20.0;
const LEVEL_FROM: f64 = 60.0;
/// ... for so many milliseconds, while records are read, is a wait on purpose. A backlog grows or falls.
const LEVEL_FOR: i64 = 600_000;

/// For so many milliseconds it is remembered how unevenly partitions were handed out.
const UNEVEN_FOR: i64 = 3_600_000;

/// Partitions and members.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct Partitions {
    pub(super) topics: BTreeMap<Arc<str>, Vec<State>>,
    pub(super) members: Vec<Member>,
    /// How unevenly heavy partitions have lately been handed out, and until when that is remembered, in milliseconds.
    uneven: Option<(f64, i64)>,
    /// When the members were last described, since the last action and since the group has been stable, in milliseconds.
    pub(super) described: Option<i64>,
    /// Since when every look has shown the group stable, in milliseconds.
    pub(super) stable_since: Option<i64>,
    pub(in crate::scaling) rebalance: Rebalance,
    /// When the first look was made.
    pub(super) began: Option<i64>,
    /// Since when the group has not been stable, until its members are described again.
    unstable_since: Option<i64>,
    /// Seconds from the loss of a partition to the first commit of its new owner, of those handed over lately.
    pauses: Vec<f64>,
    /// What the last hand-over took, once it is over: until nine in ten of its partitions were committed for again.
    pub(in crate::scaling) pause: Option<f64>,
    /// The longest standstill, in seconds, that the same owner has ended in a stable group.
    pub(in crate::scaling) longest: f64,
    /// When a commit last moved.
    last_move: Option<i64>,
    /// The last look, and the last one before an action, in milliseconds.
    looked: i64,
    acted: Option<i64>,
    /// Some partition has just been found to wait on purpose: what its consumer did until now was no measure.
    pub(in crate::scaling) found_waits: bool,
}

/// A partition.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) series: Series,
    /// When its commit last moved, in milliseconds.
    pub(super) moved: i64,
    /// Typical seconds between two moves while there was something to commit; 0: it has not moved twice.
    pub(super) gap: f64,
    /// Since when it has had lag at every look, in milliseconds.
    waiting: Option<i64>,
    /// Since when a described, stable group has had no owner for it, in milliseconds.
    unowned: Option<i64>,
    /// Looks in a row whose end lay before the last one's.
    backwards: u8,
    /// When it was first seen, if that was after the first look and nobody has owned it yet.
    born: Option<i64>,
    pub(super) is_stuck: bool,
    /// When retention last took records that had not been read, in milliseconds: that moves it on, and nobody did it.
    pub(super) expired: Option<i64>,
    /// Since when it has belonged to another consumer that has committed nothing yet, in milliseconds.
    handed: Option<i64>,
    /// When it last went on after a standstill, in milliseconds: before that its consumer showed less than it can do.
    pub(super) resumed: Option<i64>,
    /// The least and the greatest delay since the first look at which it was about the same, in seconds, and that look.
    level: Option<(f64, f64, i64)>,
    /// Seconds for which its records wait at any size: a topic for retries waits on purpose.
    pub(super) wait: f64,
    /// It may have a record in hand that takes long, for all that is known of it.
    pub(super) is_in_hand: bool,
    /// When its end last moved, in milliseconds.
    grew: i64,
    /// What is left of it may be an aborted transaction's, which nobody reads: nothing has come for a while.
    pub(super) is_silent: bool,
    /// How long its commit stood before it last moved, in milliseconds.
    moved_after: i64,
    /// Place of its owner among the members.
    pub(super) owner: Option<usize>,
}

/// A member and since when it has had the partitions that it has.
#[derive(Debug, Clone)]
pub(super) struct Member {
    id: Arc<str>,
    digest: u64,
    pub(super) since: i64,
}

impl Partitions {
    /// Takes in a look, once. `keep`: milliseconds for which offsets are kept.
    /// `longest`: the longest standstill, in seconds, that is known to have been work.
    pub(in crate::scaling) fn take(
        &mut self,
        look: &Look,
        policy: &Policy,
        keep: i64,
        longest: f64,
    ) {
        let reset = policy.offset_reset;
        // A transaction marker takes an offset that nobody reads (decision 12).
        let remainder = i64::from(policy.may_hold_markers);
        let at = look.at.as_millisecond();
        let is_first = self.began.is_none();
        self.began.get_or_insert(at);
        self.rebalance = look.group.rebalance.unwrap_or(self.rebalance);
        if look.group.state == GroupState::Stable {
            self.stable_since.get_or_insert(at);
        } else {
            self.stable_since = None;
            self.described = None;
            self.unstable_since.get_or_insert(at);
        }
        let stable_since = self.stable_since;
        self.looked = at;
        let hands_over = self.acted.is_some_and(|acted| at - acted <= HANDS_OVER);
        let mut passed = Vec::new();
        let earlier: BTreeMap<(&str, u32), _> = look
            .earlier
            .iter()
            .map(|earlier| {
                let ends = earlier.ends.iter();
                let millis = ends.map(|(at, end)| (at.as_millisecond(), *end));
                ((&*earlier.topic, earlier.partition), millis)
            })
            .collect();
        self.topics.retain(|name, _| {
            look.topics
                .iter()
                .any(|t| t.is_counted() && t.name == *name)
        });
        for topic in look.topics.iter().filter(|t| t.is_counted()) {
            let was_unknown = self.topics.get(&topic.name).is_some_and(Vec::is_empty);
            let states = self.topics.entry(Arc::clone(&topic.name)).or_default();
            let Some(partitions) = topic.partitions.as_deref() else {
                continue;
            };
            // What could not be read before is not new for that.
            let is_new = !is_first && !was_unknown;
            states.resize_with(partitions.len(), || State {
                moved: at,
                born: is_new.then_some(at),
                ..State::default()
            });
            for (index, (state, partition)) in (0u32..).zip(states.iter_mut().zip(partitions)) {
                let committed = match (partition.committed, reset) {
                    (Commit::At(committed), _) => Some(committed),
                    (Commit::Absent, OffsetReset::Earliest) => partition.log_start,
                    (Commit::Absent, OffsetReset::Latest) => None,
                    (Commit::Unknown, _) => continue,
                };
                // What has expired is not waiting to be read; what lies past the end was not read either.
                let Some(end) = partition
                    .log_end
                    .filter(|end| committed.is_none_or(|c| c <= *end))
                else {
                    continue;
                };
                let start = partition.log_start.unwrap_or(0);
                let unread = |position: i64| position < start;
                if committed.is_some_and(unread) || state.series.committed().is_some_and(unread) {
                    state.expired = Some(at);
                }
                let committed = committed.map(|c| {
                    let read = c.max(start).min(end);
                    if end - read <= remainder { end } else { read }
                });
                if let Some(moved) = state.note(
                    at,
                    end,
                    committed,
                    keep,
                    stable_since.filter(|_| !hands_over),
                ) {
                    passed.push(moved);
                }
                let earlier = earlier.get(&(&*topic.name, index)).cloned();
                state.series.set_earlier(earlier.into_iter().flatten());
            }
        }
        self.take_members(look, at);
        let is_stable = self.stable_since.is_some();
        for state in self.topics.values_mut().flatten() {
            state.note_owner(at, is_stable && !self.members.is_empty());
            if is_stable
                && (state.owner.is_some() || state.born.is_some_and(|born| at - born >= NEW))
            {
                state.born = None;
            }
            state.note_progress(at, self.stable_since, longest);
            state.is_silent = policy.may_hold_markers
                && at - state.grew >= STUCK
                && state.series.lag() <= real(UNREADABLE_AT_MOST);
            let waited = state.wait > 0.0;
            state.note_wait(at);
            self.found_waits |= state.wait > 0.0 && !waited;
        }
        self.note_passed(at, &passed);
    }

    /// What the commits that moved say of hand-overs and of standstills.
    fn note_passed(&mut self, at: i64, passed: &[Moved]) {
        for moved in passed {
            self.last_move = Some(at);
            self.longest = self.longest.max(moved.worked);
            if let Some(pause) = moved.pause
                && self.pauses.len() < HANDED_MOST
            {
                self.pauses.push(pause);
            }
        }
        let mut is_open = false;
        for state in self.topics.values_mut().flatten() {
            let Some(since) = state.handed else { continue };
            if state.series.lag() <= 0.0 {
                state.handed = None;
            } else if at - since >= HANDED_FOR {
                state.handed = None;
                if self.pauses.len() < HANDED_MOST {
                    self.pauses.push(real(HANDED_FOR) / 1000.0);
                }
            } else {
                is_open = true;
            }
        }
        if !is_open && !self.pauses.is_empty() {
            self.pauses.sort_by(f64::total_cmp);
            let place = self.pauses.len() * 9 / 10;
            self.pause = self.pauses.get(place.min(self.pauses.len() - 1)).copied();
            self.pauses.clear();
        }
    }

    /// Whether some commit has moved since then.
    pub(in crate::scaling) fn has_moved_since(&self, then: i64) -> bool {
        self.last_move.is_some_and(|at| at > then)
    }

    /// Whether the consumers of some partition commit less than once between two looks.
    pub(in crate::scaling) fn commits_rarely(&self) -> bool {
        let mut states = self.topics.values().flatten();
        states.any(|state| state.owner.is_some() && state.commits_rarely())
    }

    /// Whether something waits in a partition that has an owner.
    pub(in crate::scaling) fn is_behind(&self) -> bool {
        let mut states = self.topics.values().flatten();
        states.any(|state| state.owner.is_some() && state.series.lag() > 0.0)
    }

    /// Partitions that may have a record in hand that takes long: to take them from their consumers might undo it.
    pub(in crate::scaling) fn in_hand(&self) -> usize {
        self.topics
            .values()
            .flatten()
            .filter(|s| s.is_in_hand)
            .count()
    }

    /// Who owns what, if this very look described a stable group: members hide their partitions while they rebalance.
    fn take_members(&mut self, look: &Look, at: i64) {
        let Some(members) = &look.group.members else {
            return;
        };
        let shown = members.list.iter().any(|member| member.partitions > 0);
        if self.stable_since.is_none() || members.look != look.number || !shown {
            return;
        }
        self.described = Some(look.at.as_millisecond());
        let since = self.unstable_since.take().unwrap_or(at);
        let known: Vec<Arc<str>> = self.members.iter().map(|m| Arc::clone(&m.id)).collect();
        let mut digests = vec![0u64; members.list.len()];
        for (name, states) in &mut self.topics {
            let Some(topic) = look.topics.iter().find(|t| t.name == *name) else {
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

    /// Remembers that partitions were handed out so unevenly that a size did not do which would have done otherwise.
    pub(in crate::scaling) fn note_uneven(&mut self, times: f64, at: i64) {
        self.uneven = Some((times, at + UNEVEN_FOR));
    }

    /// What is remembered of that: 1 for nothing.
    pub(super) fn uneven(&self, at: i64) -> f64 {
        let known = self.uneven.filter(|(_, until)| *until > at);
        known.map_or(1.0, |(times, _)| times)
    }

    /// After an action nobody knows who owns what before it is described anew.
    pub(in crate::scaling) fn note_action(&mut self) {
        self.described = None;
        self.acted = Some(self.looked);
    }

    /// Bytes that it holds on the heap, without names.
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
    pub(super) fn all(&self) -> impl Iterator<Item = ((usize, i32), &State)> {
        self.topics
            .values()
            .enumerate()
            .flat_map(|(topic, states)| {
                (0..)
                    .zip(states)
                    .map(move |(index, state)| ((topic, index), state))
            })
    }

    /// The partition at such a place, by its name.
    pub(super) fn name(&self, (topic, index): (usize, i32)) -> Option<(Arc<str>, i32)> {
        let name = self.topics.keys().nth(topic)?;
        Some((Arc::clone(name), index))
    }
}

/// A commit that has moved.
#[derive(Debug, Clone, Copy)]
struct Moved {
    /// Seconds for which its owner had it in hand; 0 where somebody else may have had it in between.
    worked: f64,
    /// Seconds since another consumer lost it, where this is the first commit since.
    pause: Option<f64>,
}

impl State {
    fn note(
        &mut self,
        at: i64,
        end: i64,
        committed: Option<i64>,
        keep: i64,
        stable_since: Option<i64>,
    ) -> Option<Moved> {
        let mut passed = None;
        let before = self.series.committed();
        if before.is_some_and(|before| end < before) {
            // Records that had been read are gone: another topic of that name.
            self.series.clear();
        }
        let went_back = self.series.end().is_some_and(|last| end < last);
        self.backwards = if went_back {
            self.backwards.saturating_add(1)
        } else {
            0
        };
        if self.backwards >= 2 {
            // Not a look that crossed another: the log was cut, or made anew.
            self.series.clear();
            self.backwards = 0;
        }
        if self.series.end() != Some(end) {
            self.grew = at;
        }
        let previous = self.series.latest().unwrap_or(at);
        if before.is_none() || before != committed {
            if before.is_some() {
                let since = self.moved.max(self.waiting.unwrap_or(previous));
                let stood = real(at - since) / 1000.0;
                let is_same = stable_since.is_some_and(|stable| stable <= since);
                // Many at once are what an outage held up, or a batch.
                let records = committed
                    .zip(before)
                    .map_or(0, |(now, before)| now - before);
                let is_long = is_same && (1..=AT_ONCE).contains(&records);
                let pause = self.handed.take();
                passed = Some(Moved {
                    worked: if is_long && pause.is_none() {
                        stood
                    } else {
                        0.0
                    },
                    pause: pause.map(|handed| real(at - handed) / 1000.0),
                });
                self.moved_after = at - since;
                if stood > 2.0 * self.gap.max(super::LOOK) {
                    self.resumed = Some(at);
                }
                let gap = stood.min(GAP_MOST);
                self.gap = if self.gap > 0.0 {
                    0.8 * self.gap + 0.2 * gap
                } else {
                    gap
                };
            }
            self.moved = at;
            self.is_stuck &= stable_since.is_none();
        }
        self.series.push(at, end, committed, keep);
        self.waiting = (self.series.lag() > 0.0).then_some(self.waiting.unwrap_or(at));
        passed
    }

    /// New partitions wait for their first owner; one that stays without is not helped by replicas.
    fn note_owner(&mut self, at: i64, is_shown: bool) {
        if self.owner.is_some() {
            if self.unowned.take().is_some() {
                self.is_stuck = false;
            }
        } else if is_shown {
            let since = *self.unowned.get_or_insert(at);
            self.is_stuck |= at - since >= NEW && self.series.lag() > 0.0;
        }
    }

    /// A poison pill, or a remainder that no consumer reads: replicas cannot help.
    fn note_progress(&mut self, at: i64, stable_since: Option<i64>, longest: f64) {
        let is_open = self.gap <= 0.0 && self.owner.is_some() && self.series.lag() > 0.0;
        let stands_for = at - self.moved.max(self.waiting.unwrap_or(at));
        self.is_in_hand = is_open && (STUCK..IN_HAND).contains(&stands_for);
        let Some(stable_since) = stable_since else {
            return;
        };
        let is_read = self.series.latest() == Some(at);
        if self.series.lag() <= 0.0 || self.owner.is_none() || !is_read {
            return;
        }
        let waiting = self.waiting.unwrap_or(at);
        let still = at - self.moved.max(stable_since).max(waiting);
        let least = if self.gap > 0.0 { STUCK } else { STUCK_UNKNOWN };
        let usual = (STUCK_GAPS * self.gap).max(LONGER * longest);
        if still >= least && real(still) >= usual * 1000.0 {
            self.is_stuck = true;
        }
    }

    /// Whether its records wait as long whatever is done: their age stays the same while they are read.
    fn note_wait(&mut self, at: i64) {
        let delay = self.series.delay(at);
        let moves =
            self.owner.is_some() && real(at - self.moved) <= 2000.0 * self.gap.max(super::LOOK);
        if delay < LEVEL_FROM || !moves || self.commits_rarely() {
            self.level = None;
            self.wait = 0.0;
            return;
        }
        let (least, most, since) = match self.level {
            Some((least, most, since)) if most.max(delay) - least.min(delay) <= LEVEL => {
                (least.min(delay), most.max(delay), since)
            }
            _ => (delay, delay, at),
        };
        self.level = Some((least, most, since));
        if at - since >= LEVEL_FOR {
            self.wait = least;
        } else if delay > self.wait + LEVEL || delay < self.wait - LEVEL {
            self.wait = 0.0;
        }
    }

    /// Records that wait and could be read: without those that wait on purpose.
    pub(super) fn lag(&self) -> f64 {
        let rate = self.series.rate(Of::Arrivals, 60_000).unwrap_or(0.0);
        (self.series.lag() - self.wait * rate).max(0.0)
    }

    /// Consumption in records per second over about `window` milliseconds, and since when it was looked at: between moves of
    /// the commit, or plainly over the window where it has stopped moving.
    pub(super) fn pace(&self, at: i64, window: i64) -> (f64, i64) {
        let late = real(at - self.moved) > 2000.0 * self.gap.max(super::LOOK);
        let plain = || {
            let rate = self.series.rate(Of::Consumption, window).unwrap_or(0.0);
            (rate, at - window)
        };
        // One commit of many minutes is all of their work, and none of the last minute's.
        let between = || {
            let over = window.max(self.moved_after);
            let rate = self.series.rate(Of::Consumption, over).unwrap_or(0.0);
            (rate, at - over)
        };
        match self.series.pace(window).filter(|_| !late) {
            Some(pace) => pace,
            None if !late && self.commits_rarely() => between(),
            None => plain(),
        }
    }

    /// Whether a look in two sees no commit.
    pub(super) fn commits_rarely(&self) -> bool {
        self.gap > RARE
    }

    /// Counts for the demand, and not for the useful counts alone.
    pub(super) fn is_live(&self) -> bool {
        !self.is_stuck && self.born.is_none()
    }
}

/// One step of a hash that is the same everywhere and always.
fn mix(hash: u64, value: u64) -> u64 {
    (hash ^ value)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(29)
        .wrapping_mul(0xBF58_476D_1CE4_E5B9)
}
