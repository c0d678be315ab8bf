//! Accidents between a decision and its target: conflicts, refusals, silence, death. The next
//! action never comes too early, and no decision is executed twice.

use std::time::Duration;

use http::Method;
use lagrange::clock::Clock;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    api_server::{Fault, Seen},
    kafka::{GroupView, Kafka},
    scene::{Scene, settle},
};

/// Least time between two actions of the group in these tests.
const MIN_INTERVAL: Duration = Duration::from_secs(30);

/// Brings a scene to the point where the next poll scales from 1 to 6.
async fn about_to_scale(scene: &Scene) {
    scene.polls(4, 0).await;
    assert!(scene.scales().is_empty());
}

fn assert_spaced(scales: &[Seen]) {
    for pair in scales.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart >= MIN_INTERVAL, "{apart:?} apart: {pair:#?}");
    }
}

#[rstest]
#[case::conflict_ahead("/status", Fault::Status(409))]
#[case::unavailable_ahead("/status", Fault::Status(503))]
#[case::lost_ahead("/status", Fault::Lost)]
#[case::unanswered_ahead("/status", Fault::Unanswered)]
#[case::conflict_at_the_scale("/scale", Fault::Status(409))]
#[case::refused_at_the_scale("/scale", Fault::Status(422))]
#[case::too_many_at_the_scale("/scale", Fault::Status(429))]
#[case::broken_at_the_scale("/scale", Fault::Status(500))]
#[case::lost_at_the_scale("/scale", Fault::Lost)]
#[case::unanswered_at_the_scale("/scale", Fault::Unanswered)]
#[tokio::test(start_paused = true)]
async fn one_accident_delays_an_action_but_repeats_none(#[case] step: &str, #[case] fault: Fault) {
    let scene = Scene::of(1);
    let _operator = scene.operator().await;
    about_to_scale(&scene).await;
    scene.api.plan(Method::PATCH, step, fault, 1);
    scene.polls(40, 150).await;
    assert_eq!(scene.replicas("orders"), 6, "{:#}", scene.status("orders"));
    assert_eq!(scene.scales().len(), 1);
    if fault != Fault::Status(422) {
        // The operator cannot know that the first one was not executed.
        assert_spaced(&scene.api.requests(&Method::PATCH, "/scale"));
    }
    let status = scene.status("orders");
    assert_eq!(status["history"][0]["to"], 6, "{status:#}");
    assert_eq!(status["history"].as_array().unwrap().len(), 1);
    assert_eq!(status["memory"]["pending"], json!(null));
    let events = scene.api.events();
    let reported = events
        .iter()
        .filter(|(reason, _)| reason == "ScaledUp")
        .count();
    assert_eq!(reported, 1, "{events:?}");
}

#[rstest]
#[case::conflict(Fault::Status(409))]
#[case::lost(Fault::Lost)]
#[case::unanswered(Fault::Unanswered)]
#[tokio::test(start_paused = true)]
async fn a_failed_confirmation_is_repeated(#[case] fault: Fault) {
    let scene = Scene::of(1);
    let _operator = scene.operator().await;
    about_to_scale(&scene).await;
    // The first status write of the poll comes before the scale, the second one confirms it.
    let ahead = scene.status_writes();
    scene
        .kafka
        .poll(&[("orders", GroupView::behind(6, 1, 150))]);
    while scene.status_writes() == ahead {
        tokio::task::yield_now().await;
    }
    scene.api.plan(Method::PATCH, "/status", fault, 1);
    scene.polls(6, 150).await;
    assert_eq!(scene.scales().len(), 1);
    let status = scene.status("orders");
    assert_eq!(status["memory"]["pending"], json!(null), "{status:#}");
    assert_eq!(status["memory"]["last"]["confirmed"], true);
    assert_eq!(status["history"].as_array().unwrap().len(), 1);
}

