//! The API server is killed and started again, or denies access to the Lease, while a group waits
//! for an action.

use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::Kubernetes;
use lagrange_testing::until::secs;
use serde_json::json;

use super::pair::{Pair, Times};
use crate::account::{LEASE, rule, rules, rules_without};
use crate::stage::{APP, Stage};

/// A group at its first size, with a backlog that asks for six. Both processes are ready.
async fn with_backlog<'a>(stage: &'a Stage<'a>, times: Times) -> Pair<'a> {
    stage.group(json!({})).await;
    let mut pair = Pair::start(stage, times).await;
    pair.until_both_stand().await;
    let managed = "True/Managed";
    stage.space.until_condition(APP, "Ready", managed).await;
    stage.until_members(1).await;
    pair
}

/// Panics unless the group was scaled once, from one replica to six.
async fn assert_acted_once(stage: &Stage<'_>) {
    stage.space.until_replicas(APP, 6, 120).await;
    stage.until_settled(6).await;
    assert_eq!(stage.sizes(), [6]);
}

/// The Lease outlasts the restart, so the leader goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_goes_on_after_a_short_restart_of_the_api_server() {
    let kubernetes = Kubernetes::own().await;
    let stage = Stage::at(&kubernetes, Kafka::shared().await, "restart").await;
    let _consumers = stage.set(6, 1).await;
    let mut pair = with_backlog(&stage, Times::of(secs(300))).await;
    let (_, leader) = pair.leader().await;

    kubernetes.kill_api_server();
    stage.kafka.produce(&stage.topic, 600).await;
    kubernetes.restart_api_server();
    assert_acted_once(&stage).await;
    assert_eq!(pair.leader().await.1, leader);
    pair.until_both_stand().await;
    pair.end();
}

/// The leader cannot renew the Lease and ends. It starts again, as the kubelet starts it, before
/// the API server is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_ends_when_the_api_server_is_away_for_longer() {
    let kubernetes = Kubernetes::own().await;
    let stage = Stage::at(&kubernetes, Kafka::shared().await, "outage").await;
    let _consumers = stage.set(6, 1).await;
    let mut pair = with_backlog(&stage, Times::of(secs(3))).await;
    let (leader, _) = pair.leader().await;

    kubernetes.kill_api_server();
    stage.kafka.produce(&stage.topic, 600).await;
    pair.slot(leader).until_failed().await;
    pair.restart(leader);
    kubernetes.restart_api_server();
    assert_acted_once(&stage).await;
    pair.end();
}

/// The leader ends. It starts again, as the kubelet starts it, and both name the right that is
/// missing until it is given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_the_lease_nobody_scales_until_it_is_given_back() {
    let stage = Stage::new("denied").await;
    let _consumers = stage.set(6, 1).await;
    let mut pair = with_backlog(&stage, Times::of(secs(6))).await;
    let (leader, _) = pair.leader().await;

    rule(&stage, rules_without("leases")).await;
    pair.slot(leader).until_failed().await;
    stage.kafka.produce(&stage.topic, 600).await;
    pair.restart(leader);
    let namespace = &stage.space.name;
    let advice = format!("create, get and update on the Lease {namespace}/{LEASE}");
    pair.until_both_say(&advice).await;
    stage.hold(1, 15).await;

    rule(&stage, rules()).await;
    pair.until_both_stand().await;
    assert_acted_once(&stage).await;
    pair.end();
}
