//! The history: rebuilt from polls after a restart, bounded, thinned with age, never stored outside
//! the process.

use jiff::Timestamp;

use crate::scaling::input::observation::{GroupSnapshot, Observation, Unreadable};
use crate::scaling::input::policy::Policy;
use crate::scaling::measure::lag::Lag;
use crate::scaling::measure::lag_peaks::LagPeaks;
use crate::scaling::measure::limits::Bounds;
use crate::scaling::measure::load_history::LoadHistory;
use crate::scaling::measure::membership::Membership;
use crate::scaling::measure::notice::Notice;
use crate::scaling::measure::offsets::Offsets;
use crate::scaling::measure::partitions::Partitions;
use crate::scaling::state::memory::Memory;
use crate::scaling::tuning::Tuning;
use crate::scaling::tuning::measure::Polls;

/// Whether the lag is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// Nothing has been read yet.
    NotYet,
    /// Every partition was read.
    Complete,
    /// Something is missing. `lasting`: for two polls and at least 20 s (KNOW-16).
    Missing {
        /// Since when.
        since: Timestamp,
        /// Long enough to report it.
        lasting: bool,
    },
}

/// The recent past.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// When the first observation was made.
    pub(in crate::scaling) began: Option<Timestamp>,
    /// Number of the last poll that was recorded, failed ones included.
    last_number: Option<u64>,
    /// Polls in which something could be read, counted up to 2.
    pub(in crate::scaling) polls: u8,
    last_whole: Option<Timestamp>,
    missing: Option<Missing>,
    /// The peaks of the lag demand, on which a scale-down may be based.
    pub(in crate::scaling) lag_peaks: LagPeaks,
    /// The measurements of the partitions.
    pub(in crate::scaling) consumption: Consumption,
    /// Since when nothing has arrived and nothing has been unread.
    pub(in crate::scaling) quiet_since: Option<Timestamp>,
    /// The certain partition limit and the number of whole polls, up to 2, that showed it.
    pub(in crate::scaling) certain_limit: Option<(i32, u8)>,
    pub(in crate::scaling) timers: Timers,
    pub(in crate::scaling) membership: Membership,
    pub(in crate::scaling) offsets: Offsets,
    /// The last action and the bounds that the history belongs to.
    action: Option<Timestamp>,
    bounds: Option<(i32, i32)>,
    /// Whether any offset moved between the last two whole polls.
    moved: bool,
    /// Whether any offset has moved since the last whole poll.
    has_moved: bool,
    /// The sum of the end offsets of the target's topics in the last whole poll, delayed topics
    /// included.
    whole_ends: Option<i64>,
}

/// Offsets, owners and loads of the partitions.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct Consumption {
    pub(in crate::scaling) partitions: Partitions,
    pub(in crate::scaling) load_history: LoadHistory,
    /// The earliest time of the next capacity sample, in milliseconds.
    pub(in crate::scaling) next_sample: i64,
    pub(in crate::scaling) review_state: ReviewState,
}

#[cfg(test)]
impl Consumption {
    /// Bytes on the heap.
    pub(in crate::scaling) fn bytes(&self) -> usize {
        self.partitions.bytes() + self.load_history.bytes()
    }
}

/// Whether the last scale-up has been judged. Not kept over a restart: an action of an earlier
/// process is not judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::scaling) enum ReviewState {
    /// There is nothing to judge.
    #[default]
    Done,
    /// The next poll that shows a saturated group judges it.
    Open,
}

/// Since when each condition lasts that actions wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::scaling) struct Timers {
    pub(in crate::scaling) unsettled_group: Option<Timestamp>,
    pub(in crate::scaling) rollout: Option<Timestamp>,
    pub(in crate::scaling) no_members: Option<Timestamp>,
    pub(in crate::scaling) not_ready: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    since: Timestamp,
    polls: u8,
}

/// The changes that one observation brought.
#[derive(Debug, Default)]
pub(in crate::scaling) struct ObservationDelta {
    /// The poll had not been recorded before.
    pub(in crate::scaling) is_new: bool,
    /// Every partition of every counted topic was read.
    pub(in crate::scaling) is_whole: bool,
    /// Offsets went back, or partitions or topics changed: a new series begins.
    pub(in crate::scaling) is_other: bool,
    pub(in crate::scaling) notices: Vec<Notice>,
}

impl History {
    /// Whether nothing has been observed yet.
    pub(in crate::scaling) fn is_empty(&self) -> bool {
        self.began.is_none()
    }

    /// Interprets the offsets of the observation.
    pub(in crate::scaling) fn read_offsets(
        &mut self,
        policy: &Policy,
        observation: &mut Observation,
    ) {
        if let Ok(snapshot) = &mut observation.snapshot {
            let is_new = self.last_number != Some(snapshot.number);
            self.offsets.read(policy, snapshot, is_new);
        }
    }

    /// Records an observation: offsets, members, whether anything is missing. `lag`: of this poll.
    pub(in crate::scaling) fn take(
        &mut self,
        policy: &Policy,
        memory: &Memory,
        observation: &Observation,
        lag: &Lag,
    ) -> ObservationDelta {
        let now = observation.now;
        self.began.get_or_insert(now);
        let number = match &observation.snapshot {
            Ok(snapshot) => snapshot.number,
            Err(Unreadable::PollFailed { number }) => *number,
            Err(Unreadable::NeverPolled) => return ObservationDelta::default(),
        };
        let mut taken = ObservationDelta {
            is_new: self.last_number != Some(number),
            ..ObservationDelta::default()
        };
        self.last_number = Some(number);
        if let Ok(snapshot) = &observation.snapshot {
            if taken.is_new {
                self.polls = self.polls.saturating_add(1).min(2);
                self.membership.take(policy, memory, observation);
            }
            taken.is_whole = lag.unknown == 0 && limit_is_known(snapshot);
            if taken.is_new {
                self.take_poll(policy, memory, snapshot, &mut taken);
            }
        }
        self.note_missing(now, &taken);
        taken
    }

