//! What looks at a cluster of three real brokers cost, with 1, 100 and 1,000 groups of 12 partitions: `make bench-kafka`.
//!
//! Absolute times are this machine's; the last lines are ratios of one run, which another machine should give too.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on panics"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use lagrange::clock::Clock;
use lagrange::kafka::connection::{Connection, Identity};
use lagrange::kafka::interest::Key;
use lagrange::kafka::pool::{Pool, Settings};
use lagrange::kafka::rdkafka_reader::RdkafkaFactory;
use lagrange::kafka::stats::Observer;
use support::eyes::{interest, lag, named, settings};
use support::kafka::Kafka;

const PARTITIONS: i32 = 12;
const LOOKS: u32 = 20;

/// Adds up what pollers tell.
#[derive(Debug, Default)]
struct Told {
    looks: Mutex<Vec<Duration>>,
    requests: Mutex<BTreeMap<String, u64>>,
}

impl Observer for Told {
    fn looked(&self, _: &Identity, took: Duration) {
        self.looks.lock().unwrap().push(took);
    }
    fn requested(&self, _: &Identity, api: &str, count: u64) {
        *self
            .requests
            .lock()
            .unwrap()
            .entry(api.to_owned())
            .or_default() += count;
    }
    fn connected(&self, _: &Identity, _: u64) {}
    fn failed(&self, _: &Identity, category: &'static str) {
        panic!("something could not be read: {category}");
    }
    fn forgotten(&self, _: &Identity) {}
}

/// What some looks cost.
struct Cost {
    wall: Duration,
    cpu: Duration,
    requests: f64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let kafka = Kafka::start(3).await;
        kafka.create_topic("t", PARTITIONS).await;
        kafka.produce("t", 120).await;
        commit(&kafka, 1_000).await;
        println!("3 brokers, {PARTITIONS} partitions, one topic; a look:");
        let one = measure(&kafka, 1).await;
        let hundred = measure(&kafka, 100).await;
        let thousand = measure(&kafka, 1_000).await;
        let share = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
        println!(
            "requests of 1,000 groups over those of 100: {:.1}",
            thousand.requests / hundred.requests
        );
        println!(
            "wall time of 1,000 groups over that of 100: {:.1}",
            share(thousand.wall, hundred.wall)
        );
        println!(
            "CPU of 1,000 groups over that of 100: {:.1}",
            share(thousand.cpu, hundred.cpu)
        );
        println!(
            "wall time of 1 group over that of 100: {:.2}",
            share(one.wall, hundred.wall)
        );
    });
}

/// Has `count` groups commit offset 7 in each partition.
async fn commit(kafka: &Kafka, count: usize) {
    let began = Instant::now();
    let offsets: BTreeMap<i32, i64> = (0..PARTITIONS).map(|partition| (partition, 7)).collect();
    let groups = (0..count).map(|number| {
        let offsets = &offsets;
        async move { kafka.commit(&format!("g{number}"), "t", offsets).await }
    });
    futures::stream::iter(groups)
        .buffer_unordered(16)
        .collect::<Vec<()>>()
        .await;
    println!(
        "{count} groups have committed: {:.0} s",
        began.elapsed().as_secs_f64()
    );
}

async fn measure(kafka: &Kafka, groups: usize) -> Cost {
    let told = Arc::new(Told::default());
    let settings = Settings {
        look_deadline: Duration::from_secs(30),
        ..settings()
    };
    let readers = RdkafkaFactory {
        call_timeout: settings.call_timeout,
        allow_local_addresses: true,
    };
    let observer = Arc::clone(&told) as Arc<dyn Observer>;
    let (pool, mut wakeups, _failures) =
        Pool::new(Clock::start(), settings, Arc::new(readers), observer);
    let connection = Connection::plaintext(kafka.bootstrap.split(',')).unwrap();
    let watches: Vec<_> = (0..groups)
        .map(|number| format!("g{number}"))
        .map(|id| {
            let key = Key::consumer_group("bench", &id);
            pool.watch(&connection, key, interest(&id, named(&["t"])))
                .unwrap()
        })
        .collect();
    // Until all are read, members included, and librdkafka has counted that.
    tokio::time::sleep(Duration::from_secs(8)).await;
    while wakeups.next().await.is_some() {
        let snapshot = watches[0].latest().unwrap();
        if snapshot.groups.len() == groups && lag(&snapshot, "g0", "t") == Some(36) {
            break;
        }
    }
    let first = watches[0].latest().unwrap().look;
    told.requests.lock().unwrap().clear();
    told.looks.lock().unwrap().clear();
    let (began, cpu) = (Instant::now(), cpu_time());
    while watches[0].latest().unwrap().look < first + u64::from(LOOKS)
        || began.elapsed() < Duration::from_secs(10)
    {
        wakeups.next().await.unwrap();
    }
    let cpu = cpu_time().saturating_sub(cpu);
    let looks = told.looks.lock().unwrap().clone();
    let count = u32::try_from(looks.len()).unwrap();
    let requests = told.requests.lock().unwrap().clone();
    let total: u64 = requests.values().sum();
    let cost = Cost {
        wall: looks.iter().sum::<Duration>() / count,
        cpu: cpu / count,
        requests: f64::from(u32::try_from(total).unwrap()) / f64::from(count),
    };
    println!(
        "{groups:5} groups: {:6.1} ms, CPU {:5.1} ms, about {:6.0} requests, {} connections, {} threads, {} MB",
        cost.wall.as_secs_f64() * 1e3,
        cost.cpu.as_secs_f64() * 1e3,
        cost.requests,
        kafka.connections(),
        std::fs::read_dir("/proc/self/task").unwrap().count(),
        resident() / 1024,
    );
    println!("              {requests:?} in {count} looks");
    let closing = Instant::now();
    assert!(pool.shutdown(Duration::from_secs(3)).await);
    println!(
        "              closed in {:.1} ms",
        closing.elapsed().as_secs_f64() * 1e3
    );
    cost
}

/// This process's CPU time, in ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Resident memory in kB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
