//! Reads brokers that do what real ones cannot be made to do: lose, delay, cut and forge answers.
//! They also count the requests.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test say what they expect by unwrapping it"
)]

mod closing;
mod foreign;
mod logins;

use std::time::{Duration, Instant};

use futures::StreamExt;
use kafka_protocol::messages::ApiKey;
use lagrange::kafka::connection::Connection;
use lagrange::kafka::model::error::{Category, ReadError};
use lagrange::kafka::model::interest::{Interest, Key};
use lagrange::kafka::model::snapshot::{GroupState, Offset, Snapshot, Topic};
use lagrange_fakes::broker::{Brokers, Mischief};
use lagrange_testing::poll_helper::{PollHelper, interest, lag, named, pool, settings};
use rstest::rstest;

/// Three brokers, a topic `t` of 6 partitions, and this many groups with a lag of 60 each.
async fn brokers(groups: usize) -> Brokers {
    let brokers = Brokers::start(3).await;
    brokers.topic("t", 6);
    for (number, coordinator) in (0..groups).zip([1, 2, 3].into_iter().cycle()) {
        brokers.group(&format!("g{number}"), coordinator);
    }
    brokers
}

fn poll_helper(brokers: &Brokers) -> PollHelper {
    PollHelper::on(&brokers.bootstrap, "g0", named(&["t"]))
}

fn committed(snapshot: &Snapshot) -> Vec<Result<i64, ReadError>> {
    let committed = snapshot.groups["g0"].committed.values().cloned();
    committed
        .map(|value| value.map(|offset| offset.map_or(-1, Offset::get)))
        .collect()
}

