//! Follows one kind of object in the namespaces that are watched: applied, deleted, all seen. Knows
//! nothing of what the objects mean. An object that cannot be read is told by its name, and hides
//! no other; a watch that does not work is told in the log and in `/readyz`, and so is that it
//! works again.

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

/// A trouble that goes on for so long is said.
const SAID_AFTER: Duration = Duration::from_secs(5);
/// How often a trouble that goes on is logged again.
const REMIND: Duration = Duration::from_mins(10);

/// What happened to the objects of one kind.
#[derive(Debug)]
pub(super) enum Change<T> {
    /// It is there, perhaps changed.
    Applied(Name, T),
    /// It is there and cannot be read, for this reason.
    Unreadable(Name, String),
    /// It is gone.
    Deleted(Name),
    /// Every object of one scope has been told.
    Listed,
    /// We have no right to watch it.
    Forbidden,
}

/// How one kind is watched.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// Its kind, in the plural, as messages name it.
    pub(super) kind: &'static str,
    /// Whether work can go on without the right to watch it; what is then missing.
    pub(super) optional: Option<&'static str>,
    /// Open while the watch works.
    pub(super) gate: Gate,
    metrics: Metrics,
    scopes: Arc<Mutex<Scopes>>,
    /// Turns true when all have been.
    synced: watch::Sender<bool>,
}

/// How the scopes of one kind are.
#[derive(Debug, Default)]
struct Scopes {
    begun: usize,
    /// How many have not been listed yet.
    missing: usize,
    /// What is wrong with those that do not work.
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

    /// Waits until every scope has been told, or is forbidden where work can go on without.
    pub(super) async fn wait_until_synced(&self) {
        // Fails only when the sender is gone, and we have it.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// It is not watched here: nobody waits for it.
    pub(super) fn skip(&self) {
        self.synced.send_replace(true);
    }

    /// Watches one scope for ever, and tells `handler`.
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

    /// What a scope does or does not do may open or close the gate.
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

/// How an object of one kind is read.
pub(super) type Read<T> = fn(&str) -> Result<T, String>;

/// Hears of the objects of one kind.
pub(super) type ChangeHandler<T> = Arc<dyn Fn(Change<T>) + Send + Sync>;

/// One namespace, or all of them.
struct Scope<T> {
    number: usize,
    watch: Watch,
    read: Read<T>,
    handler: ChangeHandler<T>,
    known: BTreeSet<Name>,
    /// Seen by the list that is under way.
    listed: Option<BTreeSet<Name>>,
    /// Those that have been named as such.
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
    /// There is no such kind.
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
                // Once for each object, not with each list and each change.
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

    /// Says a trouble when it is more than a hiccup.
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
                "the API server serves no {kind} (HTTP 404): install the resource definitions, or see that its API is on"
            ),
            (Cause::Other(words), _) if lasts => format!(
                "failing since {} s: {words}",
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
