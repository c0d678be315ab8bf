//! How long a change of the size stops partitions, by protocol, on average.

use std::collections::BTreeMap;

use crate::simulate::number::real;
use crate::simulate::plant::{Assignor, Parameters};
use crate::simulate::random::Random;

/// Number of simulated starts of the pods.
const DRAWS: i32 = 20;
/// Members that join before this share of an eager rebalance are part of it.
const PREPARED: f64 = 0.6;

/// Pauses, computed once for each change.
#[derive(Debug)]
pub(super) struct Pauses<'a> {
    parameters: &'a Parameters,
    threads: i32,
    random: Random,
    known: BTreeMap<(i32, i32), f64>,
}

impl<'a> Pauses<'a> {
    pub(super) fn new(parameters: &'a Parameters, threads: i32) -> Self {
        Self {
            parameters,
            threads,
            random: Random::new(3, "clairvoyant"),
            known: BTreeMap::new(),
        }
    }

    /// Seconds without progress when `from` replicas become `to`.
    pub(super) fn of(&mut self, from: i32, to: i32) -> f64 {
        if let Some(known) = self.known.get(&(from, to)) {
            return *known;
        }
        let p = self.parameters;
        let members = f64::from(from.max(to) * self.threads);
        let mut pause = if p.assignor == Assignor::Uniform {
            p.take_over_seconds
        } else if p.assignor.is_eager() {
            let one = p.eager_seconds + p.eager_per_member_seconds * members;
            if to < from {
                one
            } else {
                self.joins(to - from, one)
            }
        } else {
            0.5 * (p.cooperative_seconds + p.cooperative_per_member_seconds * members)
        };
        if to < from && !p.leaves_group {
            pause += real(p.session_timeout_seconds) / 2.0;
        }
        self.known.insert((from, to), pause);
        pause
    }

    /// Pods join one after the other. Each one that is too late for a rebalance starts another.
    fn joins(&mut self, pods: i32, one: f64) -> f64 {
        let (least, mode, most) = self.parameters.start_seconds;
        let mut sum = 0.0;
        for _ in 0..DRAWS {
            let starts = (0..pods).map(|_| self.random.triangular(least, mode, most));
            let mut starts: Vec<f64> = starts.collect();
            starts.sort_by(f64::total_cmp);
            let (mut end, mut prepared) = (-1.0, -1.0);
            for start in starts {
                if start > end {
                    sum += one;
                    (end, prepared) = (start + one, start + PREPARED * one);
                } else if start > prepared {
                    sum += one;
                    prepared = end + PREPARED * one;
                    end += one;
                }
            }
        }
        sum / f64::from(DRAWS)
    }
}
