//! One operator under the chart's limits, ten groups of one namespace that it looks after, and a
//! user of another namespace who does the worst of all that is bounded at once: objects, brokers,
//! answers, partitions, claims, requests. `LAGRANGE_HOSTILE_SECONDS` says for how long.
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
use mallory::{Mallory, Storm};
use shop::Shop;

/// How long all of it goes on.
fn lasting() -> Duration {
    let asked = std::env::var("LAGRANGE_HOSTILE_SECONDS").ok();
    secs(asked.map_or(75, |seconds| seconds.parse().unwrap()))
}

/// What was seen of the operator while all of it went on.
struct Course {
    lasted: Duration,
    looks: u64,
    /// Between two looks.
    longest_pause: Duration,
    /// Bytes held, every half second.
    taken: Vec<u64>,
    /// The most bytes that were ever held.
    peak: u64,
}

impl Course {
    /// Watches the operator for as long as all of it goes on, and gives one group of the shop after
    /// the other work.
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
            taken.push(confined.memory.resident());
            // Each group grows by its work.
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
            looks: seen - before,
            longest_pause: longest,
            taken,
            peak: confined.memory.peak(),
        }
    }

    /// What is held all the time, in the second third and in the last: what comes and goes with an
    /// answer or a list is in the peak.
    fn held(&self) -> (u64, u64) {
        let third = self.taken.len() / 3;
        let least = |part: &[u64]| part.iter().copied().min().unwrap();
        (
            least(&self.taken[third..2 * third]),
            least(&self.taken[2 * third..]),
        )
    }

    fn tell(&self, confined: &Confined, storm: &Storm) {
        let over_time = self.taken.iter().step_by(20);
        let over_time: Vec<u64> = over_time.map(|bytes| bytes >> 20).collect();
        println!("memory over time, in MiB: {over_time:?}");
        let (settled, ended) = self.held();
        println!(
            "{} looks in {:?}, the longest pause {:?}; memory at least {} MiB in the second third, {} MiB in the last, {} MiB at most of {} MiB; {}",
            self.looks,
            self.lasted,
            self.longest_pause,
            settled >> 20,
            ended >> 20,
            self.peak >> 20,
            confined.limit >> 20,
            storm.done(),
        );
    }

    /// The operator looked as often as ever, and kept well within its `limit` of memory.
    fn assert_undisturbed(&self, limit: u64) {
        let (looks, longest) = (self.looks, self.longest_pause);
        let due = self.lasted.as_secs() / confined::INTERVAL;
        assert!(looks + 2 >= due, "{looks} of {due} looks");
        assert!(longest < secs(2 * confined::INTERVAL + 5), "{longest:?}");
        assert!(self.peak < limit / 2, "{} bytes at most", self.peak);
        let (settled, ended) = self.held();
        // A minute is too short to tell warming up from growing.
        assert!(
            lasting() < secs(300) || ended < settled + (16 << 20),
            "memory grows: {settled} {ended}"
        );
    }
}

/// Nothing went wrong, no line was forged, and no secret is in it.
fn assert_log_is_clean(log: &str) {
    assert!(!log.contains("panicked"), "{log}");
    let forged: Vec<_> = log.lines().filter(|line| !is_line(line)).collect();
    assert!(forged.is_empty(), "{forged:?}");
    assert!(!log.contains(mallory::PASSWORD), "a secret is in the log");
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
    let course = Course::watch(&confined, &shop, &kafka.bootstrap).await;
    course.tell(&confined, &storm);
    shop.until_grown().await;
    storm.stop().await;

    assert!(confined.operator.ended().is_none(), "it has ended");
    assert_eq!(confined.memory.kills(), 0, "killed for want of memory");
    course.assert_undisturbed(confined.limit);
    assert_log_is_clean(&confined.operator.log());
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
