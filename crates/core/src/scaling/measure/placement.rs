//! Which consumer gets which partition when `n` replicas share them, as far as the assignor makes
//! it predictable.

use std::cmp::Ordering;

/// The counted partitions, and how they are handed out.
#[derive(Debug, Clone)]
pub(in crate::scaling) struct Placement {
    /// Partitions of each topic, by its place in name order.
    pub(in crate::scaling) topics: Vec<i32>,
    /// Handed out over all topics at once; otherwise topic by topic, in contiguous blocks.
    pub(in crate::scaling) is_even: bool,
    /// Consumers in one replica, >= 1.
    pub(in crate::scaling) threads: i32,
    /// Foreign members that share the partitions, >= 0.
    pub(in crate::scaling) foreign: i32,
    /// The live partitions: topic and index, in order.
    pub(in crate::scaling) live: Vec<(usize, i32)>,
}

impl Placement {
    /// The consumer of the `nth` live partition among `consumers`.
    fn consumer(&self, nth: usize, (topic, index): (usize, i32), consumers: i32) -> usize {
        let place = if self.is_even {
            i32::try_from(nth).unwrap_or(i32::MAX) % consumers
        } else {
            let partitions = self.topics.get(topic).copied().unwrap_or(1);
            let (base, extra) = (partitions / consumers, partitions % consumers);
            let cut = extra * (base + 1);
            if index < cut {
                index / (base + 1)
            } else {
                extra + (index - cut) / base.max(1)
            }
        };
        usize::try_from(place.min(consumers - 1)).unwrap_or(0)
    }

    fn consumers(&self, replicas: i32) -> i32 {
        let own = replicas.saturating_mul(self.threads).max(1);
        own.saturating_add(self.foreign)
    }

    /// The load of the busiest consumer when `replicas` share the weights of the live partitions.
    pub(in crate::scaling) fn max_load(&self, replicas: i32, weights: &[f64]) -> f64 {
        self.max_load_of(self.consumers(replicas), weights)
    }

    /// The same for a number of consumers.
    pub(in crate::scaling) fn max_load_of(&self, consumers: i32, weights: &[f64]) -> f64 {
        let mut loads = vec![0.0; usize::try_from(consumers).unwrap_or(1)];
        for (nth, (partition, weight)) in self.live.iter().zip(weights).enumerate() {
            if let Some(load) = loads.get_mut(self.consumer(nth, *partition, consumers)) {
                *load += weight;
            }
        }
        loads.into_iter().max_by(f64::total_cmp).unwrap_or(0.0)
    }

    /// The same, for consumers that have a partition within `limit`. A partition above `limit`
    /// counts no more than the heaviest partition within it on the same consumer: the capacity that
    /// a healthy partition needs next to a hot one.
    pub(in crate::scaling) fn max_load_beside(
        &self,
        replicas: i32,
        weights: &[f64],
        limit: f64,
    ) -> f64 {
        let consumers = self.consumers(replicas);
        // Sum and largest of the partitions within the limit, number of the others.
        let mut loads = vec![(0.0, 0.0_f64, 0.0); usize::try_from(consumers).unwrap_or(1)];
        for (nth, (partition, weight)) in self.live.iter().zip(weights).enumerate() {
            let Some((sum, most, others)) =
                loads.get_mut(self.consumer(nth, *partition, consumers))
            else {
                continue;
            };
            if weight.total_cmp(&limit) == Ordering::Greater {
                *others += 1.0;
            } else {
                *sum += weight;
                *most = most.max(*weight);
            }
        }
        // A consumer with only partitions above the limit has a `most` of 0.
        loads
            .into_iter()
            .map(|(sum, most, others)| sum + others * most)
            .max_by(f64::total_cmp)
            .unwrap_or(0.0)
    }
}

/// Weights, and the skew with which they are handed out.
pub(in crate::scaling) struct Spread<'a> {
    weights: &'a [f64],
    skew: f64,
    /// Sums of the 1, 2, 3, ... heaviest, if there is a skew.
    heaviest: Vec<f64>,
}

impl<'a> Spread<'a> {
    pub(in crate::scaling) fn new(skew: f64, weights: &'a [f64]) -> Self {
        let mut heaviest = if skew > 1.0 {
            weights.to_vec()
        } else {
            Vec::new()
        };
        heaviest.sort_by(|a, b| b.total_cmp(a));
        let mut sum = 0.0;
        for weight in &mut heaviest {
            sum += *weight;
            *weight = sum;
        }
        Self {
            weights,
            skew,
            heaviest,
        }
    }

    /// The load of the busiest consumer of `replicas`: no more than the heaviest partitions that
    /// one consumer can have.
    pub(in crate::scaling) fn max_load(&self, placement: &Placement, replicas: i32) -> f64 {
        let even = placement.max_load(replicas, self.weights);
        let consumers = usize::try_from(placement.consumers(replicas)).unwrap_or(1);
        let share = self.weights.len().div_ceil(consumers);
        let most = share
            .checked_sub(1)
            .and_then(|last| self.heaviest.get(last));
        most.map_or(even, |most| (self.skew * even).min(*most))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn placement(topics: &[i32], is_even: bool) -> Placement {
        let live = topics
            .iter()
            .enumerate()
            .flat_map(|(topic, count)| (0..*count).map(move |index| (topic, index)))
            .collect();
        Placement {
            topics: topics.to_vec(),
            is_even,
            threads: 1,
            foreign: 0,
            live,
        }
    }

    #[rstest]
    // Range: 7 on 3 are 0 1 2, 3 4, 5 6.
    #[case(&[7], false, 3, &[1.0, 1.0, 1.0, 5.0, 5.0, 1.0, 1.0], 10.0)]
    // Round robin: 0 3 6, 1 4, 2 5.
    #[case(&[7], true, 3, &[1.0, 1.0, 1.0, 5.0, 5.0, 1.0, 1.0], 7.0)]
    // Topic by topic: the second topic's only partition goes to the first consumer as well.
    #[case(&[2, 1], false, 2, &[4.0, 4.0, 1.0], 5.0)]
    #[case(&[2, 1], true, 2, &[4.0, 4.0, 1.0], 5.0)]
    #[case(&[4], false, 9, &[1.0, 2.0, 3.0, 4.0], 4.0)]
    fn the_busiest_consumer_carries(
        #[case] topics: &[i32],
        #[case] even: bool,
        #[case] replicas: i32,
        #[case] weights: &[f64],
        #[case] expected: f64,
    ) {
        let max_load = placement(topics, even).max_load(replicas, weights);
        assert!((max_load - expected).abs() < 1e-9, "{max_load}");
    }

    #[test]
    fn a_hopeless_partition_takes_no_more_than_its_heaviest_neighbour() {
        let placement = placement(&[4], false);
        let weights = [900.0, 50.0, 60.0, 60.0];
        let beside = |n| placement.max_load_beside(n, &weights, 100.0);
        assert!((beside(2) - 120.0).abs() < 1e-9);
        assert!((beside(1) - 230.0).abs() < 1e-9);
        assert!((beside(4) - 60.0).abs() < 1e-9);
    }
}
