//! Reads a secure broker of each supported version of Kafka: the newest, the first 4, the last 3,
//! and one without SCRAM and the new group protocol. A feature that a version lacks is reported,
//! and no number is ever wrong.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test say what they expect by unwrapping it"
)]

use std::sync::Arc;

use lagrange::kafka::connection::security::{PasswordMechanism, Sasl, Security};
use lagrange::kafka::model::error::{ReadError, Resource};
use lagrange::kafka::model::interest::Key;
use lagrange::kafka::model::snapshot::{Description, GroupState, Protocol, Snapshot, Topic};
use lagrange_core::intent::topics::TopicSelection;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::members::Members;
use lagrange_testing::poll_helper::{PollHelper, brief, interest, lag, named, settings};
use lagrange_testing::scene::{
    Scene, USER, assert_says, by_token, login, refused, showing, token_endpoint, trusting,
};
use lagrange_testing::secure::Listener;
use rstest::rstest;

/// The features of a version.
#[derive(Debug, Clone, Copy)]
struct Offer {
    scram: bool,
    /// Brokers report which protocol a group uses.
    group_types: bool,
    /// KIP-848.
    consumer_protocol: bool,
}

const ALL: Offer = Offer {
    scram: true,
    group_types: true,
    consumer_protocol: true,
};
const CLASSIC: Offer = Offer {
    consumer_protocol: false,
    ..ALL
};
const EARLY: Offer = Offer {
    scram: false,
    group_types: false,
    ..CLASSIC
};

#[rstest]
#[case::newest("4.4.0", ALL)]
#[case::first_4("4.0.1", ALL)]
#[case::last_3("3.9.2", CLASSIC)]
#[case::oldest("3.3.2", EARLY)]
#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_read_completely_and_its_missing_features_are_reported(
    #[case] version: &'static str,
    #[case] offer: Offer,
) {
    let kafka = &Kafka::secure_version(version).await;
    // The first group creates the offsets topic; a request at the same time would be refused.
    Scene::closed(kafka).await;
    tokio::join!(
        every_login(kafka, offer),
        a_wrong_password(kafka, offer),
        classic_members(kafka, offer),
        members_of_kip_848(kafka, offer),
        a_deleted_group(kafka),
        a_missing_topic(kafka),
        added_partitions(kafka),
        missing_rights(kafka),
    );
}

fn over_tls(kafka: &Kafka, sasl: Option<Sasl>) -> Security {
    Security {
        tls: trusting(&kafka.tls("ca.crt")),
        sasl,
    }
}

/// A login that every version accepts.
fn plain(kafka: &Kafka) -> Security {
    let password = kafka.password("lagrange");
    over_tls(kafka, login(PasswordMechanism::Plain, &password))
}

async fn reads(scene: &Scene<'_>, listener: Listener, security: Security) {
    let connection = scene.connection(listener, security).await;
    scene.until_read(&mut scene.poll_helper(&connection)).await;
}

async fn every_login(kafka: &Kafka, offer: Offer) {
    let scene = Scene::open(kafka).await;
    let password = kafka.password("lagrange");
    for mechanism in [
        PasswordMechanism::Plain,
        PasswordMechanism::ScramSha256,
        PasswordMechanism::ScramSha512,
    ] {
        let sasl = || login(mechanism, &password);
        if mechanism != PasswordMechanism::Plain && !offer.scram {
            let text = refused(kafka, Some(Listener::SaslSsl), over_tls(kafka, sasl())).await;
            let words = ["AuthenticationFailed", "does not offer the mechanism"];
            assert_says(&text, &words);
            continue;
        }
        reads(&scene, Listener::SaslSsl, over_tls(kafka, sasl())).await;
        let without_tls = Security {
            tls: None,
            sasl: sasl(),
        };
        reads(&scene, Listener::SaslPlaintext, without_tls).await;
    }
    let server = token_endpoint(kafka, 3600).await;
    reads(
        &scene,
        Listener::SaslSsl,
        over_tls(kafka, by_token(&server)),
    )
    .await;
    let certificate = showing(
        &kafka.tls("ca.crt"),
        &kafka.tls("user.crt"),
        &kafka.tls("user.key"),
    );
    reads(&scene, Listener::Ssl, certificate).await;
}

async fn a_wrong_password(kafka: &Kafka, offer: Offer) {
    let scram = offer.scram.then_some(PasswordMechanism::ScramSha512);
    for mechanism in [Some(PasswordMechanism::Plain), scram]
        .into_iter()
        .flatten()
    {
        let security = over_tls(kafka, login(mechanism, "password-marker"));
        let text = refused(kafka, Some(Listener::SaslSsl), security).await;
        assert_says(&text, &["AuthenticationFailed", "user name and password"]);
    }
}

fn description<'a>(snapshot: &'a Snapshot, id: &str) -> Option<&'a Description> {
    snapshot.groups[id].description.as_ref()?.as_ref().ok()
}

