//! The Secrets and ConfigMaps that connections are made from. Each is watched by name while a
//! resource uses it (SAFE-40), and its users are woken when it changes. Every connection is made
//! here, so this file also decides which ones may log in as the operator itself (SAFE-36). Their
//! contents leave this file only as [`Secret`]s.

mod values;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Secret as SecretObject};
use kube::Resource as _;
use lagrange_core::intent::Plan;
use lagrange_core::intent::connection::{Reference, ReferenceKind};
use tokio::{task::JoinHandle, time::Instant};

use crate::controller::kube::answers::ApiServer;
use crate::controller::wake::Wake;
use crate::controller::watch::follow::{self, Source};
use crate::credentials::{self, Held, Unusable};
use crate::kafka::connection::secret::Secret;
use crate::kafka::connection::{Connection, Identity, certificates};
use crate::kafka::model::interest::Key;
use crate::sync::lock;
use values::{Budget, Kept, Values};
use watching::Watching;

/// An object that the API server has not answered for this long is reported as unreadable. Until
/// then nothing is reported: the API server may be restarting.
const PATIENCE: Duration = Duration::from_mins(2);
/// The most objects of one namespace that are watched.
const MOST_OBJECTS: usize = 64;
/// Longer values are not credentials and are not kept.
const LONGEST_VALUE: usize = 1 << 18;
/// The most bytes of all values of one namespace that are kept.
const MOST_BYTES: usize = 1 << 22;
/// A value for which there was no room is read again after this time.
const AGAIN: Duration = Duration::from_mins(1);
/// An unchanged connection is made again after this time, because certificates expire.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// All objects that are in use.
pub(in crate::controller) struct Secrets {
    api: ApiServer,
    wake: Wake,
    state: Mutex<State>,
    /// Increases with every change of an object.
    revision: Arc<AtomicU64>,
    /// Namespaces whose connections may log in as the operator itself (SAFE-36).
    own_identity: BTreeSet<String>,
    /// The CA certificates of the system, used by connections that name none.
    system: Option<Secret>,
}

/// The connection to read with.
pub(in crate::controller) struct Chosen {
    pub(in crate::controller) connection: Connection,
    /// Why it is the previous one: the present configuration makes no usable connection.
    pub(in crate::controller) stale: Option<Unusable>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<ObjectName, Object>,
    uses: BTreeMap<Key, Use>,
    /// The bytes that are kept of each namespace.
    budgets: BTreeMap<Arc<str>, Budget>,
    made: BTreeMap<Identity, Made>,
}

/// Namespace and reference.
type ObjectName = (Arc<str>, Reference);

/// An object that is in use.
struct Object {
    shared: Arc<Shared>,
    /// The keys that are read.
    keys: BTreeSet<String>,
    since: Instant,
    watch: JoinHandle<()>,
}

