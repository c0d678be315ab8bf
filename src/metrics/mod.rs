//! All metrics for Prometheus, behind typed methods. Makes no decision.
//!
//! Labels are bounded: gauges of a group have its `namespace` and `name` and disappear with it;
//! failures are counted by category and never have a name. An unknown number is absent, never 0.

mod cluster;
mod group;
mod kafka;

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use tokio::time::Instant;

use crate::process::http::Numbers;

pub use cluster::ClusterMetrics;
pub use group::{GroupInfo, GroupMetrics, GroupNumbers};

/// Handle on all metrics of the process. Cheap to clone; clones share the numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    series: Arc<Series>,
}

#[derive(Debug)]
struct Series {
    registry: Registry,
    groups: Arc<group::Groups>,
    clusters: Arc<cluster::Clusters>,
    scalings: Family<ByDirection, Counter>,
    holds: Family<ByReason, Counter>,
    settle: Histogram,
    kafka_errors: Family<ByCategory, Counter>,
    reconcile: Histogram,
    reconcile_errors: Family<ByCategory, Counter>,
    api_writes: Family<ByWrite, Counter>,
    unreadable_objects: Family<ByKind, Gauge>,
    leader: Gauge,
}

impl Metrics {
    /// Metrics with `build_info` as the only series.
    pub fn new() -> Self {
        let mut series = Series {
            registry: Registry::with_prefix("lagrange"),
            groups: Arc::default(),
            clusters: Arc::default(),
            scalings: Family::default(),
            holds: Family::default(),
            settle: Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 600.0]),
            kafka_errors: Family::default(),
            reconcile: Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
            reconcile_errors: Family::default(),
            api_writes: Family::default(),
            unreadable_objects: Family::default(),
            leader: Gauge::default(),
        };
        series.register();
        Self {
            series: Arc::new(series),
        }
    }

    /// All metrics in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        self.encode_within(0)
    }

    /// The gauges of one ConsumerGroup.
    pub fn group(&self, namespace: &str, name: &str) -> GroupMetrics<'_> {
        self.series.groups.of(namespace, name)
    }

    /// Removes every series of a deleted ConsumerGroup.
    pub fn forget_group(&self, namespace: &str, name: &str) {
        self.series.groups.forget(namespace, name);
    }

    /// The series of one Kafka cluster. `cluster` is the label, such as `kafka/main`, and has to
    /// come from a bounded set.
    pub fn cluster(&self, cluster: &str) -> ClusterMetrics<'_> {
        self.series.clusters.of(cluster)
    }

    /// Removes every series of a cluster that is no longer read.
    pub fn forget_cluster(&self, cluster: &str) {
        self.series.clusters.forget(cluster);
    }

    /// Counts a change of a target's replicas.
    pub fn scaled(&self, direction: Direction) {
        self.series
            .scalings
            .get_or_create(&ByDirection { direction })
            .inc();
    }

    /// Counts the start of a hold; `reason` is that of the decision.
    pub fn held(&self, reason: &'static str) {
        self.series.holds.get_or_create(&ByReason { reason }).inc();
    }

    /// Records the time from the write of an action until it settled.
    pub fn settled(&self, after: Duration) {
        self.series.settle.observe(after.as_secs_f64());
    }

    /// Counts a failure to read Kafka.
    pub fn kafka_error(&self, category: &'static str) {
        self.series
            .kafka_errors
            .get_or_create(&ByCategory { category })
            .inc();
    }

    /// Measures a reconciliation until the timer is dropped.
    pub fn time_reconcile(&self) -> Timer {
        Timer {
            histogram: self.series.reconcile.clone(),
            started: Instant::now(),
        }
    }

    /// Counts a failed reconciliation.
    pub fn reconcile_error(&self, category: &'static str) {
        self.series
            .reconcile_errors
            .get_or_create(&ByCategory { category })
            .inc();
    }

    /// Changes the number of unreadable objects of a kind by `more`, which may be negative.
    pub fn unreadable_objects(&self, kind: &'static str, more: i64) {
        self.series
            .unreadable_objects
            .get_or_create(&ByKind { kind })
            .inc_by(more);
    }

    /// Sets whether this process is the one that works.
    pub fn leads(&self, leads: bool) {
        self.series.leader.set(i64::from(leads));
    }

    /// Counts a write to Kubernetes. `kind` is `status`, `scale`, `event` or `lease`.
    pub fn api_write(&self, kind: &'static str, outcome: WriteOutcome) {
        self.series
            .api_writes
            .get_or_create(&ByWrite { kind, outcome })
            .inc();
    }
}

