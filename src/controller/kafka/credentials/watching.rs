//! Follows one Secret or ConfigMap, and wakes its users when it changes. Nothing of its contents
//! goes into a log: the text of an error may quote them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lagrange_core::intent::connection::ReferenceKind;
use tokio::time::Instant;

use super::values::{Budget, Values};
use super::{ObjectState, Shared};
use crate::controller::kube::answers;
use crate::controller::kube::answers::object::Item;
use crate::controller::kube::name::Name;
use crate::controller::wake::Wake;
use crate::controller::watch::follow::WatchHandler;
use crate::kafka::model::interest::Kind;
use crate::sync::lock;

/// A watch that has failed for this time is logged.
const SAID_AFTER: Duration = Duration::from_mins(3);

/// Follows one object.
pub(super) struct Watching {
    pub(super) shared: Arc<Shared>,
    pub(super) wake: Wake,
    pub(super) revision: Arc<AtomicU64>,
    pub(super) kind: ReferenceKind,
    pub(super) name: String,
    pub(super) keys: BTreeSet<String>,
    pub(super) budget: Budget,
    /// The list in progress has contained it.
    pub(super) is_there: bool,
    /// Since when it fails, and whether that was logged.
    pub(super) failing: Option<(Instant, bool)>,
}

impl WatchHandler for Watching {
    fn begins(&mut self) {
        self.is_there = false;
    }

    fn sees(&mut self, item: Item<'_>) {
        // Another object, if the API server has ignored the selector.
        if item.name.is_some_and(|name| *name.name != *self.name) {
            return;
        }
        self.is_there = true;
        let read = |text| Values::read(text, self.kind, &self.keys, &self.budget);
        let values = item.text.ok().and_then(read);
        self.note(values.map_or(ObjectState::Unreadable, |values| {
            ObjectState::Present(Arc::new(values))
        }));
    }

    fn gone(&mut self, name: Name) {
        if *name.name == *self.name {
            self.note(ObjectState::Absent);
        }
    }

    fn listed(&mut self) {
        if !self.is_there {
            self.note(ObjectState::Absent);
        }
    }

    fn fails(&mut self, error: &kube::Error) {
        let (since, said) = self.failing.get_or_insert((Instant::now(), false));
        if since.elapsed() >= SAID_AFTER && !std::mem::replace(said, true) {
            tracing::warn!(
                name = self.name,
                "an object with credentials cannot be followed"
            );
        }
        // The previous state still holds, as far as is known.
        if answers::is(error, 403) && !self.has_seen() {
            self.note(ObjectState::Forbidden);
        }
    }

    fn still_fails(&mut self) -> Option<Instant> {
        None
    }

    fn heals(&mut self) {
        self.failing = None;
    }
}

impl Watching {
    fn has_seen(&self) -> bool {
        matches!(
            lock(&self.shared.seen).0,
            ObjectState::Present(_) | ObjectState::Absent | ObjectState::Unreadable
        )
    }

    fn note(&self, seen: ObjectState) {
        {
            let mut before = lock(&self.shared.seen);
            let same = match (&before.0, &seen) {
                (ObjectState::Present(before), ObjectState::Present(now)) => before == now,
                (ObjectState::Absent, ObjectState::Absent)
                | (ObjectState::Forbidden, ObjectState::Forbidden)
                | (ObjectState::Unreadable, ObjectState::Unreadable) => true,
                _ => false,
            };
            if same {
                return;
            }
            let revision = self.revision.fetch_add(1, Ordering::Relaxed) + 1;
            *before = (seen, revision);
        }
        for user in lock(&self.shared.users).iter() {
            match user.kind {
                Kind::ConsumerGroup => self.wake.groups([Name::from(user)]),
                Kind::KafkaCluster => self.wake.cluster(Name::from(user)),
            }
        }
    }
}
