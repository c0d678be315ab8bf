//! Compares the delay that a decision uses with the truth: records carry the time of their
//! creation, and every commit is noted when it is made. One operator watches from the beginning,
//! and another is started halfway. `docs/max-delay.md` derives the bound; this test measures the
//! error and fails beyond the bound.

mod cast;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use lagrange::kafka::connection::Connection;
use lagrange::kafka::model::interest::Key;
use lagrange::kafka::model::snapshot::{self, Snapshot, TopicPartition};
use lagrange::kafka::pool::{Settings, Watch};
use lagrange_core::scaling::observation::{
    Commit, Earlier, Group, GroupSnapshot, GroupState, Observation, Partition, Rollout, Target,
    Topic, TopicRole,
};
use lagrange_core::scaling::policy::{Objective, OffsetReset, Pacing, Pauses};
use lagrange_core::scaling::{Policy, SharedTuning, State, decide};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::poll_helper::{interest, named, pool, settings};
use lagrange_testing::unique;

use cast::{Commits, Committed, HABITS, Ledger, PARTITIONS, Written, consume, produce};

/// The time between two polls.
const POLL: Duration = Duration::from_secs(3);
/// The objective. It is short, so that the time before the second start is known in steps of 10, 20
/// and 120 s.
const OBJECTIVE: i64 = 20;
const LASTS: Duration = Duration::from_secs(75);
const RESTART: Duration = Duration::from_secs(42);

/// The observation of a poll.
fn observation(snapshot: &Snapshot, topic: &str, group: &str) -> Observation {
    let seen = &snapshot.groups[group];
    let snapshot::Topic::Present(partitions) = &snapshot.topics[topic] else {
        panic!("{snapshot:?}")
    };
    let key = |partition| TopicPartition {
        topic: topic.into(),
        partition,
    };
    let partition = |(index, partition): (i32, &snapshot::Partition)| Partition {
        log_start: partition.start.as_ref().ok().map(|offset| offset.get()),
        log_end: partition.end.as_ref().ok().map(|offset| offset.get()),
        committed: match seen.committed[&key(index)] {
            Ok(Some(offset)) => Commit::At(offset.get()),
            Ok(None) => Commit::Absent,
            Err(_) => Commit::Unknown,
        },
        owner: None,
    };
    let earlier = seen.earlier.iter().map(|(key, ends)| Earlier {
        topic: Arc::clone(&key.topic),
        partition: u32::try_from(key.partition).unwrap(),
        ends: ends.iter().map(|end| (end.at, end.end.get())).collect(),
    });
    Observation {
        now: snapshot.finished,
        snapshot: Ok(GroupSnapshot {
            number: snapshot.poll,
            began: snapshot.started,
            at: snapshot.finished,
            topics: vec![Topic {
                name: topic.into(),
                role: TopicRole::Counted,
                partitions: Some((0..).zip(partitions).map(partition).collect()),
            }],
            group: Group {
                state: GroupState::Stable,
                assignor: None,
                rebalance: None,
                members: None,
            },
            earlier: earlier.collect(),
        }),
        target: Target {
            replicas: 1,
            ready: 1,
            rollout: Rollout::None,
        },
    }
}

fn policy() -> Policy {
    let never = SignedDuration::from_hours(1);
    Policy {
        measurement_key: 1,
        min: 1,
        max: Some(1),
        objective: Objective::MaxDelay(SignedDuration::from_secs(OBJECTIVE)),
        pacing: Pacing {
            min_interval: never,
            min_scale_down_interval: never,
            settle_timeout: never,
            scale_to_zero_delay: never,
        },
        threads: 1,
        offset_reset: OffsetReset::Earliest,
        may_hold_markers: false,
        dry_run: false,
        fallback: None,
        pauses: Pauses::default(),
        tuning: SharedTuning::default(),
    }
}

/// The result of a poll. Times in milliseconds.
#[derive(Debug, Clone)]
struct Report {
    group: usize,
    began: i64,
    at: i64,
    /// Since the previous poll.
    gap: i64,
    /// Number of the poll of this operator.
    poll: usize,
    /// When this operator started.
    since: i64,
    delay: f64,
}