fn ends(snapshot: &Snapshot) -> Vec<Result<i64, ReadError>> {
    match &snapshot.topics["t"] {
        Topic::Present(partitions) => {
            let ends = partitions.iter().map(|partition| partition.end.clone());
            ends.map(|end| end.map(Offset::get)).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Checks that known values are right.
fn check(snapshot: &Snapshot) {
    for topic in snapshot.topics.values() {
        if let Topic::Present(partitions) = topic {
            assert_eq!(partitions.len(), 6);
            let known = partitions
                .iter()
                .filter_map(|partition| partition.end.as_ref().ok());
            assert!(known.map(|end| end.get()).all(|end| end == 100));
        }
    }
    for group in snapshot.groups.values() {
        assert!(
            group
                .state
                .as_ref()
                .is_ok_and(|state| *state == GroupState::Stable)
                || group.state.is_err()
        );
        let known = group
            .committed
            .values()
            .filter_map(|committed| committed.as_ref().ok());
        assert!(
            known
                .map(|offset| offset.unwrap().get())
                .all(|offset| offset == 90)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_asks_once_for_each_group_and_little_else() {
    const GROUPS: usize = 300;
    let brokers = brokers(GROUPS).await;
    let mut helper = poll_helper(&brokers);
    let connection = Connection::plaintext([&brokers.bootstrap]).unwrap();
    let others: Vec<_> = (1..GROUPS)
        .map(|number| format!("g{number}"))
        .map(|id| {
            let key = Key::consumer_group("test", &id);
            helper
                .pool
                .watch(&connection, key, interest(&id, named(&["t"])))
                .unwrap()
        })
        .collect();
    let all = |s: &Snapshot| s.groups.len() == GROUPS && lag(s, "g0", "t") == Some(60);
    let first = helper.until_checked("all groups", all, check).await.poll;
    // By now the members have been read. There is a pause between two polls.
    helper.until("another poll", |s| s.poll > first).await;
    for key in [
        ApiKey::ListGroups,
        ApiKey::Metadata,
        ApiKey::OffsetFetch,
        ApiKey::ListOffsets,
    ] {
        brokers.take_asked(key);
    }
    brokers.take_asked(ApiKey::DescribeGroups);
    let before = helper.watch.latest().unwrap().poll;
    let snapshot = helper.until("ten looks", |s| s.poll >= before + 10).await;
    let polls = usize::try_from(snapshot.poll - before).unwrap();
    let asked = |key| brokers.take_asked(key);
    assert_eq!(asked(ApiKey::OffsetFetch), polls * GROUPS);
    assert_eq!(asked(ApiKey::ListGroups), polls * 3);
    assert_eq!(
        asked(ApiKey::Metadata),
        polls * 2,
        "the cluster, and its topics"
    );
    let offsets = asked(ApiKey::ListOffsets);
    assert!(
        (polls * 3..=polls * 4).contains(&offsets),
        "ends, and every fourth time starts: {offsets}"
    );
    assert_eq!(asked(ApiKey::DescribeGroups), 0);
    assert_eq!(
        asked(ApiKey::FindCoordinator),
        0,
        "not even for its own group, which it may not describe"
    );
    assert_eq!(others.len() + 1, GROUPS);
}

/// An interest in a group that is sized for a delay of one minute.
fn sized(id: &str) -> Interest {
    let mut interest = interest(id, named(&["t"]));
    interest.group.as_mut().unwrap().max_delay = Some(Duration::from_mins(1));
    interest
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_ends_are_asked_for_in_four_rounds_for_all_groups_and_never_again() {
    const GROUPS: usize = 100;
    let brokers = brokers(GROUPS).await;
    let connection = Connection::plaintext([&brokers.bootstrap]).unwrap();
    let (pool, mut wakeups, _failures) = pool(settings());
    let watches: Vec<_> = (0..GROUPS)
        .map(|number| {
            let id = format!("g{number}");
            pool.watch(&connection, Key::consumer_group("test", &id), sized(&id))
                .unwrap()
        })
        .collect();
    let known = |snapshot: &Snapshot| {
        let groups = snapshot.groups.values();
        groups.filter(|group| group.earlier.len() == 6).count()
    };
    let snapshot = loop {
        wakeups.next().await.unwrap();
        let snapshot = watches[0].latest().unwrap();
        if known(&snapshot) == GROUPS {
            break snapshot;
        }
        assert!(snapshot.poll < 60, "{snapshot:?}");
    };
    let ends = &snapshot.groups["g0"].earlier.values().next().unwrap();
    let reported: Vec<i64> = ends.iter().map(|end| end.end.get()).collect();
    assert_eq!(
        reported, [100; 2],
        "no record is as recent as any of the times"
    );
    let asked = brokers.take_asked(ApiKey::ListOffsets);
    let polls = usize::try_from(snapshot.poll).unwrap();
    // Three brokers: ends in each poll, starts at least once, and earlier ends again for groups
    // that another poll found first.
    let most = 3 * (polls + polls.div_ceil(4) + 4 * (polls - 1));
    assert!(asked <= most, "{asked} in {polls} polls");
    let began = snapshot.poll;
    while watches[0].latest().unwrap().poll < began + 8 {
        wakeups.next().await.unwrap();
    }
    let polls = usize::try_from(watches[0].latest().unwrap().poll - began).unwrap();
    let asked = brokers.take_asked(ApiKey::ListOffsets);
    assert!(
        asked <= 3 * (polls + polls.div_ceil(4) + 1),
        "{asked} in {polls} polls"
    );
}

/// Regression: a broker that was starved for seconds was fenced by its controller and named no
/// broker, and librdkafka aborted the whole process.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_brokers_for_a_while_does_not_crash_the_client() {
    let brokers = brokers(1).await;
    let mut helper = poll_helper(&brokers);
    helper
        .until("known", |s| lag(s, "g0", "t") == Some(60))
        .await;
    brokers.world().is_empty = true;
    for _ in 0..3 {
        check(&*helper.poll().await);
    }
    brokers.world().is_empty = false;
    helper
        .until("known again", |s| lag(s, "g0", "t") == Some(60))
        .await;
}

#[rstest]
#[case::empty(b"")]
#[case::no_count(&[0; 7])]
#[case::a_count_that_does_not_end(&[0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 7])]
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_list_of_groups_does_not_crash_the_client(#[case] answer: &'static [u8]) {
    let brokers = brokers(1).await;
    let instead = Mischief::Instead(answer);
    (brokers.world().mischief).insert(ApiKey::ListGroups as i16, instead);
    let mut helper = poll_helper(&brokers);
    for _ in 0..3 {
        check(&*helper.poll().await);
    }
    brokers.world().mischief.clear();
    helper
        .until("known", |s| lag(s, "g0", "t") == Some(60))
        .await;
}

/// A group's leader can write any bytes as an assignment.
#[rstest]
#[case::too_short_for_a_version(&[7])]
#[case::a_version_alone(&[0, 1])]
#[case::topics_without_end(&[0, 1, 127, 255, 255, 255])]
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_assignment_does_not_crash_the_client(#[case] assignment: &'static [u8]) {
    let brokers = brokers(1).await;
    brokers.world().assignment = assignment;
    let mut helper = poll_helper(&brokers);
    for _ in 0..3 {
        check(&*helper.poll().await);
    }
    assert!(brokers.take_asked(ApiKey::DescribeGroups) > 0);
    brokers.world().assignment = b"";
    helper
        .until("known", |s| lag(s, "g0", "t") == Some(60))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_denies_being_one_does_not_crash_the_client() {
    let brokers = brokers(1).await;
    brokers.world().groups.get_mut("g0").unwrap().error = 16;
    let mut helper = poll_helper(&brokers);
    for _ in 0..5 {
        let snapshot = helper.poll().await;
        assert_eq!(
            committed(&snapshot),
            vec![Err(ReadError::NotCoordinator); 6]
        );
    }
    brokers.world().groups.get_mut("g0").unwrap().error = 0;
    helper
        .until_checked("known again", |s| lag(s, "g0", "t") == Some(60), check)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_and_late_answers_give_unknown_values_and_never_wrong_ones() {
    let brokers = brokers(60).await;
    let mut helper = poll_helper(&brokers);
    let connection = Connection::plaintext([&brokers.bootstrap]).unwrap();
    let _others: Vec<_> = (1..60)
        .map(|number| format!("g{number}"))
        .map(|id| {
            let key = Key::consumer_group("test", &id);
            helper
                .pool
                .watch(&connection, key, interest(&id, named(&["t"])))
                .unwrap()
        })
        .collect();
    let whole = |s: &Snapshot| {
        let known = |id: &String| lag(s, id, "t") == Some(60);
        s.groups.len() == 60
            && (0..60)
                .map(|number| format!("g{number}"))
                .all(|id| known(&id))
    };
    helper.until_checked("all known", whole, check).await;
    let began = Instant::now();
    for key in [2, 3, 9, 15, 16, 69] {
        brokers.world().mischief.insert(key, Mischief::Chaos(100));
    }
    let mut unknown = 0;
    while began.elapsed() < Duration::from_secs(12) {
        let snapshot = helper.poll().await;
        check(&snapshot);
        unknown += usize::from(!whole(&snapshot));
    }
    assert!(unknown > 0, "the test lost no answer");
    brokers.world().mischief.clear();
    helper.until_checked("all known again", whole, check).await;
}

#[rstest]
#[case::groups(ApiKey::ListGroups)]
#[case::topics(ApiKey::Metadata)]
#[case::committed(ApiKey::OffsetFetch)]
#[case::ends(ApiKey::ListOffsets)]
#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_value_is_unknown_and_comes_back(
    #[case] key: ApiKey,
    #[values(Mischief::Half, Mischief::Drop, Mischief::Silence)] mischief: Mischief,
) {
    let brokers = brokers(1).await;
    let mut helper = poll_helper(&brokers);
    let known = |s: &Snapshot| lag(s, "g0", "t") == Some(60);
    helper.until_checked("known", known, check).await;
    brokers.world().mischief.insert(key as i16, mischief);
    let unknown = |s: &Snapshot| s.error.is_some() || lag(s, "g0", "t").is_none();
    helper.until_checked("unknown", unknown, check).await;
    let still = helper.poll().await;
    assert!(unknown(&still));
    brokers.world().mischief.clear();
    // Connections that wait for a lost answer are closed after a while.
    helper.until_checked("known again", known, check).await;
}

#[rstest]
#[case::minus_one(-1)]
#[case::minus_1001(-1001)]
#[tokio::test(flavor = "multi_thread")]
async fn an_end_below_zero_without_an_error_is_unknown(#[case] end: i64) {
    let brokers = brokers(1).await;
    brokers.world().topics.get_mut("t").unwrap().end = end;
    let mut helper = poll_helper(&brokers);
    let snapshot = helper.poll().await;
    assert_eq!(ends(&snapshot), vec![Err(ReadError::LeaderUnavailable); 6]);
    assert_eq!(lag(&snapshot, "g0", "t"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_error_number_is_an_error() {
    let brokers = brokers(1).await;
    brokers.world().topics.get_mut("t").unwrap().error = 9_999;
    let mut helper = poll_helper(&brokers);
    let snapshot = helper.poll().await;
    let unheard = ReadError::Other("error 9999".to_owned());
    assert_eq!(ends(&snapshot), vec![Err(unheard); 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_missing_partitions_is_unknown() {
    let brokers = brokers(1).await;
    brokers.world().topics.get_mut("t").unwrap().leaders[2] = -2;
    let mut helper = poll_helper(&brokers);
    let snapshot = helper.poll().await;
    assert!(matches!(
        snapshot.topics["t"],
        Topic::Unknown(ReadError::Other(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_of_an_unsupported_group_is_reported() {
    let brokers = brokers(1).await;
    brokers.world().groups.get_mut("g0").unwrap().kind = "connect";
    let mut helper = poll_helper(&brokers);
    let snapshot = helper.poll().await;
    let kind = "connect".to_owned();
    assert_eq!(
        snapshot.groups["g0"].state,
        Err(ReadError::GroupType { kind })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_never_recreates_a_deleted_topic() {
    let brokers = brokers(1).await;
    let mut helper = poll_helper(&brokers);
    helper
        .until("known", |s| lag(s, "g0", "t") == Some(60))
        .await;
    brokers.world().topics.clear();
    let absent = |s: &Snapshot| matches!(s.topics.get("t"), Some(Topic::Absent));
    helper.until("absent", absent).await;
    // All brokers are lost for a while, which makes clients bootstrap again, while topics are known
    // to be missing.
    for key in [ApiKey::ListGroups, ApiKey::Metadata] {
        brokers.world().mischief.insert(key as i16, Mischief::Drop);
    }
    helper.until("an error", |s| s.error.is_some()).await;
    brokers.world().mischief.clear();
    helper.until("absent again", absent).await;
    assert_eq!(brokers.world().would_create, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_port_gives_a_guess_at_the_cause() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let taken = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    let mut helper = PollHelper::on(&server, "g", named(&["t"]));
    let snapshot = helper.poll().await;
    let error = snapshot.error.clone().unwrap();
    assert_eq!(error.category(), Category::KafkaUnreachable);
    assert_eq!(
        error.to_string(),
        "no broker answered: no answer: wrong protocol or port?"
    );
    taken.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unresolvable_name_is_reported() {
    let mut helper = PollHelper::on("kafka.invalid:9092", "g", named(&["t"]));
    let error = helper.poll().await.error.clone().unwrap();
    let text = error.to_string();
    assert!(
        text.contains("kafka.invalid:9092") && text.contains("is the name right"),
        "{text}"
    );
}
