//! What a planner knows: future arrivals, the owner of each partition, the capacity of consumers.

use std::collections::{BTreeMap, BTreeSet};

use crate::scaling::limits::PartitionLayout;
use crate::scaling::observation;
use crate::simulate::autoscaler::Bounds;
use crate::simulate::number::{count, place, real};
use crate::simulate::plant::{Assignor, Foreseen, Parameters, Plant};
use crate::simulate::run::Simulation;

/// Seconds between two points of the future arrivals.
pub(super) const STEP: i64 = 10;
/// A partition is hot if it gets more than this share of what one consumer can do ...
const HOT: f64 = 0.95;
/// ... for this number of seconds. Replicas do not help it.
const HOT_FOR: i64 = 300;

/// The future of a run, and the sizes to meet it with.
#[derive(Debug)]
pub(super) struct Future<'a> {
    pub(super) simulation: &'a Simulation<'a>,
    /// Aligned sizes.
    pub(super) sizes: Vec<i32>,
    /// Records that have arrived at the end of each step, without hot partitions.
    pub(super) total: Vec<f64>,
    partitions: Vec<Foreseen>,
}

impl<'a> Future<'a> {
    pub(super) fn of(simulation: &'a Simulation<'a>, bounds: &Bounds) -> Self {
        let parameters = simulation.parameters;
        let plant = Plant::new(
            parameters,
            simulation.load,
            simulation.threads,
            simulation.replicas,
            simulation.objective,
            simulation.seed,
        );
        let mut partitions = plant.foresee(simulation.load.length, STEP);
        partitions.retain(|partition| !partition.exempt && !is_hot(partition, parameters));
        let steps = place(simulation.load.length / STEP) + 1;
        let total = (0..steps).map(|step| partitions.iter().map(|p| at(&p.arrived, step)).sum());
        let total = total.collect();
        Self {
            simulation,
            sizes: sizes(simulation, bounds),
            total,
            partitions,
        }
    }

    /// Records that arrive in each partition between two steps.
    pub(super) fn loads(&self, from: usize, to: usize) -> Vec<f64> {
        let last = self.total.len().saturating_sub(1);
        let arrived = |p: &Foreseen| at(&p.arrived, to.min(last)) - at(&p.arrived, from);
        self.partitions.iter().map(arrived).collect()
    }

    /// The consumer that owns each partition with `replicas` replicas.
    pub(super) fn owners(&self, replicas: i32) -> Vec<usize> {
        let members = place((replicas * self.simulation.threads).max(1).into());
        let mut topics: BTreeMap<&str, usize> = BTreeMap::new();
        for partition in &self.partitions {
            *topics.entry(&partition.topic).or_default() += 1;
        }
        let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
        let mut owners = Vec::new();
        for (number, partition) in self.partitions.iter().enumerate() {
            let of_topic = passed.entry(&partition.topic).or_default();
            let all = topics.get(&*partition.topic).copied().unwrap_or(1);
            let (base, extra) = (all / members, all % members);
            // The first `extra` members get one more.
            let fuller = extra * (base + 1);
            owners.push(match self.simulation.parameters.assignor {
                Assignor::Range if *of_topic < fuller => *of_topic / (base + 1),
                Assignor::Range => extra + (*of_topic - fuller) / base.max(1),
                _ => number % members,
            });
            *of_topic += 1;
        }
        owners
    }

    /// Records per second that `replicas` replicas can do if the load is shared like these loads
    /// and a plan uses the share `counted_on` of a consumer's capacity.
    pub(super) fn capacity(
        &self,
        replicas: i32,
        owners: &[usize],
        loads: &[f64],
        t: i64,
        counted_on: f64,
    ) -> f64 {
        let p = self.simulation.parameters;
        let consumers = f64::from(replicas * self.simulation.threads);
        let mut shares: BTreeMap<usize, f64> = BTreeMap::new();
        for (owner, load) in owners.iter().zip(loads) {
            *shares.entry(*owner).or_default() += load;
        }
        let all: f64 = loads.iter().sum();
        let max_load = shares.into_values().fold(0.0, f64::max) / if all > 0.0 { all } else { 1.0 };
        let speed = p.speed.iter().rfind(|s| t >= s.at);
        let speed = counted_on * p.consumer_rate * speed.map_or(1.0, |s| s.factor);
        let able = speed / (1.0 + p.contention * (consumers - 1.0).max(0.0)) / max_load.max(1e-6);
        let cap = p
            .downstream
            .iter()
            .rfind(|d| t >= d.at)
            .and_then(|d| d.rate);
        cap.map_or(able, |cap| able.min(cap))
    }
}

/// The value at `place`, or the last one.
pub(super) fn at(values: &[f64], place: usize) -> f64 {
    values.get(place).or(values.last()).copied().unwrap_or(0.0)
}

/// Whether the partition is hot at some time.
fn is_hot(partition: &Foreseen, p: &Parameters) -> bool {
    let steps = place(HOT_FOR / STEP);
    let most = real(HOT_FOR) * HOT * p.consumer_rate;
    let later = partition.arrived.iter().skip(steps);
    let pairs = partition.arrived.iter().zip(later).step_by(steps);
    pairs
        .into_iter()
        .any(|(before, after)| after - before > most)
}

/// The aligned sizes within the bounds, with the partitions at the start or at the end.
fn sizes(simulation: &Simulation<'_>, bounds: &Bounds) -> Vec<i32> {
    let p = simulation.parameters;
    let first: Vec<u32> = p.topics.values().copied().collect();
    let names = p.topics.keys();
    let last: Vec<u32> = names.map(|topic| p.partitions_of(topic)).collect();
    let assignor = match p.assignor {
        Assignor::Range => observation::Assignor::Range,
        _ => observation::Assignor::Even,
    };
    let aligned = |counts: Vec<u32>| {
        let counts = counts.into_iter().filter_map(|n| i32::try_from(n).ok());
        PartitionLayout::new(counts, Some(assignor), simulation.threads).aligned_sizes()
    };
    let mut sizes = BTreeSet::from_iter(aligned(first));
    sizes.extend(aligned(last));
    let (least, most) = (bounds.min.max(1), bounds.max.unwrap_or(i32::MAX));
    let within: Vec<i32> = sizes
        .iter()
        .copied()
        .filter(|n| (least..=most).contains(n))
        .collect();
    if within.is_empty() {
        vec![least.min(most)]
    } else {
        within
    }
}

/// The mean time from a pod's creation until it consumes.
pub(super) fn mean_start(p: &Parameters) -> f64 {
    let (least, mode, most) = p.start_seconds;
    (least + mode + most) / count(3)
}
