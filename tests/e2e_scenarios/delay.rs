//! The time objective, with real consumers: the delay is met, and given back when the load falls.

use serde_json::json;

use crate::field::{Consumers, Scenario};
use crate::support::until::{secs, until};
use crate::watched::{Watched, assert_spaced};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_grows_until_no_record_waits_too_long_and_shrinks_when_that_has_paid() {
    let here = Scenario::new("delay", 6).await;
    // 50 records a second each.
    here.consumers(Consumers::new("fulfillment", 1, "20")).await;
    let watched = Watched::deployment(&here.space, "fulfillment");
    here.sized("fulfillment", json!({ "objective": { "maxDelay": "30s" } }))
        .await;
    let load = here.load(120);
    here.space.until_replicas("fulfillment", 3, 120).await;
    until(
        secs(180),
        "the delay is met and the capacity known",
        || async {
            let status = here.space.status("fulfillment").await;
            let delay = status.lag.clone().and_then(|lag| lag.delay);
            let is_met = delay.as_deref().is_some_and(|delay| {
                delay
                    .trim_end_matches('s')
                    .parse::<i64>()
                    .is_ok_and(|d| d <= 30)
            });
            let each = status.rate.clone().and_then(|rate| rate.per_replica);
            let milli = each.as_deref().and_then(lagrange::api::milli_of);
            if is_met && milli.is_some_and(|milli| (30_000..=55_000).contains(&milli)) {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        },
    )
    .await;
    drop(load);
    // Nothing arrives any more: what one replica less saves pays for two rebalances within minutes.
    here.space.until_replicas("fulfillment", 1, 420).await;
    assert!(
        watched.distinct().iter().all(|n| [1, 2, 3, 6].contains(n)),
        "{:?}",
        watched.counts()
    );
    assert_spaced(&watched, &here.space, "fulfillment", secs(5), secs(15)).await;
}
