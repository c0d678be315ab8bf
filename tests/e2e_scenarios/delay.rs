//! The `maxDelay` objective, with real consumers: the operator scales up for a backlog and down
//! when the load falls.

use lagrange_testing::until::{secs, until};
use serde_json::json;

use crate::field::{Consumers, Scenario};
use crate::watched::{Watched, assert_spaced};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_shows_the_capacity_and_the_size_follows_the_load() {
    let here = Scenario::new("delay", 6).await;
    // One consumer does 50 records a second.
    here.consumers(Consumers::new("fulfillment", 1, "20")).await;
    let watched = Watched::deployment(&here.space, "fulfillment");
    here.sized("fulfillment", json!({ "objective": { "maxDelay": "60s" } }))
        .await;
    here.space
        .until_condition("fulfillment", "Ready", "True/Managed")
        .await;
    // More than a minute of work for six consumers, one per partition.
    here.field.kafka.produce(&here.topic, 24_000).await;
    here.space.until_replicas("fulfillment", 6, 180).await;
    let load = here.load(100);
    until(secs(180), "the backlog shows the capacity", || async {
        let status = here.space.status("fulfillment").await;
        let each = status.rate.clone().and_then(|rate| rate.per_replica);
        let milli = each.as_deref().and_then(lagrange_core::api::milli_of);
        // A record takes 20 ms and a small overhead.
        if milli.is_some_and(|milli| (35_000..=51_000).contains(&milli)) {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    // 100 records a second arrive and one consumer does about 45. The scale-down comes when it
    // saves more than the rebalance costs. Another scenario may kill the operator in between, and
    // the window starts again.
    here.space.until_replicas("fulfillment", 3, 600).await;
    // The action is reported after it is done, so a moment after the replicas change.
    until(secs(10), "the action is reported", || async {
        let last = here.space.status("fulfillment").await.last_scale;
        match last {
            Some(last) if last.to == 3 && last.reason == "DelayBelowTarget" => Ok(()),
            last => Err(format!("{last:?}")),
        }
    })
    .await;
    drop(load);
    assert!(
        watched.distinct().iter().all(|n| [1, 2, 3, 6].contains(n)),
        "{:?}",
        watched.counts()
    );
    // The autoscaler's least pacing holds, although the resource asks for less.
    assert_spaced(&watched, &here.space, "fulfillment", secs(30), secs(120)).await;
}
