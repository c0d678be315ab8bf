//! How clusters are polled: pauses, deadlines and limits. Plain data.

use std::time::Duration;

/// How clusters are polled. The autoscaler's windows are made for the defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shortest interval between polls of a cluster, whatever its users ask for.
    pub min_interval: Duration,
    /// Longest interval between polls of a cluster, whatever its users ask for.
    pub max_interval: Duration,
    /// Least time between the starts of two polls, even if a poll is asked for at once.
    pub min_gap: Duration,
    /// Deadline for one request to one broker. A dead broker costs each poll one of these.
    pub call_timeout: Duration,
    /// Deadline for a whole poll. What is not read by then is unknown.
    pub poll_deadline: Duration,
    /// How often members are read if nothing else makes it necessary (KNOW-22).
    pub describe_every: Duration,
    /// How often the names of all topics are listed, if any group has a pattern.
    pub names_every: Duration,
    /// How long a lower value (a lower committed offset, none, a group that does not exist) must be
    /// read before it is accepted. A new coordinator that has not caught up reports such values
    /// without an error. Also in `kafka.md`: no condition should change for gaps shorter than this.
    pub regression_grace: Duration,
    /// How many polls share one reading of the log starts.
    pub starts_every: u64,
    /// How long a cluster without a watch stays connected, so that an edit of a resource does not
    /// reconnect.
    pub linger: Duration,
    /// Clusters that one namespace may watch (SAFE-38).
    pub max_clusters_per_namespace: usize,
    /// Whether loopback and link-local addresses may be connected to (SAFE-38).
    pub allow_local_addresses: bool,
    /// Partitions that are read for all groups of all clusters together. Each group counts as a few
    /// more (`docs/decisions/0012`).
    pub max_partitions: usize,
    /// Partitions that are read for one group, and also its members.
    pub max_partitions_per_group: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_interval: Duration::from_secs(5),
            max_interval: Duration::from_secs(30),
            min_gap: Duration::from_secs(1),
            call_timeout: Duration::from_millis(1_500),
            poll_deadline: Duration::from_secs(10),
            describe_every: Duration::from_mins(2),
            names_every: Duration::from_mins(1),
            regression_grace: Duration::from_secs(20),
            starts_every: 4,
            linger: Duration::from_secs(15),
            max_clusters_per_namespace: 20,
            allow_local_addresses: false,
            max_partitions: 100_000,
            max_partitions_per_group: 25_000,
        }
    }
}
