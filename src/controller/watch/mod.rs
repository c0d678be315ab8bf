//! Follows one kind of object in the watched namespaces and reports changes, deletions and complete
//! lists, whatever the objects mean. An object that cannot be read is reported by its name, and
//! hides no other. A watch that does not work is reported in the log and in `/readyz`, and so is
//! its recovery.

pub(super) mod follow;
pub(super) mod handlers;
pub(super) mod store;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tracing::{debug, info, warn};

use super::kube::answers;
use super::kube::answers::object::Item;
use super::kube::name::Name;
use crate::metrics::Metrics;
use crate::process::readiness::Gate;
use crate::sync::lock;
use follow::{Source, WatchHandler};

/// A failure that lasts this long is reported.
const SAID_AFTER: Duration = Duration::from_secs(5);
/// How often a failure that goes on is logged again.
const REMIND: Duration = Duration::from_mins(10);

/// What happened to the objects of one kind.
#[derive(Debug)]
pub(super) enum Change<T> {
    /// It exists. It may have changed.
    Applied(Name, T),
    /// It exists and cannot be read, for this reason.
    Unreadable(Name, String),
    /// It is gone.
    Deleted(Name),
    /// Every object of one scope has been reported.
    Listed,
    /// The operator has no right to watch the kind.
    Forbidden,
}

/// How one kind is watched.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// Its kind, in the plural, as messages name it.
    pub(super) kind: &'static str,
    /// What is missing without the right to watch it, if work can go on without.
    pub(super) optional: Option<&'static str>,
    /// Open while the watch works.
    pub(super) gate: Gate,
    metrics: Metrics,
    scopes: Arc<Mutex<Scopes>>,
    /// Becomes true when all scopes have been listed.
    synced: watch::Sender<bool>,
}

/// The state of the scopes of one kind.
#[derive(Debug, Default)]
struct Scopes {
    begun: usize,
    /// Scopes that have not been listed yet.
    missing: usize,
    /// The failures of the scopes that do not work.
    troubles: BTreeMap<usize, String>,
}

impl Watch {
    pub(super) fn new(kind: &'static str, gate: Gate, scopes: usize, metrics: Metrics) -> Self {
        let scopes = Scopes {
            missing: scopes,
            ..Scopes::default()
        };
        Self {
            kind,
            optional: None,
            gate,
            metrics,
            scopes: Arc::new(Mutex::new(scopes)),
            synced: watch::Sender::new(false),
        }
    }

    pub(super) fn without(self, missing: &'static str) -> Self {
        Self {
            optional: Some(missing),
            ..self
        }
    }

    /// Waits until every scope has been listed, or is forbidden if work can go on without it.
    pub(super) async fn wait_until_synced(&self) {
        // Fails only when the sender is gone, and `self` holds it.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Marks a kind that is not watched here as complete, so that nothing waits for it.
    pub(super) fn skip(&self) {
        self.synced.send_replace(true);
    }

    /// Watches one scope, reports to `handler`, and never returns.
    pub(super) async fn follow<T: 'static>(
        self,
        source: Source,
        read: Read<T>,
        handler: ChangeHandler<T>,
    ) {
        let number = {
            let mut scopes = lock(&self.scopes);
            scopes.begun += 1;
            scopes.begun
        };
        let scope = Scope {
            number,
            watch: self,
            read,
            handler,
            known: BTreeSet::new(),
            listed: None,
            unreadable: BTreeSet::new(),
            synced: false,
            trouble: None,
        };
        follow::follow(source, scope).await;
    }

    /// Applies a change of a scope, then opens or closes the gate.
    fn update(&self, change: impl FnOnce(&mut Scopes)) {
        let mut scopes = lock(&self.scopes);
        change(&mut scopes);
        if let Some(trouble) = scopes.troubles.values().next() {
            self.gate.close(trouble.clone());
        } else if scopes.missing == 0 {
            self.gate.open();
        }
    }
}

/// Reads an object of one kind.
pub(super) type Read<T> = fn(&str) -> Result<T, String>;

/// Handles the changes of one kind.
pub(super) type ChangeHandler<T> = Arc<dyn Fn(Change<T>) + Send + Sync>;

/// One namespace, or all of them.
struct Scope<T> {
    number: usize,
    watch: Watch,
    read: Read<T>,
    handler: ChangeHandler<T>,
    known: BTreeSet<Name>,
    /// Objects in the list in progress.
    listed: Option<BTreeSet<Name>>,
    /// Objects that were reported as unreadable.
    unreadable: BTreeSet<Name>,
    synced: bool,
    trouble: Option<Trouble>,
}

/// Failures in a row.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    logged: Option<Instant>,
    cause: Cause,
}

/// Why a watch fails.
#[derive(Debug)]
enum Cause {
    Forbidden,
    /// The API server does not serve the kind.
    Unknown,
    Other(String),
}

