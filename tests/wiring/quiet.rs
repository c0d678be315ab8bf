//! How often the controller works and writes, and that its own writes do not wake it.

use std::time::Duration;

use crate::{
    kafka::GroupView,
    scene::{INTERVAL, Scene, settle},
};
use http::Method;
use lagrange::kafka::model::snapshot::GroupState;
use rstest::rstest;
use serde_json::json;
use tokio::time::sleep;

/// ACT-1, TELL-31.
#[tokio::test(start_paused = true)]
async fn a_burst_is_one_action_that_is_recorded_scaled_confirmed_and_reported() {
    let scene = Scene::of(1);
    let operator = scene.operator().await;
    scene.polls(2, 0).await;
    let before = scene.status_writes();
    scene.polls(1, 150).await;

    assert_eq!(scene.replicas("orders"), 6, "{:#}", scene.status("orders"));
    let writes = scene.api.requests(&Method::PATCH, "");
    let after: Vec<_> = writes.iter().skip(before).collect();
    assert!(after[0].path.ends_with("/consumergroups/orders/status"));
    assert_eq!(after[0].body["status"]["memory"]["pending"]["to"], 6);
    assert_eq!(
        after[0].body["status"]["decision"]["reason"],
        "LagAboveTarget"
    );
    assert!(after[1].path.ends_with("/deployments/orders/scale"));
    assert!(after[1].body["metadata"]["resourceVersion"].is_string());
    assert!(after[2].path.ends_with("/consumergroups/orders/status"));

    let status = scene.status("orders");
    assert_eq!(status["memory"]["pending"], json!(null));
    assert_eq!(status["memory"]["last"]["confirmed"], true);
    assert_eq!(status["lastScale"]["reason"], "LagAboveTarget");
    assert_eq!(status["history"].as_array().unwrap().len(), 1);
    let events = scene.api.events();
    let scaled: Vec<_> = events
        .iter()
        .filter(|(reason, _)| reason == "ScaledUp")
        .collect();
    assert_eq!(scaled.len(), 1, "{events:?}");
    assert!(
        scaled[0].1.contains("1 -> 6") && scaled[0].1.contains("lag 900"),
        "{events:?}"
    );
    assert_eq!(
        operator.number("lagrange_consumergroup_scalings_total{direction=\"up\"}"),
        1
    );
}

/// KEEP-29.
#[rstest]
#[case::nothing_to_do(1, 0)]
#[case::at_its_limit(6, 500)]
#[tokio::test(start_paused = true)]
async fn ten_quiet_minutes_cause_no_write_and_at_most_one_reconcile_per_poll(
    #[case] replicas: i32,
    #[case] lag: i64,
) {
    let scene = Scene::of(replicas);
    let operator = scene.operator().await;
    // The lag stays the same: consumers keep up with the arrivals.
    let view = |poll: i64| GroupView {
        end: 100_000 + poll * lag + lag,
        committed: 100_000 + poll * lag,
        ..GroupView::behind(6, replicas, 0)
    };
    // Three minutes, in which the capacity of a consumer is measured.
    for poll in 0..12 {
        scene.poll(view(poll)).await;
    }
    let (writes, reconciles) = (scene.status_writes(), operator.reconciles());
    for poll in 12..52 {
        scene.poll(view(poll)).await;
    }
    assert_eq!(
        scene.status_writes() - writes,
        0,
        "{:#}",
        scene.status("orders")
    );
    assert!(scene.scales().is_empty());
    let reconciles = operator.reconciles() - reconciles;
    assert!(reconciles <= 40, "{reconciles} reconciles for 40 polls");
}

#[tokio::test(start_paused = true)]
async fn a_steady_load_causes_few_writes_although_every_poll_differs() {
    let scene = Scene::of(1);
    scene.api.edit("consumergroups", "orders", |group| {
        group["spec"]["objective"]["lagPerReplica"] = json!(1000);
    });
    let _operator = scene.operator().await;
    for poll in 0..8 {
        scene.poll(busy(poll)).await;
    }
    let writes = scene.status_writes();
    for poll in 8..48 {
        scene.poll(busy(poll)).await;
    }
    let writes = scene.status_writes() - writes;
    assert!(
        writes <= 2,
        "{writes} writes in ten minutes at a steady rate"
    );
}

