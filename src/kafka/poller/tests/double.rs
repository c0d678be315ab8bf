//! A cluster that does what a test says, behind [`ClusterReader`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::kafka::connection::Connection;
use crate::kafka::error::ReadError;
use crate::kafka::pool::lock;
use crate::kafka::reader::{
    Cluster, ClusterReader, DescribedGroup, DescribedTopics, Each, LeaderedPartitions, ListedGroup,
    Position, ReaderFactory, TopicLayout, Traffic,
};
use crate::kafka::secret::Secret;
use crate::kafka::security::Sasl;
use crate::kafka::snapshot::{
    EndAt, GroupState, Known, Member, NodeId, Offset, Protocol, TopicPartition,
};

/// What a broker does with questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Answers,
    /// Times out, as librdkafka would say it.
    Silent,
    /// Never answers: librdkafka hangs.
    Hangs,
}

#[derive(Debug, Clone)]
pub(super) struct FakeGroup {
    pub(super) coordinator: i32,
    /// Brokers that list it.
    pub(super) listed: Vec<i32>,
    pub(super) state: Option<GroupState>,
    pub(super) protocol: Protocol,
    pub(super) members: Vec<Member>,
    pub(super) committed: BTreeMap<(String, i32), i64>,
    /// What describing and fetching answer instead.
    pub(super) error: Option<ReadError>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct FakeTopic {
    /// Leader (0: none), start and end of each partition.
    pub(super) partitions: Vec<(i32, i64, i64)>,
    pub(super) internal: bool,
}

/// The cluster.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one way to misbehave"
)]
#[derive(Debug)]
pub(super) struct World {
    pub(super) brokers: BTreeMap<i32, Mood>,
    pub(super) groups: BTreeMap<String, FakeGroup>,
    pub(super) topics: BTreeMap<String, FakeTopic>,
    pub(super) bootstrap: Mood,
    pub(super) broken: bool,
    pub(super) panics: bool,
    pub(super) close_hangs: bool,
    /// Answers have more in them than what was asked for.
    pub(super) talkative: bool,
    /// Topics that nobody describes for now.
    pub(super) undescribed: BTreeSet<String>,
    /// A question about many partitions is answered at once, and not one after the other.
    pub(super) quick: bool,
    /// Whoever is refused is the last to get an answer.
    pub(super) leaves_after_refusal: bool,
    /// Who logs in needs this, or one of those in `denied`. Whoever is in stays in.
    pub(super) password: Option<Secret>,
    /// What who logs in with which password may not describe, as `topic t` or `group g`.
    pub(super) denied: BTreeMap<String, BTreeSet<&'static str>>,
    /// Whoever was let in before may describe nothing any more: the first so many that logged in.
    pub(super) ended: usize,
    /// The times of records and their offsets, in every partition.
    pub(super) times: Vec<(Timestamp, i64)>,
    pub(super) opened: usize,
    pub(super) closed: usize,
    /// Partitions of which an offset was asked for, of those that were asked for at once.
    pub(super) offsets_asked: usize,
    /// Questions, in order: what, and to which broker (0: any).
    pub(super) asked: Vec<(&'static str, i32)>,
}

/// The cluster, and who has logged in.
#[derive(Debug, Clone)]
pub(super) struct Double(pub(super) Arc<Mutex<World>>, Login);

/// What somebody has logged in with, and how many did before.
#[derive(Debug, Clone, Default)]
pub(super) struct Login(Option<Secret>, usize);

impl Double {
    /// Three brokers, a topic `t` of `partitions` partitions from 0 to 10, and a group `g` on broker 1 that has read 7 of
    /// each.
    pub(super) fn new(partitions: i32) -> Self {
        let topic = FakeTopic {
            partitions: (0..partitions).map(|p| (p % 3 + 1, 0, 10)).collect(),
            internal: false,
        };
        let world = World {
            brokers: (1..=3).map(|id| (id, Mood::Answers)).collect(),
            groups: BTreeMap::new(),
            topics: [("t".to_owned(), topic)].into(),
            bootstrap: Mood::Answers,
            broken: false,
            panics: false,
            close_hangs: false,
            quick: false,
            undescribed: BTreeSet::new(),
            talkative: false,
            leaves_after_refusal: false,
            password: None,
            denied: BTreeMap::new(),
            ended: 0,
            times: Vec::new(),
            opened: 0,
            closed: 0,
            offsets_asked: 0,
            asked: Vec::new(),
        };
        let double = Self(Arc::new(Mutex::new(world)), Login::default());
        double.group("g", 1, partitions);
        double
    }

