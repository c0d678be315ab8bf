//! How many partitions the process reads: what is granted to which group of which cluster. Pure
//! bookkeeping, shared by all pollers (`docs/decisions/0012`).
#![allow(
    clippy::mutable_key_type,
    reason = "a compiled pattern compares by its source"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lagrange_core::intent::topics::TopicSelection;
use tokio::time::Instant;

use crate::kafka::connection::Identity;
use crate::sync::lock;

/// A group counts as this many partitions in addition to its own, for its history and status.
pub(super) const GROUP: usize = 4;

/// This many names of topics count as one partition.
pub(super) const NAMES: usize = 32;

/// This many partitions that are assigned to members count as one partition that is read. So does
/// a member itself.
pub(super) const ASSIGNED: usize = 16;

/// A namespace may have three quarters of what the other namespaces leave.
const SHARE: (usize, usize) = (3, 4);

/// After a start, groups that had been refused wait for this time: those that were read come first.
const SETTLING: Duration = Duration::from_secs(60);

/// Whom partitions are granted to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The partitions of the topics that are selected for a group.
    Group(Arc<str>, TopicSelection),
    /// The members of a group and the partitions that are assigned to them.
    Members(Arc<str>),
    /// The names of all topics.
    Names,
}

/// There is not enough left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    /// What could still be granted.
    pub(super) left: usize,
}

/// What the process may read, and what it reads.
#[derive(Debug)]
pub(in crate::kafka) struct Quota {
    total: usize,
    began: Instant,
    granted: Mutex<Granted>,
}

#[derive(Debug, Default)]
struct Granted {
    used: usize,
    by_namespace: BTreeMap<Arc<str>, usize>,
    by_cluster: BTreeMap<Identity, BTreeMap<Subject, Grant>>,
}

#[derive(Debug)]
struct Grant {
    namespace: Arc<str>,
    units: usize,
}

impl Quota {
    pub(in crate::kafka) fn new(total: usize) -> Self {
        Self {
            total,
            began: Instant::now(),
            granted: Mutex::default(),
        }
    }

    /// Whether the groups that were read before the start have had the time to ask again.
    pub(super) fn is_settled(&self) -> bool {
        self.began.elapsed() >= SETTLING
    }

    /// What is granted to this subject.
    pub(super) fn held(&self, cluster: &Identity, subject: &Subject) -> Option<usize> {
        let granted = lock(&self.granted);
        let grant = granted.by_cluster.get(cluster)?.get(subject)?;
        Some(grant.units)
    }

    /// The subjects that have a grant.
    pub(super) fn subjects(&self, cluster: &Identity) -> BTreeSet<Subject> {
        let granted = lock(&self.granted);
        let subjects = granted.by_cluster.get(cluster);
        subjects
            .into_iter()
            .flat_map(BTreeMap::keys)
            .cloned()
            .collect()
    }

    /// Grants `units` in place of the previous grant, charged to one of these namespaces. If there
    /// is not enough left, the previous grant is lost too: the subject that asked for more last is
    /// refused, and no other.
    pub(super) fn request(
        &self,
        cluster: &Identity,
        subject: &Subject,
        namespaces: &BTreeSet<Arc<str>>,
        units: usize,
    ) -> Result<(), Full> {
        let mut granted = lock(&self.granted);
        let before = granted.take(cluster, subject);
        // The namespace that was charged stays charged.
        let of_before = before.as_ref().map(|grant| &grant.namespace);
        let payers = of_before.filter(|payer| namespaces.contains(*payer));
        let mut left = 0;
        for namespace in payers.into_iter().chain(namespaces) {
            let room = granted.room(self.total, namespace);
            if units <= room {
                granted.put(
                    cluster,
                    subject.clone(),
                    Grant {
                        namespace: Arc::clone(namespace),
                        units,
                    },
                );
                return Ok(());
            }
            left = left.max(room);
        }
        Err(Full { left })
    }

    /// Takes back what this cluster's poller no longer wants.
    pub(super) fn retain(&self, cluster: &Identity, keep: impl Fn(&Subject) -> bool) {
        let mut granted = lock(&self.granted);
        let subjects = granted.by_cluster.get(cluster);
        let gone: Vec<_> = subjects
            .into_iter()
            .flat_map(BTreeMap::keys)
            .filter(|subject| !keep(subject))
            .cloned()
            .collect();
        for subject in gone {
            granted.take(cluster, &subject);
        }
    }
}

impl Granted {
    fn room(&self, total: usize, namespace: &str) -> usize {
        let own = self.by_namespace.get(namespace).copied().unwrap_or(0);
        let of_others = self.used.saturating_sub(own);
        let (parts, whole) = SHARE;
        let share = total.saturating_sub(of_others) / whole * parts;
        share.saturating_sub(own)
    }

