//! Answers that are large, or seem so.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use lagrange::kafka::bounds::Bounds;
use lagrange::kafka::connection::Connection;
use lagrange::kafka::error::ReadError;
use lagrange::kafka::rdkafka_reader::{RdkafkaFactory, RdkafkaReader};
use lagrange::kafka::reader::ClusterReader;
use lagrange::kafka::snapshot::NodeId;

use super::broker::{Brokers, Mischief};
use super::support::eyes::settings;
use super::taken::{Most, Taken, until};
use super::{ALONE, brokers, pool, watch};

const MIB: usize = 1 << 20;

async fn reader(brokers: &Brokers, call_timeout: Duration) -> RdkafkaReader {
    let connection = Connection::plaintext([&brokers.bootstrap]).unwrap();
    let factory = RdkafkaFactory {
        call_timeout,
        allow_local_addresses: true,
        bounds: Bounds::default(),
    };
    RdkafkaReader::open(&connection, &factory).await.unwrap()
}

fn begin(size: usize, sent: usize, at_once: usize, pause: Duration) -> Mischief {
    Mischief::Begin {
        size: i32::try_from(size).unwrap(),
        sent,
        at_once,
        pause,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_says_so() {
    let _alone = ALONE.lock().await;
    let brokers = brokers(1).await;
    let huge = begin(99_000_000, 99_000_000, MIB, Duration::ZERO);
    brokers
        .world()
        .mischief
        .insert(ApiKey::Metadata as i16, huge);
    let before = Taken::now();
    let (pool, mut wakeups, _failures) = pool(Bounds::default());
    let most = Most::watch();
    let watch = watch(&pool, "huge", &brokers);
    futures::StreamExt::next(&mut wakeups).await.unwrap();
    let error = watch.latest().unwrap().error.clone().unwrap();
    let ReadError::AnswerTooLarge { bytes, limit, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((bytes, limit), (99_000_000, 16 << 20));
    assert!(error.to_string().contains(&brokers.bootstrap), "{error}");
    let most = most.so_far();
    assert!(
        most.memory < before.memory + 32 * 1024,
        "{before:?} {most:?}"
    );
    assert!(pool.shutdown(Duration::from_secs(10)).await);
}

/// Forty connections, each with half of an answer: together they would take 320 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_end_share_the_memory_for_them_and_give_it_back() {
    let _alone = ALONE.lock().await;
    let brokers = brokers(40).await;
    let reader = reader(&brokers, settings().call_timeout).await;
    let known = reader.bootstrap().await.unwrap().brokers;
    assert_eq!(known.len(), 40);
    for on in &known {
        reader.groups(*on).await.unwrap();
    }
    let half = begin(15 * MIB, 8 * MIB, MIB, Duration::ZERO);
    let before = Taken::now();
    let most = Most::watch();
    brokers
        .world()
        .mischief
        .insert(ApiKey::ListGroups as i16, half);
    let asked = known.iter().map(|on| reader.groups(*on));
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(Result::is_err));
    // By now each of them has what it is let have.
    until("the connections end", || brokers.world().open == 0).await;
    let most = most.so_far();
    println!("{before:?}, at most {most:?}");
    assert!(
        most.memory < before.memory + 80 * 1024,
        "{before:?} {most:?}"
    );
    // And whoever comes after them has room: 4 MiB of topics.
    brokers.world().mischief.clear();
    for number in 0..20_000 {
        brokers.topic(&format!("{}-{number}", "long".repeat(40)), 1);
    }
    let mut tries = 0;
    while reader.topic_names().await.map(|names| names.len()) != Ok(20_001) {
        tries += 1;
        assert!(tries < 40, "{:?}", reader.topic_names().await);
    }
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_too_slowly_ends_the_connection() {
    let _alone = ALONE.lock().await;
    let brokers = brokers(2).await;
    // What a question waits for is not what is tested: the answer outlives it.
    let reader = reader(&brokers, Duration::from_millis(500)).await;
    reader.bootstrap().await.unwrap();
    reader.groups(NodeId(2)).await.unwrap();
    let before = brokers.world().open;
    let slow = begin(MIB, MIB, 1024, Duration::from_millis(100));
    brokers
        .world()
        .mischief
        .insert(ApiKey::ListGroups as i16, slow);
    assert!(reader.groups(NodeId(2)).await.is_err());
    until("the connection ends", || brokers.world().open < before).await;
    let trouble = reader.trouble().to_string();
    assert!(
        trouble.contains("does not come to an end within 5 s"),
        "{trouble}"
    );
    reader.close().await;
}
