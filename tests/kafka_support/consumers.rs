//! Real members of a group, each on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

/// Members of one group; they leave when this is dropped.
pub(crate) struct Consumers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Consumers {
    /// `count` members that read `topic` from its beginning. `protocol` is an assignor's name, or `consumer` for KIP-848.
    pub(crate) fn join(
        bootstrap: &str,
        group: &str,
        topic: &str,
        protocol: &str,
        count: usize,
    ) -> Self {
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
                while !stop.load(Ordering::Relaxed) {
                    if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                        // A commit during a rebalance fails; the next one covers it.
                        let _ = consumer.commit_message(&message, CommitMode::Async);
                    }
                }
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }
}

impl Drop for Consumers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}
