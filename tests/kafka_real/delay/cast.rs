//! Producers with changing rates, consumers with changing habits, and the records that both keep of
//! what really happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lagrange_testing::kafka::{Kafka, consumer_config};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use rdkafka::{ClientContext, Message as _, Offset, TopicPartitionList};

pub(super) const PARTITIONS: i32 = 4;

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// When each record of each partition was created, by its offset, and how long the slowest took to
/// arrive, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) created: Vec<Vec<i64>>,
    pub(super) slowest: i64,
}

/// Notes each arrival.
#[derive(Clone)]
pub(super) struct Ledger(pub(super) Arc<Mutex<Written>>);

impl ClientContext for Ledger {}

impl ProducerContext for Ledger {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let record = result.as_ref().unwrap();
        let created = record.timestamp().to_millis().unwrap();
        let mut written = self.0.lock().unwrap();
        written.slowest = written.slowest.max(now() - created);
        let of = &mut written.created[usize::try_from(record.partition()).unwrap()];
        assert_eq!(
            i64::try_from(of.len()).unwrap(),
            record.offset(),
            "out of order"
        );
        of.push(created);
    }
}

/// Records per second in a partition, at this many seconds after the beginning.
fn rate(partition: i32, second: f64) -> f64 {
    match partition {
        0 => 40.0,
        1 if second % 14.0 < 7.0 => 100.0,
        1 => 10.0,
        // Bursts, and almost nothing in between.
        2 if second % 10.0 < 1.0 => 200.0,
        2 => 0.5,
        // Nothing for a while, twice.
        _ if second % 40.0 < 15.0 => 0.0,
        _ => 20.0,
    }
}

/// How a group consumes: seconds between its commits, and the records per second that it can read
/// at this many seconds after the beginning.
pub(super) struct Habit(u64, fn(f64) -> f64);

pub(super) const HABITS: [Habit; 6] = [
    // Keeps up.
    Habit(1, |_| 5000.0),
    Habit(4, |_| 5000.0),
    // Falls behind and stays behind.
    Habit(1, |_| 60.0),
    // Stops, and catches up.
    Habit(1, |second| if second % 30.0 < 12.0 { 1000.0 } else { 0.0 }),
    Habit(2, |second| if second < 35.0 { 10.0 } else { 400.0 }),
    // Reads almost nothing.
    Habit(1, |_| 0.1),
];

pub(super) fn produce(
    kafka: &Kafka,
    topic: &str,
    ledger: Ledger,
    stop: Arc<AtomicBool>,
) -> JoinHandle<()> {
    let mut config = kafka.config();
    config
        .set("linger.ms", "5")
        .set("enable.idempotence", "true");
    let producer: ThreadedProducer<Ledger> = config.create_with_context(ledger).unwrap();
    let topic = topic.to_owned();
    std::thread::spawn(move || {
        let began = Instant::now();
        let mut owed = [0.0; PARTITIONS as usize];
        let mut last = began;
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
            let at = Instant::now();
            let second = at.duration_since(began).as_secs_f64();
            for (partition, owed) in (0..).zip(&mut owed) {
                *owed += rate(partition, second) * at.duration_since(last).as_secs_f64();
                while *owed >= 1.0 {
                    *owed -= 1.0;
                    let record = BaseRecord::<(), str>::to(&topic)
                        .payload("record")
                        .partition(partition);
                    producer
                        .send(record.timestamp(now()))
                        .map_err(|(error, _)| error)
                        .unwrap();
                }
            }
            last = at;
        }
        producer.flush(Duration::from_secs(10)).unwrap();
    })
}

/// A commit: when it was sent and when it was answered, in milliseconds, and its offset.
#[derive(Debug, Clone)]
pub(super) struct Committed {
    pub(super) begun: i64,
    pub(super) done: i64,
    pub(super) offsets: BTreeMap<i32, i64>,
}

pub(super) type Commits = Arc<Mutex<Vec<Committed>>>;

pub(super) fn consume(
    kafka: &Kafka,
    topic: &str,
    group: &str,
    habit: &'static Habit,
    commits: Commits,
    stop: Arc<AtomicBool>,
) -> JoinHandle<()> {
    let mut config = consumer_config(&kafka.bootstrap, group);
    config
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let topic = topic.to_owned();
    std::thread::spawn(move || {
        let began = Instant::now();
        let mut read: BTreeMap<i32, i64> = BTreeMap::new();
        let (mut committed, mut next) = (Instant::now(), Instant::now());
        while !stop.load(Ordering::Relaxed) {
            let able = (habit.1)(began.elapsed().as_secs_f64());
            if able == 0.0 || next > Instant::now() {
                // Stays in the group without reading.
                std::thread::sleep(Duration::from_millis(5));
            } else if let Some(Ok(record)) = consumer.poll(Duration::from_millis(20)) {
                read.insert(record.partition(), record.offset() + 1);
                next = next.max(Instant::now()) + Duration::from_secs_f64(1.0 / able);
            }
            if committed.elapsed() >= Duration::from_secs(habit.0) && !read.is_empty() {
                committed = Instant::now();
                let mut list = TopicPartitionList::new();
                for (partition, offset) in &read {
                    list.add_partition_offset(&topic, *partition, Offset::Offset(*offset))
                        .unwrap();
                }
                let begun = now();
                if consumer.commit(&list, CommitMode::Sync).is_ok() {
                    let offsets = read.clone();
                    commits.lock().unwrap().push(Committed {
                        begun,
                        done: now(),
                        offsets,
                    });
                }
            }
        }
    })
}
