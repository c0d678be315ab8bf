//! What a cluster's poller shares with its watches: the users, what they want, and what the last
//! poll found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lagrange_core::intent::topics::{Isolation, TopicSelection};
use tokio::sync::Notify;

use super::quota::Subject;
use crate::kafka::connection::{Connection, Identity};
use crate::kafka::model::interest::{Interest, Key};
use crate::kafka::model::snapshot::Snapshot;
use crate::sync::lock;

/// The clusters that have a poller. Its lock is taken before that of any [`Shared`].
pub(in crate::kafka) type Clusters = Arc<Mutex<BTreeMap<Identity, Arc<Shared>>>>;

/// Shared by the poller of one cluster and all watches on it.
#[derive(Debug)]
pub(in crate::kafka) struct Shared {
    identity: Identity,
    connection: Mutex<Connection>,
    users: Mutex<Users>,
    latest: Mutex<Option<Arc<Snapshot>>>,
    changed: Notify,
    /// There are newer credentials, and no poll has begun since.
    renewed: AtomicBool,
}

#[derive(Debug, Default)]
struct Users {
    next: u64,
    by_id: BTreeMap<u64, User>,
    /// Users in each namespace.
    namespaces: BTreeMap<Arc<str>, usize>,
    /// Whether a watch wants a poll before its time.
    urgent: bool,
}

#[derive(Debug)]
struct User {
    key: Key,
    interest: Interest,
    describes_members: bool,
}

/// What the next poll reads: the interests of all users together.
#[derive(Debug, Default)]
pub(super) struct PollPlan {
    /// The groups.
    pub(super) groups: BTreeMap<Arc<str>, WantedGroup>,
}

/// What to read of one group.
#[derive(Debug, Default)]
pub(super) struct WantedGroup {
    pub(super) selections: BTreeMap<TopicSelection, Wanting>,
    pub(super) read_committed: bool,
    pub(super) describes_members: bool,
    /// The shortest delay that a user sizes it for.
    pub(super) max_delay: Option<Duration>,
}

impl PollPlan {
    /// Whether any user still wants this.
    pub(super) fn wants(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Group(id, selection) => self
                .groups
                .get(id)
                .is_some_and(|group| group.selections.contains_key(selection)),
            Subject::Members(id) => self.groups.contains_key(id),
            Subject::Names => !self.matching().is_empty(),
        }
    }

    /// The namespaces with a pattern that is matched against the names of all topics.
    pub(super) fn matching(&self) -> BTreeSet<Arc<str>> {
        let selections = self.groups.values().flat_map(|group| &group.selections);
        let patterns = selections.filter(|(s, _)| matches!(s, TopicSelection::Pattern(_)));
        let namespaces = patterns.flat_map(|(_, wanting)| &wanting.namespaces);
        namespaces.cloned().collect()
    }
}

/// The users who want a selection of topics.
#[derive(Debug)]
pub(super) struct Wanting {
    pub(super) namespaces: BTreeSet<Arc<str>>,
    /// All of them were refused for their size before.
    pub(super) was_refused: bool,
}

impl WantedGroup {
    /// The namespaces that want it.
    pub(super) fn namespaces(&self) -> BTreeSet<Arc<str>> {
        let namespaces = self.selections.values();
        let namespaces = namespaces.flat_map(|wanting| &wanting.namespaces);
        namespaces.cloned().collect()
    }
}

impl Shared {
    pub(in crate::kafka) fn new(identity: Identity, connection: Connection) -> Self {
        Self {
            identity,
            connection: Mutex::new(connection),
            users: Mutex::default(),
            latest: Mutex::default(),
            changed: Notify::new(),
            renewed: AtomicBool::new(false),
        }
    }

    pub(in crate::kafka) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn connection(&self) -> Connection {
        lock(&self.connection).clone()
    }

