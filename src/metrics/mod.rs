//! Every number that Prometheus may read, behind typed methods. Records what others decided;
//! decides nothing.
//!
//! Labels are bounded: gauges of a group carry its `namespace` and `name` and go with it; failures
//! are counted by category and never carry a name; what is not known is absent, never 0.

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

/// Handle on all metrics of the process. Cheap to clone; all clones are the same numbers.
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
}

impl Metrics {
    /// All series empty, but `build_info`.
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
        };
        series.register();
        Self {
            series: Arc::new(series),
        }
    }

    /// All of it in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        self.encode_within(0)
    }

    /// The gauges of one ConsumerGroup.
    pub fn group(&self, namespace: &str, name: &str) -> GroupMetrics<'_> {
        self.series.groups.of(namespace, name)
    }

    /// Takes every series of a deleted ConsumerGroup away.
    pub fn forget_group(&self, namespace: &str, name: &str) {
        self.series.groups.forget(namespace, name);
    }

    /// The numbers of one Kafka cluster; `cluster` is the label, such as `kafka/main`, and has to
    /// come from a bounded set.
    pub fn cluster(&self, cluster: &str) -> ClusterMetrics<'_> {
        self.series.clusters.of(cluster)
    }

    /// Takes every series of a cluster away that nobody reads any more.
    pub fn forget_cluster(&self, cluster: &str) {
        self.series.clusters.forget(cluster);
    }

    /// A target was scaled.
    pub fn scaled(&self, direction: Direction) {
        self.series
            .scalings
            .get_or_create(&ByDirection { direction })
            .inc();
    }

    /// A group began to hold for `reason`, one of the decision's.
    pub fn held(&self, reason: &'static str) {
        self.series.holds.get_or_create(&ByReason { reason }).inc();
    }

    /// A scaling settled this long after it was written.
    pub fn settled(&self, after: Duration) {
        self.series.settle.observe(after.as_secs_f64());
    }

    /// Kafka was asked and something went wrong.
    pub fn kafka_error(&self, category: &'static str) {
        self.series
            .kafka_errors
            .get_or_create(&ByCategory { category })
            .inc();
    }

    /// Times one reconciliation until dropped.
    pub fn time_reconcile(&self) -> Timer {
        Timer {
            histogram: self.series.reconcile.clone(),
            started: Instant::now(),
        }
    }

    /// A reconciliation failed.
    pub fn reconcile_error(&self, category: &'static str) {
        self.series
            .reconcile_errors
            .get_or_create(&ByCategory { category })
            .inc();
    }

    /// So many more objects of a kind cannot be read, or fewer.
    pub fn unreadable_objects(&self, kind: &'static str, more: i64) {
        self.series
            .unreadable_objects
            .get_or_create(&ByKind { kind })
            .inc_by(more);
    }

    /// Something was written to Kubernetes. `kind` is what: `status`, `scale`, `event`.
    pub fn api_write(&self, kind: &'static str, outcome: WriteOutcome) {
        self.series
            .api_writes
            .get_or_create(&ByWrite { kind, outcome })
            .inc();
    }
}

impl Numbers for Metrics {
    /// A text that grows is copied, and there twice meanwhile: so its memory is taken at once.
    fn encode_within(&self, capacity: usize) -> String {
        let mut text = String::with_capacity(capacity);
        // Writing to a string cannot fail, and neither can our collectors.
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
    /// Names, units and help texts of everything that is not kept per group or per cluster.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "build",
            "The running version; always 1",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
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
            "Times that a group began to hold, by reason",
            self.holds.clone(),
        );
        group.register_with_unit(
            "settle",
            "Time from a change of replicas until ready replicas, members and group state had settled",
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
            "Time that one reconciliation of a resource took",
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
            "Kubernetes objects that are there and cannot be read, by kind; the log names each once",
            self.unreadable_objects.clone(),
        );
    }
}

/// Observes the time from its making to its end, however that comes.
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

/// Which way a target was scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To more replicas.
    Up,
    /// To fewer.
    Down,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteOutcome {
    /// The API server took it.
    Succeeded,
    /// Somebody else had written first (409).
    Conflict,
    /// Refused for another reason, or the connection broke.
    Failed,
    /// No answer in time: it may have been taken or not.
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
