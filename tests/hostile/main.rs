//! One operator under the chart's limits, ten groups that it manages in one namespace, and a user
//! of another namespace who drives everything to its limit at the same time: objects, brokers,
//! answers, partitions, claims on groups, requests. `LAGRANGE_HOSTILE_SECONDS` sets for how long.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests unwrap what they expect"
)]

mod mallory;
mod shop;

use std::time::{Duration, Instant};

use lagrange_testing::confined::{self, Account, Confined, Limits};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::Kubernetes;
use lagrange_testing::until::{secs, until};
use mallory::{Mallory, Storm};
use shop::Shop;

/// How long the attack goes on.
fn lasting() -> Duration {
    let asked = std::env::var("LAGRANGE_HOSTILE_SECONDS").ok();
    secs(asked.map_or(75, |seconds| seconds.parse().unwrap()))
}

/// What was measured of the operator during the attack.
struct Course {
    lasted: Duration,
    polls: u64,
    /// The longest time between two polls.
    longest_pause: Duration,
    /// Bytes in use, every half second.
    taken: Vec<u64>,
    /// The most bytes that were ever in use.
    peak: u64,
}

impl Course {
    /// Watches the operator during the attack, and gives one group of the shop after another a
    /// backlog.
    async fn watch(confined: &Confined, shop: &Shop, cluster: &str) -> Self {
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
            taken.push(confined.group.resident());
            // Each backlog makes its group scale up.
            let due = lasting() / 12 * u32::try_from(next).unwrap();
            if next < shop::GROUPS && began.elapsed() > due {
                shop.rush(next).await;
                next += 1;
            }
            for path in ["/healthz", "/readyz"] {
                let answer = confined.operator.get(path);
                assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Self {
            lasted: began.elapsed(),
            polls: seen - before,
            longest_pause: longest,
            taken,
            peak: confined.group.peak(),
        }
    }

    /// The memory that is in use all the time, in the second third and in the last. Memory that is
    /// used only for a moment, for an answer or a list, is in the peak.
    fn held(&self) -> (u64, u64) {
        let third = self.taken.len() / 3;
        let least = |part: &[u64]| part.iter().copied().min().unwrap();
        (
            least(&self.taken[third..2 * third]),
            least(&self.taken[2 * third..]),
        )
    }

    fn tell(&self, limits: Limits, storm: &Storm) {
        let over_time = self.taken.iter().step_by(20);
        let over_time: Vec<u64> = over_time.map(|bytes| bytes >> 20).collect();
        println!("memory over time, in MiB: {over_time:?}");
        let (settled, ended) = self.held();
        println!(
            "{} polls in {:?}, the longest pause {:?}; memory at least {} MiB in the second third, {} MiB in the last, {} MiB at most of {} MiB; {}",
            self.polls,
            self.lasted,
            self.longest_pause,
            settled >> 20,
            ended >> 20,
            self.peak >> 20,
            limits.memory >> 20,
            storm.done(),
        );
    }

    /// Checks that the operator polled as often as always, and used less than half of its `limit`.
    fn assert_undisturbed(&self, limit: u64) {
        let (polls, longest) = (self.polls, self.longest_pause);
        let due = self.lasted.as_secs() / confined::INTERVAL;
        assert!(polls + 2 >= due, "{polls} of {due} polls");
        assert!(longest < secs(2 * confined::INTERVAL + 5), "{longest:?}");
        assert!(self.peak < limit / 2, "{} bytes at most", self.peak);
        let (settled, ended) = self.held();
        // A minute is too short to distinguish warming up from growing.
        assert!(
            lasting() < secs(300) || ended < settled + (16 << 20),
            "memory grows: {settled} {ended}"
        );
    }
}

/// Checks that nothing panicked, no line is forged, and no secret is in the log.
fn assert_log_is_clean(log: &str) {
    assert!(!log.contains("panicked"), "{log}");
    let forged: Vec<_> = log.lines().filter(|line| !is_line(line)).collect();
    assert!(forged.is_empty(), "{forged:?}");
    assert!(!log.contains(mallory::PASSWORD), "a secret is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_user_of_one_namespace_does_not_disturb_the_groups_of_another() {
    lagrange::process::descriptors::raise_limit();
    let (kubernetes, kafka) = tokio::join!(Kubernetes::own(), Kafka::shared());
    // The older group wins a contest, so Mallory's groups come first.
    let mut mallory = Mallory::new(&kubernetes).await;
    mallory.squat(&kafka.bootstrap, &shop::group_ids()).await;
    mallory.write_what_keeps_others_from_being_read().await;
    mallory.run_brokers().await;
    let shop = Shop::open(&kubernetes, kafka).await;

    let account = Account::install(&kubernetes);
    let limits = Limits::of_chart();
    let mut confined = Confined::start(&kubernetes, &account, limits, &shop.space.name, &[]).await;
    shop.until_managed().await;
    let storm = mallory.storm(confined.operator.address());
    mallory.until_reported().await;

    // From here on everything happens at the same time.
    let course = Course::watch(&confined, &shop, &kafka.bootstrap).await;
    course.tell(limits, &storm);
    shop.until_grown().await;
    storm.stop().await;

    assert!(
        confined.operator.ended().is_none(),
        "the operator has ended"
    );
    assert_eq!(
        confined.group.kills(),
        0,
        "processes were killed because memory ran out"
    );
    course.assert_undisturbed(limits.memory);
    assert_log_is_clean(&confined.operator.log());
    until(
        secs(60),
        "all of the shop's groups are managed and their lag is known",
        || async { shop.all_well().await },
    )
    .await;
}

/// Whether a line of the log is genuine: it begins with a time of this year.
fn is_line(line: &str) -> bool {
    let year = jiff::Timestamp::now().strftime("%Y-").to_string();
    line.starts_with(&year) && !line.contains('\u{1b}')
}
