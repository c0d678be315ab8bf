//! What this process remembers of one ConsumerGroup, keyed by its uid (KEEP-28). Plain data and its
//! rules: calls nobody.

use std::sync::Arc;

use jiff::Timestamp;
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
    /// Its newest version that is known, from the watch or from the answer to our own last write.
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
    /// The look in which members without a partition were first seen.
    pub(in crate::controller) idle_since: Option<u64>,
    /// Whether a later look has seen such members again.
    pub(in crate::controller) idle_lasts: bool,
    /// The target was not scaled when it was to be.
    pub(in crate::controller) refusal: Option<Refusal>,
    /// The ConsumerGroup that it waits for.
    pub(in crate::controller) rival: Option<Name>,
    /// The one of another namespace that manages the same group, too.
    pub(in crate::controller) neighbour: Option<Name>,
    /// There is too much to be read for it.
    pub(in crate::controller) is_too_much: bool,
    /// The reason of its last hold, for the count of holds.
    pub(in crate::controller) held: Option<HoldReason>,
}

/// An interest in a cluster.
#[derive(Debug)]
pub(in crate::controller) struct Reading {
    pub(in crate::controller) connection: Connection,
    pub(in crate::controller) interest: Interest,
    pub(in crate::controller) watch: Box<dyn Watching>,
    pub(in crate::controller) since: Timestamp,
}

/// The API server let us not scale the target.
#[derive(Debug)]
pub(in crate::controller) struct Refusal {
    pub(in crate::controller) problem: Problem,
    pub(in crate::controller) at: Instant,
    /// The generation of the resource for which it was so.
    pub(in crate::controller) generation: Option<i64>,
}

impl Managed {
    /// A group that this process has not seen before: begins with the memory in its status.
    pub(in crate::controller) fn first_sight(group: &Arc<ConsumerGroup>) -> Self {
        Self {
            uid: group.uid().unwrap_or_default(),
            stored: Arc::clone(group),
            state: State::after_restart(status::group::memory_of(group.status.as_ref())),
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

    /// The newest version that is known.
    pub(in crate::controller) fn stored(&self) -> &Arc<ConsumerGroup> {
        &self.stored
    }

    /// The status of that version.
    pub(in crate::controller) fn status(&self) -> ConsumerGroupStatus {
        self.stored.status.clone().unwrap_or_default()
    }

    /// Takes in a version of the group, if it is newer than the one that is known. An action in it
    /// that this process has not begun is somebody else's: their memory is adopted.
    pub(in crate::controller) fn observe_version(&mut self, group: Arc<ConsumerGroup>) {
        if is_older(&group, &self.stored) {
            return;
        }
        let theirs = status::group::memory_of(group.status.as_ref());
        self.stored = group;
        if theirs.sequence > self.state.memory.sequence {
            self.adopt(theirs);
        }
    }

    /// Whether the target has other replicas than what we know accounts for. Another process of
    /// ours may have set them: its note is in the status before that (ACT-1), but the watch of the
    /// target may be ahead of that of the resource.
    pub(super) fn is_surprised_by(&self, replicas: i32) -> bool {
        let memory = &self.state.memory;
        let not_landed =
            |last: &LastAction| !last.external && !last.landed && last.from == replicas;
        memory.expected.is_some_and(|expected| expected != replicas)
            && !memory.last.as_ref().is_some_and(not_landed)
    }

    /// Notes members without a partition: a new member may have none for a moment, so that one look
    /// shows nothing.
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

    /// Takes over what another writer, or the manager of the target before us, remembers.
    pub(super) fn adopt(&mut self, memory: Memory) {
        self.state.memory = memory;
    }
}

/// Whether `a` is an older version than `b`. Versions are numbers that grow; anything else is taken
/// for newer, and a write that rests on it is refused by the API server.
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
            // Written ahead by the process before this one.
            "status": { "memory": { "version": 1, "expected": 6, "last":
                { "time": "2026-11-24T12:00:00Z", "from": 2, "to": 6 } } },
        });
        let managed = Managed::first_sight(&Arc::new(serde_json::from_value(group).unwrap()));
        assert_eq!(managed.is_surprised_by(replicas), surprise);
    }
}