impl Numbers for Metrics {
    /// Allocates `capacity` at once: a string that grows is copied, and both copies are in memory
    /// for a moment.
    fn encode_within(&self, capacity: usize) -> String {
        let mut text = String::with_capacity(capacity);
        // Writing to a string cannot fail, and neither do the collectors.
        let _ = text::encode(&mut text, &self.series.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Series {
    /// Registers everything that is not kept per group or per cluster.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "build",
            "The running version; always 1",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "leader",
            "1 while this process reads Kafka and scales, 0 while it stands by",
            self.leader.clone(),
        );
        registry.register_collector(Box::new(self.groups.clone()));
        registry.register_collector(Box::new(self.clusters.clone()));

        let group = registry.sub_registry_with_prefix("consumergroup");
        group.register(
            "scalings",
            "Changes of replicas written to a target, by direction",
            self.scalings.clone(),
        );
        group.register(
            "holds",
            "Starts of a hold of a group, by reason",
            self.holds.clone(),
        );
        group.register_with_unit(
            "settle",
            "Time from a change of replicas until ready replicas, members and group state settled",
            Unit::Seconds,
            self.settle.clone(),
        );

        let registry = &mut self.registry;
        registry.sub_registry_with_prefix("kafka").register(
            "errors",
            "Failures to read Kafka, by category; a partition or group that cannot be read counts as one",
            self.kafka_errors.clone(),
        );
        registry.register_with_unit(
            "reconcile",
            "Duration of a reconciliation of a resource",
            Unit::Seconds,
            self.reconcile.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Reconciliations that failed, by category",
            self.reconcile_errors.clone(),
        );
        registry.register(
            "api_writes",
            "Writes to the Kubernetes API, by kind of write and outcome",
            self.api_writes.clone(),
        );
        registry.register(
            "unreadable_objects",
            "Kubernetes objects that exist and cannot be read, by kind; the log names each once",
            self.unreadable_objects.clone(),
        );
    }
}

/// Records the time from its creation until it is dropped.
#[derive(Debug)]
#[must_use = "measures until it is dropped"]
pub struct Timer {
    histogram: Histogram,
    started: Instant,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.histogram.observe(self.started.elapsed().as_secs_f64());
    }
}

/// Direction of a change of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To more replicas.
    Up,
    /// To fewer.
    Down,
}

/// Outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteOutcome {
    /// The API server accepted it.
    Succeeded,
    /// The object had changed since it was read (409).
    Conflict,
    /// The write was refused for another reason, or the connection broke.
    Failed,
    /// No response in time: the write may have been accepted or not.
    TimedOut,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDirection {
    direction: Direction,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCategory {
    category: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByWrite {
    kind: &'static str,
    outcome: WriteOutcome,
}

impl EncodeLabelValue for Direction {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> fmt::Result {
        let word = match self {
            Self::Up => "up",
            Self::Down => "down",
        };
        word.encode(encoder)
    }
}

impl EncodeLabelValue for WriteOutcome {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> fmt::Result {
        let word = match self {
            Self::Succeeded => "succeeded",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        };
        word.encode(encoder)
    }
}

#[cfg(test)]
mod tests;