/// A small lag, and 10 records a second, plus or minus the effect of the moment of reading.
fn busy(poll: i64) -> GroupView {
    let noise = [0, 1, 2, 1][usize::try_from(poll % 4).unwrap()];
    GroupView {
        end: 100_000 + poll * 150 + noise + 5,
        committed: 100_000 + poll * 150,
        ..GroupView::behind(6, 1, 0)
    }
}

/// KEEP-29.
#[tokio::test(start_paused = true)]
async fn changing_numbers_are_written_once_a_minute() {
    let scene = Scene::of(6);
    let _operator = scene.operator().await;
    scene.polls(8, 500).await;
    let writes = scene.status_writes();
    for poll in 0..40 {
        scene.poll(GroupView::behind(6, 6, 500 + poll * 100)).await;
    }
    let writes = scene.status_writes() - writes;
    assert!(
        (8..=10).contains(&writes),
        "{writes} writes in ten minutes of moving lag"
    );
}

#[tokio::test(start_paused = true)]
async fn a_flapping_condition_causes_no_event_storm() {
    let scene = Scene::of(6);
    let _operator = scene.operator().await;
    for poll in 0..80 {
        let limited = poll / 2 % 2 == 0;
        scene
            .poll(GroupView::behind(6, 6, if limited { 900 } else { 0 }))
            .await;
    }
    let reported = scene
        .api
        .events()
        .iter()
        .filter(|(reason, _)| reason == "PartitionLimitReached")
        .count();
    assert!(
        (1..=3).contains(&reported),
        "{reported} events in 20 minutes"
    );
}

#[tokio::test(start_paused = true)]
async fn without_polls_the_group_is_still_reconciled_and_reports_the_missing_data() {
    let scene = Scene::of(1);
    let operator = scene.operator().await;
    scene.polls(4, 0).await;
    assert_eq!(
        scene.condition("orders", "LagKnown"),
        "True/AllPartitionsRead"
    );
    let reconciles = operator.reconciles();
    sleep(Duration::from_mins(5)).await;
    assert_eq!(scene.condition("orders", "LagKnown"), "False/Stale");
    assert!((3..=12).contains(&(operator.reconciles() - reconciles)));
}

