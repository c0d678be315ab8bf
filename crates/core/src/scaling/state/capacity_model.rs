//! The measurements that must survive a restart, as part of the memory in the status. Rates are
//! kept in thousandths of a record per second and times in milliseconds, so that a restart changes
//! nothing (KEEP-27).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::scaling::number::{later, milli, real, to_millis, whole};
use crate::scaling::tuning::Tuning;

/// The measurements of the consumers. Every field is absent until something has been measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CapacityModel {
    /// The capacity of one consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// The lower bound: the highest rate of a consumer without a backlog.
    #[serde(alias = "atLeast", skip_serializing_if = "Option::is_none")]
    pub lower_bound: Option<Rate>,
    /// Seconds between two probes; doubled by each that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_wait: Option<i64>,
    /// The first scale-down that has not been judged yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<Down>,
    /// When a scale-down was last found not to have paid: for an hour the next ones cost more.
    #[serde(alias = "regretted", skip_serializing_if = "Option::is_none")]
    pub last_flap: Option<Timestamp>,
    /// How often in a row that was the case.
    #[serde(alias = "regrets", skip_serializing_if = "Option::is_none")]
    pub flaps: Option<i32>,
    /// Throughput of the whole group when it was last saturated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturated: Option<Throughput>,
    /// The size beyond which more replicas did not raise the throughput.
    #[serde(alias = "plateau", skip_serializing_if = "Option::is_none")]
    pub bottleneck: Option<Bottleneck>,
    /// Seconds from the loss of a partition to its new owner's first commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Seconds>,
    /// The longest time that a consumer spent at one record, or at the records between two commits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest: Option<Seconds>,
    /// Seconds for which the last bottleneck was assumed; the next one is assumed for twice as
    /// long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<i64>,
}

/// A rate and when it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// Thousandths of a record per second.
    pub milli: i64,
    /// When.
    pub time: Timestamp,
}

/// A measured duration, and when it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seconds {
    /// Whole seconds.
    pub seconds: i64,
    /// When it was last measured.
    pub time: Timestamp,
}

/// The capacity of one consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Thousandths of a record per second.
    pub milli: i64,
    /// Measured at a consumer that had work all along; otherwise only bounded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub measured: bool,
    /// When it was last measured; absent if it is only bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

/// A scale-down that has not been judged yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// Replicas before.
    pub from: i32,
    /// When.
    pub time: Timestamp,
}

/// The throughput of a saturated group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throughput {
    /// Consumers that had partitions.
    pub consumers: i32,
    /// Thousandths of a record per second, of all of them.
    pub milli: i64,
    /// When.
    pub time: Timestamp,
}

/// A size beyond which the throughput did not rise: something behind the consumers is the
/// bottleneck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bottleneck {
    /// Replicas.
    pub replicas: i32,
    /// Thousandths of a record per second that the group reached.
    pub milli: i64,
    /// When it expires.
    pub until: Timestamp,
}

impl CapacityModel {
    /// Capacity of one consumer in records per second.
    pub(in crate::scaling) fn capacity(&self) -> Option<f64> {
        let capacity = self.capacity?;
        Some(real(capacity.milli) / 1000.0).filter(|rate| *rate > 0.0)
    }

    /// Seconds in which a replica with `threads` consumers processes `records`.
    pub(in crate::scaling) fn seconds_of(&self, records: i64, threads: i32) -> Option<f64> {
        Some(real(records) / (self.capacity()? * f64::from(threads.max(1))))
    }

    pub(in crate::scaling) fn is_measured(&self) -> bool {
        self.capacity.is_some_and(|capacity| capacity.measured)
    }

    pub(in crate::scaling) fn set_capacity(&mut self, rate: f64, measured: bool, now: Timestamp) {
        self.capacity = Some(Capacity {
            milli: milli(rate).max(1),
            measured,
            time: measured.then(|| to_millis(now)),
        });
    }

    /// Whether it was ever measured, if only for other consumers or long ago. Otherwise it is
    /// bounded from below and does not show what a consumer cannot do.
    pub(in crate::scaling) fn is_sampled(&self) -> bool {
        self.capacity
            .is_some_and(|capacity| capacity.time.is_some())
    }

    /// Whether the last sample is older than `then`.
    pub(in crate::scaling) fn is_measured_before(&self, then: Timestamp) -> bool {
        let measured = self.capacity.filter(|capacity| capacity.measured);
        measured.is_some_and(|capacity| capacity.time.is_none_or(|time| time <= then))
    }

    /// Marks the capacity stale: it remains the starting point, but the consumers have changed or
    /// the sample is old.
    pub(in crate::scaling) fn mark_stale(&mut self) {
        if let Some(capacity) = &mut self.capacity {
            capacity.measured = false;
        }
    }

