//! KEDA's Kafka scaler and the HPA behind it. From the documentation of the `kafka` trigger: an
//! average value per replica, capped at one replica per partition.

use super::hpa::{Hpa, SYNC};
use super::options::Options;
use super::{Answer, Autoscaler, Bounds};
use crate::simulate::number::{count, nearest, real, replicas};
use crate::simulate::plant::{GroupView, Phase};

/// KEDA's default of `maxReplicaCount`.
const MOST: i32 = 100;
/// KEDA's default of `lagThreshold`.
const THRESHOLD: f64 = 10.0;

/// A ScaledObject with one Kafka trigger.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are KEDA's own switches"
)]
struct Keda {
    threshold: f64,
    activation: f64,
    cooldown: i64,
    even: bool,
    idle: bool,
    limited: bool,
    to_zero: bool,
    hpa: Hpa,
    /// The last time when the trigger was active.
    active_at: Option<i64>,
}

/// `keda=lagThreshold:100`, with the option names of a ScaledObject.
pub(super) fn new(options: &Options, bounds: &Bounds) -> Result<Box<dyn Autoscaler>, String> {
    let options = options.read();
    let most = bounds.max.unwrap_or(MOST);
    let keda = Keda {
        threshold: options
            .number("lagThreshold", 1.0, 1e15)?
            .unwrap_or(THRESHOLD),
        activation: options
            .number("activationLagThreshold", 0.0, 1e15)?
            .unwrap_or(0.0),
        cooldown: options.seconds("cooldownPeriod", 300)?,
        even: options.switch("ensureEvenDistributionOfPartitions", false)?,
        idle: options.switch("allowIdleConsumers", false)?,
        limited: options.switch("limitToPartitionsWithLag", false)?,
        to_zero: bounds.min == 0,
        hpa: Hpa::new(&options, bounds.least(), most)?,
        active_at: None,
    };
    options.done()?;
    if keda.idle && (keda.even || keda.limited) {
        return Err("allowIdleConsumers excludes ensureEvenDistributionOfPartitions and limitToPartitionsWithLag".to_owned());
    }
    Ok(Box::new(keda))
}

impl Keda {
    /// The lag that KEDA reports to the HPA.
    fn metric(&self, view: &GroupView) -> f64 {
        let (mut lag, mut partitions, mut behind) = (0.0, 0_usize, 0_usize);
        let topics = view.line.topics.values();
        for partition in topics.flat_map(|topic| topic.partitions.iter().flatten()) {
            let end = partition.log_end.unwrap_or(0);
            // Without a commit a partition counts as one record behind.
            let its = Option::<i64>::from(partition.committed).map_or(1, |at| end - at);
            lag += real(its);
            partitions += 1;
            behind += usize::from(its > 0);
        }
        if self.even {
            let divides = |n: &usize| partitions.is_multiple_of(*n);
            let mut sizes = (1..=partitions).filter(divides);
            let enough = sizes.find(|n| count(*n) * self.threshold >= lag);
            lag = count(enough.unwrap_or(partitions)) * self.threshold;
        }
        let most = if self.limited { behind } else { partitions };
        if !self.idle && (lag / self.threshold).floor() > count(most) {
            lag = count(most) * self.threshold;
        }
        lag
    }
}

impl Autoscaler for Keda {
    fn interval(&self) -> i64 {
        SYNC
    }

    fn decide(&mut self, view: GroupView) -> Answer {
        if !view.line.kafka_ok {
            // FailedGetExternalMetric: the HPA changes nothing.
            return Answer::default();
        }
        let t = nearest(view.line.t);
        let lag = self.metric(&view);
        let current = view.line.workload.spec_replicas;
        if lag > self.activation {
            self.active_at = Some(t);
        }
        let active_at = *self.active_at.get_or_insert(t);
        if self.to_zero && current == 0 {
            return Answer::replicas((lag > self.activation).then_some(1));
        }
        if self.to_zero && t - active_at >= self.cooldown {
            return Answer::replicas(Some(0));
        }
        let there = view.pods.iter().filter(|p| p.phase != Phase::Terminating);
        let there = count(there.count().max(1));
        let proposed = if self.hpa.differs(lag / (self.threshold * there)) {
            replicas(lag / self.threshold)
        } else {
            current
        };
        Answer::replicas(Some(self.hpa.step(t, current, proposed)))
    }
}
