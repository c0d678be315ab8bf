//! What this process remembers of the groups and of the actions on their targets. Plain data,
//! without I/O.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use lagrange_core::api::ConsumerGroup;
use lagrange_core::scaling::Memory;
use lagrange_core::scaling::memory::LastAction;

use super::group::session::Managed;
use super::kube::name::{Name, TargetKey};
use crate::sync::lock;

/// What this process remembers of one group.
pub(super) type Remembered = Arc<tokio::sync::Mutex<Managed>>;

/// How long the last action on a target is kept for the next ConsumerGroup that manages it.
const NOTED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// The groups, and the actions.
#[derive(Default)]
pub(super) struct Sessions {
    managed: Mutex<BTreeMap<Name, Remembered>>,
    failures: Mutex<BTreeMap<Name, u32>>,
    /// The last action on each target, by any ConsumerGroup (KEEP-28).
    actions: Mutex<BTreeMap<TargetKey, Memory>>,
}

impl Sessions {
    /// What this process remembers of a group. A group with another uid is another group. `ahead`:
    /// how far this process's clock is ahead of its predecessor's.
    pub(super) fn managed(
        &self,
        name: &Name,
        group: &Arc<ConsumerGroup>,
        ahead: SignedDuration,
    ) -> Remembered {
        let mut all = lock(&self.managed);
        if let Some(managed) = all.get(name)
            && managed.try_lock().map_or(true, |managed| managed.is(group))
        {
            return Arc::clone(managed);
        }
        let managed = Arc::new(tokio::sync::Mutex::new(Managed::new(group, ahead)));
        all.insert(name.clone(), Arc::clone(&managed));
        managed
    }

    /// Removes a deleted group.
    pub(super) fn forget(&self, name: &Name) {
        lock(&self.managed).remove(name);
        lock(&self.failures).remove(name);
    }

    /// Counts a failure of one group. Returns the number of failures in a row.
    pub(super) fn count_failure(&self, name: &Name) -> u32 {
        let mut failures = lock(&self.failures);
        let count = failures.entry(name.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Ends the work on a group. Returns whether the group still exists.
    pub(super) fn done(&self, name: &Name, managed: &Remembered, well: bool) -> bool {
        let is_there = lock(&self.managed)
            .get(name)
            .is_some_and(|there| Arc::ptr_eq(there, managed));
        if well || !is_there {
            lock(&self.failures).remove(name);
        }
        is_there
    }

    /// Notes the last action on a target.
    pub(super) fn note_action(&self, target: &TargetKey, memory: &Memory, now: Timestamp) {
        if memory.last.is_none() && memory.pending.is_none() {
            return;
        }
        let memory = memory.take_over_action();
        let mut actions = lock(&self.actions);
        if let Some(noted) = actions.get_mut(target) {
            *noted = memory;
            return;
        }
        // Targets come and go; an action that is a day old delays nothing.
        let recent = |last: LastAction| now.duration_since(last.time) < NOTED_FOR;
        actions.retain(|_, noted| noted.last.is_some_and(recent));
        actions.insert(target.clone(), memory);
    }

    /// The last action on a target since this process started.
    pub(super) fn last_action(&self, target: &TargetKey) -> Option<Memory> {
        lock(&self.actions).get(target).cloned()
    }
}
