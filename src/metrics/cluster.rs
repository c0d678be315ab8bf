//! The series per Kafka cluster. One map keeps them, so that a cluster that is no longer read
//! leaves no series behind.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, histogram::Histogram},
    registry::Unit,
};

/// Writes the series of one cluster.
#[derive(Debug)]
pub struct ClusterMetrics<'a> {
    clusters: &'a Clusters,
    cluster: Arc<str>,
}

impl ClusterMetrics<'_> {
    /// Records the duration of a poll of the cluster, whether it succeeded or not.
    pub fn polled(&self, took: Duration) {
        self.update(|series| series.polls.observe(took.as_secs_f64()));
    }

    /// Counts `count` requests; `api` is Kafka's name, such as `ListOffsets`.
    pub fn requested(&self, api: &str, count: u64) {
        self.update(|series| match series.requests.get_mut(api) {
            Some(requests) => *requests = requests.saturating_add(count),
            None => {
                series.requests.insert(api.to_owned(), count);
            }
        });
    }

    /// Sets the number of open broker connections.
    pub fn connections(&self, open: i64) {
        self.update(|series| series.connections = Some(open));
    }

    fn update(&self, change: impl FnOnce(&mut ClusterSeries)) {
        change(
            self.clusters
                .lock()
                .entry(self.cluster.clone())
                .or_default(),
        );
    }
}

#[derive(Debug)]
struct ClusterSeries {
    polls: Histogram,
    requests: BTreeMap<String, u64>,
    connections: Option<i64>,
}

impl Default for ClusterSeries {
    fn default() -> Self {
        Self {
            polls: Histogram::new([0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]),
            requests: BTreeMap::new(),
            connections: None,
        }
    }
}

/// All clusters.
#[derive(Debug, Default)]
pub(super) struct Clusters(Mutex<BTreeMap<Arc<str>, ClusterSeries>>);

impl Clusters {
    pub(super) fn of(&self, cluster: &str) -> ClusterMetrics<'_> {
        ClusterMetrics {
            clusters: self,
            cluster: cluster.into(),
        }
    }

    pub(super) fn forget(&self, cluster: &str) {
        self.lock().remove(cluster);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, ClusterSeries>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Clusters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let clusters = self.lock();
        if clusters.is_empty() {
            return Ok(());
        }
        let help = "Duration of a poll of a cluster.";
        let mut metric = encoder.encode_descriptor(
            "kafka_poll",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (cluster, series) in &*clusters {
            series
                .polls
                .encode(metric.encode_family(&[("cluster", &**cluster)])?)?;
        }

        let help = "Requests sent to a cluster, by API.";
        let mut metric =
            encoder.encode_descriptor("kafka_requests", help, None, MetricType::Counter)?;
        for (cluster, series) in &*clusters {
            for (api, count) in &series.requests {
                let labels = [("cluster", &**cluster), ("api", api.as_str())];
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }

        let help = "Open connections to a cluster's brokers.";
        let mut metric =
            encoder.encode_descriptor("kafka_connections", help, None, MetricType::Gauge)?;
        for (cluster, series) in &*clusters {
            if let Some(open) = series.connections {
                metric
                    .encode_family(&[("cluster", &**cluster)])?
                    .encode_gauge(&open)?;
            }
        }
        Ok(())
    }
}
