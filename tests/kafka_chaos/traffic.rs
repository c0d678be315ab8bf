//! The writers, which use the plaintext listener and record the truth: a producer, groups that
//! commit without members, and groups with members. All end when this is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lagrange_testing::kafka::consumer_config;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio_util::task::AbortOnDropHandle;

use super::cast::{Cast, Role};
use super::truth::{Place, Truth};

const BETWEEN_RECORDS: Duration = Duration::from_millis(20);
const BETWEEN_COMMITS: Duration = Duration::from_millis(300);
const MEMBERS: usize = 2;

pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    _producer: AbortOnDropHandle<()>,
}

impl Traffic {
    pub(crate) fn start(bootstrap: &str, cast: &Arc<Cast>, truth: &Arc<Truth>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (id, role) in &cast.groups {
            let mut config = config(bootstrap, id);
            let count = match role {
                Role::Alone => 1,
                Role::Members(protocol) => {
                    speak(&mut config, protocol);
                    MEMBERS
                }
                Role::Never | Role::Guest => 0,
            };
            for _ in 0..count {
                let worker = Worker {
                    id: id.clone(),
                    config: config.clone(),
                    cast: Arc::clone(cast),
                    truth: Arc::clone(truth),
                    stop: Arc::clone(&stop),
                };
                let alone = *role == Role::Alone;
                threads.push(std::thread::spawn(move || {
                    if alone {
                        worker.commit_alone();
                    } else {
                        worker.consume();
                    }
                }));
            }
        }
        let producer = produce(bootstrap.to_owned(), Arc::clone(cast), Arc::clone(truth));
        Self {
            stop,
            threads,
            _producer: AbortOnDropHandle::new(tokio::spawn(producer)),
        }
    }

    /// Ends all of it, and waits for the end.
    pub(crate) async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        let joined = move || {
            for thread in threads {
                thread.join().unwrap();
            }
        };
        tokio::task::spawn_blocking(joined).await.unwrap();
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Commits for one group, until it is ended or dropped.
pub(crate) struct Committer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(crate) fn start(bootstrap: &str, id: &str, cast: &Arc<Cast>, truth: &Arc<Truth>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            id: id.to_owned(),
            config: config(bootstrap, id),
            cast: Arc::clone(cast),
            truth: Arc::clone(truth),
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::spawn(move || worker.commit_alone());
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it, and waits for the end.
    pub(crate) async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let joined = move || thread.join().unwrap();
            tokio::task::spawn_blocking(joined).await.unwrap();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn config(bootstrap: &str, group: &str) -> ClientConfig {
    let mut config = consumer_config(bootstrap, group);
    config.set("socket.timeout.ms", "5000");
    config
}

fn speak(config: &mut ClientConfig, protocol: &str) {
    if protocol == "consumer" {
        config.remove("session.timeout.ms");
        config.remove("heartbeat.interval.ms");
        config.set("group.protocol", "consumer");
    } else {
        config.set("partition.assignment.strategy", protocol);
    }
}

/// Sends one record after the other, to any partition, without waiting for acknowledgements.
async fn produce(bootstrap: String, cast: Arc<Cast>, truth: Arc<Truth>) {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "120000")
        .set("topic.metadata.refresh.interval.ms", "1000")
        .set("enable.metrics.push", "false")
        .set("log_level", "0");
    let producer: FutureProducer = config.create().unwrap();
    let mut sent = tokio::task::JoinSet::new();
    loop {
        let topic = fastrand::usize(..cast.topics.len());
        let partition = i32::try_from(fastrand::i64(0..truth.count(topic))).unwrap();
        let (producer, cast, truth) = (producer.clone(), Arc::clone(&cast), Arc::clone(&truth));
        sent.spawn(async move {
            let record = FutureRecord::<(), str>::to(&cast.topics[topic])
                .payload("record")
                .partition(partition);
            let send = producer.send(record, Timeout::After(Duration::from_mins(2)));
            let acknowledged = async { Some(send.await.ok()?.offset) };
            truth.produce((topic, partition), acknowledged).await;
        });
        while sent.try_join_next().is_some() {}
        tokio::time::sleep(BETWEEN_RECORDS).await;
    }
}

struct Worker {
    id: String,
    config: ClientConfig,
    cast: Arc<Cast>,
    truth: Arc<Truth>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// One partition per request: of several, some could be refused without an error.
    fn commit(&self, client: &BaseConsumer, place: Place, offset: i64) -> bool {
        self.truth.commit(&self.id, place, offset, || {
            let mut list = TopicPartitionList::new();
            let topic = &self.cast.topics[place.0];
            list.add_partition_offset(topic, place.1, Offset::Offset(offset))
                .unwrap();
            client.commit(&list, CommitMode::Sync).is_ok()
        })
    }

    /// Commits without reading, with increasing offsets up to the end of a partition.
    fn commit_alone(&self) {
        let client: BaseConsumer = self.config.create().unwrap();
        let topic = self.cast.topic_of(&self.id);
        while self.goes_on() {
            let partition = fastrand::i64(0..self.truth.count(topic));
            let place = (topic, i32::try_from(partition).unwrap());
            let committed = self.truth.highest_commit(&self.id, place);
            let end = self.truth.safe_end(place);
            if committed <= end {
                self.commit(&client, place, fastrand::i64(committed..=end));
            }
            std::thread::sleep(BETWEEN_COMMITS);
        }
    }

    /// Reads as a member, and commits what it has read.
    fn consume(&self) {
        let consumer: BaseConsumer = self.config.create().unwrap();
        let topic = self.cast.topic_of(&self.id);
        consumer.subscribe(&[&self.cast.topics[topic]]).unwrap();
        let mut read: BTreeMap<Place, i64> = BTreeMap::new();
        let mut committed = Instant::now();
        while self.goes_on() {
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                read.insert((topic, record.partition()), record.offset() + 1);
            }
            if committed.elapsed() > BETWEEN_COMMITS {
                // After a rebalance, another member commits for a partition that was taken away.
                // The coordinator would refuse it here.
                let assigned = consumer.assignment().unwrap_or_default();
                read.retain(|place, _| {
                    assigned
                        .find_partition(&self.cast.topics[place.0], place.1)
                        .is_some()
                });
                read.retain(|place, offset| !self.commit(&consumer, *place, *offset));
                committed = Instant::now();
            }
        }
    }
}
