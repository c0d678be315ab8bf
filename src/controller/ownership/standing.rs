//! The standing of one claim: whether it has the turn to manage, and whether it is known to work
//! (`docs/decisions/0014`). Pure: no clock, no other claims.

use jiff::{SignedDuration, Timestamp};
use lagrange_core::api::condition::{Reason, Status, Type};
use lagrange_core::api::{ConsumerGroup, condition};

use super::Name;

/// How long a managed group keeps its turn while it cannot be managed.
pub(in crate::controller) const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// How long a claim that has lost its turn lets others try first after a failure: at most the time
/// until its target is read again.
const TRIED: SignedDuration = SignedDuration::from_secs(10);

/// The result of the last work on a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Progress {
    /// Its target was read, and so was Kafka.
    Managed,
    /// Not known: Kafka does not answer at present, or has not answered yet.
    Unknown,
    /// It cannot be managed until someone fixes the cause.
    Failing,
}

/// The turn to manage. Of the claims that contest one thing, one has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It may manage, and it is not known yet whether it can.
    Trying,
    /// It manages.
    Held,
    /// It managed, and cannot at present; others wait until then.
    Failing { until: Timestamp },
}

/// The rank of a claim. The smaller goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It has the turn.
    Turn,
    /// It had the turn before this process started, and has not asked for it yet.
    Former,
    /// It had the turn and lost it by failing, and no other has managed since.
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
    /// When it last failed.
    tried: Option<Timestamp>,
    /// Since when it is managed.
    since: Option<Timestamp>,
    /// The claim that had the turn when this one last asked for it.
    pub(super) waits_for: Option<Name>,
}

impl Standing {
    /// The standing of a claim that is new to this process. A restart does not let others overtake
    /// a claim that was managed before; its status shows that, if it is about the present
    /// specification.
    pub(super) fn new(group: &ConsumerGroup) -> Self {
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
        // Only the claim that has the turn can find that Kafka does not answer.
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

    /// Whether it has worked and still has its turn.
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

    /// Since when it works, if it is known to.
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

    /// Begins its turn: no other claim goes before it.
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

    /// Ends its turn: `winner` goes before it, which `manages` or is to be tried.
    pub(super) fn wait(&mut self, winner: Name, manages: bool, now: Timestamp) {
        let has_lapsed = self.rank(now) == Rank::Lapsed;
        self.lapsed = has_lapsed && !manages;
        self.failed |= has_lapsed;
        self.former = false;
        self.turn = None;
        self.since = None;
        self.waits_for = Some(winner);
    }

    /// Notes the result of work on it. Returns whether that concerns the claims that wait for it.
    pub(super) fn note(&mut self, progress: Progress, now: Timestamp) -> bool {
        if progress == Progress::Failing {
            self.tried = Some(now);
        }
        match (progress, self.turn) {
            // A turn that has ended does not resume: another claim may have it by now.
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
                // A claim that fails repeatedly wakes others only once.
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
