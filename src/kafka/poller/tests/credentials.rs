//! Credentials that change, and credentials that are refused.

use std::time::Duration;

use futures::StreamExt;
use lagrange_core::intent::topics::{TopicPattern, TopicSelection};
use rstest::rstest;

use super::double::{Double, Mood};
use super::rig::{Rig, by_token, committed, interest, login, t};
use crate::kafka::connection::secret::Secret;
use crate::kafka::model::error::{Category, ReadError, Resource};
use crate::kafka::model::snapshot::Topic;
use crate::kafka::pool::Settings;

fn set_password(double: &Double, password: &str) {
    double.change(|world| world.password = Some(Secret::new(password)));
}

#[tokio::test(start_paused = true)]
async fn new_credentials_that_work_replace_the_reader_without_a_gap() {
    let double = Double::new(1);
    set_password(&double, "one");
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_with(&login("one", 1), "g");
    assert_eq!(rig.poll(&watch).await.error, None);
    set_password(&double, "two");
    let (snapshot, took) = Rig::timed(async {
        watch.renew(&login("two", 2));
        rig.poll(&watch).await
    })
    .await;
    assert!(
        took <= Duration::from_secs(2),
        "sooner than the next poll: {took:?}"
    );
    assert_eq!((&snapshot.error, &snapshot.renewal), (&None, &None));
    assert_eq!(double.change(|world| (world.opened, world.closed)), (2, 1));
    assert_eq!(
        rig.pool.clusters(),
        1,
        "credentials are not part of an identity"
    );
}

#[tokio::test(start_paused = true)]
async fn new_credentials_that_fail_keep_the_reader_and_are_tried_once_a_minute() {
    let double = Double::new(1);
    set_password(&double, "one");
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_with(&login("one", 1), "g");
    rig.poll(&watch).await;
    watch.renew(&login("wrong", 2));
    for _ in 0..16 {
        let snapshot = rig.poll(&watch).await;
        assert_eq!(snapshot.error, None);
        assert!(matches!(
            snapshot.renewal,
            Some(ReadError::Authentication { .. })
        ));
    }
    let opened = double.change(|world| world.opened);
    assert!((3..=5).contains(&opened), "4 minutes: {opened}");
    // An older version that is passed on late changes nothing.
    watch.renew(&login("one", 1));
    assert!(rig.poll(&watch).await.renewal.is_some());
    watch.renew(&login("one", 3));
    assert_eq!(
        rig.poll(&watch).await.renewal,
        None,
        "the working credentials are in use"
    );
}

