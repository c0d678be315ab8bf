//! The Secrets of a connection: what is reported about them, and when, while the API server has
//! failures.

use std::{num::NonZeroUsize, time::Duration};

use crate::{
    api_server::{Fault, Seen},
    kafka::GroupView,
    scene::{INTERVAL, Scene, cluster, deployment, group, settle},
};
use http::Method;
use lagrange::kafka::model::error::{ReadError, Resource};
use serde_json::json;
use tokio::time::sleep;

/// A group that logs in with the password in Secret `user`.
fn scene() -> Scene {
    let scene = Scene::empty();
    scene.api.create("deployments", deployment("orders", 1));
    let mut group = group("orders");
    group["spec"]["kafka"]["sasl"] = json!({
        "mechanism": "SCRAM-SHA-512", "username": "lagrange", "passwordSecret": { "secretName": "user", "key": "password" },
    });
    scene.api.create("consumergroups", group);
    scene
}

/// The same, and a KafkaCluster `main` in `kafka` that logs in with the password in Secret `admin`
/// of that namespace.
fn scene_with_a_cluster() -> Scene {
    let scene = scene();
    let mut main = cluster("main", json!({ "from": "Same" }));
    main["spec"]["sasl"] = json!({
        "mechanism": "SCRAM-SHA-512", "username": "lagrange", "passwordSecret": { "secretName": "admin", "key": "password" },
    });
    scene.api.create("kafkaclusters", main);
    let mut secret = password("one");
    scene.api.create("secrets", secret.clone());
    secret["metadata"] = json!({ "name": "admin", "namespace": "kafka" });
    scene.api.create("secrets", secret);
    scene
}

/// Status, reason and message of `Connected`.
fn connected(scene: &Scene) -> (String, String) {
    let main = scene.api.get("kafkaclusters", "kafka/main");
    let conditions = main["status"]["conditions"].as_array().cloned();
    let found = conditions.unwrap_or_default().into_iter();
    let mut found = found.filter(|condition| condition["type"] == "Connected");
    let condition = found.next().unwrap_or_default();
    let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    (
        format!("{}/{}", text("status"), text("reason")),
        text("message"),
    )
}

#[tokio::test(start_paused = true)]
async fn a_nul_in_a_password_is_reported_as_a_fault_of_the_secret() {
    let scene = scene();
    scene.api.create("secrets", password("mar\0ker"));
    let _operator = scene.operator().await;
    scene.polls(3, 0).await;
    assert_eq!(scene.condition("orders", "Ready"), "False/SecretInvalid");
    let message = scene.message("orders", "Ready");
    assert!(
        message.starts_with("Secret user has a NUL character in key password"),
        "{message}"
    );
    assert!(!message.contains("mar"), "{message}");
    assert_eq!(scene.kafka.password(), None, "there is no login with it");
}

fn password(password: &str) -> serde_json::Value {
    use base64::Engine as _;
    let password = base64::engine::general_purpose::STANDARD.encode(password);
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "user" }, "data": { "password": password } })
}

fn set_password(scene: &Scene, to: &str) {
    let data = password(to)["data"].clone();
    scene
        .api
        .edit("secrets", "user", |secret| secret["data"] = data);
}