    fn note_missing(&mut self, now: Timestamp, taken: &ObservationDelta) {
        if taken.is_whole {
            self.missing = None;
            return;
        }
        let missing = self.missing.get_or_insert(Missing {
            since: now,
            polls: 0,
        });
        if taken.is_new {
            missing.polls = missing.polls.saturating_add(1);
        }
        self.lag_peaks.note_hole();
        self.quiet_since = None;
    }

    fn take_poll(
        &mut self,
        policy: &Policy,
        memory: &Memory,
        snapshot: &GroupSnapshot,
        taken: &mut ObservationDelta,
    ) {
        let longest = memory.model.longest(snapshot.at, &policy.tuning);
        let changes = self.consumption.partitions.take(snapshot, policy, longest);
        taken.is_other = changes.is_other;
        taken.notices.extend(changes.added);
        self.has_moved |= changes.has_moved;
        if taken.is_other {
            self.quiet_since = None;
        }
        if taken.is_whole {
            let ends = self.sum_of_ends(snapshot);
            let before = std::mem::replace(&mut self.whole_ends, ends);
            self.moved = std::mem::take(&mut self.has_moved)
                || before.is_some_and(|before| ends.is_some_and(|ends| ends != before));
            self.note_whole(snapshot.at, &policy.tuning);
        }
    }

    fn note_whole(&mut self, at: Timestamp, tuning: &Tuning) {
        if self
            .last_whole
            .is_some_and(|last| at.duration_since(last) > tuning.polls.fresh)
        {
            self.lag_peaks.clear();
            self.quiet_since = None;
        }
        self.last_whole = Some(at);
    }

    /// Sum of the end offsets of the target's topics, each as last read. `None`: one was never
    /// read, or one of a delayed topic cannot be read now.
    pub(in crate::scaling) fn sum_of_ends(&self, snapshot: &GroupSnapshot) -> Option<i64> {
        let ends = snapshot.topics.iter().filter(|t| t.is_own()).map(|topic| {
            if !topic.is_counted() {
                let mut partitions = topic.partitions.as_deref()?.iter();
                return partitions.try_fold(0i64, |sum, partition| {
                    Some(sum.saturating_add(partition.log_end?))
                });
            }
            let partitions = self.consumption.partitions.topics.get(&topic.name)?;
            let seen = Some(partitions).filter(|seen| !seen.is_empty())?;
            seen.iter().try_fold(0i64, |sum, partition| {
                Some(sum.saturating_add(partition.end?))
            })
        });
        ends.into_iter()
            .try_fold(0i64, |sum, topic| Some(sum.saturating_add(topic?)))
    }

    /// Whether any offset moved between the last two whole polls.
    pub(in crate::scaling) fn moved(&self) -> bool {
        self.moved
    }

    /// Whether the last action has changed since the last call.
    pub(in crate::scaling) fn action_changed(&mut self, last: Option<Timestamp>) -> bool {
        std::mem::replace(&mut self.action, last) != last
    }

    /// Whether the bounds have changed since the last call.
    pub(in crate::scaling) fn bounds_changed(&mut self, bounds: Option<&Bounds>) -> bool {
        let Some(bounds) = bounds else { return false };
        let now = (bounds.floor, bounds.ceiling);
        self.bounds.replace(now).is_some_and(|before| before != now)
    }

    /// Counts the whole polls that showed this certain limit.
    pub(in crate::scaling) fn note_certain_limit(&mut self, limit: Option<i32>) {
        let Some(limit) = limit else { return };
        self.certain_limit = match self.certain_limit {
            Some((before, seen)) if before == limit => Some((limit, seen.saturating_add(1).min(2))),
            _ => Some((limit, 1)),
        };
    }

    /// Whether the lag is known.
    pub(in crate::scaling) fn knowledge(&self, now: Timestamp, tuning: &Tuning) -> Knowledge {
        let Polls { fresh, lasting, .. } = tuning.polls;
        match self.missing {
            None if self.last_number.is_none() => Knowledge::NotYet,
            None => Knowledge::Complete,
            Some(Missing { since, polls }) => {
                let lasts = now.duration_since(since);
                // A poller that has stopped altogether makes no second poll.
                let lasting = (polls >= 2 && lasts >= lasting) || lasts >= fresh;
                Knowledge::Missing { since, lasting }
            }
        }
    }

    /// An action begins a new series: what one size did shows nothing about another.
    pub(in crate::scaling) fn note_action(&mut self) {
        self.lag_peaks.clear();
        self.quiet_since = None;
        self.consumption.partitions.note_action();
    }
}

/// Whether every topic, including those that count only towards the partition limit, has a
/// partition count.
pub(in crate::scaling) fn limit_is_known(snapshot: &GroupSnapshot) -> bool {
    !snapshot.topics.is_empty()
        && snapshot
            .topics
            .iter()
            .all(|t| t.partitions.as_ref().is_some_and(|p| !p.is_empty()))
}
