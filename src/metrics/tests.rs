//! The exact text of `/metrics`, and the series that disappear.

use lagrange_core::api::condition::{Status, Type};

use super::*;

fn worked() -> Metrics {
    let metrics = Metrics::new();
    let group = metrics.group("shop", "fulfillment");
    group.set(GroupNumbers {
        lag: Some(12_400),
        lag_max: Some(9_000),
        partitions: Some(6),
        unknown_partitions: Some(0),
        members: Some(3),
        idle_members: Some(0),
        replicas: Some(3),
        desired: Some(6),
        limit: Some(6),
        produced: Some(1250.0),
        consumed: Some(312.5),
        capacity: Some(104.25),
        delay: Some(42.5),
    });
    group.describe(GroupInfo {
        group: "fulfillment".into(),
        topics: "order-events".into(),
        target: "Deployment/fulfillment".into(),
        cluster: "kafka/main".into(),
        mode: "Auto".into(),
    });
    group.conditions([
        (Type::Ready, Status::True),
        (Type::LagKnown, Status::Unknown),
    ]);
    metrics.scaled(Direction::Up);
    metrics.held("CoolingDown");
    metrics.settled(Duration::from_secs(12));
    metrics.kafka_error("KafkaUnreachable");
    metrics.reconcile_error("TargetNotFound");
    metrics.api_write("scale", WriteOutcome::Succeeded);
    let cluster = metrics.cluster("kafka/main");
    cluster.polled(Duration::from_millis(20));
    cluster.requested("ListOffsets", 3);
    cluster.connections(4);
    metrics
}

#[tokio::test(start_paused = true)]
async fn every_metric_has_help_and_the_documented_name() {
    let metrics = worked();
    let timer = metrics.time_reconcile();
    tokio::time::advance(Duration::from_millis(5)).await;
    drop(timer);
    let text = metrics
        .encode()
        .replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(text);
}

#[test]
fn an_unknown_number_is_absent_and_not_zero() {
    let metrics = worked();
    metrics.group("shop", "fulfillment").set(GroupNumbers {
        replicas: Some(3),
        unknown_partitions: Some(6),
        ..GroupNumbers::default()
    });
    let text = metrics.encode();
    assert!(!text.contains("consumergroup_lag{"), "{text}");
    assert!(text.contains(
        "lagrange_consumergroup_unknown_partitions{namespace=\"shop\",name=\"fulfillment\"} 6"
    ));
}

#[test]
fn a_deleted_group_removes_all_its_series_and_no_other() {
    let metrics = worked();
    metrics.group("shop", "analytics").set(GroupNumbers {
        lag: Some(1),
        ..GroupNumbers::default()
    });
    metrics.forget_group("shop", "fulfillment");
    let text = metrics.encode();
    assert!(!text.contains("fulfillment"), "{text}");
    assert!(text.contains("name=\"analytics\"} 1"), "{text}");
    assert!(
        text.contains("lagrange_consumergroup_scalings_total{direction=\"up\"} 1"),
        "{text}"
    );
}

#[test]
fn a_cluster_that_is_no_longer_read_removes_all_its_series() {
    let metrics = worked();
    metrics.forget_group("shop", "fulfillment");
    metrics.forget_cluster("kafka/main");
    assert!(!metrics.encode().contains("kafka/main"));
}

#[test]
fn a_condition_has_one_series_that_follows_the_status() {
    let metrics = worked();
    let group = metrics.group("shop", "fulfillment");
    group.conditions([(Type::Ready, Status::False)]);
    let text = metrics.encode();
    let series: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("lagrange_consumergroup_condition{"))
        .collect();
    assert_eq!(
        series,
        [
            "lagrange_consumergroup_condition{namespace=\"shop\",name=\"fulfillment\",type=\"Ready\",status=\"False\"} 1"
        ]
    );
}

#[test]
fn clones_share_the_numbers() {
    let metrics = Metrics::new();
    let clone = metrics.clone();
    clone.held("CoolingDown");
    assert_eq!(metrics.encode(), clone.encode());
    assert!(
        metrics
            .encode()
            .contains("lagrange_consumergroup_holds_total{reason=\"CoolingDown\"} 1")
    );
}

#[test]
fn label_values_cannot_break_out_of_their_quotes() {
    let metrics = Metrics::new();
    metrics.group("shop", "g").describe(GroupInfo {
        group: "a\"} 1\nevil 2".into(),
        ..GroupInfo::default()
    });
    assert!(
        !metrics
            .encode()
            .lines()
            .any(|line| line.starts_with("evil"))
    );
}
