//! Habits that plain groups do not have: releases, foreign members, members that are removed,
//! consumers that restore state, topics whose records wait on purpose, Pods that are unready while
//! they are behind.
//!
//! None of them draws a random number unless it is configured, so groups without habits run as
//! before.

use super::Plant;
use super::parts::{Phase, Pod};

impl Plant<'_> {
    /// Foreign members, which are there from the start and stay.
    pub(super) fn boot_others(&mut self) {
        for _ in 0..self.parameters.foreign_members {
            let consumer = self.consumer(self.parameters.consumer_rate, 0);
            self.join(consumer);
        }
    }

    /// A release replaces one Pod after the other: it starts a new one, and removes an old one when
    /// the new one is ready.
    pub(super) fn release(&mut self) {
        if self.parameters.releases.contains(&self.t) {
            let live = self.pods.iter().filter(|pod| is_live(pod));
            self.outdated = live.map(|pod| pod.number).collect();
        }
        let pods = &self.pods;
        self.outdated
            .retain(|number| pods.iter().any(|pod| pod.number == *number && is_live(pod)));
        let starts = pods.iter().any(|pod| pod.phase == Phase::Pending);
        let Some(oldest) = self.outdated.first().copied().filter(|_| !starts) else {
            return;
        };
        let live = pods.iter().filter(|pod| is_live(pod)).count();
        if live > usize::try_from(self.replicas).unwrap_or(0) {
            self.terminate(oldest);
        } else {
            self.start();
        }
    }

    /// Whether Pods are being replaced.
    pub(super) fn is_rolling(&self) -> bool {
        !self.outdated.is_empty()
    }

    /// A member is removed, as after `max.poll.interval.ms`, and joins again.
    pub(super) fn throw_out(&mut self) {
        let every = self.parameters.rebalance_every_seconds;
        if every > 0 && self.t > 0 && self.t % every == 0 && !self.members.is_empty() {
            self.begin_rebalance();
        }
    }

    /// Resumes partitions whose new owner has restored its state.
    pub(super) fn restore(&mut self) {
        let t = self.t;
        self.is_changed |= self.partitions.iter().any(|p| p.restored_at == Some(t));
    }

    /// Number of ready Pods.
    pub(super) fn ready(&self) -> usize {
        let running = self.pods.iter().filter(|pod| pod.phase == Phase::Running);
        let limit = self.parameters.unready_from_lag;
        running
            .filter(|pod| limit.is_none_or(|limit| self.behind(pod) < limit))
            .count()
    }

    /// Lag of the partitions of a Pod, in records.
    fn behind(&self, pod: &Pod) -> f64 {
        let consumers = pod.consumers.iter().map(|at| &self.consumers[*at]);
        let places = consumers.flat_map(|consumer| &consumer.partitions);
        places.map(|place| self.partitions[*place].unread()).sum()
    }
}

fn is_live(pod: &Pod) -> bool {
    pod.phase != Phase::Terminating
}
