//! Parameters of the plant: every number of the model, with its default and unit. A `--plant` file
//! sets them; options of the command line take precedence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The parameters of the model. Times are seconds from the start of the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent traits of one model"
)]
pub struct Parameters {
    /// Partitions of each topic at the start.
    pub topics: BTreeMap<String, u32>,
    /// Partitions that are added later.
    pub expansions: Vec<Expansion>,
    /// Assignor of the group.
    pub assignor: Assignor,
    /// Exponent of Zipf's law over the partitions of a topic; 0: about even, 5 % apart.
    pub skew: f64,
    /// Weight of each partition of a topic, relative to all other partitions, instead of one by
    /// `skew`. Weights by `skew` average 1.
    pub weights: BTreeMap<String, Vec<f64>>,
    /// Slow noise of the load (minutes), as a share of it.
    pub noise: f64,
    /// Whether arrivals scatter from second to second, as independent records do.
    pub scatter: bool,
    /// Records per second of one consumer at full speed.
    pub consumer_rate: f64,
    /// Spread between pods, as a share.
    pub consumer_spread: f64,
    /// Slow noise of a consumer's speed, as a share.
    pub consumer_noise: f64,
    /// Changes of the consumers' speed.
    pub speed: Vec<Speed>,
    /// How much each further consumer slows the others: speed / (1 + contention × (consumers − 1)).
    pub contention: f64,
    /// Cap on the records per second of all consumers together, such as a shared database (absent:
    /// no cap).
    pub downstream: Vec<Downstream>,
    /// Seconds for which a new consumer is slower.
    pub warmup_seconds: i64,
    /// Share of its speed that it has then.
    pub warmup_factor: f64,
    /// Seconds between two commits of a consumer.
    pub commit_interval_seconds: i64,
    /// Share of its CPU request that a consumer uses at full speed: the signal of a CPU autoscaler.
    pub cpu_at_capacity: f64,
    /// The same for an idle consumer.
    pub cpu_idle: f64,
    /// Partitions that make no progress for a time. They do not count in the seconds over the
    /// objective.
    pub stuck: Vec<Stuck>,
    /// Replicas at the start. If absent: as many as the load at the start needs at 70 % of their
    /// speed.
    pub initial_replicas: Option<i32>,
    /// No consumer runs and nothing is decided before this time, so the run begins with a backlog.
    pub consumers_from_seconds: i64,
    /// Seconds from a pod's creation until it consumes: shortest, most likely, longest.
    pub start_seconds: (f64, f64, f64),
    /// Pods beyond this number wait for a new node.
    pub new_node_above: Option<usize>,
    /// Seconds that a new node takes.
    pub new_node_seconds: i64,
    /// Whether a consumer that ends leaves the group. If not, its session has to time out, and what
    /// it had not committed is read again.
    pub leaves_group: bool,
    /// Whether members are static: they do not leave when they end.
    pub static_membership: bool,
    /// Seconds until the coordinator removes a member that is gone.
    pub session_timeout_seconds: i64,
    /// Eager rebalance: seconds for which all partitions stop.
    pub eager_seconds: f64,
    /// Plus this for each member.
    pub eager_per_member_seconds: f64,
    /// Cooperative rebalance: seconds for both rounds together; moved partitions stop for half of
    /// it.
    pub cooperative_seconds: f64,
    /// Plus this for each member.
    pub cooperative_per_member_seconds: f64,
    /// KIP-848: seconds until moved partitions are revoked.
    pub revoke_seconds: f64,
    /// KIP-848: seconds from then until the new owners take over.
    pub take_over_seconds: f64,
    /// Pauses as measured on real brokers, instead of the rules of thumb above, which are longer.
    pub measured: bool,
    /// With `measured`: seconds between two heartbeats of a classic member.
    pub heartbeat_seconds: f64,
    /// With `measured`: seconds between two heartbeats of a KIP-848 member.
    pub consumer_heartbeat_seconds: f64,
    /// With `measured`: seconds for which commits block all consumers when a member joins a
    /// cooperative group that commits every second.
    pub commit_stall_seconds: i64,
    /// With `measured`: seconds that one record takes; 0: derived from the consumer's rate.
    pub record_seconds: f64,
    /// With `measured`: probability that a member is processing a slow record when a rebalance
    /// begins.
    pub slow_record_share: f64,
    /// Seconds that such a record still takes, on average.
    pub slow_record_seconds: f64,
    /// Consumers find added partitions within this time; 0: within 30 to 300 s.
    pub metadata_max_age_seconds: i64,
    /// Share of polls that fail.
    pub failed_polls: f64,
    /// Share of partitions that are missing from a poll.
    pub missing_partitions: f64,
    /// When nothing of Kafka can be read.
    pub outages: Vec<Span>,
    /// When the coordinator is down: the poll fails, and nothing is committed.
    pub coordinator_outages: Vec<Span>,
    /// When one of three brokers is down and every third partition cannot be read.
    pub broker_outages: Vec<BrokerOutage>,
    /// Offsets per record; above 1 with transaction markers.
    pub offsets_per_record: f64,
    /// Lag of each partition that is never consumed.
    pub residual_lag: i64,
    /// When a release replaces all pods, one after the other.
    pub releases: Vec<i64>,
    /// Foreign members in the group. They take partitions as the others do.
    pub foreign_members: u32,
    /// How often the group rebalances without an outside cause, as when members exceed
    /// `max.poll.interval.ms`; 0: never.
    pub rebalance_every_seconds: i64,
    /// Seconds for which a consumer does not read a partition that another one owned before,
    /// because it restores state.
    pub restore_seconds: i64,
    /// Whether consumers commit what they have read before they lose a partition. If not, it is
    /// read again.
    pub commits_on_revoke: bool,
    /// Topics whose records wait on purpose, such as retry topics: a record is not read until this
    /// time after its arrival. They do not count in the seconds over the objective.
    pub waits: BTreeMap<String, i64>,
    /// Whether consumers never commit because they keep their offsets elsewhere.
    pub never_commits: bool,
    /// Seconds for which a terminating pod stays a member before it leaves.
    pub grace_seconds: i64,
    /// Lag, in records, from which a pod fails its readiness probe. If absent: a pod is ready when
    /// it runs.
    pub unready_from_lag: Option<f64>,
}

/// Partitions that are added to a topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expansion {
    /// Time of the change.
    pub at: i64,
    /// Name of the topic.
    pub topic: String,
    /// Partitions that it has from then on.
    pub partitions: u32,
}

/// A change of the consumers' speed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Speed {
    /// Start.
    pub at: i64,
    /// Factor of the speed.
    pub factor: f64,
}

/// A change of the cap that the consumers share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Downstream {
    /// Start.
    pub at: i64,
    /// Maximum of the records per second of the whole group.
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
    /// Start.
    pub from: i64,
    /// End.
    pub to: i64,
}

/// A span of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Span {
    /// Start.
    pub from: i64,
    /// End.
    pub to: i64,
}

impl Span {
    /// Whether `t` is in the span.
    pub(super) fn has(&self, t: i64) -> bool {
        (self.from..self.to).contains(&t)
    }
}

/// A broker that is down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BrokerOutage {
    /// Start.
    pub from: i64,
    /// End.
    pub to: i64,
    /// The broker leads partitions whose number has this remainder by three: 0, 1 or 2.
    pub broker: u32,
}

/// Assignor, and the rebalance protocol that comes with it.
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
    /// Name in the Kafka protocol.
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
