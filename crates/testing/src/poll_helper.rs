//! Watches a group through the pool, as the controller does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use lagrange::clock::Clock;
use lagrange::kafka::connection::Connection;
use lagrange::kafka::model::interest::{Interest, Key};
use lagrange::kafka::model::snapshot::{Snapshot, Topic, TopicPartition};
use lagrange::kafka::observer::Unobserved;
use lagrange::kafka::pool::{Failures, Pool, Settings, Wakeups, Watch};
use lagrange::kafka::rdkafka::bounds::Bounds;
use lagrange::kafka::rdkafka::reader::RdkafkaFactory;
use lagrange_core::intent::topics::{GroupInterest, Isolation, TopicSelection};

/// A pool, and a watch on one group with its latest snapshot.
pub struct PollHelper {
    /// Reads the brokers until this is dropped.
    pub pool: Pool,
    /// The watch on the group; it has the latest snapshot.
    pub watch: Watch,
    /// Yields a key for each poll.
    pub wakeups: Wakeups,
    /// Pollers that ended by themselves; none should.
    pub failures: Failures,
    /// Name of the group.
    pub group: String,
}

/// Settings for tests: brokers on this machine, and short poll intervals.
pub fn settings() -> Settings {
    Settings {
        allow_local_addresses: true,
        min_interval: Duration::from_millis(300),
        min_gap: Duration::from_millis(100),
        regression_grace: Duration::from_secs(5),
        ..Settings::default()
    }
}

/// A pool with these settings.
pub fn pool(settings: Settings) -> (Pool, Wakeups, Failures) {
    let readers = RdkafkaFactory {
        call_timeout: settings.call_timeout,
        allow_local_addresses: settings.allow_local_addresses,
        bounds: Bounds::default(),
    };
    Pool::new(
        Clock::start(),
        settings,
        Arc::new(readers),
        Arc::new(Unobserved),
    )
}

/// An interest in a group.
pub fn interest(group: &str, topics: TopicSelection) -> Interest {
    Interest {
        was_refused: false,
        interval: Duration::from_millis(300),
        group: Some(GroupInterest {
            id: group.into(),
            topics,
            isolation: Isolation::ReadUncommitted,
            max_delay: None,
        }),
    }
}

/// A selection of topics by name.
pub fn named(topics: &[&str]) -> TopicSelection {
    TopicSelection::Named(topics.iter().map(|topic| (*topic).into()).collect())
}

impl PollHelper {
    /// Watches a group.
    pub fn on(bootstrap: &str, group: &str, topics: TopicSelection) -> Self {
        Self::with(settings(), bootstrap, group, topics)
    }

    /// Watches a group with these settings.
    pub fn with(settings: Settings, bootstrap: &str, group: &str, topics: TopicSelection) -> Self {
        let connection = Connection::plaintext(bootstrap.split(',')).unwrap();
        Self::over(settings, &connection, group, topics)
    }

    /// Watches a group over this connection.
    pub fn over(
        settings: Settings,
        connection: &Connection,
        group: &str,
        topics: TopicSelection,
    ) -> Self {
        let (pool, wakeups, failures) = pool(settings);
        let key = Key::consumer_group("test", group);
        let watch = pool
            .watch(connection, key, interest(group, topics))
            .unwrap();
        Self {
            pool,
            watch,
            wakeups,
            failures,
            group: group.to_owned(),
        }
    }

    /// Waits for the next poll and returns its snapshot.
    pub async fn poll(&mut self) -> Arc<Snapshot> {
        let next = tokio::time::timeout(Duration::from_mins(1), self.wakeups.next());
        tokio::select! {
            key = next => { key.expect("a poll within a minute").unwrap(); }
            failure = self.failures.next() => panic!("{failure}"),
        }
        self.watch.latest().unwrap()
    }

    /// Polls until `there` holds, for at most a minute, and returns that snapshot.
    pub async fn until(&mut self, what: &str, there: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        self.until_checked(what, there, |_| {}).await
    }

    /// Like [`Self::until`], but also checks every snapshot on the way.
    pub async fn until_checked(
        &mut self,
        what: &str,
        there: impl Fn(&Snapshot) -> bool,
        check: impl Fn(&Snapshot),
    ) -> Arc<Snapshot> {
        let began = Instant::now();
        loop {
            let snapshot = self.poll().await;
            check(&snapshot);
            if there(&snapshot) {
                return snapshot;
            }
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "{what}: last seen {}",
                brief(&snapshot)
            );
        }
    }
}

/// A group's lag in one topic: known only if every partition is.
pub fn lag(snapshot: &Snapshot, group: &str, topic: &str) -> Option<i64> {
    let Topic::Present(partitions) = snapshot.topics.get(topic)? else {
        return None;
    };
    let group = snapshot.groups.get(group)?;
    let lags = (0..).zip(partitions).map(|(index, partition)| {
        let key = TopicPartition {
            topic: topic.into(),
            partition: index,
        };
        let end = partition.end.as_ref().ok()?.get();
        let committed = group.committed.get(&key)?.as_ref().ok()?;
        Some(end - committed.map_or(0, lagrange::kafka::model::snapshot::Offset::get))
    });
    lags.sum()
}

/// A snapshot in a few lines.
pub fn brief(snapshot: &Snapshot) -> String {
    let mut lines = vec![format!(
        "poll {} brokers {:?} error {:?}",
        snapshot.poll, snapshot.brokers, snapshot.error
    )];
    for (name, topic) in &snapshot.topics {
        lines.push(match topic {
            Topic::Present(partitions) => {
                let ends = partitions.iter().map(|partition| &partition.end);
                format!("{name}: ends {:?}", ends.collect::<Vec<_>>())
            }
            other => format!("{name}: {other:?}"),
        });
    }
    for (id, group) in &snapshot.groups {
        let committed = group.committed.values().collect::<Vec<_>>();
        let (state, topics) = (&group.state, &group.topics);
        lines.push(format!(
            "{id}: {state:?} {topics:?} committed {committed:?}"
        ));
    }
    lines.join("\n")
}
