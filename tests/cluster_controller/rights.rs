//! A right of the operator is withdrawn while it works, and given back.

use lagrange_testing::operator::Operator;
use lagrange_testing::until::{secs, throughout, until};
use serde_json::{Value, json};

use crate::account::{grant, rule, rules};
use crate::stage::{APP, Stage};

const ACCOUNT: &str = "operator";

/// The rules without those for a resource.
fn rules_without(resource: &str) -> Value {
    let mut rules = rules();
    let has_it = |rule: &Value| {
        let mut resources = rule["resources"].as_array().unwrap().iter();
        resources.any(|one| *one == resource)
    };
    rules.as_array_mut().unwrap().retain(|rule| !has_it(rule));
    rules
}

/// A group at its first size, and an operator with an account of its own.
async fn managed(stage: &Stage<'_>) -> Operator {
    grant(stage, &[ACCOUNT]).await;
    stage.group(json!({})).await;
    let access = stage.kubernetes.kubeconfig_of(&stage.space.name, ACCOUNT);
    let name = format!("{}.kubeconfig", stage.space.name);
    let kubeconfig = stage.kubernetes.file(&name, &access);
    let operator = Operator::start_as(&kubeconfig, &stage.space, &[]).await;
    let managed = "True/Managed";
    stage.space.until_condition(APP, "Ready", managed).await;
    stage.until_members(1).await;
    operator
}

/// The group names what it may not do. A changed spec is tried at once.
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
    stage.space.edit(APP, json!({ "maxReplicas": 6 })).await;
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
