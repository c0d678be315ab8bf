//! Watching replicas the whole time, and holding a history of actions to its pacing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::task::JoinHandle;

use crate::support::kubernetes::Space;

/// Every replica count that a Deployment is ever given.
pub(crate) struct Watched {
    seen: Arc<Mutex<Vec<i32>>>,
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
                if counts.last() != Some(&replicas) {
                    counts.push(replicas);
                }
            }
        });
        Self { seen, task }
    }

    /// In the order in which they were given.
    pub(crate) fn counts(&self) -> Vec<i32> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn distinct(&self) -> BTreeSet<i32> {
        self.counts().into_iter().collect()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Holds the last actions of a group to its pacing. Times in the status are whole seconds.
pub(crate) async fn assert_spaced(space: &Space, name: &str, any: Duration, down: Duration) {
    let history = space.status(name).await.history;
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
