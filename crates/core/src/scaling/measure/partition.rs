//! The state of one partition: offsets, owner, progress, and what follows from them.

use crate::scaling::input::observation::{Commit, Partition};
use crate::scaling::measure::series::{Of, Series};
use crate::scaling::number::{in_seconds, millis, real};
use crate::scaling::tuning::Tuning;

/// A partition.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct State {
    /// Its end and its commit as last read, each independent of the other.
    pub(in crate::scaling) end: Option<i64>,
    pub(in crate::scaling) committed: Option<i64>,
    pub(in crate::scaling) series: Series,
    /// When its commit last moved, in milliseconds.
    pub(in crate::scaling) moved: i64,
    /// Typical seconds between two moves of the commit while there was something to commit; 0: it
    /// has not moved twice.
    pub(in crate::scaling) gap: f64,
    /// Since when it has had lag at every poll, in milliseconds.
    pub(in crate::scaling) waiting: Option<i64>,
    /// Since when a stable group whose members are described has had no owner for it, in
    /// milliseconds.
    pub(in crate::scaling) unowned: Option<i64>,
    /// Polls in a row whose end was before the previous one.
    pub(in crate::scaling) backwards: u8,
    /// When it was first seen, if that was after the first poll and it has had no owner yet.
    pub(in crate::scaling) born: Option<i64>,
    pub(in crate::scaling) is_stuck: bool,
    /// When retention last removed unread records, in milliseconds: the position moves although no
    /// consumer read.
    pub(in crate::scaling) expired: Option<i64>,
    /// Since when it has had a new owner that has not committed yet, in milliseconds.
    pub(in crate::scaling) handed: Option<i64>,
    /// When its commit last moved again after a standstill, in milliseconds: before that its
    /// consumer did less than it can.
    pub(in crate::scaling) resumed: Option<i64>,
    /// The least and the greatest delay, in seconds, since the poll from which on it has been about
    /// the same, and the time of that poll.
    pub(in crate::scaling) level: Option<(f64, f64, i64)>,
    /// Seconds for which its records wait at any size: in a retry topic records wait on purpose.
    pub(in crate::scaling) wait: f64,
    /// It may have a record in hand that takes long.
    pub(in crate::scaling) is_in_hand: bool,
    /// When its end last moved, in milliseconds.
    pub(in crate::scaling) grew: i64,
    /// Nothing has arrived for a while, and the offsets left may be those of an aborted
    /// transaction, which no consumer reads.
    pub(in crate::scaling) is_silent: bool,
    /// How long its commit stood still before it last moved, in milliseconds.
    pub(in crate::scaling) moved_after: i64,
    /// Place of its owner among the members.
    pub(in crate::scaling) owner: Option<usize>,
}

/// A commit that has moved.
#[derive(Debug, Clone, Copy)]
pub(in crate::scaling) struct Moved {
    /// Seconds that its owner worked on it; 0 if another consumer may have had it in between.
    pub(in crate::scaling) worked: f64,
    /// Seconds since another consumer lost it, if this is the first commit since then.
    pub(in crate::scaling) pause: Option<f64>,
}

/// How a partition's offsets changed.
#[derive(Debug, Clone, Copy)]
pub(in crate::scaling) struct Offsets {
    /// Its end is before the last one.
    pub(in crate::scaling) went_back: bool,
    /// Its end or its commit has moved.
    pub(in crate::scaling) moved_on: bool,
}

impl State {
    /// Records the offsets as read.
    pub(in crate::scaling) fn read(&mut self, partition: &Partition) -> Offsets {
        let committed = match partition.committed {
            Commit::At(committed) => Some(committed),
            Commit::Absent | Commit::Unknown => None,
        };
        let ends = partition.log_end.zip(self.end);
        let commits = committed.zip(self.committed);
        self.end = partition.log_end.or(self.end);
        self.committed = committed.or(self.committed);
        let moves = |pair: Option<(i64, i64)>| pair.is_some_and(|(now, before)| now > before);
        Offsets {
            went_back: ends.is_some_and(|(now, before)| now < before),
            moved_on: moves(ends) || moves(commits),
        }
    }

