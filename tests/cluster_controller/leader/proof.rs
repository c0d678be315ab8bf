//! What the audit log says about the whole run.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use lagrange_testing::audit::{self, Action, Write};

use super::pair::{ACCOUNTS, Times};
use super::{APART, BOUNDED};
use crate::stage::{APP, DOWN, Stage, UP, assert_spaced};

/// A process that was stopped and went on.
#[derive(Debug)]
pub(super) struct Stopped {
    /// Index of its account.
    pub(super) account: usize,
    /// Just before SIGCONT.
    pub(super) continued: Timestamp,
    /// When it had ended.
    pub(super) ended: Timestamp,
}

/// What is checked at the end.
#[derive(Debug, Default)]
pub(super) struct Proof {
    stopped: Vec<Stopped>,
}

impl Proof {
    pub(super) fn stopped(&mut self, stopped: Stopped) {
        self.stopped.push(stopped);
    }

    /// Panics if a write breaks a promise. Returns what there was to check, as text.
    pub(super) fn check(&self, stage: &Stage<'_>, times: Times) -> String {
        let attempts = audit::attempts(stage.kubernetes, &stage.space);
        self.assert_silent(&attempts);
        let accepted: Vec<Write> = attempts.into_iter().filter(Write::is_accepted).collect();
        let (written, writers) = assert_one_writer(&accepted, times);
        let mut scales = Vec::new();
        for (target, up, down) in [(APP, UP, DOWN), (BOUNDED, APART, APART)] {
            let actions = audit::actions(stage.kubernetes, &stage.space, target);
            let (ups, downs) = directions(&actions);
            assert!(ups > 0, "{target} was not scaled");
            assert_spaced(1, &actions, up, down);
            scales.push(format!("{ups} up and {downs} down of {target}"));
        }
        format!(
            "{written} writes by {writers} terms of leaders, {}; {} stopped processes wrote nothing",
            scales.join(", "),
            self.stopped.len(),
        )
    }

    /// A process that was stopped sends no write when it continues, not even one that is refused.
    fn assert_silent(&self, attempts: &[Write]) {
        for stopped in &self.stopped {
            let during = attempts.iter().filter(|write| {
                account(write) == Some(stopped.account)
                    && write.at >= stopped.continued
                    && write.at <= stopped.ended
            });
            let during: Vec<&Write> = during.collect();
            assert!(during.is_empty(), "{stopped:?} wrote {during:#?}");
        }
    }
}

/// The index of the account that wrote, if it is one of the operator's.
fn account(write: &Write) -> Option<usize> {
    let name = write.user.rsplit(':').next()?;
    let is_account = write.user.starts_with("system:serviceaccount:");
    let index = ACCOUNTS.iter().position(|account| *account == name);
    index.filter(|_| is_account)
}

/// Each accepted write is of the account that last wrote itself into the Lease. Somebody who edits
/// the Lease does not lead; the holder may write until it must have seen that. Returns the number
/// of writes and of terms.
fn assert_one_writer(accepted: &[Write], times: Times) -> (usize, usize) {
    let mut leader: Option<usize> = None;
    let mut ousted: Option<Timestamp> = None;
    let (mut written, mut terms) = (0, BTreeSet::new());
    let notices = SignedDuration::try_from(times.deadline).unwrap();
    for write in accepted {
        let is_lease = write.resource == "leases";
        let Some(writer) = account(write) else {
            if is_lease && write.verb != "delete" {
                ousted = Some(write.at);
            }
            continue;
        };
        if is_lease && write.holder.is_empty() {
            assert_eq!(Some(writer), leader, "released by another: {write:#?}");
            leader = None;
        } else if is_lease {
            let (slot, _) = write.holder.split_once('_').unwrap();
            assert_eq!(slot, ACCOUNTS[writer], "takes it for another: {write:#?}");
            terms.insert(write.holder.clone());
            (leader, ousted) = (Some(writer), None);
        } else {
            assert_eq!(Some(writer), leader, "not the leader: {write:#?}");
            let late = ousted.map(|at| write.at.duration_since(at));
            assert!(
                late.is_none_or(|late| late < notices),
                "{late:?}: {write:#?}"
            );
            written += 1;
        }
    }
    (written, terms.len())
}

/// How many actions went up, and how many down.
fn directions(actions: &[Action]) -> (usize, usize) {
    let mut size = 1;
    let (mut ups, mut downs) = (0, 0);
    for action in actions {
        if action.to > size {
            ups += 1;
        } else {
            downs += 1;
        }
        size = action.to;
    }
    (ups, downs)
}
