//! Kafka as the controller sees it: polls that a test makes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::Stream;
use lagrange::clock::Clock;
use lagrange::controller::{Clusters, Watching};
use lagrange::kafka::connection::security::Sasl;
use lagrange::kafka::connection::{Connection, Identity};
use lagrange::kafka::model::error::ReadError;
use lagrange::kafka::model::interest::{Interest, Key};
use lagrange::kafka::model::snapshot::{
    Description, Group, GroupState, Member, NodeId, Offset, Partition, Protocol, Snapshot, Topic,
    TopicPartition,
};
use lagrange::kafka::pool::WatchError;
use tokio::{sync::mpsc, time::Instant};

/// A group in a poll.
#[derive(Debug, Clone)]
pub struct GroupView {
    pub partitions: i32,
    /// Members that have joined; they share the partitions as evenly as they can.
    pub members: i32,
    /// End offset and committed offset of each partition.
    pub end: i64,
    pub committed: i64,
    pub state: GroupState,
    /// A partition without a leader.
    pub leaderless: Option<i32>,
}

impl GroupView {
    /// A stable group of `members` with `lag` on each of its partitions.
    pub fn behind(partitions: i32, members: i32, lag: i64) -> Self {
        Self {
            partitions,
            members,
            end: 100_000 + lag,
            committed: 100_000,
            state: if members > 0 {
                GroupState::Stable
            } else {
                GroupState::Empty
            },
            leaderless: None,
        }
    }
}

#[derive(Debug, Default)]
struct World {
    poll: u64,
    next: u64,
    watches: BTreeMap<u64, (Identity, Key, Interest)>,
    latest: BTreeMap<Identity, (Instant, Snapshot)>,
    listeners: Vec<mpsc::UnboundedSender<Key>>,
    /// Why nothing is read for the groups.
    too_much: Option<ReadError>,
    /// The connections that were opened, in order.
    connections: Vec<Connection>,
}

/// All of Kafka. Clones share it.
#[derive(Debug, Clone)]
pub struct Kafka {
    world: Arc<Mutex<World>>,
    clock: Clock,
}

impl Kafka {
    pub fn new() -> Self {
        let start = "2026-11-24T12:00:00Z".parse().unwrap();
        Self {
            world: Arc::default(),
            clock: Clock::starting_at(start),
        }
    }

    /// The same Kafka, for a process with another clock.
    pub fn seen_by(&self, clock: Clock) -> Self {
        Self {
            world: Arc::clone(&self.world),
            clock,
        }
    }

    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The keys to wake after each poll.
    pub fn wakeups(&self) -> impl Stream<Item = Key> + Send + use<> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.world.lock().unwrap().listeners.push(sender);
        futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|key| (key, receiver))
        })
    }

    /// The password that was passed on last.
    pub fn password(&self) -> Option<String> {
        let world = self.world.lock().unwrap();
        match &world.connections.last()?.security().sasl {
            Some(Sasl::Password { password, .. }) => password.text().map(ToOwned::to_owned),
            _ => None,
        }
    }

    /// How many resources watch a cluster.
    pub fn watches(&self) -> usize {
        self.world.lock().unwrap().watches.len()
    }

    /// One poll of every cluster that finds these groups, each reading the topic of its own name.
    pub fn poll(&self, groups: &[(&str, GroupView)]) {
        self.publish(|snapshot| fill(groups, snapshot));
    }

    /// One poll that fails.
    pub fn fail(&self) {
        self.publish(|snapshot| {
            snapshot.error = Some(ReadError::Unreachable {
                detail: "broker kafka-0.secret.example:9092 is down".to_owned(),
            });
        });
    }

    /// The same with the previous credentials, because the newest do not work for this reason.
    pub fn poll_as_before(&self, groups: &[(&str, GroupView)], why: &ReadError) {
        self.publish(|snapshot| {
            snapshot.renewal = Some(why.clone());
            fill(groups, snapshot);
        });
    }

    /// From now on polls read nothing for groups, for this reason.
    pub fn is_too_much(&self, error: Option<ReadError>) {
        self.world.lock().unwrap().too_much = error;
    }

    /// The interests of all watches.
    pub fn interests(&self) -> Vec<Interest> {
        let world = self.world.lock().unwrap();
        let watches = world.watches.values();
        watches.map(|(_, _, interest)| interest.clone()).collect()
    }

    /// One poll whose login is refused.
    pub fn refuse(&self) {
        self.publish(|snapshot| {
            snapshot.error = Some(ReadError::Authentication {
                detail: "the brokers do not accept this user name and password".to_owned(),
            });
        });
    }

    fn publish(&self, fill: impl Fn(&mut Snapshot)) {
        let mut world = self.world.lock().unwrap();
        world.poll += 1;
        let now = self.clock.now();
        let mut snapshot = Snapshot {
            renewal: None,
            poll: world.poll,
            started: now,
            finished: now,
            cluster_id: Some("one".into()),
            brokers: vec![NodeId(1)],
            error: None,
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
        };
        fill(&mut snapshot);
        let identities: Vec<Identity> = world.watches.values().map(|(id, ..)| id.clone()).collect();
        for identity in identities {
            let mut snapshot = snapshot.clone();
            // As a poller does: resolve the selection of each interest.
            for (_, _, interest) in world.watches.values().filter(|(id, ..)| *id == identity) {
                let Some(reading) = &interest.group else {
                    continue;
                };
                let selected = match &world.too_much {
                    None => Ok(vec![Arc::clone(&reading.id)]),
                    Some(error) => Err(error.clone()),
                };
                if let Some(group) = snapshot.groups.get_mut(&reading.id) {
                    group.topics.insert(reading.topics.clone(), selected);
                }
            }
            world.latest.insert(identity, (Instant::now(), snapshot));
        }
        let keys: Vec<Key> = world
            .watches
            .values()
            .map(|(_, key, _)| key.clone())
            .collect();
        for listener in &world.listeners {
            for key in &keys {
                let _ = listener.send(key.clone());
            }
        }
    }
}