/// Members with their partitions while they exist, and only commits after they have left.
async fn members(kafka: &Kafka, joined_by: &str, protocol: Protocol, assignor: &str) {
    let scene = Scene::open(kafka).await;
    // Not the group of the scene.
    let (topic, id) = (&scene.name, format!("{}-{joined_by}", scene.name));
    kafka.allow(USER, "group", &id, "Describe").await;
    let members = Members::join(&kafka.bootstrap, &id, topic, joined_by, 3);
    let connection = scene.connection(Listener::SaslSsl, plain(kafka)).await;
    let mut helper = PollHelper::over(settings(), &connection, &id, TopicSelection::OfGroup);
    helper.watch.describe_members(true);
    let settled = |s: &Snapshot| {
        s.groups[id.as_str()].state == Ok(GroupState::Stable)
            && description(s, &id).is_some_and(|described| {
                described.members.len() == 3
                    && described.members.iter().all(|m| m.assigned.len() == 1)
            })
            && lag(s, &id, topic) == Some(0)
    };
    let snapshot = helper.until("3 members, 1 partition each", settled).await;
    assert_eq!(snapshot.groups[id.as_str()].protocol, protocol);
    let described = description(&snapshot, &id).unwrap();
    assert_eq!(described.assignor.as_deref(), Some(assignor));
    let leave = tokio::task::spawn_blocking(move || drop(members));
    leave.await.unwrap();
    kafka.produce(topic, 9).await;
    let behind = |s: &Snapshot| {
        s.groups[id.as_str()].state == Ok(GroupState::Empty) && lag(s, &id, topic) == Some(9)
    };
    helper.until("no members, 9 records behind", behind).await;
}

async fn classic_members(kafka: &Kafka, offer: Offer) {
    let protocol = if offer.group_types {
        Protocol::Classic
    } else {
        Protocol::Unknown
    };
    members(kafka, "range", protocol, "range").await;
}

async fn members_of_kip_848(kafka: &Kafka, offer: Offer) {
    if offer.consumer_protocol {
        members(kafka, "consumer", Protocol::Consumer, "uniform").await;
    }
}

async fn a_deleted_group(kafka: &Kafka) {
    let scene = Scene::open(kafka).await;
    let connection = scene.connection(Listener::SaslSsl, plain(kafka)).await;
    let mut helper = scene.poll_helper(&connection);
    scene.until_read(&mut helper).await;
    kafka.delete_group(&scene.name).await;
    // The group was at 0 in each partition: the lag is the same without the commit.
    let never_wrong = |s: &Snapshot| {
        let lag = lag(s, &scene.name, &scene.name);
        assert!(matches!(lag, None | Some(30)), "{}", brief(s));
    };
    let state = |s: &Snapshot| s.groups[scene.name.as_str()].state.clone();
    helper
        .until_checked("unknown", |s| state(s).is_err(), never_wrong)
        .await;
    let dead = |s: &Snapshot| state(s) == Ok(GroupState::Dead);
    helper.until_checked("dead", dead, never_wrong).await;
}

async fn a_missing_topic(kafka: &Kafka) {
    let scene = Scene::open(kafka).await;
    let missing = format!("{}-missing", scene.name);
    // Without the right to describe a topic, a broker does not report whether it exists.
    kafka.allow(USER, "topic", &missing, "Describe").await;
    let connection = scene.connection(Listener::SaslSsl, plain(kafka)).await;
    let topics = named(&[&scene.name, &missing]);
    let mut helper = PollHelper::over(settings(), &connection, &scene.name, topics);
    let absent = |s: &Snapshot| {
        matches!(s.topics[missing.as_str()], Topic::Absent)
            && lag(s, &scene.name, &scene.name) == Some(30)
    };
    let never_there = |s: &Snapshot| {
        let topic = s.topics.get(missing.as_str());
        assert!(!matches!(topic, Some(Topic::Present(_))), "{}", brief(s));
    };
    helper.until_checked("absent", absent, never_there).await;
}

async fn added_partitions(kafka: &Kafka) {
    let scene = Scene::open(kafka).await;
    let connection = scene.connection(Listener::SaslSsl, plain(kafka)).await;
    let mut helper = scene.poll_helper(&connection);
    scene.until_read(&mut helper).await;
    kafka.add_partitions(&scene.name, 7).await;
    kafka.produce(&scene.name, 14).await;
    let grown = |s: &Snapshot| match &s.topics[scene.name.as_str()] {
        Topic::Present(partitions) => {
            partitions.len() == 7 && lag(s, &scene.name, &scene.name) == Some(44)
        }
        _ => false,
    };
    helper.until("7 partitions, 44 records behind", grown).await;
}

async fn missing_rights(kafka: &Kafka) {
    let (closed, open) = (Scene::closed(kafka).await, Scene::open(kafka).await);
    let connection = closed.connection(Listener::SaslSsl, plain(kafka)).await;
    let mut helper = closed.poll_helper(&connection);
    let key = Key::consumer_group("test", &open.name);
    let beside = interest(&open.name, named(&[&open.name]));
    let _other = helper.pool.watch(&connection, key, beside).unwrap();
    let missing = |kind: fn(Arc<str>) -> Resource| ReadError::Authorization {
        resource: kind(closed.name.as_str().into()),
    };
    let both = |s: &Snapshot| {
        assert_eq!(lag(s, &closed.name, &closed.name), None, "{}", brief(s));
        let topic = match &s.topics[closed.name.as_str()] {
            Topic::Unknown(error) => Some(error.clone()),
            Topic::Present(_) | Topic::Absent => None,
        };
        topic == Some(missing(Resource::Topic))
            && s.groups[closed.name.as_str()].state == Err(missing(Resource::Group))
            && lag(s, &open.name, &open.name) == Some(30)
    };
    helper
        .until("both rights are missing, the other group is read", both)
        .await;
    for kind in ["topic", "group"] {
        kafka.allow(USER, kind, &closed.name, "Describe").await;
    }
    closed.until_read(&mut helper).await;
}
