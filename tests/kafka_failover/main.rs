//! Three real brokers that are killed, stopped, paused and all gone. No number is ever wrong,
//! unknown values have a reason, and everything recovers without help. One test at a time: they
//! share the brokers and break them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test say what they expect by unwrapping it"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use lagrange::kafka::connection::Connection;
use lagrange::kafka::model::error::{Category, ReadError};
use lagrange::kafka::model::interest::Key;
use lagrange::kafka::model::snapshot::{GroupState, NodeId, Offset, Snapshot, Topic};
use lagrange_core::api::condition::Reason;
use lagrange_core::intent::topics::TopicSelection;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::poll_helper::{PollHelper, brief, interest, lag, named, pool, settings};
use lagrange_testing::unique;
use rstest::rstest;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// The brokers, all of them serving, for one test at a time.
async fn brokers() -> (&'static Kafka, MutexGuard<'static, ()>) {
    static BROKERS: OnceCell<Kafka> = OnceCell::const_new();
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    let brokers = BROKERS.get_or_init(|| Kafka::start(3)).await;
    (brokers, turn)
}

/// A broker with a fault. Dropping it undoes the fault, whatever the result of the test.
struct Hurt {
    brokers: &'static Kafka,
    node: u32,
    undo: Option<&'static str>,
}

impl Hurt {
    /// Does `verb` to a broker.
    async fn by(brokers: &'static Kafka, verb: &'static str, node: u32) -> Self {
        let done = tokio::task::spawn_blocking(move || brokers.control(verb, node));
        done.await.unwrap();
        let undo = if verb == "pause" { "cont" } else { "start" };
        Self {
            brokers,
            node,
            undo: Some(undo),
        }
    }

    /// Undoes it, and waits until the broker serves.
    async fn undo(mut self) {
        let (brokers, node, undo) = (self.brokers, self.node, self.undo.take().unwrap());
        let undone = tokio::task::spawn_blocking(move || brokers.control(undo, node));
        undone.await.unwrap();
    }
}

impl Drop for Hurt {
    fn drop(&mut self) {
        if let Some(undo) = self.undo {
            self.brokers.control(undo, self.node);
        }
    }
}

/// A topic with `per_partition` records in each of 6 partitions, and groups that have read all but
/// one record of each.
struct Scene {
    topic: String,
    groups: Vec<String>,
}

const PARTITIONS: i32 = 6;
const LAG: i64 = 6;

impl Scene {
    async fn set(kafka: &Kafka) -> Self {
        let topic = unique("scene");
        kafka.create_topic(&topic, PARTITIONS).await;
        kafka.produce(&topic, 60).await;
        let groups: Vec<String> = (0..6).map(|_| unique("scene")).collect();
        let offsets = (0..PARTITIONS).map(|partition| (partition, 9)).collect();
        for group in &groups {
            kafka.commit(group, &topic, &offsets).await;
        }
        Self { topic, groups }
    }

    /// A watch on one group; the others are watched through the same pool.
    fn watch(&self, bootstrap: &str) -> (PollHelper, Vec<lagrange::kafka::pool::Watch>) {
        let helper = PollHelper::on(bootstrap, &self.groups[0], named(&[&self.topic]));
        let connection = Connection::plaintext(bootstrap.split(',')).unwrap();
        let others = self.groups[1..].iter().map(|group| {
            let key = Key::consumer_group("test", group);
            let interest = interest(group, named(&[&self.topic]));
            helper.pool.watch(&connection, key, interest).unwrap()
        });
        let others = others.collect();
        (helper, others)
    }

    /// Whether everything is known and right.
    fn is_whole(&self, snapshot: &Snapshot) -> bool {
        let known = |group: &String| {
            lag(snapshot, group, &self.topic) == Some(LAG)
                && snapshot.groups[group.as_str()].state == Ok(GroupState::Empty)
        };
        snapshot.error.is_none() && self.groups.iter().all(known)
    }

