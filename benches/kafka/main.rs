//! Cost of polls of real brokers, with 1, 100 and 1,000 groups of 12 partitions on one and on three
//! brokers, in plaintext and behind TLS and SCRAM: `make bench-kafka`.
//!
//! Numbers of connections and requests are the same on any machine and also in a build without
//! optimisation (`cargo bench --profile dev --bench kafka`); absolute times depend on the machine.
//! The last lines are ratios of one run. `BENCH_BROKERS=1,3`, `BENCH_LISTENERS=plaintext,sasl-ssl`
//! and `BENCH_GROUPS=1,100,1000` change what is measured.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on panics"
)]

mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use lagrange::clock::Clock;
use lagrange::kafka::connection::Connection;
use lagrange::kafka::connection::secret::Secret;
use lagrange::kafka::connection::security::{PasswordMechanism, Sasl, Security, Tls};
use lagrange::kafka::model::interest::Key;
use lagrange::kafka::observer::Observer;
use lagrange::kafka::pool::{Pool, Settings, Wakeups};
use lagrange::kafka::rdkafka::bounds::Bounds;
use lagrange::kafka::rdkafka::reader::RdkafkaFactory;
use lagrange_core::intent::servers::Servers;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::poll_helper::{interest, lag, named, settings};
use lagrange_testing::secure::{Listener, Tokens};

use report::{Polls, Report};

const PARTITIONS: i32 = 12;

/// Time for several reports of librdkafka about sent requests, which come every 5 s.
const LASTING: Duration = Duration::from_secs(27);

/// Cost of the polls of a measurement.
struct Cost {
    groups: usize,
    polls: Polls,
    cpu: Duration,
}

impl Cost {
    fn requests(&self) -> f64 {
        self.polls.requests.values().sum()
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let number = |text: &String| text.parse().unwrap();
    let groups: Vec<usize> = list("BENCH_GROUPS", "1,100,1000")
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let listeners = list("BENCH_LISTENERS", "plaintext,sasl-ssl");
    for brokers in list("BENCH_BROKERS", "1,3").iter().map(number) {
        runtime.block_on(measure_all(brokers, &listeners, &groups));
    }
}

fn list(variable: &str, otherwise: &str) -> Vec<String> {
    let text = std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned());
    text.split(',').map(|it| it.trim().to_owned()).collect()
}

async fn measure_all(brokers: u32, listeners: &[String], groups: &[usize]) {
    let kafka = Kafka::secure(brokers, Tokens::Jwt, &[]).await;
    kafka.create_topic("t", PARTITIONS).await;
    kafka.produce("t", 120).await;
    for (kind, name) in [("topic", "t"), ("group", "g*")] {
        kafka.allow("User:lagrange", kind, name, "Describe").await;
    }
    commit(&kafka, groups.iter().copied().max().unwrap()).await;
    for listener in listeners {
        let (servers, security) = match listener.as_str() {
            "plaintext" => (kafka.bootstrap.clone(), Security::default()),
            "sasl-ssl" => (kafka.listener(Listener::SaslSsl).await, scram(&kafka)),
            other => panic!("no listener {other}: plaintext or sasl-ssl"),
        };
        println!("{brokers} brokers, {PARTITIONS} partitions, one topic, {listener}; per poll:");
        let mut costs = Vec::new();
        for count in groups {
            costs.push(measure(&servers, &security, *count).await);
        }
        for pair in costs.windows(2) {
            ratios(&pair[0], &pair[1]);
        }
    }
}

/// SCRAM-SHA-512 behind TLS.
fn scram(kafka: &Kafka) -> Security {
    Security {
        tls: Some(Tls {
            authorities: Secret::new(kafka.tls("ca.crt")),
            certificate: None,
        }),
        sasl: Some(Sasl::Password {
            mechanism: PasswordMechanism::ScramSha512,
            username: Secret::new("lagrange"),
            password: Secret::new(kafka.password("lagrange")),
        }),
    }
}

fn ratios(few: &Cost, many: &Cost) {
    println!(
        "  {} groups over {}: requests {:.1}, wall time {:.1}, CPU {:.1}",
        many.groups,
        few.groups,
        many.requests() / few.requests(),
        many.polls.wall.as_secs_f64() / few.polls.wall.as_secs_f64(),
        many.cpu.as_secs_f64() / few.cpu.as_secs_f64(),
    );
}

