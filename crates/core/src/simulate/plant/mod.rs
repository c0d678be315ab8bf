//! The plant: topics, a consumer group and its workload, second by second. It does not depend on
//! any autoscaler: it shows what an operator can observe ([`Plant::poll`]) and takes a replica
//! count ([`Plant::scale`]). Pure: the same parameters, load and seed give the same run.
//!
//! `crates/benchmark` judges the decision on it. docs/decisions/0019 compares it with the earlier
//! model.

mod arrivals;
mod assign;
mod consume;
mod foresight;
mod group;
mod habits;
pub mod parameters;
mod parts;
mod pods;
mod poll;
mod tally;
mod validation;

use std::sync::Arc;

use self::arrivals::Arrivals;
pub(in crate::simulate) use self::foresight::Foreseen;
use self::group::Rebalance;
pub use self::parameters::{Assignor, Parameters};
pub use self::parts::Phase;
use self::parts::{Consumer, ConsumerAt, List, Partition, PartitionAt, Pod};
pub use self::poll::{GroupView, PodView};
use self::tally::Tally;
pub(in crate::simulate) use self::tally::{LATE_WEIGHS, RESCALE_WEIGHS};
pub use self::tally::{Rescale, Sample, Score};
pub use self::validation::InvalidParameter;

use super::load::Load;
use super::random::Random;

/// Topics, group and workload at one moment.
#[derive(Debug)]
pub struct Plant<'a> {
    parameters: &'a Parameters,
    /// Consumers in one pod.
    threads: i32,
    arrivals: Arrivals<'a>,
    /// Random numbers for pods and rebalances.
    random: Random,
    /// Random numbers for polls: polls at other times do not change what happens.
    chance: Random,
    /// Seconds that have passed.
    t: i64,
    partitions: List<Partition>,
    consumers: List<Consumer>,
    /// Members of the group, in the order of joining.
    members: Vec<ConsumerAt>,
    pods: Vec<Pod>,
    pods_so_far: u64,
    replicas: i32,
    rebalance: Option<Rebalance>,
    /// All consumers stop from the first of these times to the second.
    frozen: (i64, i64),
    joined_at: i64,
    /// When the consumers find added partitions.
    found_at: Option<i64>,
    /// Members that make progress; updated when `is_changed` is set.
    active: Vec<ConsumerAt>,
    is_changed: bool,
    /// Pods that a release still has to replace.
    outdated: Vec<u64>,
    tally: Tally,
}

impl<'a> Plant<'a> {
    /// A plant that starts with `replicas` replicas of `threads` consumers each; all of them run
    /// and own all partitions.
    pub fn new(
        parameters: &'a Parameters,
        load: &'a Load,
        threads: i32,
        replicas: i32,
        objective: i64,
        seed: u64,
    ) -> Self {
        let mut partitions = List::new();
        for (topic, first) in &parameters.topics {
            let name: Arc<str> = Arc::from(topic.as_str());
            for number in 0..parameters.partitions_of(topic) {
                let mut partition = Partition::new(Arc::clone(&name), number, number < *first);
                let is_stuck = |s: &parameters::Stuck| s.topic == *topic && s.partition == number;
                let waits = parameters.waits.get(topic).copied().unwrap_or(0);
                partition.waits = usize::try_from(waits).unwrap_or(0);
                partition.never_commits = parameters.never_commits;
                // Records that wait on purpose are not late.
                partition.exempt = parameters.stuck.iter().any(is_stuck) || waits > 0;
                partitions.push::<PartitionAt>(partition);
            }
        }
        let mut plant = Self {
            parameters,
            threads,
            arrivals: Arrivals::new(parameters, load, &partitions, seed),
            random: Random::new(seed, "pods"),
            chance: Random::new(seed, "looks"),
            t: 0,
            partitions,
            consumers: List::new(),
            members: Vec::new(),
            pods: Vec::new(),
            pods_so_far: 0,
            replicas: 0,
            rebalance: None,
            frozen: (-1, -1),
            joined_at: -1,
            found_at: None,
            active: Vec::new(),
            is_changed: true,
            outdated: Vec::new(),
            tally: Tally::new(objective),
        };
        if parameters.consumers_from_seconds == 0 {
            plant.boot(replicas);
        } else {
            plant.replicas = replicas;
        }
        plant
    }

