//! What this process remembers of one ConsumerGroup, keyed by its uid (KEEP-28). Plain data and its
//! rules, without I/O.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use lagrange_core::api::{ConsumerGroup, ConsumerGroupStatus};
use lagrange_core::scaling::decision::HoldReason;
use lagrange_core::scaling::memory::LastAction;
use lagrange_core::scaling::{Decision, Memory, Observation, State};
use tokio::time::Instant;

use crate::controller::kafka::port::Watching;
use crate::controller::kube::error::Problem;
use crate::controller::kube::event::throttle::EventThrottle;
use crate::controller::kube::name::Name;
use crate::controller::status;
use crate::controller::status::reported::Reported;
use crate::kafka::connection::Connection;
use crate::kafka::model::interest::Interest;

/// One group.
#[derive(Debug)]
pub(in crate::controller) struct Managed {
    uid: String,
    /// How far this process's clock is ahead of the one that memory in the status was written with.
    ahead: SignedDuration,
    /// The newest known version, from the watch or from the answer to this process's last write.
    stored: Arc<ConsumerGroup>,
    /// What `decide` carries from call to call.
    pub(in crate::controller) state: State,
    /// What is read for it.
    pub(in crate::controller) reading: Option<Reading>,
    /// When its status was last written.
    pub(in crate::controller) written: Option<Instant>,
    /// The values that the last written report was made from.
    pub(in crate::controller) reported: Option<Reported>,
    /// The events that were written recently.
    pub(in crate::controller) throttle: EventThrottle,
    /// The poll in which members without a partition were first found.
    pub(in crate::controller) idle_since: Option<u64>,
    /// Whether a later poll has found such members again.
    pub(in crate::controller) idle_lasts: bool,
    /// Set when a decided action was refused.
    pub(in crate::controller) refusal: Option<Refusal>,
    /// The ConsumerGroup that it waits for.
    pub(in crate::controller) rival: Option<Name>,
    /// A ConsumerGroup of another namespace that manages the same group, too.
    pub(in crate::controller) neighbour: Option<Name>,
    /// There are too many partitions to read for it.
    pub(in crate::controller) is_too_much: bool,
    /// The reason of its last hold, for the count of holds.
    pub(in crate::controller) held: Option<HoldReason>,
}

/// A watch on a cluster.
#[derive(Debug)]
pub(in crate::controller) struct Reading {
    pub(in crate::controller) connection: Connection,
    pub(in crate::controller) interest: Interest,
    pub(in crate::controller) watch: Box<dyn Watching>,
    pub(in crate::controller) since: Timestamp,
}

/// The API server refused to scale the target.
#[derive(Debug)]
pub(in crate::controller) struct Refusal {
    pub(in crate::controller) problem: Problem,
    /// It is not tried again before.
    pub(in crate::controller) until: Instant,
    /// The generation of the resource at that time.
    pub(in crate::controller) generation: Option<i64>,
}

impl Managed {
    /// A group that is new to this process: begins with the memory in its status.
    pub(in crate::controller) fn new(group: &Arc<ConsumerGroup>, ahead: SignedDuration) -> Self {
        let memory = status::group::memory_of(group.status.as_ref());
        Self {
            ahead,
            uid: group.uid().unwrap_or_default(),
            stored: Arc::clone(group),
            state: State::after_restart(memory.seen_by_clock_ahead(ahead)),
            reading: None,
            written: None,
            reported: None,
            throttle: EventThrottle::default(),
            idle_since: None,
            idle_lasts: false,
            refusal: None,
            rival: None,
            neighbour: None,
            is_too_much: false,
            held: None,
        }
    }

    pub(in crate::controller) fn is(&self, group: &ConsumerGroup) -> bool {
        group.uid().unwrap_or_default() == self.uid
    }

    /// The newest known version.
    pub(in crate::controller) fn stored(&self) -> &Arc<ConsumerGroup> {
        &self.stored
    }

    /// The status of that version.
    pub(in crate::controller) fn status(&self) -> ConsumerGroupStatus {
        self.stored.status.clone().unwrap_or_default()
    }

    /// Takes in a version of the group, if it is newer than the known one. An action in it that
    /// this process has not begun is from another writer, whose memory is adopted.
    pub(in crate::controller) fn observe_version(&mut self, group: Arc<ConsumerGroup>) {
        if is_older(&group, &self.stored) {
            return;
        }
        let theirs = status::group::memory_of(group.status.as_ref());
        self.stored = group;
        if theirs.sequence > self.state.memory.sequence {
            self.adopt(theirs.seen_by_clock_ahead(self.ahead));
        }
    }

    /// Whether the target has other replicas than the memory accounts for. Another process of this
    /// operator may have set them: its pending action was written to the status before (ACT-1), but
    /// the watch of the target may be ahead of the watch of the resource.
    pub(super) fn is_surprised_by(&self, replicas: i32) -> bool {
        let memory = &self.state.memory;
        let not_landed =
            |last: &LastAction| !last.external && !last.landed && last.from == replicas;
        memory.expected.is_some_and(|expected| expected != replicas)
            && !memory.last.as_ref().is_some_and(not_landed)
    }

    /// Notes members without a partition. A new member may have none for a moment, so a single poll
    /// proves nothing.
    pub(super) fn note_idle(&mut self, decision: &Decision, observation: &Observation) {
        let poll = observation.snapshot.as_ref().ok();
        let described = poll.and_then(|poll| poll.group.members.as_ref());
        match (decision.facts.idle_members, described) {
            (Some(0), _) => {
                self.idle_since = None;
                self.idle_lasts = false;
            }
            (Some(_), Some(members)) => {
                let since = *self.idle_since.get_or_insert(members.poll);
                self.idle_lasts |= members.poll > since;
            }
            (None, _) | (_, None) => {}
        }
    }

    /// Takes over the memory of another writer, or of the previous manager of the target.
    pub(super) fn adopt(&mut self, memory: Memory) {
        self.state.memory = memory;
    }
}

/// Whether `a` is an older version than `b`. Versions are increasing numbers; anything else is
/// treated as newer, and the API server refuses a write that is based on it.
fn is_older(a: &ConsumerGroup, b: &ConsumerGroup) -> bool {
    let number = |group: &ConsumerGroup| group.resource_version()?.parse::<u64>().ok();
    matches!((number(a), number(b)), (Some(a), Some(b)) if a < b)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::as_it_was(2, false)]
    #[case::as_it_was_left(6, false)]
    #[case::by_another(4, true)]
    fn replicas_that_nobody_here_set_are_a_surprise(#[case] replicas: i32, #[case] surprise: bool) {
        let group = json!({
            "metadata": { "name": "orders" },
            "spec": { "scaleTargetRef": { "name": "orders" }, "kafka": {}, "objective": {} },
            // Written ahead by the previous process.
            "status": { "memory": { "version": 1, "expected": 6, "last":
                { "time": "2026-11-24T12:00:00Z", "from": 2, "to": 6 } } },
        });
        let managed = Managed::new(
            &Arc::new(serde_json::from_value(group).unwrap()),
            SignedDuration::ZERO,
        );
        assert_eq!(managed.is_surprised_by(replicas), surprise);
    }
}
