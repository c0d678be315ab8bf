//! Secrets and ConfigMaps that a connection is made of: each is watched by name while a resource uses it (decision 40), and
//! whoever uses it is woken when it changes. Every connection is made here, so that here is who may log in as the operator itself
//! (decision 36). Nothing of what they hold leaves this file but inside [`Secret`]s.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Secret as SecretObject};
use kube::{
    Api, Client, Resource,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    intent::{
        Plan,
        connection::{Held, Reference, ReferenceKind, Unusable},
    },
    kafka::{
        certificates,
        connection::{Connection, Identity},
        interest::{Key, Kind},
        secret::Secret,
    },
};

use super::{
    context::{Wake, lock},
    name::Name,
    watch::{RELIST_AFTER, WATCH_TIMEOUT, is_forbidden},
};

/// An object that has not been told of for so long is said to be unreadable. Until then nothing is said: the API server may be
/// restarting.
const PATIENCE: Duration = Duration::from_mins(2);
/// Objects of one namespace that are watched at most.
const MOST_OBJECTS: usize = 64;
/// Values that are longer are no credentials: nothing is kept of them.
const LONGEST_VALUE: usize = 1 << 18;
/// A connection is made anew after so long though nothing has changed: certificates expire.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// All objects that are in use.
pub(super) struct Secrets {
    client: Client,
    wake: Wake,
    state: Mutex<State>,
    /// Grows with every change of an object.
    revision: Arc<AtomicU64>,
    /// Namespaces whose connections may log in as the operator itself (decision 36).
    own_identity: BTreeSet<String>,
    /// Whom the system trusts, where a connection does not say.
    system: Option<Secret>,
}

/// What to read with.
pub(super) struct Chosen {
    pub(super) connection: Connection,
    /// Why it is the one before: of what is written now none can be made.
    pub(super) stale: Option<Unusable>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<ObjectName, Object>,
    uses: BTreeMap<Key, Use>,
    made: BTreeMap<Identity, Made>,
}

/// Namespace and reference.
type ObjectName = (Arc<str>, Reference);

/// An object that somebody uses.
struct Object {
    shared: Arc<Shared>,
    since: Instant,
    watch: JoinHandle<()>,
}

impl Drop for Object {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// What an object's watch and its users share.
#[derive(Default)]
struct Shared {
    /// And at which revision that was.
    seen: Mutex<(Seen, u64)>,
    users: Mutex<BTreeSet<Key>>,
}

/// What a watch has shown.
#[derive(Clone, Default)]
enum Seen {
    #[default]
    Nothing,
    Forbidden,
    Absent,
    Present(Arc<Values>),
}

/// What one resource uses.
#[derive(Clone, PartialEq, Eq)]
struct Use {
    identity: Identity,
    objects: BTreeSet<ObjectName>,
}

/// A connection that was made, or not, and who uses it.
struct Made {
    users: BTreeSet<Key>,
    /// The highest of its objects.
    revision: u64,
    at: Timestamp,
    connection: Result<Connection, Unusable>,
}

/// Why there is no connection.
#[derive(Debug)]
enum Missing {
    /// Its objects are being read. Whoever uses them is woken.
    NotYet,
    /// It cannot be made.
    Unusable(Unusable),
}

impl Secrets {
    pub(super) fn new(client: Client, wake: Wake, own_identity: BTreeSet<String>) -> Self {
        Self {
            own_identity,
            client,
            wake,
            state: Mutex::default(),
            revision: Arc::new(AtomicU64::new(1)),
            system: certificates::system_authorities(),
        }
    }

    /// What `user` is to read with: what `plan` comes to in `namespace`, or, as long as that is of no use, what it reads with
    /// now, if that is of the same place. `None`: the objects are being read. From now on `user` uses those and no others.
    pub(super) fn choose(
        &self,
        namespace: &Arc<str>,
        plan: &Plan,
        user: &Key,
        before: Option<&Connection>,
        now: Timestamp,
    ) -> Result<Option<Chosen>, Unusable> {
        let unusable = match self.connection(namespace, plan, user, now) {
            Ok(connection) => {
                let stale = None;
                return Ok(Some(Chosen { connection, stale }));
            }
            Err(Missing::NotYet) => None,
            Err(Missing::Unusable(unusable)) => Some(unusable),
        };
        let identity = plan.identity(namespace);
        match (
            before.filter(|before| before.identity() == identity),
            unusable,
        ) {
            (Some(before), stale) => Ok(Some(Chosen {
                connection: before.clone(),
                stale,
            })),
            (None, None) => Ok(None),
            (None, Some(unusable)) => Err(unusable),
        }
    }

