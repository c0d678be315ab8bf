//! The resources to reconcile next. Each name is queued once, however often it is woken: a user who
//! writes one object may wake all that contest it, faster than they can be reconciled, and a queue
//! of every call would grow as long as that goes on.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex},
};

use futures::{Stream, StreamExt as _, stream};
use tokio::{sync::Notify, task::yield_now};

use super::kube::name::Name;
use crate::sync::lock;

/// Wakes resources. Clones share the queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Wake {
    groups: Arc<Waiting>,
    clusters: Arc<Waiting>,
}

impl Wake {
    /// Queues these groups.
    pub(super) fn groups(&self, names: impl IntoIterator<Item = Name>) {
        self.groups.add(names);
    }

    pub(super) fn cluster(&self, name: Name) {
        self.clusters.add([name]);
    }

    /// The groups to reconcile, for the scheduler.
    pub(super) fn woken_groups(&self) -> impl Stream<Item = Name> + Send + 'static {
        Arc::clone(&self.groups).taken()
    }

    /// The clusters to reconcile, for the scheduler.
    pub(super) fn woken_clusters(&self) -> impl Stream<Item = Name> + Send + 'static {
        Arc::clone(&self.clusters).taken()
    }
}

/// Names that wait to be taken.
#[derive(Debug, Default)]
struct Waiting {
    names: Mutex<BTreeSet<Name>>,
    come: Notify,
}

impl Waiting {
    fn add(&self, names: impl IntoIterator<Item = Name>) {
        lock(&self.names).extend(names);
        self.come.notify_one();
    }

    /// All waiting names, then those added since, without end. A name that is woken repeatedly does
    /// not keep others waiting.
    fn taken(self: Arc<Self>) -> impl Stream<Item = Name> {
        let all = stream::unfold(self, |waiting| async move {
            loop {
                // The scheduler has other work, and this stream may be polled faster than the
                // scheduler finishes it.
                yield_now().await;
                let names = mem::take(&mut *lock(&waiting.names));
                if !names.is_empty() {
                    return Some((stream::iter(names), waiting));
                }
                waiting.come.notified().await;
            }
        });
        all.flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;

    use super::*;

    fn name(number: u32) -> Name {
        Name::new("shop", &format!("group-{number}"))
    }

    /// The names that are available without waiting.
    async fn drained(woken: &mut (impl Stream<Item = Name> + Unpin)) -> Vec<Name> {
        let mut names = Vec::new();
        while let Ok(Some(name)) =
            tokio::time::timeout(std::time::Duration::from_millis(1), woken.next()).await
        {
            names.push(name);
        }
        names
    }

    /// Each call was once queued separately: 88,000 entries of some 400 names.
    #[tokio::test(start_paused = true)]
    async fn who_is_woken_a_million_times_waits_once() {
        let wake = Wake::default();
        for call in 0..1_000_000 {
            wake.groups([name(call % 330)]);
            wake.cluster(name(call % 3));
        }
        assert_eq!(lock(&wake.groups.names).len(), 330);
        assert_eq!(drained(&mut pin!(wake.woken_groups())).await.len(), 330);
        assert_eq!(drained(&mut pin!(wake.woken_clusters())).await.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_woken_after_having_been_taken_is_taken_again() {
        let wake = Wake::default();
        let mut woken = pin!(wake.woken_groups());
        for _ in 0..3 {
            wake.groups([name(1), name(2)]);
            assert_eq!(drained(&mut woken).await, [name(1), name(2)]);
        }
        assert_eq!(woken.next().now_or_never(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_woken_all_the_time_keeps_no_other_waiting() {
        let wake = Wake::default();
        let mut woken = pin!(wake.woken_groups());
        wake.groups((0..10).map(name));
        let mut taken = BTreeSet::new();
        for _ in 0..10 {
            taken.extend(woken.next().await);
            wake.groups([name(0)]);
        }
        assert_eq!(taken.len(), 10, "{taken:?}");
    }

    #[tokio::test]
    async fn who_waits_for_a_name_gets_it_from_another_thread() {
        let wake = Wake::default();
        let mut woken = pin!(wake.woken_groups());
        for number in 0..1000 {
            let other = wake.clone();
            let woke = tokio::task::spawn_blocking(move || other.groups([name(number)]));
            assert_eq!(woken.next().await, Some(name(number)));
            woke.await.unwrap();
        }
    }
}