/// The double refuses a list of Secrets without a name (SAFE-40).
#[tokio::test(start_paused = true)]
async fn a_changed_password_is_passed_on_at_once() {
    let scene = scene();
    scene.api.create("secrets", password("one"));
    let _operator = scene.operator().await;
    scene.polls(2, 0).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    assert_eq!(scene.kafka.password().as_deref(), Some("one"));
    set_password(&scene, "two");
    settle().await;
    assert_eq!(scene.kafka.password().as_deref(), Some("two"));
    // The new value is missing or unusable: the old one stays in use, and this is reported.
    set_password(&scene, "");
    scene.polls(5, 0).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    let said = scene.message("orders", "Ready");
    assert!(
        said.contains("Secret user has an empty key password"),
        "{said}"
    );
    assert_eq!(scene.kafka.password().as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn a_secret_whose_watch_keeps_failing_is_listed_again() {
    let scene = scene();
    scene.api.create("secrets", password("one"));
    let _operator = scene.operator().await;
    scene.polls(2, 0).await;
    scene.api.refuse_watches("secrets", true);
    sleep(Duration::from_mins(1)).await;
    set_password(&scene, "two");
    for _ in 0..30 {
        scene.polls(1, 0).await;
    }
    assert_eq!(scene.kafka.password().as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_reported_about_a_secret_while_the_api_server_does_not_answer() {
    let scene = scene();
    scene.api.create("secrets", password("one"));
    scene
        .api
        .plan(Method::GET, "/secrets", Fault::Status(503), 6);
    let _operator = scene.operator().await;
    sleep(Duration::from_mins(1)).await;
    scene.kafka.poll(&[("orders", GroupView::behind(6, 1, 0))]);
    settle().await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    let writes = scene.api.requests(&Method::PATCH, "/status");
    let accuses = |seen: &Seen| seen.body.to_string().contains("SecretNotFound");
    assert!(!writes.iter().any(accuses), "{writes:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_reported_and_used_once_it_exists() {
    let scene = scene();
    let _operator = scene.operator().await;
    assert_eq!(scene.condition("orders", "Ready"), "False/SecretNotFound");
    scene.api.create("secrets", password("one"));
    scene.polls(2, 0).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
}

#[tokio::test(start_paused = true)]
async fn a_value_of_more_than_256_kib_is_refused() {
    let scene = scene();
    scene
        .api
        .create("secrets", password(&"x".repeat((256 << 10) + 1)));
    let _operator = scene.operator().await;
    settle().await;
    assert_eq!(scene.condition("orders", "Ready"), "False/SecretInvalid");
    let said = scene.message("orders", "Ready");
    assert!(
        said.contains("Secret user has more than 262144 bytes in key password"),
        "{said}"
    );
    let longest = "x".repeat(256 << 10);
    set_password(&scene, &longest);
    scene.polls(2, 0).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    assert_eq!(scene.kafka.password(), Some(longest));
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_secret_is_reported_rather_than_the_refused_old_credentials() {
    let scene = scene_with_a_cluster();
    let _operator = scene.operator().await;
    scene.polls(2, 0).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    let set_both = |to: &str| {
        for name in ["user", "kafka/admin"] {
            let data = password(to)["data"].clone();
            scene
                .api
                .edit("secrets", name, |secret| secret["data"] = data);
        }
    };
    assert_eq!(connected(&scene).0, "True/BrokersReachable");
    // The brokers have another password by now, and the Secret was emptied.
    set_both("");
    settle().await;
    scene.kafka.refuse();
    settle().await;
    tokio::time::advance(INTERVAL).await;
    scene.kafka.refuse();
    settle().await;
    let nothing = "has an empty key password";
    assert_eq!(scene.condition("orders", "Ready"), "False/SecretInvalid");
    assert!(scene.message("orders", "Ready").contains(nothing));
    let (seen, said) = connected(&scene);
    assert_eq!(seen, "False/SecretInvalid", "{said}");
    assert!(said.contains(nothing), "{said}");
    // A Secret that is usable, but refused.
    set_both("two");
    settle().await;
    scene.kafka.refuse();
    settle().await;
    assert_eq!(
        scene.condition("orders", "Ready"),
        "False/AuthenticationFailed"
    );
    assert_eq!(connected(&scene).0, "False/AuthenticationFailed");
}

#[tokio::test(start_paused = true)]
async fn a_new_user_with_fewer_rights_is_reported_with_what_to_grant() {
    let scene = scene_with_a_cluster();
    let _operator = scene.operator().await;
    scene.polls(2, 0).await;
    assert_eq!(
        connected(&scene),
        ("True/BrokersReachable".to_owned(), String::new())
    );
    let lacks = ReadError::FewerRights {
        resource: Resource::Topic("orders".into()),
        more: NonZeroUsize::new(2),
    };
    let view = [("orders", GroupView::behind(6, 1, 0))];
    // A change of the text only is written within a minute.
    for _ in 0..5 {
        sleep(INTERVAL).await;
        scene.kafka.poll_as_before(&view, &lacks);
        settle().await;
    }
    let said = "still read with the previous credentials: the new user logs in, but is not \
                authorised to describe topic orders and 2 more, which the previous user may: \
                grant Describe on them";
    assert_eq!(
        connected(&scene),
        ("True/BrokersReachable".to_owned(), said.to_owned())
    );
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    assert_eq!(scene.message("orders", "Ready"), format!("Kafka is {said}"));
    let event = |wanted: &str| {
        let reported = scene.api.events().into_iter();
        let mut reported = reported.filter(|(reason, _)| reason == wanted);
        reported.next().map(|(_, note)| note)
    };
    assert_eq!(event("KafkaConnectionFailed").as_deref(), Some(said));
    scene.polls(1, 0).await;
    assert_eq!(
        connected(&scene),
        ("True/BrokersReachable".to_owned(), String::new())
    );
    assert!(event("KafkaConnectionRestored").is_some());
}