    fn connection(
        &self,
        namespace: &Arc<str>,
        plan: &Plan,
        user: &Key,
        now: Timestamp,
    ) -> Result<Connection, Missing> {
        let mut state = lock(&self.state);
        if plan.is_by_own_identity() && !self.own_identity.contains(&**namespace) {
            self.follow(&mut state, user, None);
            let unusable = Unusable::IdentityNotAllowed(Arc::clone(namespace));
            return Err(Missing::Unusable(unusable));
        }
        let references = plan.references();
        let identity = plan.identity(namespace);
        let uses = Use {
            identity: identity.clone(),
            objects: references
                .iter()
                .map(|reference| (Arc::clone(namespace), reference.clone()))
                .collect(),
        };
        if state.is_full_for(namespace, &uses.objects) {
            // What it has used so far makes room.
            self.follow(&mut state, user, None);
        }
        if state.is_full_for(namespace, &uses.objects) {
            return Err(Missing::Unusable(Unusable::TooManyObjects(MOST_OBJECTS)));
        }
        self.follow(&mut state, user, Some(uses));
        let mut seen = BTreeMap::new();
        let mut revision = 0;
        for reference in references {
            let name = (Arc::clone(namespace), reference);
            let Some(object) = state.objects.get(&name) else {
                return Err(Missing::NotYet);
            };
            let (found, changed) = lock(&object.shared.seen).clone();
            if matches!(found, Seen::Nothing) && object.since.elapsed() < PATIENCE {
                return Err(Missing::NotYet);
            }
            revision = revision.max(changed);
            seen.insert(name.1, found);
        }
        if let Some(made) = state.made.get_mut(&identity)
            && made.revision == revision
            && now.duration_since(made.at) < FRESH
        {
            made.users.insert(user.clone());
            return made.connection.clone().map_err(Missing::Unusable);
        }
        let held = |reference: &Reference, key: &str| match seen.get(reference) {
            Some(Seen::Present(values)) => match values.get(key) {
                None => Held::NoKey,
                Some(None) => Held::TooLong(LONGEST_VALUE),
                Some(Some(value)) => Held::Value(value.clone()),
            },
            Some(Seen::Absent) => Held::NoObject,
            Some(Seen::Forbidden) => Held::Unreadable(
                "grant Lagrange list and watch on it (chart value secrets.namespaces)".into(),
            ),
            Some(Seen::Nothing) | None => Held::Unreadable("the API server does not say".into()),
        };
        let connection = plan.connection(namespace, held, self.system.as_ref(), revision, now);
        if !seen.is_empty() {
            let users = state.made.remove(&identity).map(|made| made.users);
            let mut made = Made {
                users: users.unwrap_or_default(),
                revision,
                at: now,
                connection: connection.clone(),
            };
            made.users.insert(user.clone());
            state.made.insert(identity, made);
        }
        connection.map_err(Missing::Unusable)
    }

    /// `user` uses nothing any more.
    pub(super) fn release(&self, user: &Key) {
        self.follow(&mut lock(&self.state), user, None);
    }

    fn follow(&self, state: &mut State, user: &Key, uses: Option<Use>) {
        let before = state.uses.get(user).cloned();
        if before == uses {
            return;
        }
        let none = BTreeSet::new();
        let objects = uses.as_ref().map_or(&none, |uses| &uses.objects);
        for name in objects {
            let object = state
                .objects
                .entry(name.clone())
                .or_insert_with(|| self.watch(name));
            lock(&object.shared.users).insert(user.clone());
        }
        if let Some(before) = &before {
            for name in before.objects.difference(objects) {
                state.leave(name, user);
            }
            if let Some(made) = state.made.get_mut(&before.identity) {
                made.users.remove(user);
                // It holds what the objects held.
                if made.users.is_empty() {
                    state.made.remove(&before.identity);
                }
            }
        }
        match uses {
            Some(uses) => state.uses.insert(user.clone(), uses),
            None => state.uses.remove(user),
        };
    }

