//! The rights that reading needs, Describe on the topic and on the group, and the message when one
//! is missing.

use std::sync::Arc;

use lagrange::kafka::connection::security::{PasswordMechanism, Security};
use lagrange::kafka::model::error::{ReadError, Resource};
use lagrange::kafka::model::snapshot::{Snapshot, Topic};

use lagrange::kafka::model::interest::Key;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::poll_helper::{interest, lag, named};
use lagrange_testing::scene::{Scene, USER, login};
use lagrange_testing::secure::Listener;

#[tokio::test(flavor = "multi_thread")]
async fn each_missing_right_is_named_and_affects_no_other_group() {
    let kafka = Kafka::shared_secure().await;
    let (closed, open) = (Scene::closed(kafka).await, Scene::open(kafka).await);
    let security = Security {
        tls: None,
        sasl: login(PasswordMechanism::ScramSha512, &kafka.password("lagrange")),
    };
    let connection = closed.connection(Listener::SaslPlaintext, security).await;
    let mut helper = closed.poll_helper(&connection);
    let key = Key::consumer_group("test", &open.name);
    let beside = interest(&open.name, named(&[&open.name]));
    let _other = helper.pool.watch(&connection, key, beside).unwrap();

    let missing = |kind: fn(Arc<str>) -> Resource| ReadError::Authorization {
        resource: kind(closed.name.as_str().into()),
    };
    let group = |snapshot: &Snapshot| snapshot.groups[closed.name.as_str()].state.clone();
    let topic = |snapshot: &Snapshot| match &snapshot.topics[closed.name.as_str()] {
        Topic::Unknown(error) => Some(error.clone()),
        Topic::Present(_) | Topic::Absent => None,
    };
    let reads_beside = |snapshot: &Snapshot| {
        assert_eq!(snapshot.error, None);
        lag(snapshot, &open.name, &open.name) == Some(30)
    };
    helper
        .until("both rights are missing", |snapshot| {
            reads_beside(snapshot)
                && group(snapshot) == Err(missing(Resource::Group))
                && topic(snapshot) == Some(missing(Resource::Topic))
        })
        .await;
    kafka.allow(USER, "topic", &closed.name, "Describe").await;
    helper
        .until("the group's right is missing", |snapshot| {
            reads_beside(snapshot)
                && group(snapshot) == Err(missing(Resource::Group))
                && topic(snapshot).is_none()
        })
        .await;
    kafka.allow(USER, "group", &closed.name, "Describe").await;
    closed.until_read(&mut helper).await;
    kafka
        .disallow(USER, "topic", &closed.name, "Describe")
        .await;
    helper
        .until("the topic's right is missing", |snapshot| {
            reads_beside(snapshot)
                && group(snapshot).is_ok()
                && topic(snapshot) == Some(missing(Resource::Topic))
        })
        .await;
}
