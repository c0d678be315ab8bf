//! Counts what the pollers report, by cluster.

use std::time::Duration;

use super::Metrics;
use crate::kafka::connection::Identity;
use crate::kafka::model::error::Category;
use crate::kafka::observer::Observer;

impl Observer for Metrics {
    fn polled(&self, cluster: &Identity, took: Duration) {
        self.cluster(cluster.as_str()).polled(took);
    }

    fn requested(&self, cluster: &Identity, api: &str, count: u64) {
        self.cluster(cluster.as_str()).requested(api, count);
    }

    fn connected(&self, cluster: &Identity, connections: u64) {
        let open = i64::try_from(connections).unwrap_or(i64::MAX);
        self.cluster(cluster.as_str()).connections(open);
    }

    /// Ignores the cluster: failures are counted by category alone.
    fn failed(&self, _: &Identity, category: Category) {
        self.kafka_error(category.as_str());
    }

    fn forgotten(&self, cluster: &Identity) {
        self.forget_cluster(cluster.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::connection::Connection;

    #[test]
    fn poller_reports_are_counted_by_cluster_until_it_is_forgotten() {
        let metrics = Metrics::new();
        let observer: &dyn Observer = &metrics;
        let cluster = Connection::plaintext(["kafka-0:9092"]).unwrap().identity();
        observer.polled(&cluster, Duration::from_millis(5));
        observer.requested(&cluster, "ListOffsets", 2);
        observer.requested(&cluster, "ListOffsets", 3);
        observer.connected(&cluster, 4);
        observer.failed(&cluster, Category::KafkaUnreachable);

        let text = metrics.encode();
        for line in [
            "lagrange_kafka_poll_seconds_count{cluster=\"kafka-0:9092\"} 1",
            "lagrange_kafka_requests_total{cluster=\"kafka-0:9092\",api=\"ListOffsets\"} 5",
            "lagrange_kafka_connections{cluster=\"kafka-0:9092\"} 4",
            "lagrange_kafka_errors_total{category=\"KafkaUnreachable\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }

        observer.forgotten(&cluster);
        let text = metrics.encode();
        assert!(!text.contains("kafka-0:9092"), "{text}");
        assert!(text.contains("lagrange_kafka_errors_total"), "{text}");
    }
}