    fn watch(&self, (namespace, reference): &ObjectName) -> Object {
        let shared = Arc::new(Shared::default());
        let watching = Watching {
            shared: Arc::clone(&shared),
            wake: self.wake.clone(),
            revision: Arc::clone(&self.revision),
        };
        let (client, name) = (self.client.clone(), reference.name.clone());
        let watch = match reference.kind {
            ReferenceKind::Secret => {
                let api = Api::namespaced(client, namespace);
                tokio::spawn(watching.follow(api, name, of_secret))
            }
            ReferenceKind::ConfigMap => {
                let api = Api::namespaced(client, namespace);
                tokio::spawn(watching.follow(api, name, of_config_map))
            }
        };
        Object {
            shared,
            since: Instant::now(),
            watch,
        }
    }
}

impl State {
    /// Whether the namespace has as many objects watched as it may, without these.
    fn is_full_for(&self, namespace: &Arc<str>, objects: &BTreeSet<ObjectName>) -> bool {
        let more = objects
            .iter()
            .filter(|name| !self.objects.contains_key(*name))
            .count();
        let watched = self
            .objects
            .keys()
            .filter(|(of, _)| of == namespace)
            .count();
        more > 0 && watched + more > MOST_OBJECTS
    }

    fn leave(&mut self, name: &ObjectName, user: &Key) {
        let Some(object) = self.objects.get(name) else {
            return;
        };
        let unused = {
            let mut users = lock(&object.shared.users);
            users.remove(user);
            users.is_empty()
        };
        if unused {
            self.objects.remove(name);
        }
    }
}

/// Follows one object.
struct Watching {
    shared: Arc<Shared>,
    wake: Wake,
    revision: Arc<AtomicU64>,
}

impl Watching {
    async fn follow<K>(self, api: Api<K>, name: String, read: fn(K) -> Values)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        loop {
            self.follow_until_it_fails_for_long(&api, &name, read).await;
        }
    }

    /// A watch that fails for minutes begins anew, with a list: one whose version the server has no more would fail for ever.
    async fn follow_until_it_fails_for_long<K>(
        &self,
        api: &Api<K>,
        name: &str,
        read: fn(K) -> Values,
    ) where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let config = watcher::Config::default()
            .fields(&format!("metadata.name={name}"))
            .timeout(WATCH_TIMEOUT);
        let mut events = watcher::watcher(api.clone(), config)
            .default_backoff()
            .boxed();
        let mut listed = false;
        let mut failing: Option<Instant> = None;
        while let Some(event) = events.next().await {
            if event.is_ok() {
                failing = None;
            }
            match event {
                Ok(Event::Init) => listed = false,
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    listed = true;
                    self.note(Seen::Present(Arc::new(read(object))));
                }
                Ok(Event::Delete(_)) => self.note(Seen::Absent),
                Ok(Event::InitDone) if !listed => self.note(Seen::Absent),
                Ok(Event::InitDone) => {}
                Err(error) => {
                    let since = *failing.get_or_insert_with(Instant::now);
                    // What was seen before still holds, as far as anybody knows.
                    if is_forbidden(&error) && !self.has_seen() {
                        self.note(Seen::Forbidden);
                    }
                    if since.elapsed() >= RELIST_AFTER {
                        // Its words may quote what the object holds.
                        tracing::warn!(name, "an object with credentials cannot be followed");
                        return;
                    }
                }
            }
        }
    }

    fn has_seen(&self) -> bool {
        matches!(lock(&self.shared.seen).0, Seen::Present(_) | Seen::Absent)
    }

    fn note(&self, seen: Seen) {
        {
            let mut before = lock(&self.shared.seen);
            let same = match (&before.0, &seen) {
                (Seen::Present(before), Seen::Present(now)) => before == now,
                (Seen::Absent, Seen::Absent) | (Seen::Forbidden, Seen::Forbidden) => true,
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

/// What the keys of an object hold; `None`: too much.
type Values = BTreeMap<String, Option<Secret>>;

fn of_secret(object: SecretObject) -> Values {
    let data = object.data.unwrap_or_default().into_iter();
    data.map(|(key, value)| (key, bounded(value.0))).collect()
}

fn of_config_map(object: ConfigMap) -> Values {
    let binary = object.binary_data.unwrap_or_default().into_iter();
    let binary = binary.map(|(key, value)| (key, bounded(value.0)));
    let text = object.data.unwrap_or_default().into_iter();
    let text = text.map(|(key, value)| (key, bounded(value.into_bytes())));
    binary.chain(text).collect()
}

fn bounded(value: Vec<u8>) -> Option<Secret> {
    let secret = Secret::new(value);
    (secret.bytes().len() <= LONGEST_VALUE).then_some(secret)
}

#[cfg(test)]
mod tests;
