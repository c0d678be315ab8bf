//! A pool that watches a double in virtual time, and short names for what tests often use.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lagrange_core::intent::servers::Servers;
use lagrange_core::intent::topics::{GroupInterest, Isolation, TopicSelection};
use tokio::time::Instant;

use super::double::Double;
use crate::clock::Clock;
use crate::kafka::connection::Connection;
use crate::kafka::connection::secret::Secret;
use crate::kafka::connection::security::{PasswordMechanism, Sasl, Security};
use crate::kafka::model::interest::{Interest, Key};
use crate::kafka::model::snapshot::{Known, Member, Offset, Snapshot, Topic, TopicPartition};
use crate::kafka::observer::Unobserved;
use crate::kafka::pool::{Failures, Pool, Settings, Wakeups, Watch};

/// A pool with a double.
pub(super) struct Rig {
    pub(super) pool: Pool,
    pub(super) wakeups: Wakeups,
    pub(super) failures: Failures,
}

pub(super) fn connection(server: &str) -> Connection {
    Connection::plaintext([server]).unwrap()
}

/// A login to one cluster with the password of this revision.
pub(super) fn login(password: &str, revision: u64) -> Connection {
    let security = Security {
        tls: None,
        sasl: Some(Sasl::Password {
            mechanism: PasswordMechanism::ScramSha512,
            username: Secret::new("lagrange"),
            password: Secret::new(password),
        }),
    };
    let servers = Servers::parse(["kafka:9092"]).unwrap();
    Connection::new(servers, security, "shop", revision)
}

/// A login to one cluster by tokens.
pub(super) fn by_token() -> Connection {
    let security = Security {
        tls: None,
        sasl: Some(Sasl::MskIamOfPod {
            region: "eu-central-1".to_owned(),
        }),
    };
    let servers = Servers::parse(["kafka:9092"]).unwrap();
    Connection::new(servers, security, "shop", 1)
}

/// An interest in `id`, polled every `seconds`.
pub(super) fn interest(id: &str, topics: TopicSelection, seconds: u64) -> Interest {
    Interest {
        was_refused: false,
        interval: Duration::from_secs(seconds),
        group: Some(GroupInterest {
            id: id.into(),
            topics,
            isolation: Isolation::ReadUncommitted,
            max_delay: None,
        }),
    }
}

/// The topic `t` by name.
pub(super) fn t() -> TopicSelection {
    TopicSelection::Named(vec!["t".into()])
}

impl Rig {
    pub(super) fn new(double: &Double, settings: Settings) -> Self {
        let readers = Arc::new(double.clone());
        let clock = Clock::start();
        let (pool, wakeups, failures) = Pool::new(clock, settings, readers, Arc::new(Unobserved));
        Self {
            pool,
            wakeups,
            failures,
        }
    }

    /// Watches the group `g` as the resource of that name, every 15 seconds.
    pub(super) fn watch(&self, topics: TopicSelection) -> Watch {
        self.watch_as("g", interest("g", topics, 15))
    }

    /// Watches the group `g` over this connection, as the resource `name`.
    pub(super) fn watch_with(&self, connection: &Connection, name: &str) -> Watch {
        let key = Key::consumer_group("shop", name);
        let interest = interest("g", t(), 15);
        self.pool.watch(connection, key, interest).unwrap()
    }

    pub(super) fn watch_as(&self, name: &str, interest: Interest) -> Watch {
        let key = Key::consumer_group("shop", name);
        self.pool
            .watch(&connection("kafka:9092"), key, interest)
            .unwrap()
    }

    /// Waits for the next poll, through the wake-up of one resource.
    pub(super) async fn poll(&mut self, watch: &Watch) -> Arc<Snapshot> {
        self.wakeups.next().await.unwrap();
        watch.latest().unwrap()
    }

    /// The result of `future`, and how long it took.
    pub(super) async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
        let began = Instant::now();
        let result = future.await;
        (result, began.elapsed())
    }
}

/// The known ends of `t`, `None` for unknown.
pub(super) fn ends(snapshot: &Snapshot) -> Vec<Option<i64>> {
    match &snapshot.topics["t"] {
        Topic::Present(partitions) => {
            let ends = partitions
                .iter()
                .map(|partition| partition.end.as_ref().ok());
            ends.map(|end| end.map(|end| end.get())).collect()
        }
        _ => Vec::new(),
    }
}

/// The committed offsets of `g` in each partition of `t`.
pub(super) fn committed(snapshot: &Snapshot) -> Vec<Known<Option<i64>>> {
    let committed = snapshot.groups["g"].committed.values();
    committed
        .map(|value| value.clone().map(|offset| offset.map(Offset::get)))
        .collect()
}

/// A member with these partitions of `t`.
pub(super) fn member(id: &str, partitions: &[i32]) -> Member {
    let assigned = partitions.iter().map(|partition| TopicPartition {
        topic: "t".into(),
        partition: *partition,
    });
    Member {
        id: id.into(),
        client_id: id.into(),
        host: "10.0.0.1".into(),
        instance_id: None,
        assigned: assigned.collect(),
        target: None,
    }
}
