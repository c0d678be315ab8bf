//! A cluster under the control of a test: what exists, and how it misbehaves. [`reading`] has its
//! answers.

mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use crate::kafka::connection::secret::Secret;
use crate::kafka::model::error::{ReadError, Resource};
use crate::kafka::model::snapshot::{GroupState, Known, Member, NodeId, Protocol};
use crate::kafka::reader::Cluster;
use crate::sync::lock;

/// How a broker treats requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Answers,
    /// Times out, with librdkafka's error.
    Silent,
    /// Never answers, as if librdkafka hung.
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
    /// The answer to describe and fetch requests instead of the normal one.
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
    /// Whether no consumer has ever asked for its coordinator, so that there is no topic of
    /// committed offsets. Names of topics leave it out in any case.
    pub(super) is_uncommitted: bool,
    pub(super) broken: bool,
    pub(super) panics: bool,
    pub(super) close_hangs: bool,
    /// Whether answers contain more than was asked for.
    pub(super) talkative: bool,
    /// Topics that no broker describes for now.
    pub(super) undescribed: BTreeSet<String>,
    /// Whether a request about many partitions is answered at once, and not one after the other.
    pub(super) quick: bool,
    /// Whether all brokers go silent after a refused login.
    pub(super) leaves_after_refusal: bool,
    /// The password for a login; those in `denied` work as well. Existing logins stay.
    pub(super) password: Option<Secret>,
    /// What a login with each password may not describe, as `topic t` or `group g`.
    pub(super) denied: BTreeMap<String, BTreeSet<&'static str>>,
    /// This many logins, the first ones, may no longer describe anything.
    pub(super) ended: usize,
    /// The times of records and their offsets, in every partition.
    pub(super) times: Vec<(Timestamp, i64)>,
    pub(super) opened: usize,
    pub(super) closed: usize,
    /// Partitions for which an offset was asked for, in requests about several at once.
    pub(super) offsets_asked: usize,
    /// Requests, in order: which, and to which broker (0: any).
    pub(super) asked: Vec<(&'static str, i32)>,
}

/// The cluster, and a login to it.
#[derive(Debug, Clone)]
pub(super) struct Double(pub(super) Arc<Mutex<World>>, Login);

/// The password of a login, and how many logins were before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Login(Option<Secret>, usize);

impl Double {
    /// Three brokers, a topic `t` with `partitions` partitions from 0 to 10, and a group `g` on
    /// broker 1 that has committed 7 in each.
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
            is_uncommitted: false,
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

    /// Requests of this kind since the last call.
    pub(super) fn take_asked(&self, what: &str) -> usize {
        self.change(|world| {
            let before = world.asked.len();
            world.asked.retain(|(asked, _)| *asked != what);
            before - world.asked.len()
        })
    }

    /// Every request takes a millisecond, to a silent broker a second and a half.
    async fn ask<T>(
        &self,
        what: &'static str,
        on: i32,
        answer: impl FnOnce(&World) -> Known<T>,
    ) -> Known<T> {
        let mood = self.change(|world| {
            assert!(!world.panics, "the test asked for it");
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

    fn may_describe(&self, who: &Login, what: Resource) -> Known<()> {
        let Login(password, before) = who;
        let denied = password
            .as_ref()
            .and_then(|who| self.denied.get(who.text()?));
        if *before < self.ended || denied.is_some_and(|denied| denied.contains(&*what.to_string()))
        {
            return Err(ReadError::Authorization { resource: what });
        }
        Ok(())
    }

    /// The group as the broker `on` reports it to this login.
    fn coordinated(&self, who: &Login, on: i32, id: &str) -> Known<Option<&FakeGroup>> {
        self.may_describe(who, Resource::Group(id.into()))?;
        match self.groups.get(id) {
            Some(FakeGroup {
                error: Some(error), ..
            }) => Err(error.clone()),
            Some(group) if group.coordinator == on => Ok(Some(group)),
            // Broker 2 would coordinate groups that do not exist.
            None if on == 2 => Ok(None),
            _ => Err(ReadError::NotCoordinator),
        }
    }
}
