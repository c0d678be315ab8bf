//! The autoscaler of Flink's Kubernetes operator, for the one vertex that reads Kafka. It gets the
//! busy time, which Flink exports and other consumers do not.

use std::collections::VecDeque;

use super::options::Options;
use super::{Answer, Autoscaler, Bounds, totals};
use crate::simulate::number::{count, nearest, real, replicas};
use crate::simulate::plant::GroupView;

/// Seconds between two polls.
const INTERVAL: i64 = 60;
/// `job.autoscaler.backlog-processing.lag-threshold`, in seconds.
const BACKLOG: f64 = 300.0;
/// `job.autoscaler.observed-true-processing-rate.lag-threshold`, in seconds.
const OBSERVED: f64 = 30.0;
/// `job.autoscaler.observed-true-processing-rate.switch-threshold`.
const SWITCH: f64 = 1.15;
/// `job.autoscaler.scale-down.max-factor`.
const DEEPEST: f64 = 0.6;

/// The result of one poll.
#[derive(Debug, Clone, Copy)]
struct Sample {
    t: i64,
    commits: f64,
    lag: f64,
    busy: f64,
}

#[derive(Debug)]
struct Flink {
    window: i64,
    stabilization: i64,
    catch_up: f64,
    restart: f64,
    target: f64,
    least: f64,
    most: f64,
    down_interval: i64,
    partitions: i32,
    polls: VecDeque<Sample>,
    running_since: Option<i64>,
    size: Option<i32>,
    /// The time of the first scale-down request, and all requests since: time, size, and whether
    /// the rate was out of bounds.
    down_since: Option<i64>,
    downs: Vec<(i64, i32, bool)>,
}

/// `flink`, with the options of its autoscaler; times in seconds.
pub(super) fn new(options: &Options, bounds: &Bounds) -> Result<Box<dyn Autoscaler>, String> {
    let options = options.read();
    let flink = Flink {
        window: options.seconds("metricsWindow", 900)?,
        stabilization: options.seconds("stabilizationInterval", 300)?,
        catch_up: options
            .number("catchUpDuration", 1.0, 86_400.0)?
            .unwrap_or(1800.0),
        restart: options
            .number("restartTime", 0.0, 86_400.0)?
            .unwrap_or(300.0),
        target: options
            .number("utilizationTarget", 0.05, 1.0)?
            .unwrap_or(0.7),
        least: options.number("utilizationMin", 0.0, 1.0)?.unwrap_or(0.4),
        most: options.number("utilizationMax", 0.05, 1.0)?.unwrap_or(1.0),
        down_interval: options.seconds("scaleDownInterval", 3600)?,
        partitions: bounds.partitions,
        polls: VecDeque::new(),
        running_since: None,
        size: None,
        down_since: None,
        downs: Vec::new(),
    };
    options.done()?;
    Ok(Box::new(flink))
}

impl Flink {
    /// The capacity that is needed, in records per second: for the arrivals at this utilisation,
    /// the backlog, and the backlog of a restart.
    fn needed(&self, rate: f64, lag: f64, utilisation: f64, restarts: bool) -> f64 {
        if utilisation <= 0.0 {
            return f64::INFINITY;
        }
        let restart = if restarts { rate * self.restart } else { 0.0 };
        ((lag + restart) / self.catch_up + rate / utilisation.min(1.0)).round()
    }

    /// The capacity of all consumers: their rate divided by the share of time that they are busy,
    /// or the rate that was observed under a backlog.
    fn able(&self, rate: f64) -> f64 {
        let busy: f64 = self.polls.iter().map(|poll| poll.busy).sum();
        let busy = busy / count(self.polls.len().max(1));
        let mut able = if rate > 0.0 {
            rate / busy.max(1e-6)
        } else {
            f64::INFINITY
        };
        let pairs = self.polls.iter().zip(self.polls.iter().skip(1));
        let view: Vec<f64> = pairs
            .map(|(a, b)| ((b.commits - a.commits) / real(b.t - a.t), b.lag))
            .filter(|(rate, lag)| *rate > 0.0 && *lag >= OBSERVED * rate)
            .map(|(rate, _)| rate)
            .collect();
        if view.len() >= 2 {
            let observed = view.iter().sum::<f64>() / count(view.len());
            if able > observed * SWITCH {
                able = observed;
            }
        }
        able
    }

    /// The next size that divides the partitions, or that lowers the largest share.
    fn aligned(&self, size: i32, current: i32) -> i32 {
        let all = self.partitions;
        let end = if size > current {
            all
        } else {
            current.min(all)
        };
        let fits = |n: &i32| all % n == 0 || all / n < all / size.max(1);
        (size..=end).find(fits).unwrap_or(size)
    }

    /// Requests a scale-down. Returns the largest request of the whole interval.
    fn down(&mut self, t: i64, current: i32, size: i32, is_outside: bool) -> Option<i32> {
        let since = *self.down_since.get_or_insert(t);
        self.downs.push((t, size, is_outside));
        if t - since < self.down_interval {
            return None;
        }
        let from = t - self.down_interval;
        let within = self.downs.iter().filter(|(at, ..)| *at >= from);
        // The first of equal ones, because it has been requested the longest.
        let largest = within.rev().max_by_key(|(_, size, _)| *size).copied();
        let (_, size, is_outside) = largest?;
        if !is_outside {
            return None;
        }
        self.no_down();
        (size < current).then_some(size)
    }

    fn no_down(&mut self) {
        self.down_since = None;
        self.downs.clear();
    }

    fn wanted(&mut self, t: i64, current: i32) -> Option<i32> {
        let (first, last) = (*self.polls.front()?, *self.polls.back()?);
        let span = real(last.t - first.t);
        let read = (last.commits - first.commits) / span;
        let rate = (read + (last.lag - first.lag) / span).max(0.0);
        let able = self.able(read);
        if able.is_infinite() {
            return None;
        }
        let is_behind = read > 0.0 && last.lag / read > BACKLOG;
        let (most, least) = if is_behind {
            (1.0, 0.0)
        } else {
            (self.most, self.least)
        };
        let is_outside = able < self.needed(rate, last.lag, most, false)
            || able > self.needed(rate, last.lag, least, true);
        let factor = (self.needed(rate, last.lag, self.target, true) / able).max(1.0 - DEEPEST);
        let size = replicas(factor * f64::from(current));
        let size = size
            .max(current.min(1))
            .min(self.partitions.min(current.max(200)));
        if size == current {
            self.no_down();
            return None;
        }
        let size = self.aligned(size, current);
        if size < current {
            return self.down(t, current, size, is_outside);
        }
        self.no_down();
        (size > current && is_outside).then_some(size)
    }
}

impl Autoscaler for Flink {
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
        let is_changed = self.size.is_some_and(|size| size != current);
        self.size = Some(current);
        if workload.ready_replicas != current || is_changed {
            self.running_since = Some(t);
            self.polls.clear();
            return Answer::default();
        }
        let since = *self.running_since.get_or_insert(t) + self.stabilization;
        if t < since {
            self.polls.clear();
            return Answer::default();
        }
        let (ends, commits, _) = totals(&view);
        self.polls.push_back(Sample {
            t,
            commits,
            lag: (ends - commits).max(0.0),
            busy: view
                .pods
                .iter()
                .filter_map(|pod| pod.busy)
                .fold(0.0, f64::max),
        });
        self.polls.retain(|poll| poll.t >= t - self.window);
        let is_known = t >= since + self.window;
        if !is_known || self.polls.len() < 2 {
            return Answer::default();
        }
        Answer::replicas(self.wanted(t, current))
    }
}
