//! Counts what a run costs: lateness, replicas, rescales, stalls.

use serde::Serialize;

use super::Plant;
use super::parts::Phase;
use crate::simulate::number::{count, place, real};

/// The longest delay that is counted separately, in seconds.
const LONGEST: usize = 7_200;
/// Seconds within which an opposite rescale counts as an oscillation.
const OSCILLATION: i64 = 900;
/// Weight of a second over the objective in [`Score::j`], in replica-seconds.
pub(in crate::simulate) const LATE_WEIGHS: f64 = 60.0;
/// Weight of a rescale in [`Score::j`], in replica-seconds.
pub(in crate::simulate) const RESCALE_WEIGHS: f64 = 300.0;

/// A write of the replica count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rescale {
    /// Seconds from the start of the load.
    pub t: i64,
    /// Replicas before.
    pub from: i32,
    /// Replicas after.
    pub to: i32,
}

/// The counters of a run.
#[derive(Debug)]
pub(super) struct Tally {
    objective: i64,
    late_seconds: i64,
    /// The same, each second weighted by the share of the partitions that were late.
    late_share: f64,
    longest: i64,
    delay: i64,
    pod_seconds: f64,
    seconds: i64,
    pub(super) rescales: Vec<Rescale>,
    pub(super) rebalances: i64,
    /// Seconds without an owner, summed over partitions.
    stalled: f64,
    idle_seconds: f64,
    /// Records by their delay in seconds.
    pub(super) delays: Vec<f64>,
    pub(super) read_again: f64,
}

impl Tally {
    pub(super) fn new(objective: i64) -> Self {
        Self {
            objective,
            late_seconds: 0,
            late_share: 0.0,
            longest: 0,
            delay: 0,
            pod_seconds: 0.0,
            seconds: 0,
            rescales: Vec::new(),
            rebalances: 0,
            stalled: 0.0,
            idle_seconds: 0.0,
            delays: vec![0.0; LONGEST + 1],
            read_again: 0.0,
        }
    }
}

/// The score of a run. `docs/simulate.md` explains each figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// Seconds in which the oldest unread record of any partition was older than the objective.
    pub late_seconds: i64,
    /// Share of the records that were read later than the objective, in percent.
    pub late_percent: f64,
    /// Hours of pods that exist, including pending and terminating ones.
    pub replica_hours: f64,
    /// Replicas on average.
    pub mean_replicas: f64,
    /// Writes of the replica count.
    pub rescales: usize,
    /// Writes that undo the direction of the one before within 15 minutes.
    pub oscillations: usize,
    /// Rebalances of the group.
    pub rebalances: i64,
    /// Seconds that a partition had no owner, on average over the partitions.
    pub stall_seconds: f64,
    /// Hours of consumers that have no partition while the group is stable.
    pub idle_hours: f64,
    /// Longest time that a record waited, in seconds.
    pub max_delay_seconds: i64,
    /// Seconds that half of the records waited at most.
    pub p50_delay_seconds: i64,
    /// Seconds that 99 % of the records waited at most.
    pub p99_delay_seconds: i64,
    /// Records that were read.
    pub records: f64,
    /// Unread records at the end.
    pub left_over: f64,
    /// Records that were read a second time.
    pub read_again: f64,
    /// All of it, weighted, in replica-seconds.
    pub j: f64,
}

/// One sample of a run, for tables and plots.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Seconds from the start of the load.
    pub t: i64,
    /// Records that arrive per second.
    pub load: f64,
    /// Replicas wanted.
    pub replicas: i32,
    /// Replicas ready.
    pub ready: i32,
    /// Unread records.
    pub lag: f64,
    /// Age of the oldest unread record, in seconds.
    pub delay: i64,
}

