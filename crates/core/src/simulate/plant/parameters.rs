//! What the plant is made of: every number of the model, its default and its unit. A `--plant` file
//! holds them; options of the command line go before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The model's numbers. Times are seconds from the start of the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent traits of one model"
)]
pub struct Parameters {
    /// Partitions of each topic at the start.
    pub topics: BTreeMap<String, u32>,
    /// Partitions that are added.
    pub expansions: Vec<Expansion>,
    /// How partitions are handed out.
    pub assignor: Assignor,
    /// Exponent of Zipf's law over the partitions of a topic; 0: about even, 5 % apart.
    pub skew: f64,
    /// The weight of each partition of a topic beside all others, instead of one by `skew`; those
    /// weigh 1 on average.
    pub weights: BTreeMap<String, Vec<f64>>,
    /// Slow noise of the load (minutes), as a share of it.
    pub noise: f64,
    /// Whether arrivals scatter from second to second as independent records do.
    pub scatter: bool,
    /// Records per second of one consumer at full speed.
    pub consumer_rate: f64,
    /// Spread between pods, as a share.
    pub consumer_spread: f64,
    /// Slow noise of a consumer's speed, as a share.
    pub consumer_noise: f64,
    /// Changes of the consumers' speed: from when, and the factor.
    pub speed: Vec<Speed>,
    /// What each further consumer takes from the others: speed / (1 + contention × (consumers −
    /// 1)).
    pub contention: f64,
    /// What the group shares with all its consumers: from when, and at most how many records per
    /// second (absent: no cap).
    pub downstream: Vec<Downstream>,
    /// How long a new consumer is slower ...
    pub warmup_seconds: i64,
    /// ... and at which share of its speed.
    pub warmup_factor: f64,
    /// Between two commits of a consumer.
    pub commit_interval_seconds: i64,
    /// Share of its CPU request that a consumer at full speed uses: what a CPU autoscaler sees.
    pub cpu_at_capacity: f64,
    /// The same of one with nothing to do.
    pub cpu_idle: f64,
    /// Partitions that make no progress for a while. They are left out of the seconds over the
    /// objective.
    pub stuck: Vec<Stuck>,
    /// Replicas at the start. Absent: what the load at the start takes at 70 % of their speed.
    pub initial_replicas: Option<i32>,
    /// No consumer runs and nothing is decided before this: a backlog to begin with.
    pub consumers_from_seconds: i64,
    /// From a pod's creation until it consumes: least, most likely, most.
    pub start_seconds: (f64, f64, f64),
    /// Pods beyond this many wait for a new node.
    pub new_node_above: Option<usize>,
    /// For so long.
    pub new_node_seconds: i64,
    /// Whether a consumer that ends leaves the group; else its session has to time out, and what it
    /// had not committed is read again.
    pub leaves_group: bool,
    /// Whether members are static: they do not leave when they end.
    pub static_membership: bool,
    /// Until a member that is gone is missed.
    pub session_timeout_seconds: i64,
    /// Eager rebalance: all partitions stop for this ...
    pub eager_seconds: f64,
    /// ... and this for each member.
    pub eager_per_member_seconds: f64,
    /// Cooperative rebalance: both rounds take this together, moved partitions stop for half of it
    /// ...
    pub cooperative_seconds: f64,
    /// ... and this for each member.
    pub cooperative_per_member_seconds: f64,
    /// KIP-848: until moved partitions are given up.
    pub revoke_seconds: f64,
    /// KIP-848: until they are taken over.
    pub take_over_seconds: f64,
    /// Pauses as measured on real brokers instead of the rules of thumb above, which are longer.
    pub measured: bool,
    /// Measured: between two heartbeats of a classic member.
    pub heartbeat_seconds: f64,
    /// Measured: between two heartbeats of a KIP-848 member.
    pub consumer_heartbeat_seconds: f64,
    /// Measured: how long commits block everybody when a member joins a cooperative group that
    /// commits each second.
    pub commit_stall_seconds: i64,
    /// Measured: time that one record takes; 0: what the consumer's rate says.
    pub record_seconds: f64,
    /// Measured: chance that a member has a slow record in hand when a rebalance begins ...
    pub slow_record_share: f64,
    /// ... and how long it still takes, on average.
    pub slow_record_seconds: f64,
    /// Added partitions are found within this; 0: within 30 to 300 s.
    pub metadata_max_age_seconds: i64,
    /// Share of looks that fail.
    pub failed_polls: f64,
    /// Share of partitions that are missing from a look.
    pub missing_partitions: f64,
    /// When nothing can be read.
    pub outages: Vec<Span>,
    /// When the coordinator is away: nothing can be read of the group, and nothing is committed.
    pub coordinator_outages: Vec<Span>,
    /// When one of three brokers is away: each third partition cannot be read.
    pub broker_outages: Vec<BrokerOutage>,
    /// Offsets per record; above 1 with transaction markers.
    pub offsets_per_record: f64,
    /// Lag of each partition that never goes away.
    pub residual_lag: i64,
    /// When all pods are replaced, one after the other.
    pub releases: Vec<i64>,
    /// Members of somebody else in the group, who take partitions as the others do.
    pub foreign_members: u32,
    /// How often the group rebalances of itself, as where members exceed `max.poll.interval.ms`; 0:
    /// never.
    pub rebalance_every_seconds: i64,
    /// How long a consumer does not read a partition that another one had before.
    pub restore_seconds: i64,
    /// Whether consumers commit what they have read before they lose a partition; else it is read
    /// again.
    pub commits_on_revoke: bool,
    /// Topics whose records are read no sooner than so many seconds after they came, as those for
    /// retries. They are left out of the seconds over the objective.
    pub waits: BTreeMap<String, i64>,
    /// Whether consumers never commit, as those that keep their offsets elsewhere.
    pub never_commits: bool,
    /// How long a pod that is to stop goes on as a member before it leaves.
    pub grace_seconds: i64,
    /// A pod with so many records behind calls itself unready; absent: it is ready when it runs.
    pub unready_from_lag: Option<f64>,
}

