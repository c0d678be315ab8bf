//! Chaos behind TLS and SASL. Three real brokers are killed, paused, stopped and rolled. A proxy in
//! front of them cuts connections and answers, delays answers and never answers. Passwords change
//! and are wrong. Groups and watches come and go. All of it is random. No number is ever wrong,
//! everything is read again without help, and no resource leaks.
//!
//! `LAGRANGE_CHAOS_SECONDS` is the duration (120), in rounds of five minutes with a rest after
//! each. Each kind of fault occurs at least once, however short the duration. `LAGRANGE_CHAOS_SEED`
//! is the seed: the same faults in the same order, but not at the same instants. A summary is
//! printed at the end.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test say what they expect by unwrapping it"
)]

mod cast;
mod checker;
mod commits;
mod ephemeral_groups;
mod eyes;
mod faults;
mod process;
mod traffic;
mod truth;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cast::{Cast, PARTITIONS, Role};
use checker::Checker;
use ephemeral_groups::EphemeralGroups;
use eyes::Eyes;
use faults::{BROKERS, Faults};
use lagrange::clock::Clock;
use lagrange::kafka::observer::Unobserved;
use lagrange::kafka::pool::{Failures, Pool, Settings, Wakeups};
use lagrange::kafka::rdkafka::bounds::Bounds;
use lagrange::kafka::rdkafka::reader::RdkafkaFactory;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::poll_helper::{lag, settings};
use lagrange_testing::proxy::Proxy;
use lagrange_testing::scene::USER;
use lagrange_testing::unique;
use lagrange_testing::until::{same, secs, until};
use process::{Course, Holdings};
use tokio_util::task::AbortOnDropHandle;
use traffic::Traffic;
use truth::Truth;

/// Everything has to be read again within this time.
const RECOVERY: Duration = Duration::from_secs(60);

/// After this time everything is brought to rest and compared with what the brokers report, and the
/// resources of the process are checked.
const ROUND: Duration = Duration::from_mins(5);

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} has to be a number, not {value}")),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos_gives_no_wrong_number_and_everything_is_read_again() {
    let lasting = secs(number("LAGRANGE_CHAOS_SECONDS").unwrap_or(120));
    let seed = number("LAGRANGE_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!(
        "LAGRANGE_CHAOS_SEED={seed} LAGRANGE_CHAOS_SECONDS={}",
        lasting.as_secs()
    );
    let proxy = Proxy::bind(BROKERS).await;
    let kafka = Kafka::secure_behind(&proxy, BROKERS).await;
    let clock = Clock::start();
    // Under Valgrind all threads take turns on one core: the writers would leave nothing for the
    // readers.
    let checked = Holdings::are_valgrinds();
    let cast = Arc::new(Cast::new(checked));
    let truth = Arc::new(Truth::new(clock, cast.topics.len(), PARTITIONS));
    prepare(&kafka, &cast).await;

    let mut course = Course::start(Holdings::now(&proxy));
    let (pool, wakeups, failures) = pool(clock);
    let eyes = Eyes {
        pool: pool.clone(),
        authorities: kafka.tls("ca.crt"),
        password: kafka.password("lagrange"),
        revision: 1,
        cast: Arc::clone(&cast),
        watches: Arc::default(),
        bootstrap: proxy.addresses(),
    };
    let checker = Arc::new(Checker::new(&cast, &truth));
    let checking = checker
        .clone()
        .follow(wakeups, failures, eyes.watches.clone());
    let checking = AbortOnDropHandle::new(tokio::spawn(checking));
    let guests = EphemeralGroups::new(&kafka, &cast, &truth);
    let mut faults = Faults::new(&kafka, &proxy, &truth, guests, eyes, seed);
    faults.eyes.watch_all();

    // Resources that libraries and the allocator take on first use are taken before anything is
    // measured.
    let traffic = Traffic::start(&kafka.bootstrap, &cast, &truth);
    checker.until_whole("before anything").await;
    faults.eyes.renew_rightly();
    tokio::time::sleep(secs(5)).await;
    traffic.end().await;
    checker.until_whole("at rest, before").await;
    course.rest("warm", settled(&proxy, &course).await);

    let rounds = u32::try_from(lasting.as_secs().div_ceil(ROUND.as_secs()).max(1)).unwrap();
    for round in 1..=rounds {
        let traffic = Traffic::start(&kafka.bootstrap, &cast, &truth);
        faults.go_on_for(lasting / rounds).await;
        let undone = Instant::now();
        checker.until_whole("after the faults").await;
        course.recovered(undone.elapsed());
        traffic.end().await;
        checker.until_whole("at rest, after").await;
        agree(&kafka, &cast, &checker).await;
        let rest = settled(&proxy, &course).await;
        course.rest(&format!("after round {round}"), rest);
        if checker.has_found_something() {
            break;
        }
    }

    assert!(!checking.is_finished(), "the checker ended");
    assert!(pool.shutdown(secs(5)).await, "the pool closes");
    let verdict = checker.verdict.lock().unwrap();
    println!("\nSummary of seed {seed}");
    println!("{course}");
    println!("faults: {:#?}\nproxy: {}", faults.done, proxy.reported());
    println!("seen: {:#?}", verdict.counts);
    assert!(verdict.wrong.is_empty(), "{}", verdict.wrong.join("\n"));
    assert!(course.is_flat() || checked, "{course}");
}

/// A pool that polls often, waits as long as in production before it accepts lower values, and soon
/// drops a cluster without a watch.
fn pool(clock: Clock) -> (Pool, Wakeups, Failures) {
    let settings = Settings {
        regression_grace: Settings::default().regression_grace,
        linger: secs(2),
        ..settings()
    };
    let readers = RdkafkaFactory {
        call_timeout: settings.call_timeout,
        allow_local_addresses: settings.allow_local_addresses,
        bounds: Bounds::default(),
    };
    Pool::new(clock, settings, Arc::new(readers), Arc::new(Unobserved))
}

/// Creates the topics, and allows `lagrange` to describe all participants.
async fn prepare(kafka: &Kafka, cast: &Cast) {
    for topic in &cast.topics {
        kafka.create_topic(topic, PARTITIONS).await;
    }
    let all = format!("{}*", cast.stem);
    for kind in ["topic", "group"] {
        kafka.allow(USER, kind, &all, "Describe").await;
    }
    // The first commits create the offsets topic.
    let first = unique("first");
    kafka
        .commit(&first, &cast.topics[0], &[(0, 0)].into())
        .await;
}

/// The resources of the process after everything temporary has ended, measured as soon as they are
/// within the limits.
async fn settled(proxy: &Proxy, course: &Course) -> Holdings {
    // Tokio's threads for blocking work end after 10 idle seconds.
    tokio::time::sleep(secs(15)).await;
    let began = Instant::now();
    loop {
        let now = Holdings::now(proxy);
        if course.would_be_flat(now) || began.elapsed() > secs(30) {
            return now;
        }
        tokio::time::sleep(secs(1)).await;
    }
}

/// Checks at rest that the lag of each group is the one that the brokers report.
async fn agree(kafka: &Kafka, cast: &Cast, checker: &Checker) {
    let groups = cast.groups.iter().filter(|(_, role)| **role != Role::Never);
    for (id, _) in groups {
        let topic = cast.topic_name(id);
        let ends: i64 = kafka.ends(&topic).await.values().sum();
        let committed: i64 = kafka.committed(id, &topic).await.values().sum();
        until(RECOVERY, id, || async {
            let snapshot = checker.last().ok_or("no poll")?;
            same(&lag(&snapshot, id, &topic), &Some(ends - committed))
        })
        .await;
    }
}