#[tokio::test(start_paused = true)]
async fn new_credentials_without_an_answer_are_tried_again_within_a_minute() {
    let double = Double::new(1);
    set_password(&double, "one");
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_with(&login("one", 1), "g");
    rig.poll(&watch).await;
    set_password(&double, "two");
    double.change(|world| world.bootstrap = Mood::Silent);
    watch.renew(&login("two", 2));
    let snapshot = rig.poll(&watch).await;
    assert_eq!(snapshot.error, None, "the working reader continues");
    assert!(matches!(
        snapshot.renewal,
        Some(ReadError::Unreachable { .. })
    ));
    double.change(|world| world.bootstrap = Mood::Answers);
    let ((), took) = Rig::timed(async { while rig.poll(&watch).await.renewal.is_some() {} }).await;
    assert!(
        (Duration::from_secs(25)..Duration::from_secs(55)).contains(&took),
        "neither at each poll nor as late as after a refusal: {took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_is_tried_once_a_minute_and_new_credentials_at_once() {
    let double = Double::new(1);
    set_password(&double, "two");
    let mut rig = Rig::new(&double, Settings::default());
    let names: Vec<_> = (0..50).map(|number| format!("g{number}")).collect();
    let watches: Vec<_> = names
        .iter()
        .map(|name| rig.watch_with(&login("one", 1), name))
        .collect();
    tokio::time::sleep(Duration::from_mins(10)).await;
    let opened = double.change(|world| world.opened);
    assert!((7..=10).contains(&opened), "10 minutes: {opened}");
    let error = watches[0].latest().unwrap().error.clone();
    assert!(
        matches!(error, Some(ReadError::Authentication { .. })),
        "{error:?}"
    );
    let before = watches[0].latest().unwrap().poll;
    let ((), took) = Rig::timed(async {
        watches[7].renew(&login("two", 2));
        while watches[0].latest().unwrap().poll == before {
            rig.wakeups.next().await.unwrap();
        }
    })
    .await;
    assert!(took <= Duration::from_secs(2), "{took:?}");
    assert_eq!(watches[0].latest().unwrap().error, None);
}

#[tokio::test(start_paused = true)]
async fn working_credentials_are_used_again_when_the_newest_fail() {
    let double = Double::new(1);
    set_password(&double, "one");
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_with(&login("one", 1), "g");
    rig.poll(&watch).await;
    watch.renew(&login("wrong", 2));
    assert!(rig.poll(&watch).await.renewal.is_some());
    // The brokers restart: every connection is lost.
    double.change(|world| world.broken = true);
    let snapshot = rig.poll(&watch).await;
    assert_eq!(snapshot.error, None);
    assert!(matches!(
        snapshot.renewal,
        Some(ReadError::Authentication { .. })
    ));
    assert_eq!(rig.poll(&watch).await.error, None);
    // The newest are refused again at their next attempt, and then the brokers go away. The working
    // credentials are not forgotten for that.
    double.change(|world| world.leaves_after_refusal = true);
    while rig.poll(&watch).await.error.is_none() {
        double.change(|world| world.broken = true);
    }
    double.change(|world| world.leaves_after_refusal = false);
    double.change(|world| world.bootstrap = Mood::Answers);
    assert_eq!(rig.poll(&watch).await.error, None);
    // Neither is accepted any longer.
    set_password(&double, "three");
    double.change(|world| world.broken = true);
    assert!(rig.poll(&watch).await.error.is_some());
    watch.renew(&login("three", 3));
    assert_eq!(rig.poll(&watch).await.error, None);
}

#[tokio::test(start_paused = true)]
async fn unanswered_new_credentials_are_tried_once_the_previous_are_refused() {
    let double = Double::new(1);
    set_password(&double, "one");
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_with(&login("one", 1), "g");
    rig.poll(&watch).await;
    set_password(&double, "two");
    double.change(|world| world.bootstrap = Mood::Silent);
    watch.renew(&login("two", 2));
    assert!(rig.poll(&watch).await.renewal.is_some());
    // The brokers answer again, and have dropped every login.
    double.change(|world| {
        world.bootstrap = Mood::Answers;
        world.broken = true;
    });
    let snapshot = rig.poll(&watch).await;
    assert_eq!((&snapshot.error, &snapshot.renewal), (&None, &None));
}

/// Denies a user with this password some topics or groups.
fn deny(double: &Double, password: &str, denied: &[&'static str]) {
    let denied = denied.iter().copied().collect();
    double.change(|world| world.denied.insert(password.to_owned(), denied));
}

fn says_what_is_lost(renewal: Option<&ReadError>, said: &str) {
    let error = renewal.expect("the new user is refused");
    assert_eq!(error.category(), Category::AuthorizationFailed);
    assert_eq!(error.to_string(), said);
}

#[rstest]
#[case::a_topic(&["topic t"], "topic t, which the previous user may: grant Describe on it")]
#[case::a_group(&["group g"], "group g, which the previous user may: grant Describe on it")]
#[case::both(&["topic t", "group g"], "topic t and 1 more, which the previous user may: \
    grant Describe on them")]
#[tokio::test(start_paused = true)]
async fn a_new_user_with_fewer_rights_does_not_replace_the_previous(
    #[case] denied: &[&'static str],
    #[case] lost: &str,
    #[values(t(), TopicSelection::Pattern(TopicPattern::new("t.*").unwrap()), TopicSelection::OfGroup)]
    topics: TopicSelection,
) {
    let double = Double::new(1);
    set_password(&double, "one");
    let settings = Settings {
        names_every: Duration::from_secs(1),
        ..Settings::default()
    };
    let mut rig = Rig::new(&double, settings);
    let watch = rig.watch_with(&login("one", 1), "g");
    watch.update(interest("g", topics, 15));
    rig.poll(&watch).await;
    deny(&double, "two", denied);
    watch.renew(&login("two", 2));
    let said = format!("the new user logs in, but is not authorised to describe {lost}");
    let opened = double.change(|world| world.opened);
    for _ in 0..8 {
        let snapshot = rig.poll(&watch).await;
        assert_eq!(committed(&snapshot), [Ok(Some(7))]);
        assert!(matches!(snapshot.topics["t"], Topic::Present(_)));
        says_what_is_lost(snapshot.renewal.as_ref(), &said);
    }
    let opened = double.change(|world| world.opened) - opened;
    assert!((2..=5).contains(&opened), "tried in 2 minutes: {opened}");
    // The rights are granted: within a minute it reads.
    deny(&double, "two", &[]);
    let ((), took) = Rig::timed(async { while rig.poll(&watch).await.renewal.is_some() {} }).await;
    assert!(took < Duration::from_secs(55), "{took:?}");
    assert_eq!(committed(&watch.latest().unwrap()), [Ok(Some(7))]);
    let left = double.change(|world| world.opened - world.closed);
    assert_eq!(left, 1, "the previous reader is closed");
}

#[tokio::test(start_paused = true)]
async fn a_new_user_with_more_rights_replaces_the_previous() {
    let double = Double::new(1);
    set_password(&double, "none");
    double.group("h", 2, 1);
    deny(&double, "one", &["group h", "topic t"]);
    let rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_with(&login("one", 1), "g");
    let beside = rig.watch_with(&login("one", 1), "h");
    beside.update(interest("h", t(), 15));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(watch.latest().unwrap().groups["h"].state.is_err());
    deny(&double, "two", &["group h"]);
    watch.renew(&login("two", 2));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let snapshot = watch.latest().unwrap();
    assert_eq!((&snapshot.error, &snapshot.renewal), (&None, &None));
    assert_eq!(committed(&snapshot), [Ok(Some(7))]);
}

#[tokio::test(start_paused = true)]
async fn a_new_user_with_fewer_rights_replaces_a_deleted_one() {
    let double = Double::new(1);
    double.group("h", 2, 1);
    set_password(&double, "one");
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_with(&login("one", 1), "g");
    rig.poll(&watch).await;
    deny(&double, "two", &["group g"]);
    watch.renew(&login("two", 2));
    assert!(rig.poll(&watch).await.renewal.is_some());
    // The connections are lost, but not the user: the working credentials are used again.
    double.change(|world| world.broken = true);
    assert!(rig.poll(&watch).await.renewal.is_some());
    assert_eq!(committed(&watch.latest().unwrap()), [Ok(Some(7))]);
    // The previous user is deleted.
    set_password(&double, "other");
    double.change(|world| world.broken = true);
    let snapshot = rig.poll(&watch).await;
    assert_eq!((&snapshot.error, &snapshot.renewal), (&None, &None));
    assert!(matches!(
        snapshot.groups["g"].state,
        Err(ReadError::Authorization { .. })
    ));
}

/// Regression: when a token expired on connections that stayed open, the message advised to grant
/// Describe, and never changed.
#[rstest]
#[tokio::test(start_paused = true)]
async fn an_expired_token_is_renewed_over_new_connections_in_the_same_poll(
    #[values(t(), TopicSelection::Pattern(TopicPattern::new("t.*").unwrap()), TopicSelection::OfGroup)]
    topics: TopicSelection,
) {
    let double = Double::new(1);
    let settings = Settings {
        names_every: Duration::from_secs(1),
        ..Settings::default()
    };
    let mut rig = Rig::new(&double, settings);
    let watch = rig.watch_with(&by_token(), "g");
    watch.update(interest("g", topics, 15));
    rig.poll(&watch).await;
    for opened in 1..=3 {
        rig.poll(&watch).await;
        assert_eq!(double.change(|world| world.opened), opened);
        double.change(|world| world.ended = world.opened);
        let snapshot = rig.poll(&watch).await;
        assert_eq!(committed(&snapshot), [Ok(Some(7))]);
        assert!(matches!(snapshot.topics["t"], Topic::Present(_)));
    }
    assert_eq!(double.change(|world| world.opened - world.closed), 1);
}

#[rstest]
#[case::a_revoked_right(by_token(), usize::MAX, 2)]
#[case::no_token(login("one", 1), 1, 1)]
#[tokio::test(start_paused = true)]
async fn revoked_rights_cause_one_reconnect_and_only_with_tokens(
    #[case] connection: crate::kafka::connection::Connection,
    #[case] ended: usize,
    #[case] opened: usize,
) {
    let double = Double::new(1);
    if opened == 1 {
        set_password(&double, "one");
    }
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_with(&connection, "g");
    rig.poll(&watch).await;
    double.change(|world| world.ended = ended);
    for _ in 0..10 {
        let snapshot = rig.poll(&watch).await;
        assert_eq!(snapshot.error, None);
        assert!(matches!(
            snapshot.groups["g"].state,
            Err(ReadError::Authorization { .. })
        ));
    }
    assert_eq!(double.change(|world| world.opened), opened);
}

#[tokio::test(start_paused = true)]
async fn losing_one_of_several_rights_causes_no_reconnect() {
    let double = Double::new(1);
    double.group("h", 2, 1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_with(&by_token(), "g");
    let beside = rig.watch_with(&by_token(), "h");
    beside.update(interest("h", t(), 15));
    while watch.latest().is_none_or(|poll| poll.groups.len() < 2) {
        rig.poll(&watch).await;
    }
    double.change(|world| {
        let group = world.groups.get_mut("h").unwrap();
        group.listed.clear();
        group.error = Some(ReadError::Authorization {
            resource: Resource::Group("h".into()),
        });
    });
    for _ in 0..5 {
        rig.poll(&watch).await;
    }
    let snapshot = watch.latest().unwrap();
    assert!(snapshot.groups["h"].state.is_err());
    assert_eq!(committed(&snapshot), [Ok(Some(7))]);
    assert_eq!(double.change(|world| world.opened), 1);
}
