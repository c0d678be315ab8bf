//! The answers of the double, as a [`ClusterReader`].

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{Double, FakeTopic, Login, Mood, World};
use crate::kafka::connection::Connection;
use crate::kafka::connection::security::Sasl;
use crate::kafka::model::error::{ReadError, Resource};
use crate::kafka::model::snapshot::{
    EndAt, GroupState, Known, NodeId, Offset, Protocol, TopicPartition,
};
use crate::kafka::reader::{
    Cluster, ClusterReader, DescribedGroup, DescribedTopics, Each, LeaderedPartitions, ListedGroup,
    Position, ReaderFactory, TopicLayout, Traffic,
};

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
                    let group = Resource::Group(id.as_str().into());
                    world.may_describe(&self.1, group).is_ok()
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
                    let topic = Resource::Topic(name.as_str().into());
                    world.may_describe(&self.1, topic).is_ok()
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
                let allowed = world.may_describe(&self.1, Resource::Topic(Arc::clone(name)));
                let offsets = FakeTopic {
                    internal: true,
                    ..FakeTopic::default()
                };
                let is_offsets = &**name == "__consumer_offsets" && !world.is_uncommitted;
                let topic = world.topics.get(&**name).cloned();
                let find = |()| match topic.or_else(|| is_offsets.then_some(offsets)) {
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

    /// From the timestamps in `World::times`: the number of records that had arrived by each time.
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
            detail: "the double gives no reason".to_owned(),
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