impl Plant<'_> {
    /// Counts the second that has ended.
    pub(super) fn count(&mut self) {
        let is_begun = self.is_begun();
        let tally = &mut self.tally;
        let (mut oldest, mut late, mut healthy) = (0, 0_usize, 0_usize);
        for partition in self.partitions.iter_mut() {
            let delays = &mut tally.delays;
            let age = partition.settle(|waited, records| {
                if let Some(delay) = delays.get_mut(waited.min(LONGEST)) {
                    *delay += records;
                }
            });
            if partition.exempt {
                continue;
            }
            healthy += usize::from(partition.exists);
            let age = age.map_or(0, |age| i64::try_from(age).unwrap_or(i64::MAX));
            oldest = oldest.max(age);
            late += usize::from(age > tally.objective);
        }
        tally.delay = oldest;
        if !is_begun {
            return;
        }
        tally.seconds += 1;
        if oldest > tally.objective {
            tally.late_seconds += 1;
            tally.late_share += count(late) / count(healthy.max(1));
        }
        tally.longest = tally.longest.max(oldest);
        self.tally.pod_seconds += self.pods_there();
        self.count_stalls();
    }

    fn count_stalls(&mut self) {
        if self.is_stable() {
            let is_idle = |c: &super::Consumer| c.running && c.partitions.is_empty();
            let members = self.members.iter().map(|at| &self.consumers[*at]);
            self.tally.idle_seconds += count(members.filter(|c| is_idle(c)).count());
        }
        let known = self.partitions.iter().filter(|p| p.known).count();
        let owned = self.partitions.iter().filter(|p| p.owner.is_some()).count();
        self.tally.stalled += if (self.frozen.0..self.frozen.1).contains(&self.t) {
            count(known)
        } else if !self.is_stable() || owned < known {
            count(known.saturating_sub(owned))
        } else {
            let gone = self.members.iter().map(|at| &self.consumers[*at]);
            let gone = gone.filter(|c| c.expires.is_some());
            count(gone.map(|c| c.partitions.len()).sum())
        };
    }

    /// A sample of this moment.
    pub fn sample(&self) -> Sample {
        let ready = self.pods.iter().filter(|pod| pod.phase == Phase::Running);
        Sample {
            t: self.t,
            load: self.arrivals.rate(),
            replicas: self.replicas,
            ready: i32::try_from(ready.count()).unwrap_or(i32::MAX),
            lag: self.partitions.iter().map(|p| p.arrived - p.done).sum(),
            delay: self.tally.delay,
        }
    }

    /// Writes of the replica count so far.
    pub fn rescales(&self) -> &[Rescale] {
        &self.tally.rescales
    }

    /// The score of the run so far.
    pub fn score(&self) -> Score {
        let tally = &self.tally;
        let counted: f64 = tally.delays.iter().sum();
        let late = tally.delays.iter().skip(place(tally.objective) + 1);
        let healthy = self.partitions.iter().filter(|p| !p.exempt);
        let left_over: f64 = healthy.map(|p| p.arrived - p.done).sum();
        let there = self.partitions.iter().filter(|p| p.exists).count().max(1);
        let all = self.partitions.iter().count().max(1);
        let pairs = tally.rescales.iter().zip(tally.rescales.iter().skip(1));
        let undone =
            pairs.filter(|(a, b)| (a.to > a.from) != (b.to > b.from) && b.t - a.t <= OSCILLATION);
        let left = left_over.max(0.0) / self.parameters.consumer_rate;
        let over = 0.5 * (real(tally.late_seconds) + tally.late_share);
        Score {
            late_seconds: tally.late_seconds,
            late_percent: 100.0 * late.sum::<f64>() / counted.max(1.0),
            replica_hours: tally.pod_seconds / 3600.0,
            mean_replicas: tally.pod_seconds / real(tally.seconds.max(1)),
            rescales: tally.rescales.len(),
            oscillations: undone.count(),
            rebalances: tally.rebalances,
            stall_seconds: tally.stalled / count(all),
            idle_hours: tally.idle_seconds / 3600.0,
            max_delay_seconds: tally.longest,
            p50_delay_seconds: self.waited(0.5 * counted),
            p99_delay_seconds: self.waited(0.99 * counted),
            records: self.partitions.iter().map(|p| p.done).sum(),
            left_over,
            read_again: tally.read_again,
            j: tally.pod_seconds
                + LATE_WEIGHS * over
                + RESCALE_WEIGHS * count(tally.rescales.len())
                + left
                + LATE_WEIGHS * left / count(there),
        }
    }

    /// Seconds within which this number of records was read.
    fn waited(&self, records: f64) -> i64 {
        let mut sum = 0.0;
        let delays = self.tally.delays.iter();
        let within = delays.take_while(|amount| {
            sum += **amount;
            sum < records
        });
        i64::try_from(within.count()).unwrap_or(i64::MAX)
    }
}