/// An operator that watches all the groups until `end`, and the results of its polls.
async fn operate(kafka: &Kafka, topic: &str, groups: &[String], end: Instant) -> Vec<Report> {
    let (pool, mut wakeups, _failures) = pool(Settings {
        min_interval: POLL,
        ..settings()
    });
    let connection = Connection::plaintext(kafka.bootstrap.split(',')).unwrap();
    let watch = |group: &String| -> Watch {
        let mut interest = interest(group, named(&[topic]));
        interest.interval = POLL;
        let seconds = u64::try_from(OBJECTIVE).unwrap();
        interest.group.as_mut().unwrap().max_delay = Some(Duration::from_secs(seconds));
        pool.watch(&connection, Key::consumer_group("test", group), interest)
            .unwrap()
    };
    let watches: Vec<Watch> = groups.iter().map(watch).collect();
    let policy = policy();
    let mut states = vec![State::default(); groups.len()];
    let mut report: Vec<Report> = Vec::new();
    // Number and time of each group's first poll.
    let mut begun: Vec<(usize, i64)> = vec![(0, 0); groups.len()];
    let mut last = 0;
    while Instant::now() < end {
        futures::StreamExt::next(&mut wakeups).await.unwrap();
        let Some(snapshot) = watches[0].latest() else {
            continue;
        };
        let at = snapshot.finished.as_millisecond();
        if at == last
            || !groups
                .iter()
                .all(|group| snapshot.groups.contains_key(group.as_str()))
        {
            continue;
        }
        for (index, (group, state)) in groups.iter().zip(&mut states).enumerate() {
            let observation = observation(&snapshot, topic, group);
            let (polls, since) = &mut begun[index];
            let mut committed = snapshot.groups[group.as_str()].committed.values();
            if *polls == 0 && committed.any(Result::is_err) {
                // Its coordinator is not known yet.
                continue;
            }
            *polls += 1;
            *since = if *polls == 1 { at } else { *since };
            let (decision, next) = decide(&policy, std::mem::take(state), &observation);
            *state = next;
            report.push(Report {
                group: index,
                began: snapshot.started.as_millisecond(),
                at,
                gap: if last == 0 { 0 } else { at - last },
                poll: *polls,
                since: *since,
                delay: decision
                    .facts
                    .delay
                    .map_or(0.0, |delay| delay.as_secs_f64()),
            });
        }
        last = at;
    }
    report
}

fn seconds(millis: i64) -> f64 {
    SignedDuration::from_millis(millis).as_secs_f64()
}

/// The least and the most that the true delay may have been, in seconds, between the beginning and
/// the end of a poll: a commit that is being made counts, or does not.
fn truth(report: &Report, written: &Written, commits: &[Committed]) -> (f64, f64) {
    let reached = |partition: i32, counts: &dyn Fn(&Committed) -> bool| {
        let made = commits.iter().filter(|commit| counts(commit));
        made.filter_map(|commit| commit.offsets.get(&partition))
            .copied()
            .max()
            .unwrap_or(0)
    };
    let age = |partition: i32, committed: i64| {
        let created = &written.created[usize::try_from(partition).unwrap()];
        let oldest = created.get(usize::try_from(committed).unwrap());
        oldest.map_or(0, |created| (report.at - created).max(0))
    };
    let worst = |counts: &dyn Fn(&Committed) -> bool| {
        (0..PARTITIONS)
            .map(|p| age(p, reached(p, counts)))
            .max()
            .unwrap()
    };
    (
        seconds(worst(&|c| c.begun <= report.at)),
        seconds(worst(&|c| c.done <= report.began)),
    )
}

/// How long before the operator's first poll the oldest record was created, or is assumed to have
/// been, in seconds.
fn before(report: &Report, truth: f64) -> f64 {
    truth.max(report.delay) - seconds(report.at - report.since)
}

