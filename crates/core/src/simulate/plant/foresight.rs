//! What will arrive, for whoever may know it beforehand.

use std::sync::Arc;

use super::Plant;
use super::parts::{Partition, PartitionAt};

/// What will arrive in one partition.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Foreseen {
    /// Its topic.
    pub(in crate::simulate) topic: Arc<str>,
    /// Whether it is left out of the seconds over the objective.
    pub(in crate::simulate) exempt: bool,
    /// Records that have arrived by the end of every so many seconds, from 0 on.
    pub(in crate::simulate) arrived: Vec<f64>,
}

impl Plant<'_> {
    /// What will arrive in each partition until `end`, by the end of every `every` seconds. Nothing
    /// else of the plant moves on, so that it is of no other use afterwards.
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
                // Taken off its curve, which would grow.
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
