//! How clusters are polled: pauses, deadlines and limits. Plain data.

use std::time::Duration;

/// How clusters are looked at. The defaults are what the law's windows are made for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// No cluster is looked at more often than this as a rule, whatever its users ask.
    pub min_interval: Duration,
    /// Every cluster is looked at this often, whatever its users ask.
    pub max_interval: Duration,
    /// Least time between the starts of two looks, also when somebody asks to look now.
    pub min_gap: Duration,
    /// How long one question to one broker may take. A dead broker costs one of these a look.
    pub call_timeout: Duration,
    /// How long a whole look may take; what is not known by then is unknown.
    pub look_deadline: Duration,
    /// How often members are read when nothing asks for them (KNOW-22).
    pub describe_every: Duration,
    /// How often the names of all topics are listed, when somebody has a pattern.
    pub names_every: Duration,
    /// How long less than before (a lower committed offset, none, a group that does not exist) has
    /// to be read before it is believed: a new coordinator that has not caught up says so without
    /// an error. Also `kafka.md`: no condition should flap on gaps shorter than this.
    pub doubt: Duration,
    /// How many looks share one reading of the logs' starts.
    pub starts_every: u64,
    /// How long a cluster that nobody watches any more stays connected, so that an edit does not
    /// reconnect.
    pub linger: Duration,
    /// How many clusters one namespace may watch (SAFE-38).
    pub max_clusters_per_namespace: usize,
    /// Whether loopback and link-local addresses may be connected to (SAFE-38).
    pub allow_local_addresses: bool,
    /// How many partitions are read for all groups of all clusters together, each group counting as
    /// a few more (`docs/decisions/0012`).
    pub max_partitions: usize,
    /// How many partitions are read for one group; also how many members.
    pub max_partitions_per_group: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_interval: Duration::from_secs(5),
            max_interval: Duration::from_secs(30),
            min_gap: Duration::from_secs(1),
            call_timeout: Duration::from_millis(1_500),
            look_deadline: Duration::from_secs(10),
            describe_every: Duration::from_mins(2),
            names_every: Duration::from_mins(1),
            doubt: Duration::from_secs(20),
            starts_every: 4,
            linger: Duration::from_secs(15),
            max_clusters_per_namespace: 20,
            allow_local_addresses: false,
            max_partitions: 100_000,
            max_partitions_per_group: 25_000,
        }
    }
}