impl Object {
    /// Whether to read the object again: a value was left out because others had taken the room,
    /// and `AGAIN` has passed.
    fn could_be_kept(&self) -> bool {
        let lacks = matches!(&lock(&self.shared.seen).0, ObjectState::Present(values) if values.lack_room());
        lacks && self.since.elapsed() >= AGAIN
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// The state that an object's watch and its users share.
#[derive(Default)]
struct Shared {
    /// The state of the object, and the revision at which it last changed.
    seen: Mutex<(ObjectState, u64)>,
    users: Mutex<BTreeSet<Key>>,
}

/// The state of an object in its watch.
#[derive(Clone, Default)]
enum ObjectState {
    #[default]
    Nothing,
    Forbidden,
    Absent,
    /// It exists and cannot be read.
    Unreadable,
    Present(Arc<Values>),
}

/// The connection and the objects that one resource uses.
#[derive(Clone, PartialEq, Eq)]
struct Use {
    identity: Identity,
    /// The objects, and the keys of each.
    objects: BTreeMap<ObjectName, BTreeSet<String>>,
}

/// A connection, or why it could not be made, and its users.
struct Made {
    users: BTreeSet<Key>,
    /// The highest revision of its objects.
    revision: u64,
    at: Timestamp,
    connection: Result<Connection, Unusable>,
}

/// Why there is no connection.
#[derive(Debug)]
enum Missing {
    /// Its objects are being read. Their users are woken.
    NotYet,
    /// It cannot be made.
    Unusable(Unusable),
}

impl Secrets {
    pub(in crate::controller) fn new(
        api: ApiServer,
        wake: Wake,
        own_identity: BTreeSet<String>,
    ) -> Self {
        Self {
            own_identity,
            api,
            wake,
            state: Mutex::default(),
            revision: Arc::new(AtomicU64::new(1)),
            system: certificates::system_authorities(),
        }
    }

    /// Chooses the connection for `user`: the one that `plan` describes in `namespace`, or `before`
    /// while that one cannot be made, if both have the same identity. `None`: the objects are being
    /// read. From now on `user` uses the objects of `plan` and no others.
    pub(in crate::controller) fn choose(
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
        let identity = credentials::identity(plan, namespace);
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
        let identity = credentials::identity(plan, namespace);
        let uses = Use {
            identity: identity.clone(),
            objects: references
                .iter()
                .map(|(reference, keys)| {
                    let name = (Arc::clone(namespace), reference.clone());
                    (name, keys.clone())
                })
                .collect(),
        };
        if state.is_full_for(namespace, &uses.objects) {
            // Releasing the objects that it has used makes room.
            self.follow(&mut state, user, None);
        }
        if state.is_full_for(namespace, &uses.objects) {
            return Err(Missing::Unusable(Unusable::TooManyObjects(MOST_OBJECTS)));
        }
        self.follow(&mut state, user, Some(uses));
        let mut seen = BTreeMap::new();
        let mut revision = 0;
        for reference in references.into_keys() {
            let name = (Arc::clone(namespace), reference);
            let Some(object) = state.objects.get(&name) else {
                return Err(Missing::NotYet);
            };
            let (found, changed) = lock(&object.shared.seen).clone();
            if matches!(found, ObjectState::Nothing) && object.since.elapsed() < PATIENCE {
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
        let held = |reference: &Reference, key: &str| held(seen.get(reference), key);
        let connection =
            credentials::connection(plan, namespace, held, self.system.as_ref(), revision, now);
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

    /// Ends all use of objects by `user`.
    pub(in crate::controller) fn release(&self, user: &Key) {
        self.follow(&mut lock(&self.state), user, None);
    }

    fn follow(&self, state: &mut State, user: &Key, uses: Option<Use>) {
        let before = state.uses.get(user).cloned();
        let again = |name| (state.objects.get(name)).is_some_and(Object::could_be_kept);
        if before == uses && !before.iter().any(|uses| uses.objects.keys().any(again)) {
            return;
        }
        let none = BTreeMap::new();
        let objects = uses.as_ref().map_or(&none, |uses| &uses.objects);
        for (name, keys) in objects {
            self.use_object(state, name, keys, user);
        }
        if let Some(before) = &before {
            for name in before.objects.keys() {
                if !objects.contains_key(name) {
                    state.leave(name, user);
                }
            }
            if uses
                .as_ref()
                .is_none_or(|uses| uses.identity != before.identity)
            {
                state.unmake(&before.identity, user);
            }
        }
        match uses {
            Some(uses) => state.uses.insert(user.clone(), uses),
            None => state.uses.remove(user),
        };
    }

    /// Makes sure that these keys of an object are read.
    fn use_object(
        &self,
        state: &mut State,
        name: &ObjectName,
        keys: &BTreeSet<String>,
        user: &Key,
    ) {
        let (mut keys, mut users) = (keys.clone(), BTreeSet::new());
        if let Some(object) = state.objects.get(name) {
            if keys.is_subset(&object.keys) && !object.could_be_kept() {
                lock(&object.shared.users).insert(user.clone());
                return;
            }
            // Only used keys are kept, so the object is read again with the keys of all its users.
            keys.extend(object.keys.iter().cloned());
            users.clone_from(&lock(&object.shared.users));
        }
        users.insert(user.clone());
        let budget = state.budgets.entry(Arc::clone(&name.0)).or_default();
        let object = self.watch(name, keys, users, budget.clone());
        state.objects.insert(name.clone(), object);
    }

    fn watch(
        &self,
        (namespace, reference): &ObjectName,
        keys: BTreeSet<String>,
        users: BTreeSet<Key>,
        budget: Budget,
    ) -> Object {
        let shared = Arc::new(Shared {
            users: Mutex::new(users),
            ..Shared::default()
        });
        let watching = Watching {
            shared: Arc::clone(&shared),
            wake: self.wake.clone(),
            revision: Arc::clone(&self.revision),
            kind: reference.kind,
            name: reference.name.clone(),
            keys: keys.clone(),
            budget,
            is_there: false,
            failing: None,
        };
        let source = Source {
            api: self.api.clone(),
            path: match reference.kind {
                ReferenceKind::Secret => SecretObject::url_path(&(), Some(namespace)),
                ReferenceKind::ConfigMap => ConfigMap::url_path(&(), Some(namespace)),
            },
            fields: Some(format!("metadata.name={}", reference.name)),
        };
        Object {
            shared,
            keys,
            since: Instant::now(),
            watch: tokio::spawn(follow::follow(source, watching)),
        }
    }

    /// Drops the connection that was made for `user`, who cannot read with it.
    pub(in crate::controller) fn unmake(&self, user: &Key) {
        let mut state = lock(&self.state);
        if let Some(identity) = state.uses.get(user).map(|uses| uses.identity.clone()) {
            state.unmake(&identity, user);
        }
    }
}

impl State {
    /// Whether watching these objects too would exceed the limit of the namespace.
    fn is_full_for(
        &self,
        namespace: &Arc<str>,
        objects: &BTreeMap<ObjectName, BTreeSet<String>>,
    ) -> bool {
        let more = objects
            .keys()
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
            if !self.objects.keys().any(|(of, _)| *of == name.0) {
                self.budgets.remove(&name.0);
            }
        }
    }

    /// Drops a connection without users: it contains the values of its objects.
    fn unmake(&mut self, identity: &Identity, user: &Key) {
        if let Some(made) = self.made.get_mut(identity) {
            made.users.remove(user);
            if made.users.is_empty() {
                self.made.remove(identity);
            }
        }
    }
}

/// What is known of one key of a Secret or ConfigMap.
fn held(object: Option<&ObjectState>, key: &str) -> Held {
    match object {
        Some(ObjectState::Present(values)) => match values.get(key) {
            None => Held::NoKey,
            Some(Kept::TooLong) => Held::TooLong(LONGEST_VALUE),
            Some(Kept::TooMuch) => Held::TooMuch(MOST_BYTES),
            Some(Kept::Value(value)) => Held::Value(value.clone()),
        },
        Some(ObjectState::Unreadable) => {
            Held::Unreadable("it exists, but its data cannot be decoded".into())
        }
        Some(ObjectState::Absent) => Held::NoObject,
        Some(ObjectState::Forbidden) => Held::Unreadable(
            "grant Lagrange list and watch on it (chart value secrets.namespaces)".into(),
        ),
        Some(ObjectState::Nothing) | None => {
            Held::Unreadable("the API server has not answered yet".into())
        }
    }
}

#[cfg(test)]
mod tests;