    /// Seconds that have passed.
    pub fn now(&self) -> i64 {
        self.t
    }

    /// Replicas wanted.
    pub fn replicas(&self) -> i32 {
        self.replicas
    }

    /// Runs until `t` seconds have passed.
    pub fn run_to(&mut self, t: i64) {
        while self.t < t {
            self.step();
        }
    }

    /// Whether the consumers have started, so that decisions are made.
    fn is_begun(&self) -> bool {
        self.t >= self.parameters.consumers_from_seconds
    }

    fn step(&mut self) {
        self.arrivals.step(self.t, &mut self.partitions);
        if self.t > 0 && self.t == self.parameters.consumers_from_seconds {
            self.boot(self.replicas);
            for partition in self.partitions.iter_mut() {
                partition.committed = Some(0.0);
            }
        }
        self.move_pods();
        self.release();
        self.time_members_out();
        self.throw_out();
        self.restore();
        self.expand();
        let stuck = &self.parameters.stuck;
        self.is_changed |= stuck.iter().any(|s| s.from == self.t || s.to == self.t);
        self.move_rebalance();
        if self.is_changed {
            self.refresh();
        }
        self.consume();
        self.count();
        self.t += 1;
    }

    /// Adds partitions. The consumers find them some time later.
    fn expand(&mut self) {
        for expansion in &self.parameters.expansions {
            if expansion.at != self.t {
                continue;
            }
            for partition in self.partitions.iter_mut() {
                let is_named = *partition.topic == *expansion.topic;
                let is_added = is_named && partition.number < expansion.partitions;
                if !is_added || partition.exists {
                    continue;
                }
                partition.exists = true;
                // The consumer that finds one first makes the group find all.
                let within = match self.parameters.metadata_max_age_seconds {
                    0 => self.random.whole(30, 300),
                    age => self.random.whole(0, age),
                };
                let found = self.t + within;
                self.found_at = Some(self.found_at.map_or(found, |at| at.min(found)));
            }
        }
        if self.found_at.is_some_and(|at| self.t >= at) {
            self.found_at = None;
            for partition in self.partitions.iter_mut() {
                if partition.exists && !partition.known {
                    partition.known = true;
                    partition.committed = Some(0.0);
                }
            }
            self.begin_rebalance();
        }
    }

    /// Updates the partitions of each consumer, and which consumers make progress.
    fn refresh(&mut self) {
        for consumer in self.consumers.iter_mut() {
            consumer.partitions.clear();
            consumer.moving.clear();
        }
        for place in self.partitions.places::<PartitionAt>() {
            let partition = &self.partitions[place];
            let Some(owner) = partition.owner else {
                continue;
            };
            if !self.members.contains(&owner) {
                continue;
            }
            let is_stuck = self.parameters.stuck.iter().any(|stuck| {
                (stuck.from..stuck.to).contains(&self.t)
                    && stuck.topic == *partition.topic
                    && stuck.partition == partition.number
            });
            let consumer = &mut self.consumers[owner];
            consumer.partitions.push(place);
            let restores = partition.restored_at.is_some_and(|at| self.t < at);
            if !is_stuck && !restores {
                consumer.moving.push(place);
            }
        }
        let works = |at: &ConsumerAt| {
            let consumer = &self.consumers[*at];
            consumer.running && !consumer.moving.is_empty()
        };
        self.active = self.members.iter().copied().filter(works).collect();
        self.is_changed = false;
    }
}

#[cfg(test)]
pub(super) mod tests;
