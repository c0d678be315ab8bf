//! Consumption and commits of one second.

use super::Plant;
use super::parameters::Span;
use super::parts::{ConsumerAt, Phase};
use crate::simulate::number::count;

/// Seconds between two draws of the slow noise.
const DRIFT_EVERY: i64 = 10;
/// Share of the drift that is kept each time. `DRIFT_SHARE` is chosen so that the deviation stays
/// the configured one.
const DRIFT_KEPT: f64 = 0.8;
const DRIFT_SHARE: f64 = 0.6;
/// Seconds over which metrics-server averages.
const AVERAGED: f64 = 45.0;
/// An amount of records below this counts as zero.
const NOTHING: f64 = 1e-6;

impl Plant<'_> {
    pub(super) fn consume(&mut self) {
        let t = self.t;
        let active = if (self.frozen.0..self.frozen.1).contains(&t) {
            Vec::new()
        } else {
            std::mem::take(&mut self.active)
        };
        self.budget(&active);
        let away = |outage: &Span| outage.has(t);
        let commits = !self.parameters.coordinator_outages.iter().any(away);
        for at in &active {
            self.work(*at);
            let consumer = &mut self.consumers[*at];
            if commits && t >= consumer.next_commit {
                consumer.next_commit = t + self.parameters.commit_interval_seconds;
                for place in &consumer.partitions {
                    self.partitions[*place].commit();
                }
            }
        }
        if !active.is_empty() {
            self.active = active;
        }
        self.meter();
    }

    /// Sets what each consumer can do in this second.
    fn budget(&mut self, active: &[ConsumerAt]) {
        let (t, p) = (self.t, self.parameters);
        let mut factor = p
            .speed
            .iter()
            .rfind(|s| t >= s.at)
            .map_or(1.0, |s| s.factor);
        factor /= 1.0 + p.contention * (count(active.len()) - 1.0).max(0.0);
        for at in active {
            let consumer = &mut self.consumers[*at];
            if t % DRIFT_EVERY == 0 {
                let drawn = self.random.normal(p.consumer_noise * DRIFT_SHARE);
                consumer.drift = DRIFT_KEPT * consumer.drift + drawn;
            }
            let warm = if t < consumer.warm_at {
                p.warmup_factor
            } else {
                1.0
            };
            consumer.budget = (consumer.speed * factor * (1.0 + consumer.drift) * warm).max(0.0);
        }
        let cap = p
            .downstream
            .iter()
            .rfind(|d| t >= d.at)
            .and_then(|d| d.rate);
        let Some(cap) = cap else { return };
        let wants = |at: &ConsumerAt| self.unread(*at).min(self.consumers[*at].budget);
        let wants: Vec<f64> = active.iter().map(wants).collect();
        let all: f64 = wants.iter().sum();
        if all > cap {
            for (at, want) in active.iter().zip(wants) {
                self.consumers[*at].budget = want * cap / all;
            }
        }
    }

    fn unread(&self, at: ConsumerAt) -> f64 {
        let moving = self.consumers[at].moving.iter();
        moving.map(|place| self.partitions[*place].unread()).sum()
    }

    /// One consumer reads its partitions, each with an equal share of what it can do. What one
    /// partition does not need goes to the others.
    fn work(&mut self, at: ConsumerAt) {
        let unread = self.unread(at);
        let consumer = &mut self.consumers[at];
        let mut budget = consumer.budget;
        consumer.processed = unread.min(budget);
        let is_enough = unread <= budget;
        let mut left = consumer.moving.clone();
        while !left.is_empty() && (is_enough || budget > NOTHING) {
            let share = budget / count(left.len());
            let before = left.len();
            left.retain(|place| {
                let partition = &mut self.partitions[*place];
                let unread = partition.unread();
                let is_read = is_enough || unread <= share;
                if is_read {
                    partition.read_all();
                    budget -= unread;
                }
                !is_read
            });
            if left.len() == before {
                for place in left.drain(..) {
                    self.partitions[place].position += share;
                }
            }
        }
    }

    /// Updates the values that metrics-server and a consumer's own metrics report.
    fn meter(&mut self) {
        let p = self.parameters;
        for pod in &mut self.pods {
            let mut used = 0.0;
            for at in &pod.consumers {
                let consumer = &mut self.consumers[*at];
                let processed = std::mem::take(&mut consumer.processed);
                let budget = std::mem::take(&mut consumer.budget);
                if pod.phase == Phase::Running {
                    used += processed / p.consumer_rate / count(pod.consumers.len());
                }
                let busy = if budget > 0.0 {
                    processed / budget
                } else {
                    0.0
                };
                consumer.busy += (busy - consumer.busy) / AVERAGED;
                consumer.rate += (processed - consumer.rate) / AVERAGED;
            }
            pod.cpu += (p.cpu_idle + p.cpu_at_capacity * used - pod.cpu) / AVERAGED;
        }
    }
}
