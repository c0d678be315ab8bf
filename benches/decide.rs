//! Cost of a decision, as ratios within one run: `make bench`.
//!
//! Prints the median duration of one `decide` for groups of several sizes, relative to the
//! smallest. Then decides for 10,000 groups in turn, on one core, and prints the share of the poll
//! interval that this takes and the memory that the groups use. Exits with 1 if the interval is not
//! enough. Needs no Kafka and no Kubernetes.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use lagrange_core::scaling::observation::{
    Assignor, Commit, Group, GroupSnapshot, GroupState, Member, Members, Partition, Rollout,
    Target, Topic, TopicRole,
};
use lagrange_core::scaling::policy::{Objective, OffsetReset, Pacing, Pauses};
use lagrange_core::scaling::{Observation, Policy, SharedTuning, State, decide};

const POLLS: u64 = 400;
const GROUPS: usize = 10_000;
/// Number of polls after which the history of offsets is full: eleven minutes.
const FULL: u64 = 48;
const INTERVAL: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let minute = SignedDuration::from_secs(60);
    for (name, objective) in [
        ("lagPerReplica", Objective::LagPerReplica(1000)),
        ("maxDelay", Objective::MaxDelay(minute)),
    ] {
        println!("one decision under {name}, median of {POLLS} polls at 15 s");
        let mut smallest = None;
        for partitions in [12, 64, 256, 1024] {
            let median = median_of(partitions, objective);
            let base = *smallest.get_or_insert(median);
            println!(
                "  {partitions:>5} partitions  {median:>10.1?}  x{:.1}",
                ratio(median, base)
            );
        }
    }
    decide_for_many(Objective::MaxDelay(minute))
}

/// Decides for every group after every poll, as the operator does, on one core.
fn decide_for_many(objective: Objective) -> ExitCode {
    let policy = policy(objective);
    let before = resident();
    let mut states: Vec<State> = std::iter::repeat_with(State::default)
        .take(GROUPS)
        .collect();
    let mut passes = Vec::new();
    for poll in 1..=FULL + 8 {
        let observation = observation(12, poll);
        let began = Instant::now();
        for state in &mut states {
            let (decision, next) = decide(&policy, std::mem::take(state), &observation);
            std::hint::black_box(decision);
            *state = next;
        }
        if poll > FULL {
            passes.push(began.elapsed());
        }
    }
    let slowest = passes.iter().max().copied().unwrap_or_default();
    let held = resident().saturating_sub(before);
    println!(
        "{GROUPS} groups of 12 partitions under maxDelay, one core: {slowest:.0?} per poll (the \
         slowest of {}), {:.1} % of {}s; {} MB, {} kB per group",
        passes.len(),
        100.0 * ratio(slowest, INTERVAL),
        INTERVAL.as_secs(),
        held / 1024,
        held / GROUPS,
    );
    if slowest < INTERVAL {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Resident memory of this process in kB; 0 if the system does not report it.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn median_of(partitions: i64, objective: Objective) -> Duration {
    let policy = policy(objective);
    let mut state = State::default();
    let mut times = Vec::new();
    for poll in 1..=POLLS {
        let observation = observation(partitions, poll);
        let began = Instant::now();
        let (decision, next) = decide(&policy, state, &observation);
        times.push(began.elapsed());
        std::hint::black_box(decision);
        state = next;
    }
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn policy(objective: Objective) -> Policy {
    Policy {
        measurement_key: 1,
        min: 1,
        max: None,
        objective,
        pacing: Pacing {
            min_interval: SignedDuration::from_secs(30),
            min_scale_down_interval: SignedDuration::from_secs(120),
            settle_timeout: SignedDuration::from_secs(300),
            scale_to_zero_delay: SignedDuration::from_secs(300),
        },
        threads: 1,
        offset_reset: OffsetReset::Latest,
        may_hold_markers: false,
        dry_run: false,
        fallback: None,
        pauses: Pauses::default(),
        tuning: SharedTuning::default(),
    }
}

/// A group of eight members that keeps up with a varying load.
fn observation(partitions: i64, poll: u64) -> Observation {
    let seconds = i64::try_from(poll).unwrap_or(0) * 15;
    let now = Timestamp::from_second(1_800_000_000 + seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    let end = seconds * 100;
    let lag = 50 * (1 + poll.cast_signed() % 7);
    let partition = |owner: u32| Partition {
        log_start: Some(0),
        log_end: Some(end + lag),
        committed: Commit::At(end),
        owner: Some(owner % 8),
    };
    let count = usize::try_from(partitions).unwrap_or(0);
    let list = (0..8).map(|i| Member {
        id: format!("member-{i}").into(),
        partitions: count / 8,
        is_static: false,
    });
    Observation {
        now,
        snapshot: Ok(GroupSnapshot {
            number: poll,
            began: now,
            at: now,
            topics: vec![Topic {
                name: Arc::from("orders"),
                role: TopicRole::Counted,
                partitions: Some((0..).take(count).map(partition).collect()),
            }],
            group: Group {
                state: GroupState::Stable,
                rebalance: None,
                assignor: Some(Assignor::Range),
                members: Some(Members {
                    poll,
                    list: list.collect(),
                }),
            },
            earlier: Vec::new(),
        }),
        target: Target {
            replicas: 8,
            ready: 8,
            rollout: Rollout::None,
        },
    }
}