    /// A group that has committed 7 in each partition of `t`.
    pub(super) fn group(&self, id: &str, coordinator: i32, partitions: i32) {
        let group = FakeGroup {
            coordinator,
            listed: vec![coordinator],
            state: Some(GroupState::Empty),
            protocol: Protocol::Classic,
            members: Vec::new(),
            committed: (0..partitions).map(|p| (("t".to_owned(), p), 7)).collect(),
            error: None,
        };
        self.change(|world| world.groups.insert(id.to_owned(), group));
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut lock(&self.0))
    }

    /// Changes the group `g`.
    pub(super) fn change_group(&self, change: impl FnOnce(&mut FakeGroup)) {
        self.change(|world| change(world.groups.get_mut("g").unwrap()));
    }

    pub(super) fn mood(&self, broker: i32, mood: Mood) {
        self.change(|world| world.brokers.insert(broker, mood));
    }

    /// How many questions of this kind since the last time.
    pub(super) fn take_asked(&self, what: &str) -> usize {
        self.change(|world| {
            let before = world.asked.len();
            world.asked.retain(|(asked, _)| *asked != what);
            before - world.asked.len()
        })
    }

    /// Every question takes a millisecond; a broker that is silent, a second and a half.
    async fn ask<T>(
        &self,
        what: &'static str,
        on: i32,
        answer: impl FnOnce(&World) -> Known<T>,
    ) -> Known<T> {
        let mood = self.change(|world| {
            assert!(!world.panics, "the double was told to");
            world.asked.push((what, on));
            match on {
                0 => world.bootstrap,
                on => world.brokers.get(&on).copied().unwrap_or(Mood::Silent),
            }
        });
        match mood {
            Mood::Answers => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.change(|world| answer(world))
            }
            Mood::Silent => {
                tokio::time::sleep(Duration::from_millis(1500)).await;
                Err(ReadError::TimedOut)
            }
            Mood::Hangs => std::future::pending().await,
        }
    }
}

impl Double {
    fn offsets_at_once(
        &self,
        partitions: &LeaderedPartitions,
        what: &'static str,
        position: Position,
    ) -> Each<TopicPartition, Offset> {
        self.change(|world| {
            world.asked.push((what, 0));
            world.offsets_asked += partitions.as_slice().len();
            let offset = |partition: &TopicPartition| {
                let topic = &world.topics[&*partition.topic];
                let (_, start, end) =
                    topic.partitions[usize::try_from(partition.partition).unwrap()];
                let offset = match position {
                    Position::Start => start,
                    Position::End => end,
                    Position::StableEnd => end - 1,
                };
                (partition.clone(), Ok(Offset::new(offset).unwrap()))
            };
            partitions.as_slice().iter().map(offset).collect()
        })
    }
}

impl World {
    fn cluster(&self) -> Cluster {
        Cluster {
            id: Some("cluster".into()),
            brokers: self.brokers.keys().map(|id| NodeId(*id)).collect(),
        }
    }

    fn knows(&self, who: Option<&Secret>) -> bool {
        let is_denied_some = |who: &Secret| {
            who.text()
                .is_some_and(|text| self.denied.contains_key(text))
        };
        self.password.as_ref() == who || who.is_some_and(is_denied_some)
    }

    fn may_describe(&self, who: &Login, what: &str) -> Known<()> {
        let Login(password, before) = who;
        let denied = password
            .as_ref()
            .and_then(|who| self.denied.get(who.text()?));
        if *before < self.ended || denied.is_some_and(|denied| denied.contains(what)) {
            return Err(ReadError::Authorization {
                resource: what.to_owned(),
            });
        }
        Ok(())
    }

    /// The group as the broker `on` sees it, for who may describe it.
    fn coordinated(&self, who: &Login, on: i32, id: &str) -> Known<Option<&FakeGroup>> {
        self.may_describe(who, &format!("group {id}"))?;
        match self.groups.get(id) {
            Some(FakeGroup {
                error: Some(error), ..
            }) => Err(error.clone()),
            Some(group) if group.coordinator == on => Ok(Some(group)),
            // Broker 2 would coordinate what does not exist.
            None if on == 2 => Ok(None),
            _ => Err(ReadError::NotCoordinator),
        }
    }
}

