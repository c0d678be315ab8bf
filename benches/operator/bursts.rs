//! Reaction time to a burst: from the acknowledgement of its last record to the write of `/scale`.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::{WatchStreamExt as _, watcher};
use lagrange_testing::kubernetes::Space;
use tokio::sync::mpsc;

use crate::scene::{PARTITIONS, Scene};

/// Timeout of a burst.
const PATIENCE: Duration = Duration::from_secs(60);
/// Not a divisor of the poll interval, so that bursts fall anywhere between two polls.
const GAP: Duration = Duration::from_millis(3_700);

/// Sends one burst to each of these groups. A second burst to a group would wait for the pacing of
/// the first.
pub(crate) async fn measure(scene: &Scene<'_>, names: &[String]) {
    let mut scaled = scaled(&scene.space);
    let mut times = Vec::new();
    let mut burst = Vec::new();
    for name in names {
        scene.kafka.produce(name, 1_200).await;
        burst.push((name.clone(), Instant::now()));
        tokio::time::sleep(GAP).await;
    }
    while times.len() < burst.len() {
        let next = tokio::time::timeout(PATIENCE, scaled.recv()).await;
        let Ok(Some((name, at, replicas))) = next else {
            break;
        };
        if let Some((_, sent)) = burst.iter().find(|(burst, _)| *burst == name) {
            times.push(at.saturating_duration_since(*sent));
            assert_eq!(replicas, PARTITIONS, "{name} is scaled in one action");
        }
    }
    times.sort();
    let Some(worst) = times.last() else {
        println!("  no burst led to a scale");
        return;
    };
    println!(
        "  from a burst to the scale       {:8.1} s median, {:.1} s worst, {} of {} bursts",
        times[times.len() / 2].as_secs_f64(),
        worst.as_secs_f64(),
        times.len(),
        burst.len()
    );
}

/// Each Deployment with more than one replica, once, with the time at which that was observed.
fn scaled(space: &Space) -> mpsc::UnboundedReceiver<(String, Instant, i32)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let deployments = space.deployments();
    tokio::spawn(async move {
        let mut known = std::collections::HashSet::new();
        let mut changes = watcher(deployments, watcher::Config::default())
            .default_backoff()
            .applied_objects()
            .boxed();
        while let Some(change) = changes.next().await {
            let Ok(Deployment { metadata, spec, .. }) = change else {
                continue;
            };
            let (name, replicas) = (
                metadata.name.unwrap(),
                spec.and_then(|s| s.replicas).unwrap_or(1),
            );
            if replicas > 1
                && known.insert(name.clone())
                && sender.send((name, Instant::now(), replicas)).is_err()
            {
                return;
            }
        }
    });
    receiver
}
