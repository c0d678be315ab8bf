//! Clusters with thousands of brokers.

use std::time::Duration;

use super::taken::{Most, Taken, until};
use super::{ALONE, brokers, pool, reader, watch};
use lagrange::kafka::model::error::{Category, ReadError};
use lagrange::kafka::pool::Watch;
use lagrange::kafka::rdkafka::bounds::Bounds;
use lagrange::kafka::reader::ClusterReader;
use rstest::rstest;

/// Threads other than those of brokers: of the runtime, of clients, and of the measurement in this
/// test.
const OTHERS: usize = 60;

fn error(watch: &Watch) -> Option<ReadError> {
    watch.latest()?.error.clone()
}

fn reads(watch: &Watch) -> bool {
    let latest = watch.latest();
    latest.is_some_and(|latest| latest.error.is_none() && latest.groups.contains_key("g"))
}

#[rstest]
#[case::more_than_the_limit(3_000)]
#[case::more_than_librdkafka_reads(12_000)]
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_too_many_brokers_is_refused_and_uses_little(#[case] named: i32) {
    let _alone = ALONE.lock().await;
    let (good, bad) = (brokers(1).await, brokers(1).await);
    bad.world().named = 2..named + 1;
    let (pool, _wakeups, _failures) = pool(Bounds::default());
    let good = watch(&pool, "good", &good);
    until("the good cluster is read", || reads(&good)).await;
    let before = Taken::now();
    let most = Most::watch();
    let bad = watch(&pool, "bad", &bad);
    until("a poll of the bad one", || error(&bad).is_some()).await;
    assert_eq!(
        error(&bad).unwrap(),
        ReadError::TooManyBrokers {
            brokers: usize::try_from(named).unwrap(),
            limit: 300
        }
    );
    assert_eq!(error(&bad).unwrap().category(), Category::TooManyBrokers);
    let poll = good.latest().unwrap().poll;
    until("the good one is still read", || {
        reads(&good) && good.latest().unwrap().poll > poll
    })
    .await;
    until("its threads end", || {
        Taken::now().threads < before.threads + OTHERS
    })
    .await;
    let most = most.so_far();
    println!("{named} brokers: {before:?}, at most {most:?}");
    assert!(
        most.threads < before.threads + 300 + OTHERS,
        "{before:?} {most:?}"
    );
    assert!(
        most.descriptors < before.descriptors + 3 * 300 + OTHERS,
        "{before:?} {most:?}"
    );
    assert!(
        most.memory < before.memory + 64 * 1024,
        "{before:?} {most:?}"
    );
    assert!(pool.shutdown(Duration::from_secs(10)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_as_many_brokers_as_allowed_is_read() {
    let _alone = ALONE.lock().await;
    let many = brokers(1).await;
    many.world().named = 2..301;
    let (pool, _wakeups, _failures) = pool(Bounds::default());
    let watch = watch(&pool, "many", &many);
    until("it is read", || reads(&watch)).await;
    assert_eq!(watch.latest().unwrap().brokers.len(), 300);
    assert!(pool.shutdown(Duration::from_secs(10)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_differ_in_each_answer_do_not_add_up() {
    let _alone = ALONE.lock().await;
    let restless = brokers(1).await;
    {
        let mut world = restless.world();
        world.named = 2..202;
        world.is_restless = true;
    }
    let before = Taken::now();
    let most = Most::watch();
    let reader = reader(&restless, Bounds::default()).await;
    let mut refused = 0;
    for _ in 0..20 {
        let answer = reader.bootstrap().await;
        refused += usize::from(answer.is_err_and(|error| error.is_too_many_brokers()));
    }
    assert!(refused > 10, "{refused}");
    let most = most.so_far();
    println!("{before:?}, at most {most:?}");
    assert!(
        most.threads < before.threads + 300 + OTHERS,
        "{before:?} {most:?}"
    );
    reader.close().await;
    until("all threads end", || {
        Taken::now().threads < before.threads + OTHERS
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_clusters_share_one_limit_of_threads() {
    let _alone = ALONE.lock().await;
    let bounds = Bounds {
        threads: 100,
        ..Bounds::default()
    };
    let (large, small) = (brokers(1).await, brokers(3).await);
    large.world().named = 2..201;
    let before = Taken::now();
    let (pool, _wakeups, _failures) = pool(bounds);
    let most = Most::watch();
    let large = watch(&pool, "large", &large);
    until("a poll of the large one", || error(&large).is_some()).await;
    let reported = error(&large).unwrap();
    assert_eq!(
        reported,
        ReadError::NoRoomForBrokers {
            brokers: 200,
            limit: 100
        }
    );
    assert_eq!(reported.category(), Category::TooManyBrokers);
    let small = watch(&pool, "small", &small);
    until("the small one is read", || reads(&small)).await;
    let most = most.so_far();
    assert!(
        most.threads < before.threads + 100 + OTHERS,
        "{before:?} {most:?}"
    );
    assert!(pool.shutdown(Duration::from_secs(10)).await);
}

/// Marks the process of this program that has little address space.
const LITTLE_SPACE: &str = "LAGRANGE_TEST_LITTLE_SPACE";

#[test]
fn without_new_threads_nothing_leaks_and_the_error_says_so() {
    if std::env::var_os(LITTLE_SPACE).is_some() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(in_little_space());
    }
    // A thread takes 8 MiB of it, for its stack.
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "ulimit -s 8192 && ulimit -v 1000000 && exec \"$0\" \"$@\"",
        ])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "brokers::without_new_threads_nothing_leaks_and_the_error_says_so",
            "--nocapture",
        ])
        .env(LITTLE_SPACE, "yes")
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    let reported = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && reported.contains("no thread could be made"),
        "{reported}\n{errors}"
    );
}

/// What that process does.
async fn in_little_space() {
    let many = brokers(1).await;
    many.world().named = 2..201;
    let mut descriptors = Vec::new();
    for _ in 0..10 {
        let reader = reader(&many, Bounds::default()).await;
        let error = reader.bootstrap().await.unwrap_err().to_string();
        assert!(error.contains("out of threads"), "{error}");
        reader.close().await;
        descriptors.push(Taken::now().descriptors);
    }
    assert!(
        descriptors[9] <= descriptors[0] + 4,
        "they leak: {descriptors:?}"
    );
    println!("no thread could be made");
}
