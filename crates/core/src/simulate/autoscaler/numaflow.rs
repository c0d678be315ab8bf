//! Numaflow's autoscaler with its defaults: the pending records divided by the processing rate,
//! compared with the target seconds of processing.

use std::collections::VecDeque;

use super::options::Options;
use super::{Answer, Autoscaler, Bounds, totals};
use crate::simulate::number::{count, nearest, real};
use crate::simulate::plant::GroupView;

#[derive(Debug)]
struct Numaflow {
    target: f64,
    cooldown: i64,
    lookback: i64,
    step: i32,
    least: i32,
    most: i32,
    /// Time, sum of the commits, and pending records.
    polls: VecDeque<(i64, f64, f64)>,
    acted_at: Option<i64>,
}

/// `numaflow`, with `targetProcessingSeconds`, `cooldownSeconds` and `lookbackSeconds`.
pub(super) fn new(options: &Options, bounds: &Bounds) -> Result<Box<dyn Autoscaler>, String> {
    let options = options.read();
    let numaflow = Numaflow {
        target: options
            .number("targetProcessingSeconds", 1.0, 86_400.0)?
            .unwrap_or(20.0),
        cooldown: options.seconds("cooldownSeconds", 90)?,
        lookback: options.seconds("lookbackSeconds", 120)?,
        step: 2,
        least: bounds.least(),
        most: bounds.most(),
        polls: VecDeque::new(),
        acted_at: None,
    };
    options.done()?;
    Ok(Box::new(numaflow))
}

impl Autoscaler for Numaflow {
    fn interval(&self) -> i64 {
        15
    }

    fn decide(&mut self, view: GroupView) -> Answer {
        if !view.line.kafka_ok {
            return Answer::default();
        }
        let t = nearest(view.line.t);
        let (ends, commits, _) = totals(&view);
        self.polls
            .push_back((t, commits, (ends - commits).max(0.0)));
        self.polls.retain(|(at, ..)| *at >= t - self.lookback);
        let workload = &view.line.workload;
        let (current, ready) = (workload.spec_replicas, workload.ready_replicas);
        let cools = self.acted_at.is_some_and(|at| t - at < self.cooldown);
        if cools || ready != current || self.polls.len() < 3 {
            return Answer::default();
        }
        let (Some(first), Some(last)) = (self.polls.front(), self.polls.back()) else {
            return Answer::default();
        };
        let rate = (last.1 - first.1) / real((last.0 - first.0).max(1));
        let pending: f64 = self.polls.iter().map(|(_, _, pending)| pending).sum();
        let pending = pending / count(self.polls.len());
        if rate <= 0.0 || pending <= 0.0 {
            return Answer::default();
        }
        let asked = nearest(pending / rate / self.target * f64::from(ready));
        let asked = i32::try_from(asked)
            .unwrap_or(i32::MAX)
            .clamp(self.least, self.most);
        let wanted = asked.clamp(current - self.step, current + self.step);
        if wanted == current {
            return Answer::default();
        }
        self.acted_at = Some(t);
        Answer::replicas(Some(wanted))
    }
}
