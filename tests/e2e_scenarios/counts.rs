//! Sizes, with real consumers: shared partitions, independent groups, more consumers than
//! partitions.

use std::collections::BTreeMap;

use lagrange_testing::until::{secs, until};
use serde_json::json;

use crate::field::{Consumers, Scenario};
use crate::watched::{Watched, assert_spaced};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_partitions_are_shared_by_1_2_3_or_6_replicas_with_pacing_kept() {
    let here = Scenario::new("sharing", 6).await;
    here.consumers(Consumers::new("fulfillment", 1, "20")).await;
    let watched = Watched::deployment(&here.space, "fulfillment");
    here.sized("fulfillment", json!({})).await;
    here.field.kafka.produce(&here.topic, 700).await;
    until(secs(60), "the operator scales up", || async {
        if watched.counts().iter().any(|n| *n > 1) {
            Ok(())
        } else {
            Err(format!("{:?}", watched.counts()))
        }
    })
    .await;
    here.field.kafka.produce(&here.topic, 4000).await;
    here.space.until_replicas("fulfillment", 6, 60).await;
    // 300 records a second are read, so the backlog is gone after a quarter of a minute.
    here.space.until_replicas("fulfillment", 1, 240).await;
    assert!(
        watched.distinct().iter().all(|n| [1, 2, 3, 6].contains(n)),
        "{:?}",
        watched.counts()
    );
    assert_spaced(&watched, &here.space, "fulfillment", secs(5), secs(15)).await;
    let lag = here.space.status("fulfillment").await.lag.unwrap();
    assert_eq!((lag.total, lag.unknown_partitions), (Some(0), 0));
    here.space
        .until_condition("fulfillment", "Ready", "True/Managed")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_on_one_group_does_not_affect_other_groups_of_the_topic() {
    let here = Scenario::new("independent", 6).await;
    for (name, millis) in [
        ("fulfillment", "40"),
        ("analytics", "0.1"),
        ("recommendation", "0.1"),
    ] {
        here.consumers(Consumers::new(name, 1, millis)).await;
        here.sized(name, json!({})).await;
    }
    for name in ["fulfillment", "analytics", "recommendation"] {
        here.space
            .until_condition(name, "Ready", "True/Managed")
            .await;
    }
    let others = ["analytics", "recommendation"];
    let watched = others.map(|name| Watched::deployment(&here.space, name));
    let assignments = || others.map(|name| rebalances(&here.logs(name)));
    let members = || async {
        let mut all = BTreeMap::new();
        for name in others {
            all.insert(name, here.field.kafka.members(&here.group_id(name)).await);
        }
        all
    };
    let (assigned, joined) = (assignments(), members().await);
    assert!(assigned.iter().all(|times| *times > 0), "{assigned:?}");
    let load = here.load(60);
    until(
        secs(120),
        "the slow group scales to what the load needs",
        || async {
            let replicas = here.space.replicas("fulfillment").await;
            if replicas >= 3 {
                Ok(())
            } else {
                Err(format!(
                    "{replicas}; {:?}",
                    here.space.status("fulfillment").await
                ))
            }
        },
    )
    .await;
    drop(load);
    for (name, watched) in others.iter().zip(&watched) {
        assert_eq!(watched.counts(), [1], "{name}");
    }
    assert_eq!(members().await, joined, "members have changed");
    assert_eq!(assignments(), assigned, "a group has rebalanced");
}

/// How often the consumers were assigned partitions, from their logs.
fn rebalances(log: &str) -> usize {
    log.lines().filter(|line| line.contains("assigned")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_beyond_the_partitions_are_removed_until_partitions_are_added() {
    let here = Scenario::new("payments", 4).await;
    here.consumers(Consumers::new("payments", 20, "50")).await;
    here.sized("payments", json!({ "maxReplicas": 30, "minReplicas": 4 }))
        .await;
    let idle = until(secs(60), "sixteen idle consumers are reported", || async {
        let status = here.space.status("payments").await;
        let group = status.group.clone().unwrap_or_default();
        if group.idle_members == Some(16) {
            Ok(group.members)
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    assert_eq!(idle, Some(20));
    here.space.until_replicas("payments", 4, 120).await;
    // The action is reported after it is done, so a moment after the replicas change.
    let last = until(secs(10), "the action is reported", || async {
        let status = here.space.status("payments").await;
        status.last_scale.clone().ok_or(format!("{status:?}"))
    })
    .await;
    assert_eq!(
        (last.from, last.to, last.reason.as_str()),
        (20, 4, "PartitionLimit")
    );

    here.field.kafka.add_partitions(&here.topic, 20).await;
    until(
        secs(15),
        "the new partitions are noticed within two polls",
        || async {
            let replicas = here.space.status("payments").await.replicas.unwrap();
            if replicas.limit == Some(20) {
                Ok(())
            } else {
                Err(format!("{replicas:?}"))
            }
        },
    )
    .await;
    let note = here.space.until_event("payments", "PartitionsAdded").await;
    assert!(note.contains("order"), "{note}");
    // Consumers refresh their metadata every second here, so they own the new partitions before
    // these have records.
    here.space
        .until_condition("payments", "AbleToScale", "True/ReadyForNewScale")
        .await;
    here.field.kafka.produce(&here.topic, 8000).await;
    here.space.until_replicas("payments", 20, 120).await;
    here.space
        .until_condition("payments", "Healthy", "True/AsExpected")
        .await;
}