    /// Checks that known values are right and unknown ones have a reason.
    fn check(&self, snapshot: &Snapshot) {
        if let Some(error) = &snapshot.error {
            assert_eq!(error.category(), Category::KafkaUnreachable, "{error}");
            assert!(snapshot.groups.is_empty() && snapshot.topics.is_empty());
            return;
        }
        if let Some(Topic::Present(partitions)) = snapshot.topics.get(self.topic.as_str()) {
            assert_eq!(partitions.len(), usize::try_from(PARTITIONS).unwrap());
            for partition in partitions {
                match &partition.end {
                    Ok(end) => assert_eq!(end.get(), 10),
                    Err(error) => assert!(
                        matches!(error, ReadError::LeaderUnavailable | ReadError::TimedOut),
                        "{error:?}"
                    ),
                }
                if let Ok(start) = &partition.start {
                    assert_eq!(start.get(), 0);
                }
            }
        } else {
            panic!("{:?}", snapshot.topics);
        }
        for group in snapshot.groups.values() {
            if let Ok(state) = group.state {
                assert_eq!(state, GroupState::Empty, "{}", brief(snapshot));
            }
            for committed in group.committed.values() {
                match committed {
                    Ok(committed) => assert_eq!(committed.map(Offset::get), Some(9)),
                    Err(error) => assert_eq!(
                        error.category().as_str(),
                        match error {
                            ReadError::TimedOut | ReadError::Unreachable { .. } =>
                                "KafkaUnreachable",
                            _ => "GroupUnreadable",
                        },
                        "{error:?}"
                    ),
                }
            }
        }
    }
}

