//! One operator under the chart's limits, ten groups of one namespace that it looks after, and a user of another namespace who
//! does the worst of all that is bounded at once: objects, brokers, answers, partitions, claims, requests.
//! `LAGRANGE_HOSTILE_SECONDS` says for how long.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test say what they expect by unwrapping it"
)]

mod confined;
mod mallory;
mod shop;

use std::time::{Duration, Instant};

use confined::Confined;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::Kubernetes;
use lagrange_testing::until::{secs, until};
use mallory::Mallory;
use shop::Shop;

/// How long all of it goes on.
fn lasting() -> Duration {
    let asked = std::env::var("LAGRANGE_HOSTILE_SECONDS").ok();
    secs(asked.map_or(75, |seconds| seconds.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_user_of_one_namespace_takes_nothing_from_the_groups_of_another() {
    lagrange::process::descriptors::raise_limit();
    let (kubernetes, kafka) = tokio::join!(Kubernetes::own(), Kafka::shared());
    // What is older wins a contest, so the squatter comes first.
    let mut mallory = Mallory::new(&kubernetes).await;
    mallory.squat(&kafka.bootstrap, &shop::group_ids()).await;
    mallory.write_what_keeps_others_from_being_read().await;
    mallory.run_brokers().await;
    let shop = Shop::open(&kubernetes, kafka).await;

    let mut confined = Confined::start(&kubernetes, &shop.space.name, &[]).await;
    shop.until_managed().await;
    let storm = mallory.storm(confined.operator.address());
    mallory.until_told().await;

    // From here on all of it goes on at once.
    let cluster = &kafka.bootstrap;
    let polls = || confined.polls(cluster);
    let (began, before) = (Instant::now(), polls());
    let mut taken = Vec::new();
    let (mut seen, mut seen_at, mut longest) = (before, Instant::now(), Duration::ZERO);
    let mut next = 0;
    while began.elapsed() < lasting() {
        let now = polls();
        if now > seen {
            longest = longest.max(seen_at.elapsed());
            (seen, seen_at) = (now, Instant::now());
        }
        taken.push(confined.memory.resident());
        // One group after the other gets work, and grows by it.
        if next < shop::GROUPS && began.elapsed() > lasting() / 12 * u32::try_from(next).unwrap() {
            shop.rush(next).await;
            next += 1;
        }
        for path in ["/healthz", "/readyz"] {
            let answer = confined.operator.get(path);
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (looks, lasted) = (seen - before, began.elapsed());
    let course: Vec<u64> = taken.iter().step_by(20).map(|bytes| bytes >> 20).collect();
    println!("memory over time, in MiB: {course:?}");
    // What is held all the time: what comes and goes with an answer or a list is in the peak.
    let third = taken.len() / 3;
    let least = |part: &[u64]| part.iter().copied().min().unwrap();
    let settled = least(&taken[third..2 * third]);
    let (ended, peak) = (least(&taken[2 * third..]), confined.memory.peak());
    println!(
        "{looks} looks in {lasted:?}, the longest pause {longest:?}; memory at least {} MiB in the second third, {} MiB in the last, {} MiB at most of {} MiB; {}",
        settled >> 20,
        ended >> 20,
        peak >> 20,
        confined.limit >> 20,
        storm.done(),
    );
    shop.until_grown().await;
    storm.stop().await;

    assert!(confined.operator.ended().is_none(), "it has ended");
    assert_eq!(confined.memory.kills(), 0, "killed for want of memory");
    let due = lasted.as_secs() / confined::INTERVAL;
    assert!(looks + 2 >= due, "{looks} of {due} looks");
    assert!(longest < secs(2 * confined::INTERVAL + 5), "{longest:?}");
    assert!(peak < confined.limit / 2, "{peak} bytes at most");
    // A minute is too short to tell warming up from growing.
    assert!(
        lasting() < secs(300) || ended < settled + (16 << 20),
        "memory grows: {settled} {ended}"
    );
    let log = confined.operator.log();
    assert!(!log.contains("panicked"), "{log}");
    // No line was forged.
    let forged: Vec<_> = log.lines().filter(|line| !is_line(line)).collect();
    assert!(forged.is_empty(), "{forged:?}");
    assert!(!log.contains(mallory::PASSWORD), "a secret is in the log");
    until(secs(60), "all of the shop's groups are well", || async {
        shop.all_well().await
    })
    .await;
}

/// Whether a line of the log is one of its own: it begins with the time of this year.
fn is_line(line: &str) -> bool {
    let year = jiff::Timestamp::now().strftime("%Y-").to_string();
    line.starts_with(&year) && !line.contains('\u{1b}')
}
