//! Secrets and ConfigMaps that a connection is made of: each is watched by name while a resource uses it (decision 40), and
//! whoever uses it is woken when it changes. Nothing of what they hold leaves this file but inside [`Secret`]s.

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
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    intent::{
        Plan,
        connection::{Held, Reference, ReferenceKind, Unusable},
    },
    kafka::{
        connection::{Connection, Identity},
        interest::{Key, Kind},
        secret::Secret,
    },
};

use super::{
    context::{Wake, lock},
    name::Name,
    watch::is_forbidden,
};

/// An object that has not been told of for so long is said to be unreadable.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection is made anew after so long though nothing has changed: certificates expire.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// All objects that are in use.
pub(super) struct Secrets {
    client: Client,
    wake: Wake,
    state: Mutex<State>,
    /// Grows with every change of an object.
    revision: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<ObjectName, Object>,
    uses: BTreeMap<Key, BTreeSet<ObjectName>>,
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
    seen: Mutex<Seen>,
    users: Mutex<BTreeSet<Key>>,
}

/// What a watch has shown.
#[derive(Clone, Default)]
enum Seen {
    #[default]
    Nothing,
    Forbidden,
    Absent,
    Present(Arc<BTreeMap<String, Secret>>),
}

/// A connection that was made, or not.
struct Made {
    revision: u64,
    at: Timestamp,
    connection: Result<Connection, Unusable>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Missing {
    /// Its objects are being read. Whoever uses them is woken.
    NotYet,
    /// It cannot be made.
    Unusable(Unusable),
}

impl Secrets {
    pub(super) fn new(client: Client, wake: Wake) -> Self {
        Self {
            client,
            wake,
            state: Mutex::default(),
            revision: Arc::new(AtomicU64::new(1)),
        }
    }

    /// What `plan` comes to in `namespace`. From now on `user` uses its objects, and no others.
    pub(super) fn connection(
        &self,
        namespace: &Arc<str>,
        plan: &Plan,
        user: &Key,
        now: Timestamp,
    ) -> Result<Connection, Missing> {
        let mut state = lock(&self.state);
        let references = plan.references();
        let objects = references
            .iter()
            .map(|reference| (Arc::clone(namespace), reference.clone()))
            .collect();
        self.follow(&mut state, user, objects);
        // Read before the objects are: what changes in between is another revision.
        let revision = self.revision.load(Ordering::Acquire);
        let identity = plan.identity(namespace);
        if let Some(made) = state.made.get(&identity)
            && made.revision == revision
            && now.duration_since(made.at) < FRESH
        {
            return made.connection.clone().map_err(Missing::Unusable);
        }
        let mut seen = BTreeMap::new();
        for reference in references {
            let name = (Arc::clone(namespace), reference);
            let Some(object) = state.objects.get(&name) else {
                return Err(Missing::NotYet);
            };
            let found = lock(&object.shared.seen).clone();
            if matches!(found, Seen::Nothing) && object.since.elapsed() < PATIENCE {
                return Err(Missing::NotYet);
            }
            seen.insert(name.1, found);
        }
        let held = |reference: &Reference, key: &str| match seen.get(reference) {
            Some(Seen::Present(values)) => values
                .get(key)
                .map_or(Held::NoKey, |value| Held::Value(value.clone())),
            Some(Seen::Absent) => Held::NoObject,
            Some(Seen::Forbidden) => Held::Unreadable(
                "grant Lagrange list and watch on it (chart value secrets.namespaces)".into(),
            ),
            Some(Seen::Nothing) | None => Held::Unreadable("the API server does not say".into()),
        };
        let connection = plan.connection(namespace, held, revision, now);
        if !seen.is_empty() {
            let made = Made {
                revision,
                at: now,
                connection: connection.clone(),
            };
            state.made.insert(identity, made);
        }
        connection.map_err(Missing::Unusable)
    }

    /// `user` uses nothing any more.
    pub(super) fn release(&self, user: &Key) {
        self.follow(&mut lock(&self.state), user, BTreeSet::new());
    }

    fn follow(&self, state: &mut State, user: &Key, objects: BTreeSet<ObjectName>) {
        let before = state.uses.get(user).cloned().unwrap_or_default();
        if before == objects {
            return;
        }
        for name in &objects {
            let object = state
                .objects
                .entry(name.clone())
                .or_insert_with(|| self.watch(name));
            lock(&object.shared.users).insert(user.clone());
        }
        for name in before.difference(&objects) {
            let Some(object) = state.objects.get(name) else {
                continue;
            };
            let unused = {
                let mut users = lock(&object.shared.users);
                users.remove(user);
                users.is_empty()
            };
            if unused {
                state.objects.remove(name);
                // They hold what the object held.
                state.made.clear();
            }
        }
        if objects.is_empty() {
            state.uses.remove(user);
        } else {
            state.uses.insert(user.clone(), objects);
        }
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

/// Follows one object.
struct Watching {
    shared: Arc<Shared>,
    wake: Wake,
    revision: Arc<AtomicU64>,
}

impl Watching {
    async fn follow<K>(self, api: Api<K>, name: String, read: fn(K) -> BTreeMap<String, Secret>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let mut objects = watcher::watch_object(api, &name).default_backoff().boxed();
        while let Some(object) = objects.next().await {
            let seen = match object {
                Ok(Some(object)) => Seen::Present(Arc::new(read(object))),
                Ok(None) => Seen::Absent,
                // What was seen before still holds, as far as anybody knows.
                Err(error) if is_forbidden(&error) && !self.has_seen() => Seen::Forbidden,
                Err(error) => {
                    tracing::debug!(name, "watch of an object with credentials failed: {error}");
                    continue;
                }
            };
            self.note(seen);
        }
    }

    fn has_seen(&self) -> bool {
        matches!(*lock(&self.shared.seen), Seen::Present(_) | Seen::Absent)
    }

    fn note(&self, seen: Seen) {
        {
            let mut before = lock(&self.shared.seen);
            let same = match (&*before, &seen) {
                (Seen::Present(before), Seen::Present(now)) => before == now,
                (Seen::Absent, Seen::Absent) | (Seen::Forbidden, Seen::Forbidden) => true,
                _ => false,
            };
            if same {
                return;
            }
            *before = seen;
        }
        self.revision.fetch_add(1, Ordering::Release);
        for user in lock(&self.shared.users).iter() {
            match user.kind {
                Kind::ConsumerGroup => self.wake.groups([Name::from(user)]),
                Kind::KafkaCluster => self.wake.cluster(Name::from(user)),
            }
        }
    }
}

fn of_secret(object: SecretObject) -> BTreeMap<String, Secret> {
    let data = object.data.unwrap_or_default().into_iter();
    data.map(|(key, value)| (key, Secret::new(value.0)))
        .collect()
}

fn of_config_map(object: ConfigMap) -> BTreeMap<String, Secret> {
    let binary = object.binary_data.unwrap_or_default().into_iter();
    let binary = binary.map(|(key, value)| (key, Secret::new(value.0)));
    let text = object.data.unwrap_or_default().into_iter();
    let text = text.map(|(key, value)| (key, Secret::new(value)));
    binary.chain(text).collect()
}
