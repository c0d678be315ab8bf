//! Large answers, and answers that claim to be large.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use lagrange::kafka::model::error::ReadError;
use lagrange::kafka::model::snapshot::NodeId;
use lagrange::kafka::rdkafka::bounds::Bounds;
use lagrange::kafka::reader::ClusterReader;
use lagrange_fakes::broker::Mischief;

use super::taken::{Most, Taken, until};
use super::{ALONE, brokers, pool, reader, watch};

const MIB: usize = 1 << 20;

fn begin(size: usize, at_once: usize, pause: Duration) -> Mischief {
    Mischief::Begin {
        unsolicited: false,
        size: i32::try_from(size).unwrap(),
        sent: size - size / 16,
        at_once,
        pause,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_too_large_answer_is_reported() {
    let _alone = ALONE.lock().await;
    let brokers = brokers(1).await;
    let huge = begin(99_000_000, MIB, Duration::ZERO);
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
    assert_eq!((bytes, limit), (99_000_000, 10 << 20));
    assert!(error.to_string().contains(&brokers.bootstrap), "{error}");
    let most = most.so_far();
    assert!(
        most.memory < before.memory + 32 * 1024,
        "{before:?} {most:?}"
    );
    assert!(pool.shutdown(Duration::from_secs(10)).await);
}

/// Forty connections, each with the larger part of an answer of 2 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_answers_share_one_limit_of_memory_and_give_it_back() {
    let _alone = ALONE.lock().await;
    let brokers = brokers(40).await;
    let reader = reader(&brokers, Bounds::default()).await;
    let known = reader.bootstrap().await.unwrap().brokers;
    assert_eq!(known.len(), 40);
    for on in &known {
        reader.groups(*on).await.unwrap();
    }
    let endless = begin(2 * MIB, MIB / 2, Duration::ZERO);
    let before = Taken::now();
    let most = Most::watch();
    brokers
        .world()
        .mischief
        .insert(ApiKey::ListGroups as i16, endless);
    let asked = known.iter().map(|on| reader.groups(*on));
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(Result::is_err));
    // By now each of them has received what it may.
    let most = most.so_far();
    println!("{before:?}, at most {most:?}");
    assert!(
        most.memory < before.memory + 24 * 1024,
        "{before:?} {most:?}"
    );
    // Memory is left for those who come later: 4 MiB of topics.
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

/// By librdkafka, when the request times out: the memory of the answer is given back. Otherwise the
/// next answer would wait without end.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_too_slowly_ends_the_connection() {
    let _alone = ALONE.lock().await;
    let brokers = brokers(2).await;
    let reader = reader(&brokers, Bounds::default()).await;
    reader.bootstrap().await.unwrap();
    reader.groups(NodeId(2)).await.unwrap();
    let before = brokers.world().ended;
    let slow = begin(MIB, 1024, Duration::from_millis(100));
    brokers
        .world()
        .mischief
        .insert(ApiKey::ListGroups as i16, slow);
    assert!(reader.groups(NodeId(2)).await.is_err());
    until("the connection ends", || brokers.world().ended > before).await;
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_unsolicited_answer_ends_the_connection() {
    let _alone = ALONE.lock().await;
    let brokers = brokers(2).await;
    let reader = reader(&brokers, Bounds::default()).await;
    reader.bootstrap().await.unwrap();
    reader.groups(NodeId(2)).await.unwrap();
    let before = brokers.world().ended;
    let unsolicited = Mischief::Begin {
        unsolicited: true,
        size: 1 << 20,
        sent: MIB / 2,
        at_once: MIB,
        pause: Duration::ZERO,
    };
    brokers
        .world()
        .mischief
        .insert(ApiKey::ListGroups as i16, unsolicited);
    reader.groups(NodeId(2)).await.unwrap();
    until("the connection ends", || brokers.world().ended > before).await;
    let trouble = reader.trouble().to_string();
    assert!(trouble.contains("Unsolicited answer of 1048"), "{trouble}");
    reader.close().await;
}

/// librdkafka needs several times the memory of an answer to read it.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_expand_when_read_are_admitted_one_by_one() {
    let _alone = ALONE.lock().await;
    let metadata = unfolding(10 * MIB - 1024);
    let clusters: Vec<_> = futures::future::join_all((0..6).map(|_| brokers(1))).await;
    let readers = clusters
        .iter()
        .map(|brokers| reader(brokers, Bounds::default()));
    let readers = futures::future::join_all(readers).await;
    let bootstraps = readers.iter().map(ClusterReader::bootstrap);
    for answer in futures::future::join_all(bootstraps).await {
        answer.unwrap();
    }
    for brokers in &clusters {
        let instead = Mischief::Instead(metadata);
        brokers
            .world()
            .mischief
            .insert(ApiKey::Metadata as i16, instead);
    }
    let before = Taken::now();
    let most = Most::watch();
    let names = readers.iter().map(ClusterReader::topic_names);
    let answers = futures::future::join_all(names).await;
    // Others wait for their turn, some longer than a request may take.
    assert!(answers.iter().any(Result::is_ok), "{answers:?}");
    let most = most.so_far();
    println!("{} bytes, {before:?}, at most {most:?}", metadata.len());
    assert!(
        most.memory < before.memory + 128 * 1024,
        "{before:?} {most:?}"
    );
    for reader in &readers {
        reader.close().await;
    }
}

/// Metadata, in version 12, with as many topics as fit into this many bytes.
fn unfolding(bytes: usize) -> &'static [u8] {
    // No error, "a", an id, not internal, no partition, no rights, no tags.
    let topic = [&[0, 0, 2, b'a'], &[0; 16][..], &[0, 1], &[0; 4], &[0]].concat();
    let count = u32::try_from(bytes / topic.len()).unwrap();
    // The tags of the header; not throttled; no broker, no name, no controller.
    let mut answer = [&[0; 5][..], &[1, 0], &[255; 4]].concat();
    // The count plus one, seven bits at a time, the lowest first.
    let mut rest = count + 1;
    while rest > 0x7f {
        answer.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    answer.push(rest.to_le_bytes()[0]);
    answer.extend(topic.repeat(usize::try_from(count).unwrap()));
    answer.push(0);
    answer.leak()
}
