//! How much of the process Kafka clusters may take.

/// The largest answer that is read, in bytes. The largest that is asked for is the list of all
/// topics: it describes each partition, by 18 bytes and 8 for each replica: 240,000 partitions of
/// three replicas. A `topicPattern` asks for it, and so does the first question to every cluster:
/// `rd_kafka_metadata` for a client that knows no topic has an empty list of them, which is written
/// as all (librdkafka 2.12, `rd_kafka_MetadataRequest0`, `total_topic_cnt == 0`). So a cluster with
/// more cannot be read, pattern or not.
pub(super) const LARGEST_ANSWER: u32 = 10 << 20;

/// What one Kafka cluster, and what all of them together, may make the process hold. librdkafka
/// starts a thread for each broker that a cluster names, and holds each answer whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many brokers one cluster may have. One that names more is not read.
    pub brokers_per_cluster: usize,
    /// How many threads librdkafka may run, over all clusters. The last quarter is kept for
    /// clusters of a few brokers.
    pub threads: usize,
    /// How many bytes the answers larger than 16 KiB may take at once, over all clusters, with what
    /// is made of them: five times their size for lists of all topics, more for others. The last
    /// quarter is kept for those of up to 1 MiB. With less than 70 MiB the largest list of topics
    /// is never received.
    pub answer_bytes: usize,
}

impl Bounds {
    /// How much of it may be taken by answers of more than 1 MiB.
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
