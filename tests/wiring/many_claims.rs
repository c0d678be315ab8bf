//! Many groups that contest one target, and another one that is created and deleted as fast as the
//! API server allows.

use serde_json::json;
use tokio::time::sleep;

use crate::scene::{INTERVAL, Scene, group, settle};

/// One group of a crowd, on a target that does not exist.
fn one_of_a_crowd(name: &str) -> serde_json::Value {
    let mut group = group(name);
    group["spec"]["scaleTargetRef"]["name"] = json!("nowhere");
    group
}

/// Regression: each claim that came or went woke all others on the same target: 1,220
/// reconciliations.
#[tokio::test(start_paused = true)]
async fn a_group_that_comes_and_goes_causes_reconciles_of_its_own_only() {
    const CROWD: usize = 60;
    const TIMES: u64 = 10;
    let scene = Scene::of(1);
    for number in 0..CROWD {
        let name = format!("crowd-{number}");
        scene.api.create("consumergroups", one_of_a_crowd(&name));
    }
    let operator = scene.operator().await;
    scene.polls(2, 0).await;
    for number in [0, CROWD - 1] {
        let name = format!("crowd-{number}");
        assert_eq!(scene.condition(&name, "Ready"), "False/TargetNotFound");
    }
    sleep(INTERVAL).await;

    let (before, began) = (operator.reconciles(), tokio::time::Instant::now());
    for _ in 0..TIMES {
        scene
            .api
            .create("consumergroups", one_of_a_crowd("restless"));
        settle().await;
        assert_eq!(scene.condition("restless", "Ready"), "False/TargetNotFound");
        scene.api.delete("consumergroups", "restless");
        settle().await;
    }
    let made = operator.reconciles() - before;
    // Every group is reconciled once a minute in any case.
    let at_rest = CROWD as u64 * (began.elapsed().as_secs() / 60 + 1);
    let most = at_rest + TIMES * 5;
    assert!(made <= most, "{made} reconciliations, {most} at most");
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
}
