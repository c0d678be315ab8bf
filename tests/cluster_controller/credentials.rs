//! Logins and certificates from Secrets and ConfigMaps: a missing object is reported by name, a
//! change is used at once, and nothing is disclosed to another namespace.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams};
use lagrange_core::api::condition::{Type, find};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::Space;
use lagrange_testing::operator::Operator;
use lagrange_testing::secure::{Listener, Tokens};
use lagrange_testing::until::{secs, until};
use serde_json::{Value, json};

use crate::stage::{APP, Chronicle, Stage};

pub(crate) const USER: &str = "User:lagrange";

/// The Secret that Strimzi's user operator writes: only the password. The user name is in the
/// KafkaCluster.
async fn user(space: &Space, password: &str) {
    secret(space, "lagrange", &json!({ "password": password })).await;
}

async fn secret(space: &Space, name: &str, data: &Value) {
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": space.name }, "stringData": data,
    });
    space.apply(object).await;
}

pub(crate) async fn authority(space: &Space, certificates: &str) {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "cluster-ca-cert", "namespace": space.name }, "data": { "ca.crt": certificates },
    });
    space.apply(object).await;
}

/// A KafkaCluster that connects to this listener, with the fields of `security` in its spec.
pub(crate) async fn cluster(stage: &Stage<'_>, space: &Space, listener: Listener, security: Value) {
    let servers = stage.kafka.listener(listener).await;
    let mut spec = json!({
        "bootstrapServers": servers.split(',').collect::<Vec<_>>(), "pollInterval": "5s",
        "allowedNamespaces": { "from": "All" },
    });
    for (key, value) in security.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let object = json!({
        "apiVersion": "lagrange.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": { "name": "main", "namespace": space.name }, "spec": spec,
    });
    space.apply(object).await;
}

fn scram() -> Value {
    json!({
        "tls": { "trustedCertificates": [{ "configMapName": "cluster-ca-cert" }] },
        "sasl": { "mechanism": "SCRAM-SHA-512", "username": "lagrange", "passwordSecret": { "secretName": "lagrange" } },
    })
}

/// Creates the ConsumerGroup with a reference to `main` in the namespace of `owner`.
pub(crate) async fn group(stage: &Stage<'_>, owner: &Space) {
    let reference = json!({ "name": "main", "namespace": owner.name });
    let change = json!({ "kafka": { "bootstrapServers": null, "clusterRef": reference } });
    stage.group(change).await;
    for kind in ["topic", "group"] {
        stage
            .kafka
            .allow(USER, kind, &stage.topic, "Describe")
            .await;
    }
}

/// Status, reason and message of `Connected`.
async fn connected(space: &Space) -> (String, String) {
    let status = space
        .clusters()
        .get("main")
        .await
        .unwrap()
        .status
        .unwrap_or_default();
    match find(&status.conditions, Type::Connected) {
        Some(found) => (
            format!("{}/{}", found.status, found.reason),
            found.message.clone(),
        ),
        None => Default::default(),
    }
}

pub(crate) async fn until_connected(space: &Space, wanted: &str, words: &[&str]) {
    until(
        secs(90),
        &format!("Connected is {wanted}, {words:?}"),
        || async {
            let (seen, message) = connected(space).await;
            if seen == wanted && words.iter().all(|word| message.contains(word)) {
                Ok(())
            } else {
                Err(format!("{seen}: {message}"))
            }
        },
    )
    .await;
}