/// Commits offset 7 in each partition for `count` groups.
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

async fn measure(servers: &str, security: &Security, groups: usize) -> Cost {
    let report = Arc::new(Report::default());
    let (pool, mut wakeups) = open(Arc::clone(&report) as Arc<dyn Observer>);
    let connection = Connection::new(
        Servers::parse(servers.split(',')).unwrap(),
        security.clone(),
        "bench",
        1,
    );
    let opened = Instant::now();
    let ids: Vec<String> = (0..groups).map(|number| format!("g{number}")).collect();
    let watches: Vec<_> = ids
        .iter()
        .map(|id| {
            let key = Key::consumer_group("bench", id);
            pool.watch(&connection, key, interest(id, named(&["t"])))
                .unwrap()
        })
        .collect();
    let mut poll = 0;
    while wakeups.next().await.is_some() {
        let snapshot = watches[0].latest().unwrap();
        // Each poll wakes every watch.
        if std::mem::replace(&mut poll, snapshot.poll) == snapshot.poll {
            continue;
        }
        if ids.iter().all(|id| lag(&snapshot, id, "t") == Some(36)) {
            break;
        }
    }
    let until_read = opened.elapsed();
    // After this time the start is over, members have been read, and librdkafka has reported those
    // requests.
    let drained = tokio::time::sleep(Duration::from_secs(8));
    tokio::pin!(drained);
    drain(&mut wakeups, drained.as_mut()).await;
    report.begin();
    let (polls, cpu) = (watches[0].latest().unwrap().poll, cpu_time());
    let lasting = tokio::time::sleep(LASTING);
    tokio::pin!(lasting);
    drain(&mut wakeups, lasting.as_mut()).await;
    let cpu = cpu_time().saturating_sub(cpu);
    let count = u32::try_from(watches[0].latest().unwrap().poll - polls).unwrap();
    let cost = Cost {
        groups,
        polls: report.polls(),
        cpu: cpu / count,
    };
    print(&cost, servers, until_read);
    let closing = Instant::now();
    assert!(pool.shutdown(Duration::from_secs(3)).await);
    println!(
        "              closed in {:.1} ms",
        closing.elapsed().as_secs_f64() * 1e3
    );
    cost
}

/// A pool that waits for slow responses instead of ending a poll early.
fn open(observer: Arc<dyn Observer>) -> (Pool, Wakeups) {
    let settings = Settings {
        poll_deadline: Duration::from_secs(30),
        ..settings()
    };
    let readers = RdkafkaFactory {
        call_timeout: settings.call_timeout,
        allow_local_addresses: true,
        bounds: Bounds::default(),
    };
    let (pool, wakeups, _failures) =
        Pool::new(Clock::start(), settings, Arc::new(readers), observer);
    (pool, wakeups)
}

/// Prints the cost of a poll, and the resources of this process while it reads these servers.
fn print(cost: &Cost, servers: &str, until_read: Duration) {
    let requests = cost.polls.requests.iter();
    let per_poll: Vec<String> = requests
        .map(|(api, count)| format!("{api} {count:.2}"))
        .collect();
    println!(
        "{:5} groups: {:7.1} requests, {} connections, {:6.1} ms, CPU {:5.1} ms, {} threads, {} \
         MB; first read after {:.0} ms",
        cost.groups,
        cost.requests(),
        Kafka::connections_to(servers),
        cost.polls.wall.as_secs_f64() * 1e3,
        cost.cpu.as_secs_f64() * 1e3,
        std::fs::read_dir("/proc/self/task").unwrap().count(),
        resident() / 1024,
        until_read.as_secs_f64() * 1e3,
    );
    println!(
        "              {} in {} polls",
        per_poll.join(", "),
        cost.polls.count
    );
}

/// Receives wake-ups until `until`.
async fn drain(wakeups: &mut Wakeups, mut until: std::pin::Pin<&mut tokio::time::Sleep>) {
    loop {
        tokio::select! {
            biased;
            () = &mut until => return,
            key = wakeups.next() => { key.unwrap(); }
        }
    }
}

/// CPU time of this process, in ticks of 10 ms.
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