    pub(in crate::scaling) fn note(
        &mut self,
        at: i64,
        end: i64,
        committed: Option<i64>,
        keep: i64,
        stable_since: Option<i64>,
        tuning: &Tuning,
    ) -> Option<Moved> {
        let progress = &tuning.progress;
        let mut passed = None;
        let before = self.series.committed();
        if before.is_some_and(|before| end < before) {
            // Records that had been read are gone: the topic was recreated.
            self.series.clear();
        }
        let went_back = self.series.end().is_some_and(|last| end < last);
        self.backwards = if went_back {
            self.backwards.saturating_add(1)
        } else {
            0
        };
        if self.backwards >= 2 {
            // Not a poll that crossed another: the log was truncated or recreated.
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
                // Many records at once are those of an outage or of a batch.
                let records = committed
                    .zip(before)
                    .map_or(0, |(now, before)| now - before);
                let few = i64::try_from(progress.in_hand_records).unwrap_or(i64::MAX);
                let is_long = is_same && (1..=few).contains(&records);
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
                if stood > self.late(tuning) {
                    self.resumed = Some(at);
                }
                let gap = stood.min(in_seconds(progress.gap_most));
                self.gap = if self.gap > 0.0 {
                    let weight = progress.gap_weight;
                    (1.0 - weight.0) * self.gap + weight * gap
                } else {
                    gap
                };
            }
            self.moved = at;
            self.is_stuck &= stable_since.is_none();
        }
        self.series.push(at, end, committed, keep, tuning);
        self.waiting = (self.series.lag() > 0.0).then_some(self.waiting.unwrap_or(at));
        passed
    }

    /// New partitions wait for their first owner. Replicas do not help a partition that stays
    /// without one.
    pub(in crate::scaling) fn note_owner(&mut self, at: i64, is_shown: bool, tuning: &Tuning) {
        if self.owner.is_some() {
            if self.unowned.take().is_some() {
                self.is_stuck = false;
            }
        } else if is_shown {
            let since = *self.unowned.get_or_insert(at);
            let is_old = at - since >= millis(tuning.progress.new_for);
            self.is_stuck |= is_old && self.series.lag() > 0.0 && tuning.progress.enabled;
        }
    }

    /// Marks a stuck partition: a poison pill, or offsets that no consumer reads. Replicas cannot
    /// help.
    pub(in crate::scaling) fn note_progress(
        &mut self,
        at: i64,
        stable_since: Option<i64>,
        longest: f64,
        tuning: &Tuning,
    ) {
        let progress = &tuning.progress;
        let stuck_after = millis(progress.stuck_after);
        let is_open = self.gap <= 0.0 && self.owner.is_some() && self.series.lag() > 0.0;
        let stands_for = at - self.moved.max(self.waiting.unwrap_or(at));
        self.is_in_hand =
            is_open && (stuck_after..millis(progress.in_hand_for)).contains(&stands_for);
        let Some(stable_since) = stable_since else {
            return;
        };
        let is_read = self.series.latest() == Some(at);
        if self.series.lag() <= 0.0 || self.owner.is_none() || !is_read {
            return;
        }
        let waiting = self.waiting.unwrap_or(at);
        let still = at - self.moved.max(stable_since).max(waiting);
        let least = if self.gap > 0.0 {
            stuck_after
        } else {
            millis(progress.stuck_unknown)
        };
        let usual = (progress.stuck_gaps * self.gap).max(progress.longer * longest);
        if still >= least && real(still) >= usual * 1000.0 {
            self.is_stuck = progress.enabled;
        }
    }

    /// Notes since when its delay has been about the same while it is read.
    pub(in crate::scaling) fn note_level(&mut self, at: i64, tuning: &Tuning) {
        let (from, level) = (&tuning.delayed.from, &tuning.delayed.level);
        let (from, level) = (in_seconds(*from), in_seconds(*level));
        let delay = self.series.delay(at, tuning);
        let moves = self.owner.is_some() && !self.is_late(at, tuning);
        if !tuning.delayed.enabled || delay < from || !moves || self.commits_rarely(tuning) {
            self.level = None;
            self.wait = 0.0;
            return;
        }
        self.level = Some(match self.level {
            Some((least, most, since)) if most.max(delay) - least.min(delay) <= level => {
                (least.min(delay), most.max(delay), since)
            }
            _ => (delay, delay, at),
        });
        if delay > self.wait + level || delay < self.wait - level {
            self.wait = 0.0;
        }
    }

    /// The seconds that its records wait, if they have been about the same for long enough.
    pub(in crate::scaling) fn waits_alike(&self, at: i64, tuning: &Tuning) -> Option<f64> {
        let least = millis(tuning.delayed.level_for);
        let level = self.level.filter(|(_, _, since)| at - since >= least);
        level.map(|(least, _, _)| least)
    }

    /// Whether its records are read as they arrive.
    pub(in crate::scaling) fn is_read_at_once(&self, at: i64, tuning: &Tuning) -> bool {
        let comes = self.owner.is_some() && at - self.grew <= millis(tuning.progress.stuck_after);
        let from = in_seconds(tuning.delayed.from);
        comes && !self.is_stuck && self.series.delay(at, tuning) < from
    }

    /// Waiting records that could be read: without those that wait on purpose.
    pub(in crate::scaling) fn lag(&self, tuning: &Tuning) -> f64 {
        let window = millis(tuning.arrivals.steady);
        let rate = self.series.rate(Of::Arrivals, window, tuning);
        let rate = rate.unwrap_or(0.0);
        (self.series.lag() - self.wait * rate).max(0.0)
    }

    /// Consumption in records per second over about `window` milliseconds, and the time from which
    /// it was measured: between moves of the commit, or over the window if the commit has stopped
    /// moving.
    pub(in crate::scaling) fn pace(&self, at: i64, window: i64, tuning: &Tuning) -> (f64, i64) {
        let late = self.is_late(at, tuning);
        let plain = || {
            let rate = self.series.rate(Of::Consumption, window, tuning);
            let rate = rate.unwrap_or(0.0);
            (rate, at - window)
        };
        // One commit after many minutes covers all of their work, not the last minute's.
        let between = || {
            let over = window.max(self.moved_after);
            let rate = self.series.rate(Of::Consumption, over, tuning);
            let rate = rate.unwrap_or(0.0);
            (rate, at - over)
        };
        match self.series.pace(window, tuning).filter(|_| !late) {
            Some(pace) => pace,
            None if !late && self.commits_rarely(tuning) => between(),
            None => plain(),
        }
    }

    /// Whether one poll in two sees no commit.
    pub(in crate::scaling) fn commits_rarely(&self, tuning: &Tuning) -> bool {
        self.gap > in_seconds(tuning.progress.rare)
    }

    /// Whether its commit has not moved for longer than usual.
    pub(in crate::scaling) fn is_late(&self, at: i64, tuning: &Tuning) -> bool {
        real(at - self.moved) > 1000.0 * self.late(tuning)
    }

    /// Seconds without a commit beyond the usual gap.
    fn late(&self, tuning: &Tuning) -> f64 {
        tuning.progress.late_gaps * self.gap.max(in_seconds(tuning.polls.interval))
    }

    /// Counts for the demand, and not only for the aligned sizes.
    pub(in crate::scaling) fn is_live(&self) -> bool {
        !self.is_stuck && self.born.is_none()
    }
}