#[rstest]
#[case::killed("kill", true)]
// A stopped broker hands over its share before it ends.
#[case::stopped("stop", false)]
#[case::paused("pause", true)]
#[tokio::test(flavor = "multi_thread")]
async fn one_broker_lost_makes_its_share_unknown_and_never_wrong(
    #[case] lose: &'static str,
    #[case] hurts: bool,
) {
    let (brokers, _turn) = brokers().await;
    let scene = Scene::set(brokers).await;
    let (mut helper, _others) = scene.watch(&brokers.bootstrap);
    let whole = |s: &Snapshot| scene.is_whole(s);
    let check = |s: &Snapshot| scene.check(s);
    let before = helper.until_checked("all known", whole, check).await;

    // The broker that coordinates the first group and leads two partitions.
    let node = before.groups[scene.groups[0].as_str()].coordinator.unwrap();
    let hurt = Hurt::by(brokers, lose, u32::try_from(node.0).unwrap()).await;
    let lost = Instant::now();
    if hurts {
        let affected = |s: &Snapshot| !scene.is_whole(s);
        let worse = helper.until_checked("its share unknown", affected, check);
        let worse = worse.await;
        let lasted = worse.finished.duration_since(worse.started);
        assert!(
            lasted.as_secs() < 6,
            "a poll with a lost broker took {lasted:#}"
        );
    }

    let moved = |s: &Snapshot| {
        scene.is_whole(s) && s.groups[scene.groups[0].as_str()].coordinator != Some(node)
    };
    helper
        .until_checked("taken over by the others", moved, check)
        .await;
    println!("{lose}: whole again after {:?}", lost.elapsed());
    hurt.undo().await;
    let returned = |s: &Snapshot| scene.is_whole(s) && s.brokers.len() == 3;
    helper.until_checked("all brokers", returned, check).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_all_brokers_is_reported_at_once_and_recovers() {
    let (brokers, _turn) = brokers().await;
    let scene = Scene::set(brokers).await;
    let (mut helper, _others) = scene.watch(&brokers.bootstrap);
    let whole = |s: &Snapshot| scene.is_whole(s);
    let check = |s: &Snapshot| scene.check(s);
    helper.until_checked("all known", whole, check).await;
    let mut hurt = Vec::new();
    for node in 1..=3 {
        hurt.push(Hurt::by(brokers, "kill", node).await);
    }
    let gone = Instant::now();
    let said = |s: &Snapshot| s.error.is_some();
    let snapshot = helper.until_checked("an error", said, check).await;
    println!(
        "reported after {:?}: {}",
        gone.elapsed(),
        snapshot.error.as_ref().unwrap()
    );
    let text = snapshot.error.as_ref().unwrap().to_string();
    assert!(text.contains("is Kafka listening there?"), "{text}");
    futures::future::join_all(hurt.into_iter().map(Hurt::undo)).await;
    let back = Instant::now();
    helper.until_checked("all known again", whole, check).await;
    println!("whole again {:?} after all had started", back.elapsed());
}

#[rstest]
#[case::refuses("kill")]
#[case::is_silent("pause")]
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_bootstrap_server_is_skipped(#[case] lose: &'static str) {
    let (brokers, _turn) = brokers().await;
    let scene = Scene::set(brokers).await;
    // While the others take over, groups and partitions are unknown; this test is about
    // bootstrapping.
    let hurt = Hurt::by(brokers, lose, 1).await;
    for _ in 0..3 {
        let began = Instant::now();
        let (mut helper, _others) = scene.watch(&brokers.bootstrap);
        let bootstrapped = |s: &Snapshot| !s.brokers.is_empty() && s.error.is_none();
        let check = |s: &Snapshot| scene.check(s);
        helper.until_checked("brokers", bootstrapped, check).await;
        println!("{lose}: bootstrapped after {:?}", began.elapsed());
        assert!(
            helper.pool.shutdown(Duration::from_secs(3)).await,
            "closed in time"
        );
    }
    hurt.undo().await;
    let (mut helper, _others) = scene.watch(&brokers.bootstrap);
    let whole = |s: &Snapshot| scene.is_whole(s) && s.brokers.len() == 3;
    helper.until("all brokers", whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_groups_share_one_connection_per_broker_and_close_quickly() {
    let (brokers, _turn) = brokers().await;
    let scene = Scene::set(brokers).await;
    // The clients that made the scene have closed their connections when they were dropped.
    let quiet = || brokers.connections() == 0;
    until(quiet, || {
        format!("{} connections left", brokers.connections())
    })
    .await;
    let (mut helper, others) = scene.watch(&brokers.bootstrap);
    for _ in 0..5 {
        helper.until("all known", |s| scene.is_whole(s)).await;
    }
    assert_eq!(helper.pool.clusters(), 1);
    let connections = brokers.connections();
    println!(
        "{} groups, 3 brokers: {connections} connections",
        scene.groups.len()
    );
    assert!((3..=5).contains(&connections), "{connections} connections");

    drop(others);
    let closing = Instant::now();
    assert!(helper.pool.shutdown(Duration::from_secs(3)).await);
    println!("closed after {:?}", closing.elapsed());
    assert!(closing.elapsed() < Duration::from_secs(1));
    until(quiet, || {
        format!("{} connections left", brokers.connections())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_broker_does_not_delay_the_end() {
    let (brokers, _turn) = brokers().await;
    let scene = Scene::set(brokers).await;
    let (mut helper, _others) = scene.watch(&brokers.bootstrap);
    helper.until("all known", |s| scene.is_whole(s)).await;
    let hurt = Hurt::by(brokers, "pause", 2).await;
    helper.watch.poll_now();
    // In the middle of a poll that waits for the broker.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let closing = Instant::now();
    assert!(helper.pool.shutdown(Duration::from_secs(3)).await);
    assert!(
        closing.elapsed() < Duration::from_secs(2),
        "{:?}",
        closing.elapsed()
    );
    hurt.undo().await;
}

/// SAFE-38.
#[tokio::test(flavor = "multi_thread")]
async fn loopback_is_refused_by_address_and_by_resolved_name() {
    let (brokers, _turn) = brokers().await;
    let mut strict = settings();
    strict.allow_local_addresses = false;
    let (pool, mut wakeups, _failures) = pool(strict);
    let key = Key::consumer_group("test", "strict");
    let wanted = interest("g", TopicSelection::OfGroup);
    let literal = Connection::plaintext(brokers.bootstrap.split(',')).unwrap();
    let refused = pool
        .watch(&literal, key.clone(), wanted.clone())
        .unwrap_err();
    assert_eq!(refused.reason(), Reason::InvalidSpec);
    // The name of this machine resolves to a loopback address on some machines only.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let port = brokers.port();
    let server = format!("{}:{port}", host.trim());
    let leads_here = tokio::net::lookup_host(&server)
        .await
        .is_ok_and(|mut addresses| addresses.all(|address| address.ip().is_loopback()));
    if leads_here {
        let named = Connection::plaintext([&server]).unwrap();
        let watch = pool.watch(&named, key, wanted).unwrap();
        futures::StreamExt::next(&mut wakeups).await.unwrap();
        let error = watch.latest().unwrap().error.clone().unwrap().to_string();
        assert!(error.contains("--allow-local-addresses"), "{error}");
    } else {
        println!("{server} does not resolve to loopback: only the literal address was tried");
    }
}

/// Waits for a condition, at most half a minute.
async fn until(there: impl Fn() -> bool, last_seen: impl Fn() -> String) {
    let began = Instant::now();
    while !there() {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", last_seen());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Brokers are numbered from 1.
#[tokio::test(flavor = "multi_thread")]
async fn the_snapshot_names_cluster_and_brokers() {
    let (brokers, _turn) = brokers().await;
    let mut helper = PollHelper::on(&brokers.bootstrap, "nobody", TopicSelection::OfGroup);
    let snapshot: Arc<Snapshot> = helper.poll().await;
    assert_eq!(snapshot.brokers, [NodeId(1), NodeId(2), NodeId(3)]);
    assert!(
        snapshot
            .cluster_id
            .as_ref()
            .is_some_and(|id| id.len() == 22)
    );
}
