//! The arrivals of the future, for a planner that may know them.

use std::sync::Arc;

use super::Plant;
use super::parts::{Partition, PartitionAt};

/// Future arrivals of one partition.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Foreseen {
    /// Its topic.
    pub(in crate::simulate) topic: Arc<str>,
    /// Whether it is left out of the seconds over the objective.
    pub(in crate::simulate) exempt: bool,
    /// Records that have arrived at the end of each interval, starting at 0 s.
    pub(in crate::simulate) arrived: Vec<f64>,
}

impl Plant<'_> {
    /// Future arrivals of each partition until `end`, sampled every `every` seconds. Consumes the
    /// plant, because nothing else of it advances.
    pub(in crate::simulate) fn foresee(mut self, end: i64, every: i64) -> Vec<Foreseen> {
        let foreseen = |partition: &Partition| Foreseen {
            topic: Arc::clone(&partition.topic),
            exempt: partition.exempt,
            arrived: vec![0.0],
        };
        let mut all: Vec<Foreseen> = self.partitions.iter().map(foreseen).collect();
        for t in 0..end {
            self.arrivals.step(t, &mut self.partitions);
            for place in self.partitions.places::<PartitionAt>() {
                let partition = &mut self.partitions[place];
                let mut added = self.parameters.expansions.iter().filter(|e| e.at == t);
                partition.exists |= added.any(|expansion| {
                    *partition.topic == *expansion.topic && partition.number < expansion.partitions
                });
                // Keeps the arrival curve short.
                partition.position = partition.arrived;
                partition.settle(|_, _| {});
            }
            if (t + 1) % every == 0 {
                for (foreseen, partition) in all.iter_mut().zip(self.partitions.iter()) {
                    foreseen.arrived.push(partition.arrived);
                }
            }
        }
        all
    }
}
