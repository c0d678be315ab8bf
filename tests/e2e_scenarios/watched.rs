//! Watches replicas all the time, and checks the actions against their pacing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use lagrange_testing::kubernetes::Space;
use lagrange_testing::until::{secs, until};
use tokio::task::JoinHandle;

/// The watch shows changes late, some later than others.
const LATE: Duration = Duration::from_secs(2);

/// Every replica count of a Deployment, with its time.
pub(crate) struct Watched {
    seen: Arc<Mutex<Vec<(Instant, i32)>>>,
    task: JoinHandle<()>,
}

impl Watched {
    pub(crate) fn deployment(space: &Space, name: &str) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let counts = Arc::clone(&seen);
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut changes = watcher(space.deployments(), only)
            .default_backoff()
            .applied_objects()
            .boxed();
        let task = tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                let Some(replicas) = change.ok().and_then(|d| d.spec).and_then(|s| s.replicas)
                else {
                    continue;
                };
                let mut counts = counts.lock().unwrap();
                if counts.last().is_none_or(|(_, last)| *last != replicas) {
                    counts.push((Instant::now(), replicas));
                }
            }
        });
        Self { seen, task }
    }

    /// The counts in order.
    pub(crate) fn counts(&self) -> Vec<i32> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(_, replicas)| *replicas).collect()
    }

    /// The count at `began` and all later ones, with the time since `began`.
    pub(crate) fn changes_since(&self, began: Instant) -> Vec<(Duration, i32)> {
        let seen = self.seen.lock().unwrap();
        let at_first = seen.iter().rposition(|(at, _)| *at <= began).unwrap_or(0);
        let changes = seen[at_first..].iter();
        changes
            .map(|(at, replicas)| (at.saturating_duration_since(began), *replicas))
            .collect()
    }

    /// The time of the last change.
    pub(crate) fn last_change(&self) -> Instant {
        self.seen.lock().unwrap().last().unwrap().0
    }

    /// Waits until the replicas have changed this many times.
    pub(crate) async fn until_changes(&self, times: usize, within: Duration) {
        until(within, &format!("{times} changes"), || async {
            let counts = self.counts();
            if counts.len() > times {
                Ok(())
            } else {
                Err(format!("{counts:?}"))
            }
        })
        .await;
    }

    pub(crate) fn distinct(&self) -> BTreeSet<i32> {
        self.counts().into_iter().collect()
    }

    /// Checks the changes against a pacing: the least time between any two actions, and between any
    /// action and a scale-down.
    pub(crate) fn assert_spaced(&self, any: Duration, down: Duration) {
        let seen = self.seen.lock().unwrap();
        // The first entry is the size at the beginning.
        for pair in seen.get(1..).unwrap_or_default().windows(2) {
            let ((earlier, from), (later, to)) = (pair[0], pair[1]);
            let apart = later - earlier + LATE;
            let least = if to < from { down.max(any) } else { any };
            assert!(
                apart >= least,
                "{from} to {to} after only {apart:?}: {seen:?}"
            );
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Checks the actions in the resource's status against a pacing, as above, and against the watched
/// changes. Times in the status are whole seconds.
pub(crate) async fn assert_spaced(
    watched: &Watched,
    space: &Space,
    name: &str,
    any: Duration,
    down: Duration,
) {
    watched.assert_spaced(any, down);
    // An action is reported after it is done, so a moment after the replicas change.
    let history = until(
        secs(10),
        "the status reports the watched changes",
        || async {
            let history = space.status(name).await.history;
            let reported: Vec<i32> = history.iter().rev().map(|action| action.to).collect();
            let seen = watched.counts();
            let last = &seen[seen.len().saturating_sub(reported.len()).max(1)..];
            if reported == last {
                Ok(history)
            } else {
                Err(format!("{reported:?} of {seen:?}"))
            }
        },
    )
    .await;
    for pair in history.windows(2) {
        let (later, earlier) = (&pair[0], &pair[1]);
        let apart = later
            .time
            .as_ref()
            .unwrap()
            .0
            .duration_since(earlier.time.as_ref().unwrap().0);
        let apart = Duration::try_from(apart).unwrap() + Duration::from_secs(1);
        let least = if later.to < later.from {
            down.max(any)
        } else {
            any
        };
        assert!(apart >= least, "only {apart:?} apart: {history:#?}");
    }
}
