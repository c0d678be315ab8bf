//! How much of the process Kafka clusters may take.

/// What one Kafka cluster, and what all of them together, may make the process hold. librdkafka starts a thread for each broker that a
/// cluster names, and holds each answer whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many brokers one cluster may have. One that names more is not read.
    pub brokers_per_cluster: usize,
    /// How many threads librdkafka may run, over all clusters. The last quarter is kept for clusters of a few brokers.
    pub threads: usize,
    /// How many bytes of answers larger than 16 KiB may be held at once, over all clusters.
    pub answer_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            brokers_per_cluster: 300,
            threads: 1_000,
            answer_bytes: 48 << 20,
        }
    }
}