/// KNOW-16.
#[tokio::test(start_paused = true)]
async fn an_unreachable_kafka_is_reported_when_it_lasts_and_without_the_old_lag() {
    let scene = Scene::of(6);
    let _operator = scene.operator().await;
    scene.polls(3, 500).await;
    sleep(INTERVAL).await;
    scene.kafka.fail();
    settle().await;
    assert_eq!(
        scene.condition("orders", "LagKnown"),
        "True/AllPartitionsRead",
        "one failed poll"
    );
    for _ in 0..2 {
        sleep(INTERVAL).await;
        scene.kafka.fail();
        settle().await;
    }
    assert_eq!(scene.condition("orders", "Ready"), "False/KafkaUnreachable");
    assert_eq!(
        scene.condition("orders", "LagKnown"),
        "False/KafkaUnreachable"
    );
    assert_eq!(
        scene.status("orders")["lag"],
        json!(null),
        "an unknown lag does not keep its old value"
    );
    assert!(scene.scales().is_empty());

    scene.polls(2, 500).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    let events: Vec<_> = scene
        .api
        .events()
        .into_iter()
        .map(|(reason, _)| reason)
        .collect();
    let reported = |reason: &str| events.iter().filter(|reported| *reported == reason).count();
    assert_eq!(
        (
            reported("KafkaConnectionFailed"),
            reported("KafkaConnectionRestored")
        ),
        (1, 1),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_partition_without_a_leader_holds_at_once_and_is_reported_when_it_lasts() {
    let scene = Scene::of(6);
    let _operator = scene.operator().await;
    scene.polls(12, 0).await;
    let at_rest = scene.replicas("orders");
    let scales = scene.scales().len();
    for _ in 0..20 {
        let view = GroupView {
            leaderless: Some(3),
            ..GroupView::behind(6, at_rest, 0)
        };
        scene.poll(view).await;
    }
    assert_eq!(
        scene.scales().len(),
        scales,
        "no scale-down on a partition that is unknown"
    );
    assert_eq!(
        scene.condition("orders", "LagKnown"),
        "False/PartitionsUnreadable"
    );
    assert!(scene.message("orders", "LagKnown").contains("orders-3"));
    assert_eq!(scene.status("orders")["lag"]["unknownPartitions"], 1);
    assert_eq!(scene.status("orders")["lag"]["total"], json!(null));
}

/// TELL-30.
#[tokio::test(start_paused = true)]
async fn a_scale_down_that_waits_leaves_a_scale_up_possible() {
    let scene = Scene::of(6);
    let _operator = scene.operator().await;
    scene.polls(4, 0).await;
    let decision = scene.status("orders")["decision"].clone();
    assert_eq!(decision["reason"], "GatheringEvidence", "{decision}");
    let able = scene.condition("orders", "AbleToScale");
    assert_eq!(able, "True/ReadyForNewScale");
}

#[tokio::test(start_paused = true)]
async fn dry_run_decides_reports_and_changes_nothing() {
    let scene = Scene::of(1);
    scene.api.edit("consumergroups", "orders", |group| {
        group["spec"]["mode"] = json!("DryRun")
    });
    let _operator = scene.operator().await;
    scene.polls(20, 500).await;
    assert_eq!(scene.replicas("orders"), 1);
    assert!(scene.api.requests(&Method::PATCH, "/scale").is_empty());
    let status = scene.status("orders");
    assert_eq!(status["decision"]["action"], "ScaleUp");
    assert_eq!(status["decision"]["to"], 6);
    assert_eq!(status["memory"]["sequence"], json!(null));
    assert_eq!(scene.condition("orders", "AbleToScale"), "False/DryRun");
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    let would = scene
        .api
        .events()
        .into_iter()
        .filter(|(reason, _)| reason == "WouldScale");
    assert_eq!(would.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn members_without_a_partition_are_reported_from_the_second_poll() {
    let scene = Scene::of(3);
    scene.api.edit("consumergroups", "orders", |group| {
        group["metadata"]["annotations"] = json!({ "lagrange.dev/paused": "true" });
    });
    let _operator = scene.operator().await;
    scene.poll(GroupView::behind(2, 3, 0)).await;
    assert_ne!(scene.condition("orders", "Healthy"), "False/IdleConsumers");
    scene.poll(GroupView::behind(2, 3, 0)).await;
    assert_eq!(scene.condition("orders", "Healthy"), "False/IdleConsumers");
    assert_eq!(scene.condition("orders", "AbleToScale"), "False/Paused");
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");

    let rebalancing = GroupView {
        state: GroupState::PreparingRebalance,
        ..GroupView::behind(2, 3, 0)
    };
    scene.poll(rebalancing).await;
    assert_eq!(
        scene.condition("orders", "Healthy"),
        "False/IdleConsumers",
        "it is not known to have ended"
    );
}

#[tokio::test(start_paused = true)]
async fn an_edit_and_an_annotation_take_effect_at_once() {
    let scene = Scene::of(1);
    let _operator = scene.operator().await;
    scene.polls(3, 0).await;
    scene.api.edit("consumergroups", "orders", |group| {
        group["spec"]["minReplicas"] = json!(2)
    });
    settle().await;
    assert_eq!(scene.replicas("orders"), 2);
    assert_eq!(scene.status("orders")["observedGeneration"], 2);
    scene.api.edit("consumergroups", "orders", |group| {
        group["metadata"]["annotations"] = json!({ "lagrange.dev/paused": "yes please" });
    });
    settle().await;
    assert!(
        scene
            .message("orders", "AbleToScale")
            .contains("yes please"),
        "{:#}",
        scene.status("orders")
    );
}

#[tokio::test(start_paused = true)]
async fn added_partitions_are_reported_with_their_effect_on_keys() {
    let scene = Scene::of(6);
    let _operator = scene.operator().await;
    scene.polls(3, 500).await;
    scene.poll(GroupView::behind(12, 6, 500)).await;
    let events = scene.api.events();
    let added = events
        .iter()
        .find(|(reason, _)| reason == "PartitionsAdded")
        .unwrap();
    assert!(
        added.1.contains("12 partitions instead of 6") && added.1.contains("order per key"),
        "{added:?}"
    );
}