/// The error of a measured delay, and its bound, in seconds.
fn error(report: &Report, written: &Written, commits: &[Committed]) -> (f64, f64) {
    let (least, most) = truth(report, written, commits);
    let error = (least - report.delay).max(report.delay - most).max(0.0);
    // The oldest record came between two polls. If it came before the first poll, it came between
    // two of the times that were asked for then. A record that is newer than its poll is late by
    // the time that records take to arrive.
    let apart = match before(report, most) {
        ..=0.0 => 0.0,
        ..=20.0 => 10.0,
        ..=40.0 => 20.0,
        _ => 120.0,
    };
    let late = seconds(report.at - report.began + written.slowest);
    (error, seconds(report.gap).max(apart) + late)
}

fn summary(name: &str, errors: &mut [(f64, f64)]) {
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |share: usize| errors[(errors.len() - 1) * share / 100].0;
    let bound = errors.iter().map(|e| e.1).fold(0.0, f64::max);
    println!(
        "{name}: {} polls, error median {:.2} s, p95 {:.2} s, worst {:.2} s; bound {bound:.2} s",
        errors.len(),
        at(50),
        at(95),
        at(100)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_delay_is_the_age_of_the_oldest_uncommitted_record_within_one_poll() {
    let kafka = Kafka::shared().await;
    let topic = unique("delay");
    kafka.create_topic(&topic, PARTITIONS).await;
    let groups: Vec<String> = (0..HABITS.len()).map(|_| unique("delay")).collect();
    let written = Arc::new(Mutex::new(Written {
        created: vec![Vec::new(); PARTITIONS as usize],
        slowest: 0,
    }));
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = vec![produce(
        kafka,
        &topic,
        Ledger(Arc::clone(&written)),
        Arc::clone(&stop),
    )];
    let commits: Vec<Commits> = groups.iter().map(|_| Commits::default()).collect();
    for ((group, habit), commits) in groups.iter().zip(&HABITS).zip(&commits) {
        threads.push(consume(
            kafka,
            &topic,
            group,
            habit,
            Arc::clone(commits),
            Arc::clone(&stop),
        ));
    }
    let began = Instant::now();
    let first = operate(kafka, &topic, &groups, began + LASTS);
    let second = async {
        tokio::time::sleep_until((began + RESTART).into()).await;
        operate(kafka, &topic, &groups, began + LASTS).await
    };
    let (first, second) = tokio::join!(first, second);
    stop.store(true, Ordering::Relaxed);
    tokio::task::spawn_blocking(|| {
        for thread in threads {
            thread.join().unwrap();
        }
    })
    .await
    .unwrap();

    let ends = kafka.ends(&topic).await;
    let written = written.lock().unwrap();
    for (partition, end) in ends {
        let (partition, end) = (usize::try_from(partition), usize::try_from(end));
        assert_eq!(written.created[partition.unwrap()].len(), end.unwrap());
    }
    let judged = |report: &Report| {
        let commits = commits[report.group].lock().unwrap();
        let (error, bound) = error(report, &written, &commits);
        let truth = truth(report, &written, &commits);
        assert!(
            error <= bound,
            "{error:.2} s off, bound {bound:.2} s, truth {truth:?}: {report:?}"
        );
        (error, bound)
    };
    let is_older = |report: &&Report| {
        let commits = commits[report.group].lock().unwrap();
        before(report, truth(report, &written, &commits).1) > 0.0
    };
    // One poll gives no delay. Earlier ends give one once they are confirmed: these polls are 3 s
    // apart, so at the third.
    let all = first.iter().chain(&second).filter(|report| report.poll > 1);
    let (older, younger): (Vec<&Report>, Vec<&Report>) = all.partition(is_older);
    let mut steady: Vec<_> = younger.into_iter().map(judged).collect();
    let older = older.into_iter().filter(|report| report.poll > 2);
    let mut fresh: Vec<_> = older.map(judged).collect();
    summary("since the first poll", &mut steady);
    summary("from before it", &mut fresh);
    let delays = |report: &[Report]| report.iter().map(|report| report.delay).fold(0.0, f64::max);
    assert!(
        delays(&first) > 60.0 && delays(&second) > 60.0,
        "some group was late"
    );
    assert!(steady.len() > 100 && fresh.len() > 30);
}