impl ClusterReader for Double {
    fn bootstrap(&self) -> BoxFuture<'_, Known<Cluster>> {
        let answer = |world: &World| {
            if world.knows(self.1.0.as_ref()) {
                Ok(world.cluster())
            } else {
                Err(ReadError::TimedOut)
            }
        };
        self.ask("bootstrap", 0, answer).boxed()
    }

    fn cluster(&self, on: NodeId) -> BoxFuture<'_, Known<Cluster>> {
        self.ask("cluster", on.0, |world| Ok(world.cluster()))
            .boxed()
    }

    fn groups(&self, on: NodeId) -> BoxFuture<'_, Known<Vec<ListedGroup>>> {
        let answer = move |world: &World| {
            let listed = world
                .groups
                .iter()
                .filter(|(_, group)| group.listed.contains(&on.0))
                .filter(|(id, _)| {
                    let group = format!("group {id}");
                    world.may_describe(&self.1, &group).is_ok()
                });
            let listed = listed.map(|(id, group)| ListedGroup {
                id: id.as_str().into(),
                state: group.state,
                protocol: group.protocol,
            });
            Ok(listed.collect())
        };
        self.ask("groups", on.0, answer).boxed()
    }

    fn describe<'a>(
        &'a self,
        on: NodeId,
        groups: &'a [Arc<str>],
    ) -> BoxFuture<'a, Known<Each<Arc<str>, DescribedGroup>>> {
        let answer = move |world: &World| {
            let described = groups.iter().map(|id| {
                let group = world
                    .coordinated(&self.1, on.0, id)
                    .map(|group| DescribedGroup {
                        state: group.map_or(Some(GroupState::Dead), |group| group.state),
                        protocol: group.map_or(Protocol::Classic, |group| group.protocol),
                        assignor: group.map(|_| "range".into()),
                        members: group.map(|group| group.members.clone()).unwrap_or_default(),
                    });
                (Arc::clone(id), group)
            });
            let others = (0..1_000).filter(|_| world.talkative).map(|number| {
                let id: Arc<str> = format!("other-{number}").into();
                (id, Err(ReadError::NotCoordinator))
            });
            Ok(described.chain(others).collect())
        };
        self.ask("describe", on.0, answer).boxed()
    }

    fn topic_names(&self) -> BoxFuture<'_, Known<BTreeSet<Arc<str>>>> {
        let names = |world: &World| {
            Ok(world
                .topics
                .keys()
                .filter(|name| {
                    let topic = format!("topic {name}");
                    world.may_describe(&self.1, &topic).is_ok()
                })
                .map(|name| name.as_str().into())
                .collect())
        };
        self.ask("topic_names", 0, names).boxed()
    }

    fn topics<'a>(
        &'a self,
        on: NodeId,
        names: &'a [Arc<str>],
    ) -> BoxFuture<'a, Known<DescribedTopics>> {
        let answer = move |world: &World| {
            let topics = names.iter().map(|name| {
                let allowed = world.may_describe(&self.1, &format!("topic {name}"));
                let find = |()| match world.topics.get(&**name) {
                    Some(_) if world.undescribed.contains(&**name) => {
                        Err(ReadError::Other("not now".to_owned()))
                    }
                    topic => topic.ok_or(ReadError::UnknownTopic),
                };
                let layout = allowed.and_then(find).map(|topic| TopicLayout {
                    leaders: (topic.partitions.iter())
                        .map(|(leader, ..)| (*leader > 0).then_some(NodeId(*leader)))
                        .collect(),
                    internal: topic.internal,
                });
                (Arc::clone(name), layout)
            });
            let others = (0..1_000).filter(|_| world.talkative).map(|number| {
                let layout = TopicLayout {
                    leaders: vec![Some(NodeId(1)); 10],
                    internal: false,
                };
                (format!("other-{number}").into(), Ok(layout))
            });
            Ok(DescribedTopics::new(topics.chain(others).collect()))
        };
        self.ask("topics", on.0, answer).boxed()
    }

    fn committed<'a>(
        &'a self,
        on: NodeId,
        group: &'a str,
        partitions: &'a [TopicPartition],
    ) -> BoxFuture<'a, Known<Each<TopicPartition, Option<Offset>>>> {
        let answer = move |world: &World| {
            let group = world.coordinated(&self.1, on.0, group)?;
            let offsets = partitions.iter().map(|partition| {
                let key = (partition.topic.to_string(), partition.partition);
                let offset = group.and_then(|group| group.committed.get(&key));
                (
                    partition.clone(),
                    Ok(offset.and_then(|offset| Offset::new(*offset))),
                )
            });
            let others = (0..1_000).filter(|_| world.talkative).map(|number| {
                let partition = TopicPartition {
                    topic: format!("other-{number}").into(),
                    partition: number,
                };
                (partition, Ok(None))
            });
            Ok(offsets.chain(others).collect())
        };
        self.ask("committed", on.0, answer).boxed()
    }

    fn committed_topics<'a>(
        &'a self,
        on: NodeId,
        group: &'a str,
    ) -> BoxFuture<'a, Known<BTreeSet<Arc<str>>>> {
        let answer = move |world: &World| {
            let group = world.coordinated(&self.1, on.0, group)?;
            let committed = group.into_iter().flat_map(|group| group.committed.keys());
            Ok(committed.map(|(topic, _)| topic.as_str().into()).collect())
        };
        self.ask("committed_topics", on.0, answer).boxed()
    }

    fn offsets<'a>(
        &'a self,
        partitions: &'a LeaderedPartitions,
        position: Position,
    ) -> BoxFuture<'a, Each<TopicPartition, Offset>> {
        let what = match position {
            Position::Start => "start",
            Position::End => "end",
            Position::StableEnd => "stable_end",
        };
        let answer = async move {
            if self.change(|world| world.quick) {
                return self.offsets_at_once(partitions, what, position);
            }
            let mut answers = Vec::new();
            for partition in partitions.as_slice() {
                let find = |world: &World| {
                    let topic = world.topics.get(&*partition.topic)?;
                    topic
                        .partitions
                        .get(usize::try_from(partition.partition).unwrap())
                        .copied()
                };
                let Some((leader, start, end)) = self.change(|world| find(world)) else {
                    answers.push((partition.clone(), Err(ReadError::UnknownTopic)));
                    continue;
                };
                let offset = match position {
                    Position::Start => start,
                    Position::End => end,
                    Position::StableEnd => end - 1,
                };
                let known = self
                    .ask(what, leader, |_| Ok(Offset::new(offset).unwrap()))
                    .await;
                answers.push((partition.clone(), known));
            }
            answers
        };
        answer.boxed()
    }

    /// As by the timestamps of `World::times`: so many records had come by each time.
    fn offsets_at<'a>(
        &'a self,
        partitions: &'a LeaderedPartitions,
        at: Timestamp,
    ) -> BoxFuture<'a, Each<TopicPartition, Option<EndAt>>> {
        let answer = async move {
            let mut answers = Vec::new();
            for partition in partitions.as_slice() {
                let place = usize::try_from(partition.partition).unwrap();
                let leader =
                    |world: &mut World| world.topics[&*partition.topic].partitions[place].0;
                let leader = self.change(leader);
                let first = move |world: &World| {
                    let mut records = world.times.iter();
                    let found = records.find(|(time, _)| *time >= at);
                    Ok(found.map(|(at, offset)| EndAt {
                        at: *at,
                        end: Offset::new(*offset).unwrap(),
                    }))
                };
                let known = self.ask("offsets_at", leader, first).await;
                answers.push((partition.clone(), known));
            }
            answers
        };
        answer.boxed()
    }

    fn trouble(&self) -> ReadError {
        let refused = |world: &mut World| {
            let refused = !world.knows(self.1.0.as_ref());
            if refused && world.leaves_after_refusal {
                world.bootstrap = Mood::Silent;
            }
            refused
        };
        if self.change(refused) {
            return ReadError::Authentication {
                detail: "wrong password".to_owned(),
            };
        }
        ReadError::Unreachable {
            detail: "the double says nothing".to_owned(),
        }
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn is_broken(&self) -> bool {
        self.change(|world| world.broken)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            if self.change(|world| world.close_hangs) {
                std::future::pending::<()>().await;
            }
            self.change(|world| world.closed += 1);
        }
        .boxed()
    }
}

impl ReaderFactory for Double {
    fn open<'a>(
        &'a self,
        connection: &'a Connection,
    ) -> BoxFuture<'a, Known<Arc<dyn ClusterReader>>> {
        async {
            let before = self.change(|world| {
                world.opened += 1;
                world.broken = false;
                world.opened - 1
            });
            let password = match &connection.security().sasl {
                Some(Sasl::Password { password, .. }) => Some(password.clone()),
                _ => None,
            };
            let login = Login(password, before);
            Ok(Arc::new(Self(Arc::clone(&self.0), login)) as Arc<dyn ClusterReader>)
        }
        .boxed()
    }
}
