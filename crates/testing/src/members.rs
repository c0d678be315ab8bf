//! Real members of a group, each on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

/// Members of one group; they leave when this is dropped.
pub struct Members {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Members {
    /// `count` members that read `topic` from its beginning. `protocol` is an assignor's name, or
    /// `consumer` for KIP-848.
    pub fn join(bootstrap: &str, group: &str, topic: &str, protocol: &str, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count).map(|number| {
            let mut config = ClientConfig::new();
            config
                .set("bootstrap.servers", bootstrap)
                .set("group.id", group)
                .set("client.id", format!("member-{number}"))
                .set("enable.auto.commit", "false")
                .set("auto.offset.reset", "earliest");
            match protocol {
                "consumer" => config.set("group.protocol", "consumer"),
                assignor => config.set("partition.assignment.strategy", assignor),
            };
            let (stop, topic) = (Arc::clone(&stop), topic.to_owned());
            std::thread::spawn(move || {
                let consumer: BaseConsumer = config.create().unwrap();
                consumer.subscribe(&[&topic]).unwrap();
                let mut uncommitted = false;
                while !stop.load(Ordering::Relaxed) {
                    match consumer.poll(Duration::from_millis(50)) {
                        Some(Ok(_)) => uncommitted = true,
                        // A commit during a rebalance fails: retry until everything that was read
                        // is committed.
                        _ if uncommitted => {
                            let committed = consumer.commit_consumer_state(CommitMode::Sync);
                            uncommitted = committed.is_err();
                        }
                        _ => {}
                    }
                }
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}
