//! How one claim stands: whether it has the turn to manage, and whether it is known to work
//! (`docs/decisions/0014`). Pure: no clock, and nothing of other claims.

use jiff::{SignedDuration, Timestamp};
use lagrange_core::api::condition::{Reason, Status, Type};
use lagrange_core::api::{ConsumerGroup, condition};

use super::Name;

/// How long one that was managed keeps its claim while it cannot be.
pub(in crate::controller) const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// How long one that has lost its turn is not tried again before others are: until a look at its
/// target at most.
const TRIED: SignedDuration = SignedDuration::from_secs(10);

/// How it went with a group when it was last worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Progress {
    /// Its target was seen, and Kafka let it be read.
    Managed,
    /// Nobody can say: Kafka does not answer at present, or has not yet.
    Unknown,
    /// It cannot be managed until somebody puts something right.
    Failing,
}

/// What a claim may do. Of those that contest one thing, one has the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It may manage, and has not been seen to.
    Trying,
    /// It manages.
    Held,
    /// It did, and cannot at present; others wait until then.
    Failing { until: Timestamp },
}

/// How far in front a claim is. The smaller goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It has the turn.
    Turn,
    /// It had the turn when this process began, and has not asked for it yet.
    Former,
    /// It had the turn and lost it by failing, and nobody has managed since.
    Lapsed,
    /// It has not tried yet.
    Untried,
    /// It was tried, and cannot be managed.
    Failed,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    turn: Option<Turn>,
    former: bool,
    lapsed: bool,
    failed: bool,
    /// When it was last seen to fail.
    tried: Option<Timestamp>,
    /// Since when it is managed.
    since: Option<Timestamp>,
    /// Who had the turn when it last asked for it.
    pub(super) waits_for: Option<Name>,
}

impl Standing {
    /// Of a claim that this process has not seen before. One that was managed by the process before
    /// this one is not overtaken by a restart; its status says so, if it is about what is written
    /// now.
    pub(super) fn first_sight(group: &ConsumerGroup) -> Self {
        let Some(status) = &group.status else {
            return Self::default();
        };
        let is_of_now = status.observed_generation == group.metadata.generation;
        let Some(ready) = condition::find(&status.conditions, Type::Ready).filter(|_| is_of_now)
        else {
            return Self::default();
        };
        let said = condition::said(&status.conditions, Type::Ready);
        let is_managed = said.is_some_and(|(is, _)| is == Status::True);
        // Only whoever has the turn finds out that Kafka does not answer.
        let had_turn =
            is_managed || said.is_some_and(|(_, why)| why == Some(Reason::KafkaUnreachable));
        Self {
            former: had_turn,
            since: is_managed.then_some(ready.last_transition_time.0),
            ..Self::default()
        }
    }

    pub(super) fn has_turn(&self, now: Timestamp) -> bool {
        match self.turn {
            Some(Turn::Failing { until }) => now < until,
            Some(Turn::Trying | Turn::Held) => true,
            None => false,
        }
    }

    pub(super) fn rank(&self, now: Timestamp) -> Rank {
        if self.has_turn(now) {
            Rank::Turn
        } else if self.former {
            Rank::Former
        } else if self.lapsed || self.turn.is_some() {
            Rank::Lapsed
        } else if self.failed {
            Rank::Failed
        } else {
            Rank::Untried
        }
    }

    /// Whether it was seen to work and has its turn still.
    pub(super) fn has_managed(&self, now: Timestamp) -> bool {
        self.has_turn(now) && self.turn != Some(Turn::Trying)
    }

    /// Whether it has failed a moment ago, so that others may try.
    pub(super) fn has_just_failed(&self, now: Timestamp) -> bool {
        self.tried
            .is_some_and(|tried| now.duration_since(tried) < TRIED)
    }

    /// Whether it works now.
    pub(super) fn manages(&self) -> bool {
        self.turn == Some(Turn::Held)
    }

    /// Since when, if it is known to.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// When its turn ends, unless it recovers.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        match self.turn {
            Some(Turn::Failing { until }) => Some(until),
            Some(Turn::Trying | Turn::Held) | None => None,
        }
    }

    /// Nobody goes before it.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.waits_for = None;
        match self.rank(now) {
            Rank::Turn => {}
            Rank::Former => {
                self.former = false;
                self.turn = Some(Turn::Held);
            }
            rank @ (Rank::Lapsed | Rank::Untried | Rank::Failed) => {
                self.lapsed = rank == Rank::Lapsed;
                self.turn = Some(Turn::Trying);
                self.since = None;
            }
        }
    }

    /// `winner` goes before it, which `manages` or is to be tried.
    pub(super) fn wait(&mut self, winner: Name, manages: bool, now: Timestamp) {
        let has_lapsed = self.rank(now) == Rank::Lapsed;
        self.lapsed = has_lapsed && !manages;
        self.failed |= has_lapsed;
        self.former = false;
        self.turn = None;
        self.since = None;
        self.waits_for = Some(winner);
    }

    /// It was worked on. Says whether that concerns whoever waits for it.
    pub(super) fn note(&mut self, progress: Progress, now: Timestamp) -> bool {
        if progress == Progress::Failing {
            self.tried = Some(now);
        }
        match (progress, self.turn) {
            // A turn that has ended is not had again by this: somebody else may have it by now.
            (Progress::Managed, Some(_)) if self.has_turn(now) => {
                self.turn = Some(Turn::Held);
                self.lapsed = false;
                self.failed = false;
                self.since.get_or_insert(now);
                false
            }
            (Progress::Failing, Some(Turn::Held)) => {
                let until = now.checked_add(GRACE).unwrap_or(Timestamp::MAX);
                self.turn = Some(Turn::Failing { until });
                true
            }
            (Progress::Failing, Some(Turn::Trying) | None) => {
                // Whoever fails again and again wakes nobody by it.
                let is_news = !self.failed;
                self.former = false;
                self.turn = None;
                self.failed = true;
                is_news
            }
            (Progress::Failing, Some(Turn::Failing { .. }))
            | (Progress::Managed | Progress::Unknown, _) => false,
        }
    }
}
