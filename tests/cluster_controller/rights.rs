//! A right of the operator is withdrawn while it works, and given back.

use lagrange_testing::operator::Operator;
use lagrange_testing::proxy::Proxy;
use lagrange_testing::until::{secs, throughout, until};
use serde_json::json;

use crate::account::{grant, rule, rules, rules_without};
use crate::stage::{APP, Stage};

const ACCOUNT: &str = "operator";

/// A group at its first size, and an operator with an account of its own.
async fn managed(stage: &Stage<'_>) -> Operator {
    grant(stage, &[ACCOUNT]).await;
    let access = stage.kubernetes.kubeconfig_of(&stage.space.name, ACCOUNT);
    managed_with(stage, &access).await
}

/// The same, with this kubeconfig.
async fn managed_with(stage: &Stage<'_>, access: &str) -> Operator {
    stage.group(json!({})).await;
    let name = format!("{}.kubeconfig", stage.space.name);
    let kubeconfig = stage.kubernetes.file(&name, access);
    let operator = Operator::start_as(&kubeconfig, &stage.space, &[]).await;
    let managed = "True/Managed";
    stage.space.until_condition(APP, "Ready", managed).await;
    stage.until_members(1).await;
    operator
}

/// A proxy in front of the API server.
async fn proxy(stage: &Stage<'_>) -> Proxy {
    let proxy = Proxy::bind(1).await;
    proxy.serve(&stage.kubernetes.address());
    proxy
}

async fn until_ready_page(operator: &Operator, wanted: &str) {
    until(secs(120), &format!("readiness says {wanted}"), || async {
        let said = operator.get("/readyz");
        let is_said = said.contains(wanted);
        is_said.then_some(()).ok_or(said)
    })
    .await;
}

/// The group names what it may not do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_scale_the_group_says_so_until_it_is_given_back() {
    let stage = Stage::new("rights").await;
    let _consumers = stage.set(6, 1).await;
    let _operator = managed(&stage).await;

    rule(&stage, rules_without("deployments/scale")).await;
    stage.kafka.produce(&stage.topic, 600).await;
    let refused = "False/TargetForbidden";
    stage.space.until_condition(APP, "Ready", refused).await;
    assert_eq!(stage.space.replicas(APP).await, 1);

    rule(&stage, rules()).await;
    stage.space.until_replicas(APP, 6, 90).await;
    stage.until_settled(6).await;
    assert_eq!(stage.sizes(), [6]);
}

/// What is not recorded is not done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_the_status_nothing_is_scaled_until_it_is_given_back() {
    let stage = Stage::new("status").await;
    let _consumers = stage.set(6, 1).await;
    let operator = managed(&stage).await;

    rule(&stage, rules_without("consumergroups/status")).await;
    stage.kafka.produce(&stage.topic, 600).await;
    until(secs(60), "the log names the refused write", || async {
        let log = operator.log();
        let is_named = log.contains("consumergroups/status") || log.contains("forbidden");
        is_named.then_some(()).ok_or(log)
    })
    .await;
    throughout(secs(10), "nothing is scaled", || async {
        match stage.space.replicas(APP).await {
            1 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;

    rule(&stage, rules()).await;
    stage.space.until_replicas(APP, 6, 120).await;
    stage.until_settled(6).await;
    assert_eq!(stage.sizes(), [6]);
}

/// An event is no condition of an action.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_events_the_group_is_scaled() {
    let stage = Stage::new("events").await;
    let _consumers = stage.set(6, 1).await;
    let operator = managed(&stage).await;

    rule(&stage, rules_without("events")).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.space.until_replicas(APP, 6, 60).await;
    stage.until_settled(6).await;
    assert_eq!(stage.sizes(), [6]);
    assert!(operator.log().contains("events"), "{}", operator.log());

    rule(&stage, rules()).await;
    stage.space.edit(APP, json!({ "maxReplicas": 3 })).await;
    stage.space.until_event(APP, "ScaledDown").await;
}

/// A change that cannot be seen is not overlooked: no decision on the old specification is carried
/// out. The API server checks a right when a watch begins, so the watches are cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_watch_groups_an_edited_one_is_held_until_it_is_given_back() {
    let stage = Stage::new("watch").await;
    let _consumers = stage.set(6, 1).await;
    grant(&stage, &[ACCOUNT]).await;
    let proxy = proxy(&stage).await;
    let access = stage.kubernetes.kubeconfig_of(&stage.space.name, ACCOUNT);
    let access = access.replace(&stage.kubernetes.address(), &proxy.addresses());
    let operator = managed_with(&stage, &access).await;

    rule(&stage, rules_without("consumergroups")).await;
    proxy.cut(1, true);
    let advice = "watch of ConsumerGroups (grant list and watch on ConsumerGroups)";
    until_ready_page(&operator, advice).await;
    stage.space.edit(APP, json!({ "maxReplicas": 3 })).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.hold(1, 15).await;

    rule(&stage, rules()).await;
    until_ready_page(&operator, "HTTP/1.1 200").await;
    stage.space.until_replicas(APP, 3, 90).await;
    stage.until_settled(3).await;
    assert_eq!(stage.sizes(), [3]);
}

/// The kubelet writes a new token into the file long before the old one ends. Here the old one ends
/// first: the account is deleted and created again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_refused_is_named_until_its_file_has_another() {
    let stage = Stage::new("token").await;
    let _consumers = stage.set(6, 1).await;
    grant(&stage, &[ACCOUNT]).await;
    let (kubernetes, namespace) = (stage.kubernetes, &stage.space.name);
    let write_token = || {
        let token = kubernetes.token_of(namespace, ACCOUNT);
        kubernetes.file(&format!("{namespace}.token"), &token)
    };
    let proxy = proxy(&stage).await;
    let access = kubernetes.kubeconfig_with(&json!({ "tokenFile": write_token() }));
    let access = access.replace(&kubernetes.address(), &proxy.addresses());
    let mut operator = managed_with(&stage, &access).await;

    let account = ["serviceaccount", ACCOUNT, "--namespace", namespace];
    kubernetes.kubectl(&[&["delete"], &account[..]].concat());
    grant(&stage, &[ACCOUNT]).await;
    // The API server knows a token for some seconds after its account is gone, and checks it when a
    // watch begins.
    until(secs(60), "the refused token is named", || async {
        proxy.cut(1, true);
        tokio::time::sleep(secs(2)).await;
        let said = operator.get("/readyz");
        let is_named =
            said.contains("watch of ConsumerGroups (failing for") && said.contains("401");
        is_named.then_some(()).ok_or(said)
    })
    .await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.hold(1, 10).await;

    write_token();
    until_ready_page(&operator, "HTTP/1.1 200").await;
    stage.space.until_replicas(APP, 6, 120).await;
    stage.until_settled(6).await;
    assert_eq!(stage.sizes(), [6]);
    assert_eq!(operator.ended(), None, "{}", operator.log());
}
