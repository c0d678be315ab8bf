//! Arrivals per partition, second by second: the load, shared by the partitions, with the noise of
//! real arrivals. They depend on the load and the seed alone, so every autoscaler gets the same
//! records.

use std::collections::BTreeMap;

use super::parameters::Parameters;
use super::parts::{List, Partition, PartitionAt, Place as _};
use crate::simulate::load::{Destination, Load, Reader};
use crate::simulate::number::{count, real};
use crate::simulate::random::Random;

/// Standard deviation of the weights of about even partitions.
const UNEVEN: f64 = 0.05;
/// The lowest weight of an about even partition; 1 is the usual one.
const LEAST: f64 = 0.2;
/// Seconds between two draws of the slow noise.
const DRIFT_EVERY: i64 = 5;
/// Share of the drift that is kept each time. `DRIFT_SHARE` is chosen so that the deviation stays
/// the configured one.
const DRIFT_KEPT: f64 = 0.9;
const DRIFT_SHARE: f64 = 0.43;

/// The arrivals of a run.
#[derive(Debug)]
pub(super) struct Arrivals<'a> {
    readers: Vec<(&'a Destination, Reader<'a>)>,
    /// The weight of each partition, by place.
    weights: Vec<f64>,
    /// For each reader the partitions that it goes to, with their shares; updated when partitions
    /// are added.
    shares: Vec<Vec<(PartitionAt, f64)>>,
    partitions: usize,
    random: Random,
    noise: f64,
    drift: f64,
    scatters: bool,
    rate: f64,
}

impl<'a> Arrivals<'a> {
    pub(super) fn new(
        parameters: &Parameters,
        load: &'a Load,
        partitions: &List<Partition>,
        seed: u64,
    ) -> Self {
        let mut random = Random::new(seed, "arrivals");
        Self {
            readers: load
                .series
                .iter()
                .map(|series| (&series.to, load.reader(series)))
                .collect(),
            weights: weights(parameters, partitions, &mut random),
            shares: Vec::new(),
            partitions: 0,
            random,
            noise: parameters.noise,
            drift: 0.0,
            scatters: parameters.scatter,
            rate: 0.0,
        }
    }

    /// Records per second in the last step.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Adds the arrivals of the second that begins at `t`.
    pub(super) fn step(&mut self, t: i64, partitions: &mut List<Partition>) {
        let there = partitions.iter().filter(|p| p.exists).count();
        if there != self.partitions {
            self.partitions = there;
            self.share(partitions);
        }
        if t % DRIFT_EVERY == 0 && self.noise > 0.0 {
            let drawn = self.random.normal(self.noise * DRIFT_SHARE);
            self.drift = DRIFT_KEPT * self.drift + drawn;
        }
        let mut records = vec![0.0; self.weights.len()];
        self.rate = 0.0;
        for ((_, reader), shares) in self.readers.iter_mut().zip(&self.shares) {
            let rate = (reader.rate(real(t) + 0.5) * (1.0 + self.drift)).max(0.0);
            if !shares.is_empty() {
                self.rate += rate;
            }
            for (place, share) in shares {
                if let Some(records) = records.get_mut(place.number()) {
                    *records += rate * share;
                }
            }
        }
        for (partition, mut records) in partitions.iter_mut().zip(records) {
            if self.scatters && records > 0.0 {
                records += self.random.normal(records.sqrt());
            }
            partition.arrive(records);
        }
    }

    /// Determines the share of each partition in each part of the load.
    fn share(&mut self, partitions: &List<Partition>) {
        let is_for = |to: &Destination, partition: &Partition| match to {
            Destination::Everywhere => true,
            Destination::Topic(topic) | Destination::Named(topic) => *topic == *partition.topic,
            Destination::Partition(topic, number) => {
                *topic == *partition.topic && *number == partition.number
            }
        };
        let shares = self.readers.iter().map(|(to, _)| {
            let places = partitions.places::<PartitionAt>().zip(&self.weights);
            let theirs: Vec<(PartitionAt, f64)> = places
                .filter(|(place, _)| partitions[*place].exists)
                .filter(|(place, _)| is_for(to, &partitions[*place]))
                .map(|(place, weight)| (place, *weight))
                .collect();
            let all: f64 = theirs.iter().map(|(_, weight)| weight).sum();
            let of = |(place, weight)| (place, weight / all);
            theirs.into_iter().map(of).collect()
        });
        self.shares = shares.collect();
    }
}

/// The weights as configured, else by Zipf's law within each topic, in a random order. They average
/// 1, so the share of a topic is proportional to its partitions.
fn weights(parameters: &Parameters, partitions: &List<Partition>, random: &mut Random) -> Vec<f64> {
    let skew = parameters.skew;
    let mut topics: BTreeMap<&str, usize> = BTreeMap::new();
    for partition in partitions.iter() {
        *topics.entry(&partition.topic).or_default() += 1;
    }
    // Partitions are sorted by topic.
    let mut all = Vec::new();
    for (topic, partitions) in topics {
        if let Some(given) = parameters.weights.get(topic) {
            all.extend_from_slice(given);
            continue;
        }
        let mut weights: Vec<f64> = (1..=partitions)
            .map(|rank| {
                if skew > 0.0 {
                    count(rank).powf(-skew)
                } else {
                    (1.0 + random.normal(UNEVEN)).max(LEAST)
                }
            })
            .collect();
        let sum: f64 = weights.iter().sum();
        for weight in &mut weights {
            *weight *= count(partitions) / sum;
        }
        for last in (1..weights.len()).rev() {
            let other = random.whole(0, i64::try_from(last).unwrap_or(0));
            weights.swap(last, usize::try_from(other).unwrap_or(last));
        }
        all.append(&mut weights);
    }
    all
}