pub(crate) async fn until_scaled(stage: &Stage<'_>, replicas: i32) {
    stage.space.until_replicas(APP, replicas, 60).await;
    stage
        .space
        .until_condition(APP, "Ready", "True/Managed")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_and_invalid_credentials_are_reported_by_name_and_used_once_corrected() {
    let kafka = Kafka::shared_secure().await;
    let stage = Stage::on(kafka, "login").await;
    let _consumers = stage.set(6, 1).await;
    kafka.produce(&stage.topic, 180).await;
    cluster(&stage, &stage.space, Listener::SaslSsl, scram()).await;
    group(&stage, &stage.space).await;
    let operator = stage.operator().await;

    until_connected(
        &stage.space,
        "False/SecretNotFound",
        &["cluster-ca-cert does not exist"],
    )
    .await;
    stage
        .space
        .until_condition(APP, "Ready", "False/SecretNotFound")
        .await;
    authority(&stage.space, "marker").await;
    until_connected(
        &stage.space,
        "False/SecretInvalid",
        &["ConfigMap cluster-ca-cert, key ca.crt", "no certificate"],
    )
    .await;
    authority(&stage.space, &kafka.tls("ca.crt")).await;
    until_connected(
        &stage.space,
        "False/SecretNotFound",
        &["Secret lagrange does not exist"],
    )
    .await;
    secret(&stage.space, "lagrange", &json!({ "other": "marker" })).await;
    until_connected(
        &stage.space,
        "False/SecretInvalid",
        &["Secret lagrange has no key password"],
    )
    .await;
    user(&stage.space, "marker\n").await;
    until_connected(
        &stage.space,
        "False/SecretInvalid",
        &["Secret lagrange has a line break", "password"],
    )
    .await;
    user(&stage.space, "marker").await;
    until_connected(
        &stage.space,
        "False/AuthenticationFailed",
        &["user name and password"],
    )
    .await;
    user(&stage.space, &kafka.password("lagrange")).await;
    until_connected(&stage.space, "True/BrokersReachable", &[]).await;
    until_scaled(&stage, 2).await;

    let said = format!(
        "{:?} {:?} {}",
        stage.status().await,
        stage.space.clusters().get("main").await,
        operator.log()
    );
    for hidden in ["marker".to_owned(), kafka.password("lagrange")] {
        assert!(!said.contains(&hidden), "a secret is shown");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_names_its_servers_has_credentials_of_its_own() {
    let kafka = Kafka::shared_secure().await;
    let stage = Stage::on(kafka, "inline").await;
    let _consumers = stage.set(6, 1).await;
    kafka.produce(&stage.topic, 180).await;
    for kind in ["topic", "group"] {
        kafka.allow(USER, kind, &stage.topic, "Describe").await;
    }
    let servers = kafka.listener(Listener::SaslSsl).await;
    let mut inline = scram();
    inline["bootstrapServers"] = json!(servers.split(',').collect::<Vec<_>>());
    stage.group(json!({ "kafka": inline })).await;
    let _operator = stage.operator().await;
    stage
        .space
        .until_condition(APP, "Ready", "False/SecretNotFound")
        .await;
    authority(&stage.space, &kafka.tls("ca.crt")).await;
    user(&stage.space, &kafka.password("lagrange")).await;
    until_scaled(&stage, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unusable_client_certificate_is_reported_by_name() {
    let kafka = Kafka::shared_secure().await;
    let stage = Stage::on(kafka, "mutual").await;
    let _consumers = stage.set(6, 1).await;
    kafka.produce(&stage.topic, 180).await;
    authority(&stage.space, &kafka.tls("ca.crt")).await;
    let show = async |certificate: &str, key: &str| {
        let pair = json!({ "user.crt": kafka.tls(certificate), "user.key": kafka.tls(key) });
        secret(&stage.space, "lagrange", &pair).await;
    };
    show("expired.crt", "expired.key").await;
    let mutual = json!({ "tls": {
        "trustedCertificates": [{ "configMapName": "cluster-ca-cert" }],
        "clientCertificate": { "secretName": "lagrange" },
    }});
    cluster(&stage, &stage.space, Listener::Ssl, mutual).await;
    group(&stage, &stage.space).await;
    let _operator = stage.operator().await;
    until_connected(
        &stage.space,
        "False/SecretInvalid",
        &["Secret lagrange, key user.crt", "expired"],
    )
    .await;
    show("user.crt", "unfitting.key").await;
    until_connected(
        &stage.space,
        "False/SecretInvalid",
        &["Secret lagrange, key user.key", "does not belong"],
    )
    .await;
    show("user.crt", "user.key").await;
    until_scaled(&stage, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_password_is_used_without_a_restart_and_without_a_gap() {
    let kafka = Kafka::secure(1, Tokens::Jwt, &[]).await;
    let stage = Stage::on(&kafka, "rotate").await;
    let _consumers = stage.set(6, 1).await;
    authority(&stage.space, &kafka.tls("ca.crt")).await;
    user(&stage.space, &kafka.password("lagrange")).await;
    cluster(&stage, &stage.space, Listener::SaslSsl, scram()).await;
    group(&stage, &stage.space).await;
    let _operator = stage.operator().await;
    until_connected(&stage.space, "True/BrokersReachable", &[]).await;
    stage
        .space
        .until_condition(APP, "LagKnown", "True/AllPartitionsRead")
        .await;
    let chronicle = Chronicle::of(&stage.space, APP);

    // The Secret is ahead of the brokers: the connection goes on with the old password, and this is
    // reported.
    user(&stage.space, "second").await;
    until_connected(
        &stage.space,
        "True/BrokersReachable",
        &["previous credentials", "user name and password"],
    )
    .await;
    let reported = stage
        .space
        .until_event("main", "KafkaConnectionFailed")
        .await;
    assert!(reported.contains("previous credentials"), "{reported}");
    // The Secret is gone: the same.
    let secrets: Api<Secret> = Api::namespaced(stage.kubernetes.client().await, &stage.space.name);
    secrets
        .delete("lagrange", &DeleteParams::default())
        .await
        .unwrap();
    until_connected(
        &stage.space,
        "True/BrokersReachable",
        &["previous credentials", "Secret lagrange does not exist"],
    )
    .await;
    kafka.set_password("lagrange", "third").await;
    user(&stage.space, "third").await;
    until(secs(60), "the new password is in use", || async {
        match connected(&stage.space).await {
            (seen, message) if seen == "True/BrokersReachable" && message.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    stage
        .space
        .until_event("main", "KafkaConnectionRestored")
        .await;
    kafka.produce(&stage.topic, 180).await;
    until_scaled(&stage, 2).await;
    for status in chronicle.statuses() {
        let known = find(&status.conditions, Type::LagKnown).unwrap();
        assert_eq!(known.status, "True", "{known:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_of_a_cluster_of_another_namespace_learns_nothing_about_its_secrets() {
    let kafka = Kafka::shared_secure().await;
    let stage = Stage::on(kafka, "guest").await;
    let owner = stage.kubernetes.namespace("host").await;
    let _consumers = stage.set(6, 1).await;
    kafka.produce(&stage.topic, 180).await;
    cluster(&stage, &owner, Listener::SaslSsl, scram()).await;
    group(&stage, &owner).await;
    // Secrets of the same name in the user's namespace are not used.
    authority(&stage.space, &kafka.tls("ca.crt")).await;
    user(&stage.space, &kafka.password("lagrange")).await;
    let flag = format!("--watch-namespace={}", owner.name);
    let _operator = Operator::start_with(stage.kubernetes, &stage.space, &[&flag]).await;

    stage
        .space
        .until_condition(APP, "Ready", "False/SecretNotFound")
        .await;
    until_connected(&owner, "False/SecretNotFound", &["cluster-ca-cert"]).await;
    let all = format!("{:?}", stage.status().await);
    assert!(!all.contains("cluster-ca-cert"), "{all}");
    authority(&owner, &kafka.tls("ca.crt")).await;
    user(&owner, "wrong").await;
    stage
        .space
        .until_condition(APP, "Ready", "False/AuthenticationFailed")
        .await;
    let all = format!("{:?}", stage.status().await);
    let servers = kafka.listener(Listener::SaslSsl).await;
    assert!(
        !all.contains(&servers) && !all.contains("Invalid username"),
        "{all}"
    );
    user(&owner, &kafka.password("lagrange")).await;
    until_scaled(&stage, 2).await;
}
