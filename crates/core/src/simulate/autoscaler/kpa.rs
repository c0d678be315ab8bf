//! Brandwatch's kafka-pod-autoscaler: it divides the 99th percentile of the arrivals by that of the
//! consumption of a replica, and moves one step at a time between sizes that divide the partitions.

use std::collections::VecDeque;

use super::options::Options;
use super::{Answer, Autoscaler, Bounds, totals};
use crate::simulate::number::{count, floor, nearest, place, real, replicas, small};
use crate::simulate::plant::GroupView;

/// Seconds between two polls.
const INTERVAL: i64 = 10;
/// Number of samples of the consumption.
const CONSUMED: usize = 360;
/// Number of samples of the arrivals.
const ARRIVED: usize = 90;

#[derive(Debug)]
struct Kpa {
    /// Seconds within which a backlog has to be worked off.
    sla: f64,
    /// Records above which the lag counts as a backlog.
    backlog: f64,
    cooloff: i64,
    partitions: i32,
    consumed: VecDeque<f64>,
    arrived: VecDeque<f64>,
    committed: Option<(i64, f64)>,
    ended: Option<(i64, f64)>,
    acted_at: Option<i64>,
    unready_at: Option<i64>,
}

/// `kpa`, with `slaSeconds`, `cooloffSeconds` and `minLag`.
pub(super) fn new(options: &Options, bounds: &Bounds) -> Result<Box<dyn Autoscaler>, String> {
    let options = options.read();
    let kpa = Kpa {
        sla: options
            .number("slaSeconds", 1.0, 86_400.0)?
            .unwrap_or(600.0),
        backlog: options.number("minLag", 0.0, 1e15)?.unwrap_or(2000.0),
        cooloff: options.seconds("cooloffSeconds", 300)?,
        partitions: bounds.partitions,
        consumed: VecDeque::new(),
        arrived: VecDeque::new(),
        committed: None,
        ended: None,
        acted_at: None,
        unready_at: None,
    };
    options.done()?;
    Ok(Box::new(kpa))
}

/// The 99th percentile.
fn p99(values: &VecDeque<f64>) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let at = place(floor(0.99 * count(sorted.len())));
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0.0)
}

fn keep(values: &mut VecDeque<f64>, value: f64, most: usize) {
    values.push_back(value);
    while values.len() > most {
        values.pop_front();
    }
}

impl Autoscaler for Kpa {
    fn interval(&self) -> i64 {
        INTERVAL
    }

    fn decide(&mut self, view: GroupView) -> Answer {
        let t = nearest(view.line.t);
        let workload = &view.line.workload;
        let current = workload.spec_replicas;
        if !view.line.kafka_ok {
            return Answer::default();
        }
        if workload.ready_replicas != current {
            self.unready_at = Some(t);
            return Answer::default();
        }
        let (ends, commits, _) = totals(&view);
        match self.committed {
            None => self.committed = Some((t, commits)),
            Some((at, before)) if t - at >= INTERVAL && (commits - before).abs() > 0.0 => {
                let rate = (commits - before) / real(t - at) / f64::from(current.max(1));
                keep(&mut self.consumed, rate, CONSUMED);
                self.committed = Some((t, commits));
            }
            Some(_) => {}
        }
        if let Some((at, before)) = self.ended {
            keep(
                &mut self.arrived,
                (ends - before) / real((t - at).max(1)),
                ARRIVED,
            );
        }
        self.ended = Some((t, ends));
        if self.consumed.len() < 3 || self.arrived.len() < 3 {
            return Answer::default();
        }
        let mut rate = p99(&self.arrived);
        if ends - commits > self.backlog {
            rate += (ends - commits) / self.sla;
        }
        let ideal = replicas(rate / p99(&self.consumed).max(1e-9)).clamp(1, self.partitions);
        let sizes: Vec<i32> = (1..=self.partitions)
            .filter(|n| self.partitions % n == 0)
            .collect();
        let step = |size: i32| {
            let found = sizes.iter().position(|n| *n >= size);
            small(found.unwrap_or(sizes.len().saturating_sub(1)))
        };
        let now = step(current);
        let next = step(ideal).clamp(now - 1, now + 1);
        let wanted = sizes.get(place(next.into())).copied().unwrap_or(current);
        let is_soon = |at: Option<i64>| at.is_some_and(|at| t - at < self.cooloff);
        if is_soon(self.acted_at) || is_soon(self.unready_at) || wanted == current {
            return Answer::default();
        }
        self.acted_at = Some(t);
        Answer::replicas(Some(wanted))
    }
}
