//! Plays a load of changing rate to a topic, and measures the age of the oldest record that a group
//! has not committed. It sends all records itself and keeps their times.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const TICK: Duration = Duration::from_millis(250);
const ANSWER: Duration = Duration::from_secs(10);

/// The records per second in each second of the playback.
#[derive(Debug, Clone)]
pub(crate) struct Rates(pub(crate) Vec<f64>);

impl Rates {
    /// The records that are due after this many seconds.
    fn sent_after(&self, seconds: f64) -> f64 {
        let mut left = seconds;
        let mut sent = 0.0;
        for rate in &self.0 {
            let part = left.clamp(0.0, 1.0);
            sent += rate * part;
            left -= part;
        }
        sent
    }

    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(self.0.len() as u64)
    }

    /// The rates in the simulator's format.
    pub(crate) fn csv(&self) -> String {
        // A line for the end of the last second.
        let rates = self.0.iter().chain(self.0.last());
        let lines = (0..).zip(rates).map(|(t, rate)| format!("{t},{rate}\n"));
        lines.collect()
    }
}

/// When each record of each partition was sent, by offset.
type Sent = Arc<Mutex<Vec<Vec<Instant>>>>;

/// The state of the group, read once a second.
#[derive(Debug, Clone)]
pub(crate) struct Second {
    /// The age of the oldest record that is not committed.
    pub(crate) delay: Duration,
    /// Whether the group was stable.
    pub(crate) is_stable: bool,
}

/// A running playback.
pub(crate) struct Playback {
    player: Option<JoinHandle<()>>,
    watcher: Option<JoinHandle<()>>,
    seen: Arc<Mutex<Vec<Second>>>,
    ended: Arc<AtomicBool>,
}

impl Playback {
    pub(crate) fn start(
        config: &ClientConfig,
        topic: &str,
        group: &str,
        partitions: usize,
        rates: Rates,
    ) -> Self {
        let sent: Sent = Arc::new(Mutex::new(vec![Vec::new(); partitions]));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let player = {
            let (config, topic, sent) = (config.clone(), topic.to_owned(), Arc::clone(&sent));
            std::thread::spawn(move || play(&config, &topic, &sent, &rates))
        };
        let watcher = {
            let (seen, ended) = (Arc::clone(&seen), Arc::clone(&ended));
            let (topic, group) = (topic.to_owned(), group.to_owned());
            let mut config = config.clone();
            config.set("group.id", &group);
            std::thread::spawn(move || watch(&config, &topic, &group, &sent, &seen, &ended))
        };
        Self {
            player: Some(player),
            watcher: Some(watcher),
            seen,
            ended,
        }
    }

    /// Waits until everything is played, and returns what was read.
    pub(crate) async fn end(mut self) -> Vec<Second> {
        let player = self.player.take().unwrap();
        tokio::task::spawn_blocking(move || player.join().unwrap())
            .await
            .unwrap();
        self.ended.store(true, Ordering::Relaxed);
        let watcher = self.watcher.take().unwrap();
        tokio::task::spawn_blocking(move || watcher.join().unwrap())
            .await
            .unwrap();
        let seen = self.seen.lock().unwrap().clone();
        assert!(seen.len() > 10, "only {} readings", seen.len());
        seen
    }
}

fn play(config: &ClientConfig, topic: &str, sent: &Sent, rates: &Rates) {
    let mut config = config.clone();
    let producer: BaseProducer = config.set("linger.ms", "5").create().unwrap();
    let began = Instant::now();
    let mut next = 0_u32;
    let partitions = u32::try_from(sent.lock().unwrap().len()).unwrap();
    while began.elapsed() < rates.length() {
        let due = rates.sent_after(began.elapsed().as_secs_f64());
        while f64::from(next) < due {
            let partition = next % partitions;
            let record = BaseRecord::<(), str>::to(topic)
                .payload("record")
                .partition(i32::try_from(partition).unwrap());
            sent.lock().unwrap()[partition as usize].push(Instant::now());
            producer.send(record).map_err(|(error, _)| error).unwrap();
            next += 1;
        }
        producer.poll(TICK);
    }
    producer.flush(ANSWER).unwrap();
}

fn watch(
    config: &ClientConfig,
    topic: &str,
    group: &str,
    sent: &Sent,
    seen: &Mutex<Vec<Second>>,
    ended: &AtomicBool,
) {
    let client: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..sent.lock().unwrap().len() {
        list.add_partition(topic, i32::try_from(partition).unwrap());
    }
    let began = Instant::now();
    for second in 1.. {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        let asked = Instant::now();
        let committed = client.committed_offsets(list.clone(), ANSWER).unwrap();
        let state = client.fetch_group_list(Some(group), ANSWER).unwrap();
        let is_stable = state.groups().iter().any(|group| group.state() == "Stable");
        let oldest = {
            let sent = sent.lock().unwrap();
            let elements = committed.elements();
            let waits = elements.iter().filter_map(|element| {
                let read = match element.offset() {
                    Offset::Offset(offset) => usize::try_from(offset).unwrap(),
                    _ => 0,
                };
                sent.get(usize::try_from(element.partition()).ok()?)?
                    .get(read)
                    .copied()
            });
            waits.min()
        };
        seen.lock().unwrap().push(Second {
            delay: oldest.map_or(Duration::ZERO, |oldest| {
                asked.saturating_duration_since(oldest)
            }),
            is_stable,
        });
        std::thread::sleep(Duration::from_secs(second).saturating_sub(began.elapsed()));
    }
}
