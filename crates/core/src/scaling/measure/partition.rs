//! What one partition showed lately: offsets, owner, progress, and what that means.

use crate::scaling::measure::series::{Of, Series};
use crate::scaling::number::real;
use crate::scaling::tuning::LOOK;

/// No progress for so many milliseconds, with lag and an owner, is being stuck ...
pub(in crate::scaling) const STUCK: i64 = 60_000;
/// ... or for so many typical gaps between two commits, where those are longer.
const STUCK_GAPS: f64 = 8.0;
/// So long where the typical gap is not known, as after a start: some commit every five minutes.
const STUCK_UNKNOWN: i64 = 360_000;
/// No gap counts for more seconds than this: idle hours say nothing about how often a consumer
/// commits.
const GAP_MOST: f64 = 600.0;
/// Commits are rare from so many seconds between two on: no longer one at each look.
const RARE: f64 = 24.0;
/// Consumers refresh their metadata every 5 minutes: a new partition may belong to nobody for so
/// long (ACT-13).
pub(in crate::scaling) const NEW: i64 = 360_000;
/// A partition that has an owner and has not moved since this process began may have a record in
/// hand that takes long; so long that is believed, in milliseconds.
const IN_HAND: i64 = 3_600_000;
/// A standstill that the same owner ended with no more than so many records was work at them ...
const AT_ONCE: i64 = 10;
/// ... and the next one is believed for so many times as long.
const LONGER: f64 = 1.5;
/// A delay of more than a minute that has varied by no more than so many seconds ...
const LEVEL: f64 = 20.0;
const LEVEL_FROM: f64 = 60.0;
/// ... for so many milliseconds, while records are read, may be a wait on purpose. A backlog grows
/// or falls.
const LEVEL_FOR: i64 = 600_000;

/// A partition.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct State {
    pub(in crate::scaling) series: Series,
    /// When its commit last moved, in milliseconds.
    pub(in crate::scaling) moved: i64,
    /// Typical seconds between two moves while there was something to commit; 0: it has not moved
    /// twice.
    pub(in crate::scaling) gap: f64,
    /// Since when it has had lag at every look, in milliseconds.
    pub(in crate::scaling) waiting: Option<i64>,
    /// Since when a described, stable group has had no owner for it, in milliseconds.
    pub(in crate::scaling) unowned: Option<i64>,
    /// Looks in a row whose end lay before the last one's.
    pub(in crate::scaling) backwards: u8,
    /// When it was first seen, if that was after the first look and nobody has owned it yet.
    pub(in crate::scaling) born: Option<i64>,
    pub(in crate::scaling) is_stuck: bool,
    /// When retention last took records that had not been read, in milliseconds: that moves it on,
    /// and nobody did it.
    pub(in crate::scaling) expired: Option<i64>,
    /// Since when it has belonged to another consumer that has committed nothing yet, in
    /// milliseconds.
    pub(in crate::scaling) handed: Option<i64>,
    /// When it last went on after a standstill, in milliseconds: before that its consumer showed
    /// less than it can do.
    pub(in crate::scaling) resumed: Option<i64>,
    /// The least and the greatest delay since the first look at which it was about the same, in
    /// seconds, and that look.
    pub(in crate::scaling) level: Option<(f64, f64, i64)>,
    /// Seconds for which its records wait at any size: a topic for retries waits on purpose.
    pub(in crate::scaling) wait: f64,
    /// It may have a record in hand that takes long, for all that is known of it.
    pub(in crate::scaling) is_in_hand: bool,
    /// When its end last moved, in milliseconds.
    pub(in crate::scaling) grew: i64,
    /// What is left of it may be an aborted transaction's, which nobody reads: nothing has come for
    /// a while.
    pub(in crate::scaling) is_silent: bool,
    /// How long its commit stood before it last moved, in milliseconds.
    pub(in crate::scaling) moved_after: i64,
    /// Place of its owner among the members.
    pub(in crate::scaling) owner: Option<usize>,
}

/// A commit that has moved.
#[derive(Debug, Clone, Copy)]
pub(in crate::scaling) struct Moved {
    /// Seconds for which its owner had it in hand; 0 where somebody else may have had it in
    /// between.
    pub(in crate::scaling) worked: f64,
    /// Seconds since another consumer lost it, where this is the first commit since.
    pub(in crate::scaling) pause: Option<f64>,
}

impl State {
    pub(in crate::scaling) fn note(
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
                if stood > 2.0 * self.gap.max(LOOK) {
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
    pub(in crate::scaling) fn note_owner(&mut self, at: i64, is_shown: bool) {
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
    pub(in crate::scaling) fn note_progress(
        &mut self,
        at: i64,
        stable_since: Option<i64>,
        longest: f64,
    ) {
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

    /// Since when its delay has been about the same while it is read, and how long that is.
    pub(in crate::scaling) fn note_level(&mut self, at: i64) {
        let delay = self.series.delay(at);
        let moves = self.owner.is_some() && real(at - self.moved) <= 2000.0 * self.gap.max(LOOK);
        if delay < LEVEL_FROM || !moves || self.commits_rarely() {
            self.level = None;
            self.wait = 0.0;
            return;
        }
        self.level = Some(match self.level {
            Some((least, most, since)) if most.max(delay) - least.min(delay) <= LEVEL => {
                (least.min(delay), most.max(delay), since)
            }
            _ => (delay, delay, at),
        });
        if delay > self.wait + LEVEL || delay < self.wait - LEVEL {
            self.wait = 0.0;
        }
    }

    /// Seconds for which its records have waited alike for a while.
    pub(in crate::scaling) fn waits_alike(&self, at: i64) -> Option<f64> {
        let level = self.level.filter(|(_, _, since)| at - since >= LEVEL_FOR);
        level.map(|(least, _, _)| least)
    }

    /// Whether its records are read as they come.
    pub(in crate::scaling) fn is_read_at_once(&self, at: i64) -> bool {
        let comes = self.owner.is_some() && at - self.grew <= STUCK;
        comes && !self.is_stuck && self.series.delay(at) < LEVEL_FROM
    }

    /// Records that wait and could be read: without those that wait on purpose.
    pub(in crate::scaling) fn lag(&self) -> f64 {
        let rate = self.series.rate(Of::Arrivals, 60_000).unwrap_or(0.0);
        (self.series.lag() - self.wait * rate).max(0.0)
    }

    /// Consumption in records per second over about `window` milliseconds, and since when it was
    /// looked at: between moves of the commit, or plainly over the window where it has stopped
    /// moving.
    pub(in crate::scaling) fn pace(&self, at: i64, window: i64) -> (f64, i64) {
        let late = real(at - self.moved) > 2000.0 * self.gap.max(LOOK);
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
    pub(in crate::scaling) fn commits_rarely(&self) -> bool {
        self.gap > RARE
    }

    /// Counts for the demand, and not for the useful counts alone.
    pub(in crate::scaling) fn is_live(&self) -> bool {
        !self.is_stuck && self.born.is_none()
    }
}
