//! The troubles of an API server: it refuses, is slow or silent, ends watches and forgets versions.
//! The operator goes on without help and does nothing wrong.

use std::time::Duration;

use lagrange_testing::api_proxy::{ApiProxy, Behaviour};
use lagrange_testing::operator::Operator;
use lagrange_testing::until::{secs, until};
use rstest::rstest;
use serde_json::json;

use crate::stage::{APP, Stage};

/// How long a trouble lasts. Longer than the interval of polls, the pauses between retries, and the
/// timeout of a call.
const LASTS: Duration = Duration::from_secs(20);

/// Starts an operator behind a proxy, and waits until it manages the group at its first size.
async fn managed(stage: &Stage<'_>) -> (ApiProxy, Operator) {
    stage.group(json!({})).await;
    let proxy = ApiProxy::start(stage.kubernetes).await;
    let kubeconfig = proxy.kubeconfig(stage.kubernetes, &stage.space);
    let operator = Operator::start_as(&kubeconfig, &stage.space, &[]).await;
    let managed = "True/Managed";
    stage.space.until_condition(APP, "Ready", managed).await;
    stage.until_members(1).await;
    (proxy, operator)
}

/// Panics unless the operator has acted once, from one replica to six, and is ready.
async fn assert_acted_once(stage: &Stage<'_>, operator: &mut Operator) {
    stage.space.until_replicas(APP, 6, 90).await;
    stage.until_settled(6).await;
    assert_eq!(stage.sizes(), [6]);
    until(secs(60), "the operator is ready", || async {
        let said = operator.get("/readyz");
        let is_ready = said.starts_with("HTTP/1.1 200");
        is_ready.then_some(()).ok_or(said)
    })
    .await;
    assert_eq!(operator.ended(), None, "{}", operator.log());
}

#[rstest]
#[case::too_many_requests(Behaviour::Refuses(429))]
#[case::unavailable(Behaviour::Refuses(503))]
#[case::slow(Behaviour::IsSlow(secs(9)))]
#[case::silent(Behaviour::IsSilent)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lag_that_comes_during_a_trouble_is_answered_once(#[case] behaviour: Behaviour) {
    let stage = Stage::new("trouble").await;
    let _consumers = stage.set(6, 1).await;
    let (proxy, mut operator) = managed(&stage).await;

    proxy.behave(behaviour);
    stage.kafka.produce(&stage.topic, 600).await;
    tokio::time::sleep(LASTS).await;
    assert!(proxy.affected() > 0, "no request has met {behaviour:?}");
    let size = stage.space.replicas(APP).await;
    assert!(size == 1 || size == 6, "{size}: {:?}", stage.sizes());
    proxy.behave(Behaviour::Normal);
    assert_acted_once(&stage, &mut operator).await;
}

/// The bound needs no lag, so the action shows that the edit was seen while watches fail.
#[rstest]
#[case::short_watches(Behaviour::EndsWatches(secs(1)))]
#[case::versions_gone_at_the_start(Behaviour::RefusesVersions)]
#[case::versions_gone_in_the_stream(Behaviour::ForgetsVersions(secs(1)))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_is_seen_although_watches_fail(#[case] behaviour: Behaviour) {
    let stage = Stage::new("watches").await;
    let _consumers = stage.set(6, 1).await;
    let (proxy, mut operator) = managed(&stage).await;

    proxy.behave(behaviour);
    stage.space.edit(APP, json!({ "minReplicas": 6 })).await;
    stage.space.until_replicas(APP, 6, 60).await;
    assert!(proxy.affected() > 0, "no request has met {behaviour:?}");
    proxy.behave(Behaviour::Normal);
    assert_acted_once(&stage, &mut operator).await;
}

#[rstest]
#[case::too_many_requests(Behaviour::Refuses(429), "429")]
#[case::unavailable(Behaviour::Refuses(503), "503")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_is_refused_is_named_until_it_is_not(
    #[case] behaviour: Behaviour,
    #[case] code: &str,
) {
    let stage = Stage::new("refused").await;
    let _consumers = stage.set(6, 1).await;
    let (proxy, mut operator) = managed(&stage).await;

    proxy.behave(behaviour);
    until(secs(60), "the refused watches are named", || async {
        let said = operator.get("/readyz");
        let is_named = said.contains("watch of ConsumerGroups (") && said.contains(code);
        is_named.then_some(()).ok_or(said)
    })
    .await;
    proxy.behave(Behaviour::Normal);
    stage.kafka.produce(&stage.topic, 600).await;
    assert_acted_once(&stage, &mut operator).await;
}