impl<T> WatchHandler for Scope<T> {
    fn begins(&mut self) {
        self.listed = Some(BTreeSet::new());
    }

    fn sees(&mut self, item: Item<'_>) {
        let kind = self.watch.kind;
        let Some(name) = item.name else {
            let why = item.text.err().unwrap_or_default();
            warn!(
                kind,
                "an object without a name cannot be read, and is left out: {why}"
            );
            return;
        };
        if let Some(listed) = &mut self.listed {
            listed.insert(name.clone());
        }
        self.known.insert(name.clone());
        match item.text.and_then(self.read) {
            Ok(object) => {
                if self.unreadable.remove(&name) {
                    self.watch.metrics.unreadable_objects(kind, -1);
                    info!(kind, object = %name, "can be read again");
                }
                (self.handler)(Change::Applied(name, object));
            }
            Err(why) => {
                // Once per object, not with each list and each change.
                if self.unreadable.insert(name.clone()) {
                    self.watch.metrics.unreadable_objects(kind, 1);
                    warn!(kind, object = %name, "cannot be read, the others can: {why}");
                }
                (self.handler)(Change::Unreadable(name, why));
            }
        }
    }

    fn gone(&mut self, name: Name) {
        self.known.remove(&name);
        if self.unreadable.remove(&name) {
            self.watch.metrics.unreadable_objects(self.watch.kind, -1);
        }
        (self.handler)(Change::Deleted(name));
    }

    fn listed(&mut self) {
        if let Some(listed) = self.listed.take() {
            let gone: Vec<_> = self.known.difference(&listed).cloned().collect();
            for name in gone {
                self.gone(name);
            }
        }
        (self.handler)(Change::Listed);
        self.sync();
    }

    fn fails(&mut self, error: &kube::Error) {
        let cause = match error {
            kube::Error::Api(status) if status.code == 403 => Cause::Forbidden,
            kube::Error::Api(status) if status.code == 404 => Cause::Unknown,
            other => Cause::Other(answers::words(other)),
        };
        let without = matches!(cause, Cause::Forbidden) && self.watch.optional.is_some();
        match &mut self.trouble {
            Some(trouble) => trouble.cause = cause,
            none => {
                *none = Some(Trouble {
                    since: Instant::now(),
                    logged: None,
                    cause,
                });
            }
        }
        self.still_fails();
        if without {
            (self.handler)(Change::Forbidden);
            self.sync();
        }
    }

    /// Reports a failure once it has lasted.
    fn still_fails(&mut self) -> Option<Instant> {
        let trouble = self.trouble.as_mut()?;
        let kind = self.watch.kind;
        let lasts = trouble.since.elapsed() >= SAID_AFTER;
        let detail = match (&trouble.cause, self.watch.optional) {
            (Cause::Forbidden, Some(missing)) => {
                format!("grant list and watch on {kind}; until then {missing}")
            }
            (Cause::Forbidden, None) => format!("grant list and watch on {kind}"),
            (Cause::Unknown, _) => format!(
                "the API server serves no {kind} (HTTP 404): install the resource definitions, or check that its API is enabled"
            ),
            (Cause::Other(words), _) if lasts => format!(
                "failing for {} s: {words}",
                trouble.since.elapsed().as_secs()
            ),
            (Cause::Other(words), _) => {
                debug!(kind, "watch failed: {words}");
                return Some(trouble.since + SAID_AFTER);
            }
        };
        if trouble.logged.is_none_or(|at| at.elapsed() >= REMIND) {
            trouble.logged = Some(Instant::now());
            warn!(kind, "watch fails: {detail}");
        }
        let number = self.number;
        let works_without =
            matches!(trouble.cause, Cause::Forbidden) && self.watch.optional.is_some();
        self.watch.update(|scopes| {
            if works_without {
                scopes.troubles.remove(&number);
            } else {
                scopes.troubles.insert(number, detail);
            }
        });
        None
    }

    fn heals(&mut self) {
        let Some(trouble) = self.trouble.take() else {
            return;
        };
        if trouble.logged.is_some() {
            let seconds = trouble.since.elapsed().as_secs();
            info!(
                kind = self.watch.kind,
                "watch works again, after {seconds} s"
            );
        }
        let number = self.number;
        self.watch.update(|scopes| {
            scopes.troubles.remove(&number);
        });
    }
}

impl<T> Scope<T> {
    fn sync(&mut self) {
        if std::mem::replace(&mut self.synced, true) {
            return;
        }
        let mut all = false;
        self.watch.update(|scopes| {
            scopes.missing = scopes.missing.saturating_sub(1);
            all = scopes.missing == 0;
        });
        if all {
            self.watch.synced.send_replace(true);
        }
    }
}

#[cfg(test)]
mod tests;