    /// The lower bound in records per second, faded; 0 if there is none.
    pub(in crate::scaling) fn lower_bound(&self, now: Timestamp, tuning: &Tuning) -> f64 {
        self.lower_bound.map_or(0.0, |Rate { milli, time }| {
            let age = real(now.duration_since(time).as_secs().max(0));
            let polls = age / tuning.polls.interval.as_secs_f64();
            real(milli) / 1000.0 * tuning.capacity.fade.0.powf(polls)
        })
    }

    pub(in crate::scaling) fn set_lower_bound(&mut self, rate: f64, now: Timestamp) {
        self.lower_bound = Some(Rate {
            milli: milli(rate),
            time: to_millis(now),
        });
    }

    /// Seconds that moved partitions pause beyond the usual time of a rebalance: restored state, or
    /// uncommitted work.
    pub(in crate::scaling) fn excess(&self, tuning: &Tuning) -> f64 {
        let usual = tuning.handover.usual.as_secs_f64();
        let pause = self.pause.filter(|_| tuning.handover.enabled);
        pause.map_or(0.0, |pause| (real(pause.seconds) - usual).max(0.0))
    }

    /// Notes how long a hand-over took, in seconds.
    pub(in crate::scaling) fn note_pause(&mut self, seconds: f64, now: Timestamp, tuning: &Tuning) {
        let before = self.pause.map_or(seconds, |pause| real(pause.seconds));
        let weight = tuning.handover.weight;
        let seconds = whole((1.0 - weight.0) * before + weight * seconds);
        self.pause = Some(Seconds {
            seconds,
            time: to_millis(now),
        });
    }

    /// The longest recent time that a consumer worked between two commits, in seconds, if that is
    /// long; otherwise 0.
    pub(in crate::scaling) fn longest(&self, now: Timestamp, tuning: &Tuning) -> f64 {
        let kept = tuning.progress.longest_for;
        let lately = |longest: &Seconds| now.duration_since(longest.time) <= kept;
        self.longest.filter(lately).map_or(0.0, |l| real(l.seconds))
    }

    /// Notes how long a consumer worked between two commits, in seconds.
    pub(in crate::scaling) fn note_longest(
        &mut self,
        seconds: f64,
        now: Timestamp,
        tuning: &Tuning,
    ) {
        let (long, longest) = (tuning.progress.long, tuning.progress.longest);
        if seconds >= long.as_secs_f64() && seconds >= self.longest(now, tuning) {
            self.longest = Some(Seconds {
                seconds: whole(seconds.min(longest.as_secs_f64())),
                time: to_millis(now),
            });
        }
    }

    /// Corrects times that a wrong clock left (KNOW-24): `sane` corrects a time in the future.
    pub(in crate::scaling) fn tidy(
        &mut self,
        now: Timestamp,
        sane: &impl Fn(&mut Timestamp),
        tuning: &Tuning,
    ) {
        let backoff_most = tuning.ineffective.most.as_secs();
        let unpaid_most = tuning.shrink.unpaid_most();
        // Clamps values that this version could not have written.
        self.backoff = self.backoff.map(|backoff| backoff.clamp(0, backoff_most));
        let probe_most = tuning.probe.most.as_secs();
        self.probe_wait = self.probe_wait.map(|wait| wait.clamp(0, probe_most));
        self.flaps = self.flaps.map(|times| times.clamp(1, unpaid_most));
        self.bottleneck = self.bottleneck.filter(|bottleneck| bottleneck.replicas > 0);
        self.saturated = self.saturated.filter(|s| s.consumers > 0 && s.milli > 0);
        if let Some(pause) = &mut self.pause {
            pause.seconds = pause.seconds.clamp(0, tuning.handover.most.as_secs());
            sane(&mut pause.time);
        }
        if let Some(longest) = &mut self.longest {
            let most = tuning.progress.longest.as_secs();
            longest.seconds = longest.seconds.clamp(0, most);
            sane(&mut longest.time);
        }
        if let Some(bottleneck) = &mut self.bottleneck {
            let longest = later(now, tuning.ineffective.most);
            bottleneck.until = bottleneck.until.min(longest);
        }
        if let Some(time) = self.capacity.as_mut().and_then(|c| c.time.as_mut()) {
            sane(time);
        }
        if let Some(rate) = &mut self.lower_bound {
            sane(&mut rate.time);
        }
        if let Some(down) = &mut self.down {
            sane(&mut down.time);
        }
        if let Some(time) = &mut self.last_flap {
            sane(time);
        }
        if let Some(throughput) = &mut self.saturated {
            sane(&mut throughput.time);
        }
    }
}