fn fill(groups: &[(&str, GroupView)], snapshot: &mut Snapshot) {
    for (name, view) in groups {
        let (topic, group) = describe(name, view, snapshot);
        snapshot.topics.insert((*name).into(), topic);
        snapshot.groups.insert((*name).into(), group);
    }
}

fn describe(name: &str, view: &GroupView, snapshot: &Snapshot) -> (Topic, Group) {
    let topic: Arc<str> = name.into();
    let offset = |n| Offset::new(n).unwrap();
    let at = |partition| TopicPartition {
        topic: Arc::clone(&topic),
        partition,
    };
    let partitions = (0..view.partitions).map(|index| {
        let leaderless = view.leaderless == Some(index);
        Partition {
            leader: (!leaderless).then_some(NodeId(1)),
            start: Ok(offset(0)),
            end: if leaderless {
                Err(ReadError::LeaderUnavailable)
            } else {
                Ok(offset(view.end))
            },
            stable_end: None,
            at: snapshot.finished,
        }
    });
    let members = (0..view.members).map(|member| Member {
        id: format!("member-{member}").into(),
        client_id: "test".into(),
        host: "127.0.0.1".into(),
        instance_id: None,
        assigned: (0..view.partitions)
            .filter(|partition| partition % view.members == member)
            .map(at)
            .collect(),
        target: None,
    });
    let group = Group {
        state: Ok(view.state),
        protocol: Protocol::Classic,
        coordinator: Some(NodeId(1)),
        committed: (0..view.partitions)
            .map(|index| (at(index), Ok(Some(offset(view.committed)))))
            .collect(),
        committed_at: snapshot.started,
        earlier: BTreeMap::new(),
        description: Some(Ok(Description {
            at: snapshot.finished,
            poll: snapshot.poll,
            state: Ok(view.state),
            assignor: Some("range".into()),
            members: members.collect(),
        })),
        topics: BTreeMap::new(),
    };
    (Topic::Present(partitions.collect()), group)
}

impl Clusters for Kafka {
    fn watch(
        &self,
        connection: &Connection,
        key: Key,
        interest: Interest,
    ) -> Result<Box<dyn Watching>, WatchError> {
        let mut world = self.world.lock().unwrap();
        let id = world.next;
        world.next += 1;
        let identity = connection.identity();
        world.connections.push(connection.clone());
        world.watches.insert(id, (identity.clone(), key, interest));
        Ok(Box::new(Watch {
            id,
            identity,
            kafka: self.clone(),
        }))
    }
}

#[derive(Debug)]
struct Watch {
    id: u64,
    identity: Identity,
    kafka: Kafka,
}

impl Watching for Watch {
    fn latest(&self) -> Option<Arc<Snapshot>> {
        let world = self.kafka.world.lock().unwrap();
        let (published, snapshot) = world.latest.get(&self.identity)?;
        let now = self.kafka.clock.now();
        let at = now.checked_sub(published.elapsed()).unwrap();
        let mut snapshot = Snapshot::clone(snapshot);
        (snapshot.started, snapshot.finished) = (at, at);
        Some(Arc::new(snapshot))
    }

    fn update(&self, interest: Interest) {
        let mut world = self.kafka.world.lock().unwrap();
        world.watches.get_mut(&self.id).unwrap().2 = interest;
    }

    fn renew(&self, connection: &Connection) {
        let mut world = self.kafka.world.lock().unwrap();
        world.connections.push(connection.clone());
    }

    fn describe_members(&self, _: bool) {}

    fn poll_now(&self) {}

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.kafka.world.lock().unwrap().watches.remove(&self.id);
    }
}