/// Partitions that are added to a topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expansion {
    /// When.
    pub at: i64,
    /// Which topic.
    pub topic: String,
    /// How many partitions it then has.
    pub partitions: u32,
}

/// A change of the consumers' speed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Speed {
    /// From when.
    pub at: i64,
    /// Factor on the speed.
    pub factor: f64,
}

/// A change of what the consumers share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Downstream {
    /// From when.
    pub at: i64,
    /// Records per second of the whole group, at most.
    #[serde(default)]
    pub rate: Option<f64>,
}

/// A partition that makes no progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stuck {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: u32,
    /// From when.
    pub from: i64,
    /// Until when.
    pub to: i64,
}

/// A while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Span {
    /// From when.
    pub from: i64,
    /// Until when.
    pub to: i64,
}

impl Span {
    /// Whether `t` is in it.
    pub(super) fn has(&self, t: i64) -> bool {
        (self.from..self.to).contains(&t)
    }
}

/// A broker that is away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BrokerOutage {
    /// From when.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// Partitions whose number has this remainder by three: 0, 1 or 2.
    pub broker: u32,
}

/// How partitions are handed out, and with which pauses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Assignor {
    /// Topic by topic; eager.
    #[default]
    Range,
    /// Over all topics in turn; eager.
    #[cfg_attr(feature = "clap", value(name = "roundrobin"))]
    #[serde(rename = "roundrobin")]
    RoundRobin,
    /// Even, with few moves; eager.
    Sticky,
    /// Even, with few moves; only what moves stops.
    CooperativeSticky,
    /// KIP-848's, group.protocol=consumer.
    Uniform,
}

impl Assignor {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
            Self::Uniform => "uniform",
        }
    }

    /// Whether all partitions stop in a rebalance.
    pub(in crate::simulate) fn is_eager(self) -> bool {
        matches!(self, Self::Range | Self::RoundRobin | Self::Sticky)
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            topics: BTreeMap::new(),
            expansions: Vec::new(),
            assignor: Assignor::default(),
            skew: 0.0,
            weights: BTreeMap::new(),
            noise: 0.03,
            scatter: true,
            consumer_rate: 0.0,
            consumer_spread: 0.03,
            consumer_noise: 0.04,
            speed: Vec::new(),
            contention: 0.0,
            downstream: Vec::new(),
            warmup_seconds: 10,
            warmup_factor: 0.5,
            commit_interval_seconds: 5,
            cpu_at_capacity: 0.9,
            cpu_idle: 0.05,
            stuck: Vec::new(),
            initial_replicas: None,
            consumers_from_seconds: 0,
            start_seconds: (20.0, 30.0, 60.0),
            new_node_above: None,
            new_node_seconds: 120,
            leaves_group: true,
            static_membership: false,
            session_timeout_seconds: 45,
            eager_seconds: 6.0,
            eager_per_member_seconds: 0.1,
            cooperative_seconds: 6.0,
            cooperative_per_member_seconds: 0.05,
            revoke_seconds: 2.5,
            take_over_seconds: 2.0,
            measured: false,
            heartbeat_seconds: 3.0,
            consumer_heartbeat_seconds: 5.0,
            commit_stall_seconds: 3,
            record_seconds: 0.0,
            slow_record_share: 0.0,
            slow_record_seconds: 0.0,
            metadata_max_age_seconds: 0,
            failed_polls: 0.0,
            missing_partitions: 0.0,
            outages: Vec::new(),
            coordinator_outages: Vec::new(),
            broker_outages: Vec::new(),
            offsets_per_record: 1.0,
            residual_lag: 0,
            releases: Vec::new(),
            foreign_members: 0,
            rebalance_every_seconds: 0,
            restore_seconds: 0,
            commits_on_revoke: true,
            waits: BTreeMap::new(),
            never_commits: false,
            grace_seconds: 0,
            unready_from_lag: None,
        }
    }
}

impl Parameters {
    /// Partitions that a topic has at the end.
    pub(in crate::simulate) fn partitions_of(&self, topic: &str) -> u32 {
        let added = self.expansions.iter().filter(|e| e.topic == topic);
        let first = self.topics.get(topic).copied().unwrap_or(0);
        added.map(|e| e.partitions).fold(first, u32::max)
    }
}
