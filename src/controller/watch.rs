//! Follows one kind of object in the namespaces that are watched: applied, deleted, all seen. Knows nothing of what the
//! objects mean. A watch that fails for minutes begins anew with a list, since one that is answered with 410 at its start
//! would never do so by itself.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use crate::process::readiness::Gate;

use super::name::Name;

/// Load balancers drop what is silent for four minutes; kube would ask for nearly five.
pub(super) const WATCH_TIMEOUT: u32 = 200;
/// Objects in one answer of a list.
const PAGE: u32 = 100;
/// A watch that has failed over and over for so long begins anew.
pub(super) const RELIST_AFTER: Duration = Duration::from_mins(3);
/// Failures this far apart are not one trouble. Attempts follow each other within 30 s.
const HEALED_AFTER: Duration = Duration::from_secs(90);
/// How often a trouble that goes on is logged again.
const REMIND: Duration = Duration::from_mins(10);

/// What happened to the objects of one kind.
#[derive(Debug)]
pub(super) enum Change<K> {
    /// It is there, perhaps changed.
    Applied(K),
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
    /// How many scopes have not been listed yet.
    missing: Arc<AtomicUsize>,
    /// Turns true when all have been.
    synced: watch::Sender<bool>,
}

impl Watch {
    pub(super) fn new(kind: &'static str, gate: Gate, scopes: usize) -> Self {
        Self {
            kind,
            optional: None,
            gate,
            missing: Arc::new(AtomicUsize::new(scopes)),
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

    /// Watches one scope for ever, and tells `sink`.
    pub(super) async fn follow<K>(self, api: Api<K>, sink: Sink<K>)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let mut scope = Scope {
            watch: self,
            sink,
            known: BTreeSet::new(),
            listed: None,
            synced: false,
            trouble: None,
        };
        loop {
            scope.until_it_fails_for_long(&api).await;
        }
    }
}

/// Hears of the objects of one kind.
pub(super) type Sink<K> = Arc<dyn Fn(Change<K>) + Send + Sync>;

/// One namespace, or all of them.
struct Scope<K> {
    watch: Watch,
    sink: Sink<K>,
    known: BTreeSet<Name>,
    /// Seen by the list that is under way.
    listed: Option<BTreeSet<Name>>,
    synced: bool,
    trouble: Option<Trouble>,
}

/// Failures in a row.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    last: Instant,
    told: Option<Instant>,
}

impl<K> Scope<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    async fn until_it_fails_for_long(&mut self, api: &Api<K>) {
        let config = watcher::Config::default()
            .timeout(WATCH_TIMEOUT)
            .page_size(PAGE);
        let mut events = watcher::watcher(api.clone(), config)
            .default_backoff()
            .boxed();
        loop {
            let healed = self.trouble.as_ref().map(|t| t.last + HEALED_AFTER);
            let event = tokio::select! {
                event = events.next() => event,
                () = sleep_until(healed.unwrap_or_else(Instant::now)), if healed.is_some() => {
                    self.heal();
                    continue;
                }
            };
            match event {
                None => return,
                Some(Ok(event)) => {
                    self.heal();
                    self.take(event);
                }
                Some(Err(error)) => {
                    self.fail(&error);
                    if is_forbidden(&error) && self.watch.optional.is_some() {
                        (self.sink)(Change::Forbidden);
                        self.sync();
                    }
                    if let Some(trouble) = &mut self.trouble
                        && trouble.since.elapsed() >= RELIST_AFTER
                    {
                        debug!(kind = self.watch.kind, "watching anew, with a list");
                        trouble.since = Instant::now();
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, event: Event<K>) {
        match event {
            Event::Init => self.listed = Some(BTreeSet::new()),
            Event::InitApply(object) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(Name::of(&object));
                }
                self.apply(object);
            }
            Event::Apply(object) => self.apply(object),
            Event::Delete(object) => self.delete(Name::of(&object)),
            Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    let gone: Vec<_> = self.known.difference(&listed).cloned().collect();
                    for name in gone {
                        self.delete(name);
                    }
                }
                (self.sink)(Change::Listed);
                self.sync();
            }
        }
    }

    fn apply(&mut self, object: K) {
        self.known.insert(Name::of(&object));
        (self.sink)(Change::Applied(object));
    }

    fn delete(&mut self, name: Name) {
        self.known.remove(&name);
        (self.sink)(Change::Deleted(name));
    }

    fn sync(&mut self) {
        if std::mem::replace(&mut self.synced, true) {
            return;
        }
        if self.watch.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.watch.gate.open();
            self.watch.synced.send_replace(true);
        }
    }

    fn heal(&mut self) {
        if self.trouble.take().is_some() && self.all_synced() {
            self.watch.gate.open();
        }
    }

    fn all_synced(&self) -> bool {
        self.watch.missing.load(Ordering::Acquire) == 0
    }

    /// Notes a failure, and says it when it is more than a hiccup.
    fn fail(&mut self, error: &watcher::Error) {
        let now = Instant::now();
        let trouble = self.trouble.get_or_insert(Trouble {
            since: now,
            last: now,
            told: None,
        });
        trouble.last = now;
        let forbidden = is_forbidden(error);
        let lasting = forbidden || trouble.since.elapsed() >= Duration::from_secs(5);
        if !lasting {
            debug!(kind = self.watch.kind, "watch failed: {error}");
            return;
        }
        let kind = self.watch.kind;
        let detail = match (forbidden, self.watch.optional) {
            (true, Some(missing)) => {
                format!("grant list and watch on {kind}; until then {missing}")
            }
            (true, None) => format!("grant list and watch on {kind}"),
            (false, _) => format!(
                "failing since {} s: {error}",
                trouble.since.elapsed().as_secs()
            ),
        };
        if trouble.told.is_none_or(|at| at.elapsed() >= REMIND) {
            trouble.told = Some(now);
            warn!(kind, "watch fails: {detail}");
        }
        if !(forbidden && self.watch.optional.is_some()) {
            self.watch.gate.close(detail);
        }
    }
}

pub(super) fn is_forbidden(error: &watcher::Error) -> bool {
    let cause = match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => cause,
        watcher::Error::WatchError(status) => return status.code == 403,
        watcher::Error::NoResourceVersion => return false,
    };
    matches!(cause, kube::Error::Api(status) if status.code == 403)
}