    /// Takes over the credentials if they are newer. The next poll then comes soon.
    pub(in crate::kafka) fn renew(&self, connection: &Connection) {
        {
            let mut current = lock(&self.connection);
            if !connection.renews(&current) {
                return;
            }
            *current = connection.clone();
        }
        self.renewed.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Whether there are newer credentials than in the last poll.
    pub(super) fn is_renewed(&self) -> bool {
        self.renewed.load(Ordering::Relaxed)
    }

    pub(in crate::kafka) fn serves(&self, namespace: &str) -> bool {
        lock(&self.users).namespaces.contains_key(namespace)
    }

    pub(in crate::kafka) fn join(&self, key: Key, interest: Interest) -> u64 {
        let mut users = lock(&self.users);
        let id = users.next;
        users.next += 1;
        *users
            .namespaces
            .entry(Arc::clone(&key.namespace))
            .or_default() += 1;
        users.by_id.insert(
            id,
            User {
                key,
                interest,
                describes_members: false,
            },
        );
        users.urgent = true;
        drop(users);
        self.changed.notify_one();
        id
    }

    pub(in crate::kafka) fn leave(&self, id: u64) {
        let mut users = lock(&self.users);
        if let Some(user) = users.by_id.remove(&id)
            && let Some(count) = users.namespaces.get_mut(&user.key.namespace)
        {
            *count -= 1;
            if *count == 0 {
                users.namespaces.remove(&user.key.namespace);
            }
        }
        drop(users);
        self.changed.notify_one();
    }

    pub(in crate::kafka) fn update(&self, id: u64, interest: Interest) {
        let mut users = lock(&self.users);
        let Some(user) = users.by_id.get_mut(&id) else {
            return;
        };
        if user.interest == interest {
            return;
        }
        let reads_more = user.interest.group != interest.group;
        user.interest = interest;
        users.urgent |= reads_more;
        drop(users);
        self.changed.notify_one();
    }

    pub(in crate::kafka) fn describe_members(&self, id: u64, describes_members: bool) {
        if let Some(user) = lock(&self.users).by_id.get_mut(&id) {
            user.describes_members = describes_members;
        }
    }

    pub(in crate::kafka) fn poll_now(&self) {
        lock(&self.users).urgent = true;
        self.changed.notify_one();
    }

    pub(in crate::kafka) fn latest(&self) -> Option<Arc<Snapshot>> {
        lock(&self.latest).clone()
    }

    /// Waits until users or their interests have changed since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn is_unused(&self) -> bool {
        lock(&self.users).by_id.is_empty()
    }

    pub(super) fn is_urgent(&self) -> bool {
        lock(&self.users).urgent
    }

    /// The shortest interval that a user asks for.
    pub(super) fn interval(&self) -> Option<Duration> {
        lock(&self.users)
            .by_id
            .values()
            .map(|user| user.interest.interval)
            .min()
    }

    /// What a poll that begins now reads. Later changes are for the next poll.
    pub(super) fn begin(&self) -> PollPlan {
        self.renewed.store(false, Ordering::Relaxed);
        let mut users = lock(&self.users);
        users.urgent = false;
        let mut wanted = PollPlan::default();
        for user in users.by_id.values() {
            let Some(group) = &user.interest.group else {
                continue;
            };
            let entry = wanted.groups.entry(Arc::clone(&group.id)).or_default();
            let wanting = entry
                .selections
                .entry(group.topics.clone())
                .or_insert_with(|| Wanting {
                    namespaces: BTreeSet::new(),
                    was_refused: true,
                });
            wanting.namespaces.insert(Arc::clone(&user.key.namespace));
            wanting.was_refused &= user.interest.was_refused;
            entry.read_committed |= group.isolation == Isolation::ReadCommitted;
            entry.describes_members |= user.describes_members;
            entry.max_delay = entry.max_delay.into_iter().chain(group.max_delay).min();
        }
        wanted
    }

    /// Stores what a poll found, and returns the keys to wake.
    pub(super) fn finish(&self, snapshot: Snapshot) -> Vec<Key> {
        *lock(&self.latest) = Some(Arc::new(snapshot));
        let users = lock(&self.users);
        users.by_id.values().map(|user| user.key.clone()).collect()
    }
}
