//! One idle member for each group, so that groups have members as in production. The members are
//! not measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lagrange_testing::kafka::consumer_config;
use lagrange_testing::until::until;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

/// Members of groups that read nothing.
pub(crate) struct Members {
    count: usize,
    assigned: Arc<AtomicUsize>,
    leave: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Members {
    /// Starts one member in each group, subscribed to the topic of the same name.
    pub(crate) fn join(bootstrap: &str, names: &[String]) -> Self {
        let join = |name: &String| {
            let mut config = consumer_config(bootstrap, name);
            config.set("heartbeat.interval.ms", "3000");
            let consumer: BaseConsumer = config.create().unwrap();
            consumer.subscribe(&[name]).unwrap();
            consumer
        };
        let consumers: Vec<BaseConsumer> = names.iter().map(join).collect();
        let (assigned, leave) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let (assigned_count, left) = (Arc::clone(&assigned), Arc::clone(&leave));
        let thread = std::thread::spawn(move || {
            while !left.load(Ordering::Relaxed) {
                for consumer in &consumers {
                    consumer.poll(Duration::ZERO);
                    // Nothing is fetched from a paused partition, so its lag stays.
                    if let Ok(mine) = consumer.assignment() {
                        let _ = consumer.pause(&mine);
                    }
                }
                let has_some = |c: &&BaseConsumer| c.assignment().is_ok_and(|a| a.count() > 0);
                assigned_count.store(consumers.iter().filter(has_some).count(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self {
            count: names.len(),
            assigned,
            leave,
            thread: Some(thread),
        }
    }

    /// Waits until each has its partitions.
    pub(crate) async fn until_assigned(&self, within: Duration) {
        until(within, "every member has partitions", || async {
            let assigned = self.assigned.load(Ordering::Relaxed);
            if assigned == self.count {
                Ok(())
            } else {
                Err(format!("{assigned} of {}", self.count))
            }
        })
        .await;
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}
