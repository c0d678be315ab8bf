//! A recorded day, compressed in time: whether the delay stays under the objective, what that
//! costs, and whether the simulator predicts it. The test plays five minutes, `make soak` twenty.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use lagrange_core::api::ConsumerGroup;
use lagrange_core::scaling::SharedTuning;
use lagrange_core::simulate::plant::Parameters;
use lagrange_core::simulate::{Load, Outcome, Setup};
use lagrange_testing::until::secs;
use serde_json::json;

use crate::field::{Consumers, Scenario};
use crate::playback::{Playback, Rates, Second};
use crate::watched::{Watched, assert_spaced};

/// Requests per minute to a web server during a rocket launch.
/// crates/core/src/simulate/traces/README.md names the source.
const TRACE: &str = include_str!("../../crates/core/src/simulate/traces/nasa.txt");
/// The minute of the recording that is six in the morning of that day. The launch is at 9:42.
const FIRST: usize = (24 + 6) * 60;
/// A recorded minute takes five thirds of a second, an hour 100 s.
const THIRDS: usize = 5;
/// Records per second for each request per minute. The highest load needs almost the capacity of
/// twelve consumers.
const SCALE: f64 = 1.3;
/// Records per second of one consumer: a record takes 20 ms and a small overhead.
const ABLE: f64 = 49.0;
const PARTITIONS: usize = 12;
const REPLICAS: i32 = 2;
const OBJECTIVE: Duration = Duration::from_secs(60);

/// The length of the playback, in seconds.
fn length() -> usize {
    let seconds = std::env::var("LAGRANGE_DAY_SECONDS").ok();
    seconds.map_or(300, |text| {
        text.parse().expect("LAGRANGE_DAY_SECONDS is not a number")
    })
}

fn rates(seconds: usize) -> Rates {
    let minutes: Vec<f64> = TRACE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .skip(FIRST)
        .map(|minute| minute.parse().expect("a number"))
        .collect();
    let at = |second: usize| {
        // In thirds of a second: whole numbers, so rounding skips no minute.
        let (before, part) = (second * 3 / THIRDS, second * 3 % THIRDS);
        let part = f64::from(u32::try_from(part).unwrap()) / 5.0;
        SCALE * (minutes[before] * (1.0 - part) + minutes[before + 1] * part)
    };
    Rates((0..seconds).map(at).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_day_stays_within_the_objective_as_predicted() {
    let here = Scenario::new("day", i32::try_from(PARTITIONS).unwrap()).await;
    // The default interval, for which the autoscaler is tuned.
    let patient = Patch::Merge(json!({ "spec": { "pollInterval": "15s" } }));
    let clusters = here.space.clusters();
    clusters
        .patch("kafka", &PatchParams::default(), &patient)
        .await
        .unwrap();
    here.consumers(Consumers::new("orders", REPLICAS, "20"))
        .await;
    let watched = Watched::deployment(&here.space, "orders");
    let objective = json!({ "maxDelay": "60s" });
    here.sized("orders", json!({ "objective": objective, "pacing": {} }))
        .await;
    here.space
        .until_condition("orders", "Ready", "True/Managed")
        .await;

    let rates = rates(length());
    let group = here.group_id("orders");
    let config = here.field.kafka.config();
    let began = Instant::now();
    let play = Playback::start(&config, &here.topic, &group, PARTITIONS, rates.clone());
    let seen = play.end().await;
    let real = Course::of(&seen, &watched.changes_since(began), rates.length());
    let managed = here.space.groups().get("orders").await.unwrap();
    let foretold = forecast(managed, &here.topic, &rates);
    let to: Vec<i32> = foretold.actions.iter().map(|action| action.to).collect();
    println!(
        "{} s of a recorded day: {real:?}, sizes {:?}; predicted: {:?}, sizes {to:?}",
        rates.0.len(),
        watched.counts(),
        foretold.scores[0]
    );

    // Some delay cannot be avoided: after the launch, the load rises within seconds, and records
    // wait until Pods have started and the group has rebalanced.
    assert!(real.late_seconds * 20 <= rates.0.len(), "{real:?}");
    assert!(real.longest < 2 * OBJECTIVE, "{real:?}");
    assert!(real.scalings >= 1 && real.rebalances >= 1, "{real:?}");
    // Only actions cause rebalances. One Pod more or less shows as one or two of them.
    assert!(real.rebalances <= 3 * real.scalings, "{real:?}");
    let cost = real.replica_hours / foretold.scores[0].replica_hours;
    assert!(
        (0.8..=1.25).contains(&cost),
        "{real:?} {:?}",
        foretold.scores[0]
    );
    let allowed = 2 + rates.0.len() / 300;
    assert!(
        real.scalings.abs_diff(foretold.scores[0].rescales) <= allowed,
        "{real:?} {:?}",
        foretold.scores[0]
    );
    let sizes = watched.distinct();
    let worth_having = [1, 2, 3, 4, 6, 12];
    assert!(
        sizes.iter().all(|n| worth_having.contains(n)),
        "{:?}",
        watched.counts()
    );
    assert_spaced(&watched, &here.space, "orders", secs(30), secs(120)).await;
}

/// The simulator's outcome for the same load, with consumers and Pods like those of the test.
fn forecast(group: ConsumerGroup, topic: &str, rates: &Rates) -> Outcome {
    let partitions = u32::try_from(PARTITIONS).unwrap();
    let setup = Setup {
        manifest: group,
        load: Load::parse(&rates.csv()).unwrap(),
        built_in: false,
        parameters: Parameters {
            topics: BTreeMap::from([(topic.to_owned(), partitions)]),
            initial_replicas: Some(REPLICAS),
            consumer_rate: ABLE,
            consumer_noise: 0.0,
            noise: 0.0,
            scatter: false,
            warmup_seconds: 0,
            commit_interval_seconds: 1,
            start_seconds: (1.0, 2.0, 4.0),
            measured: true,
            ..Parameters::default()
        },
        partitions: None,
        peak: None,
        objective: None,
        interval: 15,
        restart_every: None,
        seed: 1,
        seeds: 1,
        baselines: Vec::new(),
        tuning: SharedTuning::default(),
    };
    let mut outcomes = setup.fit().unwrap().run(&|_| ()).unwrap();
    outcomes.remove(0)
}

/// The measured course of the day.
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
        let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([length]);
        let spans = changes.iter().zip(ends);
        let replica_seconds: f64 = spans
            .map(|((from, n), to)| f64::from(*n) * to.saturating_sub(*from).as_secs_f64())
            .sum();
        let turns = seen.windows(2);
        Self {
            late_seconds: seen.iter().filter(|s| s.delay > OBJECTIVE).count(),
            longest: seen.iter().map(|s| s.delay).max().unwrap(),
            replica_hours: replica_seconds / 3600.0,
            scalings: changes.len() - 1,
            rebalances: turns.filter(|w| w[0].is_stable && !w[1].is_stable).count(),
        }
    }
}
