//! A recorded day, compressed in time: whether the delay stays under the objective, what that costs, and whether the simulator
//! has foretold it. Five minutes of it here; `make soak` plays twenty.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::field::{Consumers, Scenario};
use crate::playback::{Playback, Rates, Second};
use crate::support::until::secs;
use crate::watched::{Watched, assert_spaced};

/// Requests to a web server at a rocket's launch, by the minute: tests/law/traces/README.md says whose.
const TRACE: &str = include_str!("../law/traces/nasa_http_jul1995_1min.csv");
/// A minute of the day takes so many seconds here.
const MINUTE: f64 = 60.0 / 36.0;
/// Records a second for each request a minute: so that the launch takes nearly all that twelve consumers can do.
const SCALE: f64 = 1.3;
const PARTITIONS: i32 = 12;
const OBJECTIVE: Duration = Duration::from_secs(60);

/// How long it is played: five minutes, or what a soak asks for.
fn length() -> usize {
    let seconds = std::env::var("LAGRANGE_DAY_SECONDS").ok();
    seconds.map_or(300, |text| {
        text.parse().expect("LAGRANGE_DAY_SECONDS is a number")
    })
}

/// The launch and the hours about it: the rise alone if there is time for no more.
fn rates(seconds: usize) -> Rates {
    let first = if seconds <= 300 {
        "1995-07-13T07:00"
    } else {
        "1995-07-13T06:00"
    };
    let minutes: Vec<f64> = TRACE
        .lines()
        .skip_while(|line| !line.starts_with(first))
        .filter_map(|line| line.split_once(',')?.1.parse().ok())
        .collect();
    let at = |second: usize| {
        let minute = second as f64 / MINUTE;
        let (before, part) = (minute.floor() as usize, minute.fract());
        SCALE * (minutes[before] * (1.0 - part) + minutes[before + 1] * part)
    };
    Rates((0..seconds).map(at).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_day_is_followed_within_the_objective() {
    let here = Scenario::new("day", PARTITIONS).await;
    let patient = Patch::Merge(json!({ "spec": { "pollInterval": "15s" } }));
    here.space
        .clusters()
        .patch("kafka", &PatchParams::default(), &patient)
        .await
        .unwrap();
    here.consumers(Consumers::new("orders", 3, "20")).await;
    let watched = Watched::deployment(&here.space, "orders");
    let pacing = json!({});
    here.sized(
        "orders",
        json!({ "objective": { "maxDelay": "60s" }, "pacing": pacing }),
    )
    .await;
    here.space
        .until_condition("orders", "Ready", "True/Managed")
        .await;

    let rates = rates(length());
    let group = here.group_id("orders");
    let config = here.field.kafka.config();
    let began = std::time::Instant::now();
    let seen = Playback::start(&config, &here.topic, &group, 12, rates.clone())
        .end()
        .await;
    let status = here.space.status("orders").await;
    let real = Course::of(&seen, &watched.changes_since(began), rates.length());
    println!("played {} s: {real:?}", rates.0.len());
    println!("status: {:?} {:?}", status.rate, status.lag);

    assert!(
        watched
            .distinct()
            .iter()
            .all(|n| [1, 2, 3, 4, 6, 12].contains(n)),
        "{:?}",
        watched.counts()
    );
    assert_spaced(&watched, &here.space, "orders", secs(30), secs(120)).await;
}

/// What a course of the day came to.
#[derive(Debug)]
struct Course {
    late_seconds: usize,
    longest: Duration,
    replica_hours: f64,
    scalings: usize,
    rebalances: usize,
}

impl Course {
    fn of(seen: &[Second], changes: &[(Duration, i32)], length: Duration) -> Self {
        let late = seen.iter().filter(|second| second.delay > OBJECTIVE);
        let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([length]);
        let replica_seconds: f64 = changes
            .iter()
            .zip(ends)
            .map(|((from, n), to)| f64::from(*n) * (to.saturating_sub(*from)).as_secs_f64())
            .sum();
        let turns = seen.windows(2);
        Self {
            late_seconds: late.count(),
            longest: seen.iter().map(|second| second.delay).max().unwrap(),
            replica_hours: replica_seconds / 3600.0,
            scalings: changes.len() - 1,
            rebalances: turns.filter(|w| w[0].is_stable && !w[1].is_stable).count(),
        }
    }
}
