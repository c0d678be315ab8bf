//! The series per ConsumerGroup. One map keeps them, so that a deleted group leaves no series
//! behind.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lagrange_core::api::condition::{Status, Type};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

/// The numbers of a group. `None` is unknown, and its series is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupNumbers {
    /// Lag in records, all partitions together.
    pub lag: Option<i64>,
    /// Largest lag of a partition, in records.
    pub lag_max: Option<i64>,
    /// Partitions that the group reads.
    pub partitions: Option<i64>,
    /// Partitions whose lag could not be read.
    pub unknown_partitions: Option<i64>,
    /// Members of the group.
    pub members: Option<i64>,
    /// Members without a partition.
    pub idle_members: Option<i64>,
    /// Replicas of the target.
    pub replicas: Option<i64>,
    /// Replicas that were decided.
    pub desired: Option<i64>,
    /// Most replicas that can be given a partition.
    pub limit: Option<i64>,
    /// Records per second written to the group's partitions.
    pub produced: Option<f64>,
    /// Records per second that the group reads.
    pub consumed: Option<f64>,
    /// Records per second that one replica can read, once measured.
    pub capacity: Option<f64>,
    /// Age in seconds of the oldest record that is not committed, under `maxDelay`.
    pub delay: Option<f64>,
}

/// Properties of a group, as labels of one series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupInfo {
    /// Kafka's group id.
    pub group: String,
    /// Topics, separated by commas; the caller bounds its length.
    pub topics: String,
    /// `Deployment/fulfillment`.
    pub target: String,
    /// The cluster, as in the metrics that carry `cluster`.
    pub cluster: String,
    /// `Auto` or `DryRun`.
    pub mode: String,
}

/// Writes the series of one group.
#[derive(Debug)]
pub struct GroupMetrics<'a> {
    groups: &'a Groups,
    key: Key,
}

impl GroupMetrics<'_> {
    /// Replaces all numbers.
    pub fn set(&self, numbers: GroupNumbers) {
        self.update(|series| series.numbers = numbers);
    }

    /// Replaces the description.
    pub fn describe(&self, info: GroupInfo) {
        self.update(|series| series.info = Some(info));
    }

    /// Replaces all conditions.
    pub fn conditions(&self, conditions: impl IntoIterator<Item = (Type, Status)>) {
        let conditions = conditions.into_iter();
        let conditions = conditions.map(|(kind, status)| (kind.as_str(), status));
        let conditions = conditions.collect();
        self.update(|series| series.conditions = conditions);
    }

    fn update(&self, change: impl FnOnce(&mut GroupSeries)) {
        change(self.groups.lock().entry(self.key.clone()).or_default());
    }
}

/// Namespace and name.
type Key = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct GroupSeries {
    numbers: GroupNumbers,
    info: Option<GroupInfo>,
    conditions: BTreeMap<&'static str, Status>,
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<BTreeMap<Key, GroupSeries>>);

impl Groups {
    pub(super) fn of(&self, namespace: &str, name: &str) -> GroupMetrics<'_> {
        GroupMetrics {
            groups: self,
            key: (namespace.into(), name.into()),
        }
    }

    pub(super) fn forget(&self, namespace: &str, name: &str) {
        self.lock().remove(&(namespace.into(), name.into()));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, GroupSeries>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name after `consumergroup_`, help text, and the field.
type Gauge<N> = (&'static str, &'static str, fn(&GroupNumbers) -> Option<N>);

const COUNTS: [Gauge<i64>; 9] = [
    (
        "lag",
        "Lag in records, all partitions together; absent while unknown.",
        |n| n.lag,
    ),
    ("lag_max", "Largest lag of a partition, in records.", |n| {
        n.lag_max
    }),
    ("partitions", "Partitions that the group reads.", |n| {
        n.partitions
    }),
    (
        "unknown_partitions",
        "Partitions whose lag could not be read.",
        |n| n.unknown_partitions,
    ),
    ("members", "Members of the group.", |n| n.members),
    ("idle_members", "Members without a partition.", |n| {
        n.idle_members
    }),
    ("replicas", "Replicas of the target.", |n| n.replicas),
    ("desired_replicas", "Replicas that were decided.", |n| {
        n.desired
    }),
    (
        "limit_replicas",
        "Most replicas that can be given a partition.",
        |n| n.limit,
    ),
];

const REALS: [Gauge<f64>; 4] = [
    (
        "produced_rate",
        "Records per second written to the group's partitions.",
        |n| n.produced,
    ),
    (
        "consumed_rate",
        "Records per second that the group reads.",
        |n| n.consumed,
    ),
    (
        "capacity_rate",
        "Records per second that one replica can read, once measured.",
        |n| n.capacity,
    ),
    (
        "delay_seconds",
        "Age of the oldest record that is not committed, under maxDelay.",
        |n| n.delay,
    ),
];

impl Collector for Groups {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let groups = self.lock();
        if groups.is_empty() {
            return Ok(());
        }
        for (name, help, value) in COUNTS {
            gauge(&mut encoder, &groups, name, help, value)?;
        }
        for (name, help, value) in REALS {
            gauge(&mut encoder, &groups, name, help, value)?;
        }
        info(&mut encoder, &groups)?;
        conditions(&mut encoder, &groups)
    }
}

fn gauge<N: prometheus_client::encoding::EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    groups: &BTreeMap<Key, GroupSeries>,
    name: &str,
    help: &str,
    value: fn(&GroupNumbers) -> Option<N>,
) -> fmt::Result {
    let name = format!("consumergroup_{name}");
    let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
    for (key, series) in groups {
        if let Some(number) = value(&series.numbers) {
            metric
                .encode_family(&labels(key, []))?
                .encode_gauge(&number)?;
        }
    }
    Ok(())
}

fn info(encoder: &mut DescriptorEncoder<'_>, groups: &BTreeMap<Key, GroupSeries>) -> fmt::Result {
    let help = "Properties of the group as labels; always 1.";
    let mut metric = encoder.encode_descriptor("consumergroup", help, None, MetricType::Info)?;
    for (key, GroupSeries { info, .. }) in groups {
        if let Some(info) = info {
            let labels = labels(
                key,
                [
                    ("group", info.group.as_str()),
                    ("topics", &info.topics),
                    ("target", &info.target),
                    ("cluster", &info.cluster),
                    ("mode", &info.mode),
                ],
            );
            metric.encode_info(&labels)?;
        }
    }
    Ok(())
}

fn conditions(
    encoder: &mut DescriptorEncoder<'_>,
    groups: &BTreeMap<Key, GroupSeries>,
) -> fmt::Result {
    let help = "Conditions of the resource: 1 for the status that each type has now.";
    let mut metric =
        encoder.encode_descriptor("consumergroup_condition", help, None, MetricType::Gauge)?;
    for (key, series) in groups {
        for (kind, status) in &series.conditions {
            let labels = labels(key, [("type", *kind), ("status", status.as_str())]);
            metric.encode_family(&labels)?.encode_gauge(&1_i64)?;
        }
    }
    Ok(())
}

fn labels<'a, const N: usize>(
    key: &'a Key,
    more: [(&'a str, &'a str); N],
) -> Vec<(&'a str, &'a str)> {
    let mut labels = vec![("namespace", &*key.0), ("name", &*key.1)];
    labels.extend(more);
    labels
}
