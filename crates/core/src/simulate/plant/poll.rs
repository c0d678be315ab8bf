//! What an operator can observe of the plant: offsets, group, workload. It is late, partial or
//! missing if the parameters say so.

use super::Plant;
use super::parameters::Assignor;
use super::parts::{ConsumerAt, Phase, Pod};
use crate::recording::{
    Committed, GroupLine, MemberLine, Observe, PartitionLine, TopicLine, Workload,
};
use crate::simulate::number::{floor, real};

/// Probability that an end offset is as new as the commit; otherwise it is a second older.
const FRESH: f64 = 0.7;
/// Brokers that lead the partitions in turn.
const BROKERS: u32 = 3;

/// The result of one poll.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// The observation that the operator reads.
    pub line: Observe,
    /// The pods, as Kubernetes and its metrics report them.
    pub pods: Vec<PodView>,
}

/// A pod, as it can be observed.
#[derive(Debug, Clone, Copy)]
pub struct PodView {
    /// State of the pod.
    pub phase: Phase,
    /// Seconds since it was created.
    pub age: i64,
    /// Share of its CPU request that it uses.
    pub cpu: f64,
    /// Share of the time that its consumers work, as an instrumented framework would export it.
    /// Only consumers with a partition count.
    pub busy: Option<f64>,
}

impl Plant<'_> {
    /// Polls the plant. `origin`: the time at which the load begins, in seconds.
    pub fn poll(&mut self, origin: f64) -> GroupView {
        let (t, p) = (self.t, self.parameters);
        let is_away = p.outages.iter().any(|o| o.has(t))
            || p.coordinator_outages.iter().any(|o| o.has(t))
            || self.chance.chance(p.failed_polls);
        let ready = self.ready();
        let mut line = Observe {
            t: origin + real(t),
            poll: None,
            began: None,
            at: None,
            whole: false,
            status: None,
            not_yet: false,
            workload: Workload {
                spec_replicas: self.replicas,
                ready_replicas: i32::try_from(ready).unwrap_or(i32::MAX),
                rollout: self.is_rolling(),
            },
            kafka_ok: !is_away,
            topics: std::collections::BTreeMap::new(),
            group: None,
        };
        if !is_away {
            self.poll_at_topics(&mut line);
            line.group = Some(self.poll_at_group());
        }
        let pods = self.pods.iter().map(|pod| self.poll_at_pod(pod)).collect();
        GroupView { line, pods }
    }

    fn poll_at_topics(&mut self, line: &mut Observe) {
        let (t, p) = (self.t, self.parameters);
        let away = p.broker_outages.iter();
        let away: Vec<u32> = away
            .filter(|outage| (outage.from..outage.to).contains(&t))
            .map(|outage| outage.broker)
            .collect();
        for partition in self.partitions.iter().filter(|p| p.exists) {
            let topic = line.topics.entry(partition.topic.to_string());
            let topic = topic.or_insert_with(|| TopicLine {
                partitions: Some(Vec::new()),
                count: None,
                only_assigned: false,
                delayed: false,
            });
            let is_missing = self.chance.chance(p.missing_partitions);
            if is_missing || away.contains(&(partition.number % BROKERS)) {
                continue;
            }
            let end = if self.chance.chance(FRESH) {
                partition.arrived
            } else {
                partition.arrived_before
            };
            let residue = if end > 0.0 { p.residual_lag } else { 0 };
            let committed = partition.committed;
            let partitions = topic.partitions.get_or_insert_default();
            partitions.push(PartitionLine {
                p: partition.number,
                log_start: Some(0),
                log_end: Some(floor(end * p.offsets_per_record) + residue),
                committed: committed.map_or(Committed::Nothing, |records| {
                    Committed::At(floor(records * p.offsets_per_record))
                }),
                ..PartitionLine::default()
            });
        }
    }

    fn poll_at_group(&self) -> GroupLine {
        let assignor = self.parameters.assignor;
        let state = match (self.members.is_empty(), self.is_stable(), assignor) {
            (true, ..) => "Empty",
            (false, true, _) => "Stable",
            (false, false, Assignor::Uniform) => "Reconciling",
            (false, false, _) => "PreparingRebalance",
        };
        // Classic groups show no assignment while they rebalance.
        let is_hidden = !self.is_stable() && assignor != Assignor::Uniform;
        let member = |at: &ConsumerAt| {
            let consumer = &self.consumers[*at];
            let shown = consumer.partitions.iter().filter(|_| !is_hidden);
            MemberLine {
                id: consumer.id.clone(),
                assignment: shown
                    .map(|place| &self.partitions[*place])
                    .map(|partition| (partition.topic.to_string(), partition.number))
                    .collect(),
                is_static: self.parameters.static_membership,
                ..MemberLine::default()
            }
        };
        GroupLine {
            state: state.to_owned(),
            protocol: Some(assignor.as_str().to_owned()),
            members: Some(self.members.iter().map(member).collect()),
            ..GroupLine::default()
        }
    }

    fn poll_at_pod(&self, pod: &Pod) -> PodView {
        let consumers = pod.consumers.iter().map(|at| &self.consumers[*at]);
        let works = consumers.filter(|c| c.running && !c.partitions.is_empty());
        PodView {
            phase: pod.phase,
            age: self.t - pod.created,
            cpu: pod.cpu,
            busy: works.map(|c| c.busy.min(1.0)).reduce(f64::max),
        }
    }
}
