//! How much of the process Kafka clusters may use.

/// The largest answer that is read, in bytes. The largest that is asked for is the list of all
/// topics. It describes each partition in 18 bytes plus 8 for each replica, which makes 240,000
/// partitions of three replicas. A `topicPattern` asks for it, and so does the first request to
/// every cluster: `rd_kafka_metadata` for a client without topics sends an empty list of them,
/// which the protocol reads as all (librdkafka 2.12, `rd_kafka_MetadataRequest0`, `total_topic_cnt
/// == 0`). So a cluster with more cannot be read, with or without a pattern.
pub(super) const LARGEST_ANSWER: u32 = 10 << 20;

/// What one Kafka cluster, and all of them together, may make the process hold. librdkafka starts a
/// thread for each broker of a cluster, and keeps each answer whole in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Brokers that one cluster may have. A cluster with more is not read.
    pub brokers_per_cluster: usize,
    /// Threads that librdkafka may run for all clusters. The last quarter is reserved for clusters
    /// with few brokers.
    pub threads: usize,
    /// Bytes that all answers larger than 16 KiB may use at once, over all clusters, including the
    /// values made from them: five times their size for lists of all topics, more for others. The
    /// last quarter is reserved for answers of up to 1 MiB. With less than 70 MiB the largest list
    /// of topics is never received.
    pub answer_bytes: usize,
}

impl Bounds {
    /// The part of it that answers of more than 1 MiB may use.
    pub(super) fn for_large(&self) -> usize {
        self.answer_bytes - self.answer_bytes / 4
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            brokers_per_cluster: 300,
            threads: 1_000,
            answer_bytes: 72 << 20,
        }
    }
}