/// ACT-1.
#[rstest]
#[case::before_anything("/status", Fault::DiesBefore)]
#[case::between_ahead_and_scale("/status", Fault::DiesAfter)]
#[case::on_the_way_to_the_scale("/scale", Fault::DiesBefore)]
#[case::between_scale_and_confirmation("/scale", Fault::DiesAfter)]
#[tokio::test(start_paused = true)]
async fn after_a_death_at_any_step_the_action_is_done_once_and_spaced(
    #[case] step: &str,
    #[case] fault: Fault,
    #[values(-3600, 0, 3600)] skew: i64,
) {
    let scene = Scene::of(1);
    let operator = scene.operator().await;
    about_to_scale(&scene).await;
    scene.api.plan(Method::PATCH, step, fault, 1);
    scene.poll(GroupView::behind(6, 1, 150)).await;
    let began = tokio::time::Instant::now();
    scene.api.kill(operator.client);
    let ahead = !scene.status("orders")["memory"]["pending"].is_null();

    let other =
        Clock::starting_at(scene.kafka.clock().now() + jiff::SignedDuration::from_secs(skew));
    let _next = scene.operator_with(other, |_| {}).await;
    scene.polls(40, 150).await;
    assert_eq!(scene.replicas("orders"), 6, "{:#}", scene.status("orders"));
    let scales = scene.scales();
    assert_eq!(scales.len(), 1);
    // With clocks an hour apart, an action may look old or come from the future. The next one must
    // not follow at once all the same, unless the action looks an hour old.
    if ahead && scales[0].client != operator.client && skew <= 0 {
        let apart = scales[0].at - began;
        assert!(
            apart >= MIN_INTERVAL.checked_sub(Duration::from_secs(1)).unwrap(),
            "{apart:?} after one that may have been executed"
        );
    }
    let history = scene.status("orders")["history"].clone();
    assert_eq!(history.as_array().unwrap().len(), 1, "{history:#}");
}

#[tokio::test(start_paused = true)]
async fn two_operators_at_once_never_scale_twice_for_one_decision() {
    let scene = Scene::of(1);
    let _one = scene.operator().await;
    let _two = scene.operator().await;
    scene.polls(4, 0).await;
    // Lag that comes and goes for an hour: up, down, up.
    for round in 0..12 {
        let lag = if round % 2 == 0 { 150 } else { 0 };
        scene.polls(20, lag).await;
    }
    let scales = scene.scales();
    assert!(scales.len() >= 4, "{scales:#?}");
    assert_spaced(&scales);
    let ahead: Vec<Value> = scene
        .api
        .requests(&Method::PATCH, "/status")
        .into_iter()
        .filter(|seen| seen.status == 200 && !seen.body["status"]["memory"]["pending"].is_null())
        .map(|seen| seen.body["status"]["memory"]["sequence"].clone())
        .collect();
    let events = scene.api.events();
    assert!(
        !events
            .iter()
            .any(|(reason, _)| reason == "ScaledExternally"),
        "each recognises the other's actions: {events:?}"
    );
    let mut once = ahead.clone();
    once.dedup();
    assert_eq!(
        ahead, once,
        "each action was started by only one of the two"
    );
}

#[tokio::test(start_paused = true)]
async fn a_manual_scale_between_decision_and_action_wins() {
    let scene = Scene::of(1);
    let _operator = scene.operator().await;
    about_to_scale(&scene).await;
    // The watch of Deployments reports it late.
    scene.api.refuse_watches("deployments", true);
    settle().await;
    scene.api.edit("deployments", "orders", |deployment| {
        deployment["spec"]["replicas"] = json!(3)
    });
    scene.poll(GroupView::behind(6, 1, 150)).await;
    assert_eq!(scene.replicas("orders"), 3);
    assert!(scene.scales().is_empty());
}

