//! What users do to a Kafka cluster: topics, records, offsets, groups.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);

/// A name that no other test uses.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{number}", std::process::id())
}

/// A user of a Kafka cluster.
pub(crate) struct Kafka {
    bootstrap: String,
    admin: AdminClient<DefaultClientContext>,
    producer: FutureProducer,
}

impl Kafka {
    pub(crate) fn new(bootstrap: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap);
        Self {
            bootstrap: bootstrap.to_owned(),
            admin: config.create().unwrap(),
            producer: config.create().unwrap(),
        }
    }

    /// Creates a topic with `partitions` partitions, on as many brokers as there are, and waits until all know it.
    pub(crate) async fn topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let made = self.admin.create_topics(&[topic], &options).await.unwrap();
        made[0].as_ref().unwrap();
    }

    /// Gives a topic more partitions.
    pub(crate) async fn grow(&self, topic: &str, partitions: usize) {
        let more = NewPartitions::new(topic, partitions);
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let grown = self
            .admin
            .create_partitions(&[more], &options)
            .await
            .unwrap();
        grown[0].as_ref().unwrap();
    }

    /// Deletes a topic.
    pub(crate) async fn delete_topic(&self, topic: &str) {
        let deleted = self
            .admin
            .delete_topics(&[topic], &AdminOptions::new())
            .await
            .unwrap();
        deleted[0].as_ref().unwrap();
    }

    /// Deletes a group.
    pub(crate) async fn delete_group(&self, group: &str) {
        let deleted = self
            .admin
            .delete_groups(&[group], &AdminOptions::new())
            .await
            .unwrap();
        deleted[0].as_ref().unwrap();
    }

    /// Deletes the records before `offset`.
    pub(crate) async fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        self.admin
            .delete_records(&before, &AdminOptions::new())
            .await
            .unwrap();
    }

    /// Appends `count` records to each of the partitions `0..partitions`.
    pub(crate) async fn produce(&self, topic: &str, partitions: i32, count: usize) {
        let mut sent = Vec::new();
        for partition in 0..partitions {
            for _ in 0..count {
                let record: FutureRecord<'_, (), str> =
                    FutureRecord::to(topic).partition(partition).payload("x");
                sent.push(
                    self.producer
                        .send_result(record)
                        .map_err(|(error, _)| error)
                        .unwrap(),
                );
            }
        }
        for record in sent {
            record.await.unwrap().unwrap();
        }
    }

    /// Commits offsets for a group that has no members, and waits until they can be read: the first commits on a fresh
    /// cluster race the making of the offsets topic.
    pub(crate) async fn commit(&self, group: &str, topic: &str, offsets: &[(i32, i64)]) {
        let (bootstrap, group, topic) =
            (self.bootstrap.clone(), group.to_owned(), topic.to_owned());
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&topic, *partition, Offset::Offset(*offset))
                .unwrap();
        }
        let commit = move || {
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", &bootstrap)
                .set("group.id", &group)
                .set("enable.auto.commit", "false")
                .create()
                .unwrap();
            let began = Instant::now();
            loop {
                let committed = consumer.commit(&list, CommitMode::Sync);
                let read = consumer.committed_offsets(list.clone(), Duration::from_secs(5));
                if committed.is_ok() && read.as_ref().is_ok_and(|read| same(read, &list)) {
                    return;
                }
                assert!(
                    began.elapsed() < PATIENCE,
                    "commit: {committed:?}, then read {read:?}"
                );
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        tokio::task::spawn_blocking(commit).await.unwrap();
    }
}

fn same(read: &TopicPartitionList, written: &TopicPartitionList) -> bool {
    let of = |list: &TopicPartitionList| {
        let elements = list.elements();
        let mut offsets: Vec<_> = elements
            .iter()
            .map(|element| (element.partition(), element.offset()))
            .collect();
        offsets.sort_by_key(|(partition, _)| *partition);
        offsets
    };
    of(read) == of(written)
}
