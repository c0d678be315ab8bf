//! Consumers in place of those that fake Pods would run: real members of a real group, one for each
//! ready replica of a Deployment. A consumer joins when its Pod is ready; Pods that start slowly or
//! die are not modelled.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Message as _, TopicPartitionList};

use crate::kafka::{Kafka, POLL, consumer_config};
use crate::until::secs;

/// One member for each ready replica of the Deployment, until dropped.
pub struct Consumers {
    follow: tokio::task::JoinHandle<()>,
    pace: Arc<Pace>,
}

/// The pace of the consumers; it can change while they run.
#[derive(Debug)]
pub struct Pace {
    /// Microseconds per record; with `IDLE` nothing is read.
    micros: AtomicU64,
    /// A topic whose records are not due yet.
    early: Mutex<Option<String>>,
}

/// Nothing is read.
pub const IDLE: u64 = u64::MAX;

impl Consumers {
    /// Members of `group` that read `topic`.
    pub fn follow(
        kafka: &Kafka,
        deployments: Api<Deployment>,
        name: &str,
        group: &str,
        topic: &str,
    ) -> Self {
        Self::follow_with(kafka, deployments, name, group, topic, &[])
    }

    /// The same, with more settings (`group.protocol`, `partition.assignment.strategy` ...).
    pub fn follow_with(
        kafka: &Kafka,
        deployments: Api<Deployment>,
        name: &str,
        group: &str,
        topic: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let pace = Arc::new(Pace {
            micros: AtomicU64::new(IDLE),
            early: Mutex::new(None),
        });
        let mut config = consumer_config(&kafka.bootstrap, group);
        for (key, value) in settings {
            if *key == "group.protocol" {
                config.remove("session.timeout.ms");
                config.remove("heartbeat.interval.ms");
            }
            config.set(*key, *value);
        }
        let instance = config.get("group.instance.id").map(str::to_owned);
        let (name, topic, shared) = (name.to_owned(), topic.to_owned(), Arc::clone(&pace));
        let follow = tokio::spawn(async move {
            let mut members: Vec<Member> = Vec::new();
            loop {
                if let Ok(deployment) = deployments.get(&name).await {
                    let ready = deployment
                        .status
                        .and_then(|s| s.ready_replicas)
                        .unwrap_or(0);
                    let wanted = usize::try_from(ready).unwrap();
                    while members.len() < wanted {
                        if let Some(instance) = &instance {
                            config
                                .set("group.instance.id", format!("{instance}-{}", members.len()));
                        }
                        members.push(Member::join(&config, &topic, &shared));
                    }
                    // All that leave do so at the same time, as Pods do.
                    let leavers = members.split_off(wanted.min(members.len()));
                    tokio::task::spawn_blocking(move || drop(leavers))
                        .await
                        .unwrap();
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        Self { follow, pace }
    }

    /// Sets the time per record from now on; with `IDLE` nothing is read.
    pub fn micros_per_record(&self, micros: u64) {
        self.pace.micros.store(micros, Ordering::Relaxed);
    }

    /// From now on the records of this topic are not read, as retries that are not due; `None` ends
    /// that.
    pub fn leave(&self, topic: Option<&str>) {
        *self.pace.early.lock().unwrap() = topic.map(str::to_owned);
    }
}

impl Drop for Consumers {
    fn drop(&mut self) {
        self.follow.abort();
    }
}

struct Member {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    fn join(config: &rdkafka::ClientConfig, topic: &str, pace: &Arc<Pace>) -> Self {
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, pace) = (Arc::clone(&stop), Arc::clone(pace));
        let thread = std::thread::spawn(move || consume(&consumer, &stopped, &pace));
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Leaving the group takes time; the members must not wait for each other.
        self.thread.take();
    }
}

/// Reads at the pace, commits once a second, and leaves when stopped.
fn consume(consumer: &BaseConsumer, stopped: &AtomicBool, pace: &Pace) {
    let mut committed = Instant::now();
    let mut reported: Option<(TopicPartitionList, TopicPartitionList)> = None;
    while !stopped.load(Ordering::Relaxed) {
        let micros = pace.micros.load(Ordering::Relaxed);
        let early = pace.early.lock().unwrap().clone();
        let leaves = |topic: &str| micros == IDLE || early.as_deref() == Some(topic);
        // A new assignment is not paused. Pause once per assignment, because every pause discards
        // what was fetched.
        if let Ok(assignment) = consumer.assignment() {
            let split = split(&assignment, leaves);
            if reported.as_ref() != Some(&split) {
                let said = consumer
                    .pause(&split.0)
                    .and_then(|()| consumer.resume(&split.1));
                reported = said.is_ok().then_some(split);
            }
        }
        if let Some(Ok(record)) = consumer.poll(POLL) {
            if leaves(record.topic()) {
                // It was fetched before the pause: seek back to it.
                let at = rdkafka::Offset::Offset(record.offset());
                let _ = consumer.seek(record.topic(), record.partition(), at, secs(5));
                continue;
            }
            if micros > 0 {
                std::thread::sleep(Duration::from_micros(micros));
            }
            let _ = consumer.store_offset_from_message(&record);
        }
        if committed.elapsed() >= secs(1) {
            let _ = consumer.commit_consumer_state(CommitMode::Async);
            committed = Instant::now();
        }
    }
    let _ = consumer.commit_consumer_state(CommitMode::Sync);
}

/// The partitions that are not read, and the others.
fn split(
    assignment: &TopicPartitionList,
    leaves: impl Fn(&str) -> bool,
) -> (TopicPartitionList, TopicPartitionList) {
    let mut split = (TopicPartitionList::new(), TopicPartitionList::new());
    for partition in assignment.elements() {
        let list = if leaves(partition.topic()) {
            &mut split.0
        } else {
            &mut split.1
        };
        list.add_partition(partition.topic(), partition.partition());
    }
    split
}