#[tokio::test(start_paused = true)]
async fn manually_changed_replicas_are_adopted_with_the_name_of_the_manager() {
    let scene = Scene::of(2);
    let _operator = scene.operator().await;
    scene.polls(4, 30).await;
    scene.api.edit("deployments", "orders", |deployment| {
        deployment["spec"]["replicas"] = json!(4);
        deployment["metadata"]["managedFields"] = json!([
            { "manager": "helm", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-11-24T10:00:00Z",
              "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:replicas": {} } } },
            { "manager": "kubectl", "operation": "Update", "apiVersion": "apps/v1", "time": "2026-11-24T12:00:00Z",
              "subresource": "scale", "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:replicas": {} } } },
        ]);
        crate::api_server::follow(deployment);
    });
    settle().await;
    let events = scene.api.events();
    let reported = events
        .iter()
        .find(|(reason, _)| reason == "ScaledExternally")
        .unwrap();
    assert!(
        reported.1.contains("from 2 to 4 by kubectl;"),
        "{reported:?}"
    );
    assert_eq!(scene.status("orders")["memory"]["last"]["external"], true);
    assert_eq!(scene.replicas("orders"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_refused_scale_is_reported_and_not_repeated_for_a_while() {
    let scene = Scene::of(1);
    let _operator = scene.operator().await;
    about_to_scale(&scene).await;
    scene
        .api
        .plan(Method::PATCH, "/scale", Fault::Status(403), u32::MAX);
    scene.polls(18, 150).await;
    let tries = scene.api.requests(&Method::PATCH, "/scale").len();
    assert_eq!(tries, 1, "in four and a half minutes");
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetForbidden");
    assert_eq!(
        scene.status("orders")["lag"]["total"],
        900,
        "what is known is reported"
    );
    assert!(
        scene.status("orders")["history"].is_null(),
        "nothing was done"
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_hangs_for_one_group_delays_no_other() {
    let scene = Scene::of(1);
    scene
        .api
        .create("deployments", crate::scene::deployment("slow", 1));
    scene
        .api
        .create("consumergroups", crate::scene::group("slow"));
    let _operator = scene.operator().await;
    let views = |lag| {
        [
            ("orders", GroupView::behind(6, 1, lag)),
            ("slow", GroupView::behind(6, 1, lag)),
        ]
    };
    for _ in 0..4 {
        scene.poll_groups(&views(0)).await;
    }
    scene.api.plan(
        Method::GET,
        "/deployments/slow/scale",
        Fault::Lost,
        u32::MAX,
    );
    scene.poll_groups(&views(150)).await;
    assert_eq!((scene.replicas("orders"), scene.replicas("slow")), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_keeps_failing_with_gone_is_started_again() {
    let scene = Scene::of(1);
    let _operator = scene.operator().await;
    scene.polls(2, 0).await;
    scene.api.refuse_watches("consumergroups", true);
    sleep(Duration::from_secs(30)).await;
    // The watch does not report this one, and its resource version stays too old.
    scene
        .api
        .create("deployments", crate::scene::deployment("late", 1));
    scene
        .api
        .create("consumergroups", crate::scene::group("late"));
    let lists = scene.api.lists("consumergroups");
    sleep(Duration::from_mins(2)).await;
    assert_ne!(scene.status("late"), json!(null), "found by listing again");
    let lists = scene.api.lists("consumergroups") - lists;
    assert!((1..12).contains(&lists), "{lists} lists in two minutes");
}

#[tokio::test(start_paused = true)]
async fn the_process_shuts_down_in_order_and_quickly() {
    let scene = Scene::of(1);
    let operator = scene.operator().await;
    scene.polls(2, 0).await;
    let began = tokio::time::Instant::now();
    let signal = futures::stream::iter([lagrange::process::shutdown::Signal::Terminate]);
    let signals = futures::StreamExt::chain(signal, futures::stream::pending());
    let ended = operator
        .supervisor
        .run(signals, Duration::from_secs(5), std::future::ready(()))
        .await;
    assert!(
        matches!(ended, lagrange::process::shutdown::Ended::Orderly),
        "{ended:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(1));
}

/// KEEP-28.
#[tokio::test(start_paused = true)]
async fn a_deleted_group_leaves_nothing_and_a_new_one_inherits_the_last_action() {
    let scene = Scene::of(1);
    let operator = scene.operator().await;
    about_to_scale(&scene).await;
    scene.api.edit("consumergroups", "orders", |group| {
        group["spec"]["maxReplicas"] = json!(3);
    });
    scene.polls(1, 150).await;
    assert_eq!(scene.replicas("orders"), 3);
    let scaled = tokio::time::Instant::now();
    assert!(operator.metrics.encode().contains("name=\"orders\""));

    scene.api.delete("consumergroups", "orders");
    settle().await;
    assert!(!operator.metrics.encode().contains("name=\"orders\""));
    assert_eq!(Kafka::watches(&scene.kafka), 0);

    let mut group = crate::scene::group("orders");
    group["spec"]["minReplicas"] = json!(4);
    group["spec"]["pacing"]["minInterval"] = json!("5m");
    scene.api.create("consumergroups", group);
    scene.polls(30, 0).await;
    let scales = scene.scales();
    assert_eq!((scales.len(), scene.replicas("orders")), (2, 6));
    let apart = scales[1].at - scaled;
    assert!(
        apart >= Duration::from_mins(5) - Duration::from_secs(1),
        "{apart:?}"
    );
}