    fn put(&mut self, cluster: &Identity, subject: Subject, grant: Grant) {
        self.used += grant.units;
        *self
            .by_namespace
            .entry(Arc::clone(&grant.namespace))
            .or_default() += grant.units;
        let subjects = self.by_cluster.entry(cluster.clone()).or_default();
        subjects.insert(subject, grant);
    }

    fn take(&mut self, cluster: &Identity, subject: &Subject) -> Option<Grant> {
        let subjects = self.by_cluster.get_mut(cluster)?;
        let grant = subjects.remove(subject)?;
        if subjects.is_empty() {
            self.by_cluster.remove(cluster);
        }
        self.used -= grant.units;
        if let Some(units) = self.by_namespace.get_mut(&grant.namespace) {
            *units -= grant.units;
            if *units == 0 {
                self.by_namespace.remove(&grant.namespace);
            }
        }
        Some(grant)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::connection::Connection;

    fn cluster(name: &str) -> Identity {
        Connection::plaintext([name]).unwrap().identity()
    }

    fn group(id: &str) -> Subject {
        Subject::Group(id.into(), TopicSelection::OfGroup)
    }

    fn of(namespace: &str) -> BTreeSet<Arc<str>> {
        [namespace.into()].into()
    }

    #[tokio::test]
    async fn the_last_to_ask_for_more_is_refused_and_the_others_stay() {
        let quota = Quota::new(1_000);
        let (one, other) = (cluster("one"), cluster("other"));
        quota.request(&one, &group("a"), &of("shop"), 500).unwrap();
        let refused = quota.request(&other, &group("b"), &of("shop"), 251);
        assert_eq!(
            refused,
            Err(Full { left: 250 }),
            "three quarters are the limit"
        );
        quota
            .request(&other, &group("b"), &of("shop"), 250)
            .unwrap();
        let more = quota.request(&one, &group("a"), &of("shop"), 501);
        assert_eq!(more, Err(Full { left: 500 }));
        assert_eq!(quota.held(&one, &group("a")), None);
        assert_eq!(quota.held(&other, &group("b")), Some(250));
        quota.request(&one, &group("a"), &of("shop"), 500).unwrap();
    }

    #[tokio::test]
    async fn no_namespace_gets_everything() {
        let quota = Quota::new(1_000);
        let one = cluster("one");
        for number in 0..1_000 {
            let _ = quota.request(&one, &group(&format!("g{number}")), &of("greedy"), 10);
        }
        for number in 0..1_000 {
            let _ = quota.request(&one, &group(&format!("h{number}")), &of("next"), 10);
        }
        quota
            .request(&one, &group("orders"), &of("shop"), 45)
            .unwrap();
    }

    #[tokio::test]
    async fn a_shared_grant_is_charged_to_a_namespace_that_has_room() {
        let quota = Quota::new(1_000);
        let one = cluster("one");
        quota
            .request(&one, &group("x"), &of("attacker"), 700)
            .unwrap();
        let both: BTreeSet<Arc<str>> = ["attacker".into(), "shop".into()].into();
        quota.request(&one, &group("orders"), &both, 100).unwrap();
        assert_eq!(quota.held(&one, &group("orders")), Some(100));
    }

    #[tokio::test]
    async fn a_grant_that_is_no_longer_wanted_is_freed() {
        let quota = Quota::new(1_000);
        let one = cluster("one");
        quota.request(&one, &group("a"), &of("shop"), 700).unwrap();
        quota
            .request(&one, &group("b"), &of("shop"), 100)
            .unwrap_err();
        quota.retain(&one, |subject| *subject != group("a"));
        quota.request(&one, &group("b"), &of("shop"), 700).unwrap();
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_grants_and_never_beyond_the_total(
            asks in prop::collection::vec((0..4_u8, 0..6_u8, 0..3_u8, 0..600_usize), 0..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _context = runtime.enter();
            let quota = Quota::new(1_000);
            for (cluster_number, number, namespace, units) in asks {
                let (at, subject) = (cluster(&format!("c{cluster_number}")), group(&format!("g{number}")));
                let asked = quota.request(&at, &subject, &of(&format!("n{namespace}")), units);
                prop_assert_eq!(quota.held(&at, &subject), asked.is_ok().then_some(units));
                let granted = lock(&quota.granted);
                let sum: usize = granted.by_cluster.values().flatten().map(|(_, grant)| grant.units).sum();
                prop_assert_eq!(granted.used, sum);
                prop_assert_eq!(granted.by_namespace.values().sum::<usize>(), sum);
                prop_assert!(sum <= 1_000);
            }
        }
    }
}
