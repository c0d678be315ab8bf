//! Pods: they take time to start, join the group when they are ready, and end, with or without
//! leaving the group.

use super::Plant;
use super::assign::assign;
use super::parts::{Consumer, ConsumerAt, Phase, Pod};
use super::tally::Rescale;
use crate::simulate::number::{count, nearest};

/// Seconds from the end of a pod's work until it is removed.
const TERMINATION: i64 = 2;
/// The lowest speed of a pod, as a share of the usual speed.
const SLOWEST: f64 = 0.5;

impl Plant<'_> {
    /// Starts `replicas` pods that run at once and own all partitions.
    pub(super) fn boot(&mut self, replicas: i32) {
        self.replicas = replicas;
        for _ in 0..replicas {
            let pod = self.pod(0);
            self.pods.push(pod);
        }
        let consumers: Vec<_> = self.pods.iter().flat_map(|p| p.consumers.clone()).collect();
        for pod in &mut self.pods {
            pod.phase = Phase::Running;
        }
        for consumer in consumers {
            self.join(consumer);
            // They are warm already.
            self.consumers[consumer].warm_at = self.t;
        }
        self.boot_others();
        let assignor = self.parameters.assignor;
        for (partition, owner) in assign(assignor, &self.partitions, &self.consumers, &self.members)
        {
            self.partitions[partition].owner = Some(owner);
            self.partitions[partition].had = Some(owner);
        }
        self.is_changed = true;
    }

    /// A pod that is ready after `wait` seconds.
    fn pod(&mut self, wait: i64) -> Pod {
        let parameters = self.parameters;
        self.pods_so_far += 1;
        let spread = 1.0 + self.random.normal(parameters.consumer_spread);
        let speed = parameters.consumer_rate * spread.max(SLOWEST);
        let ready_at = self.t + wait;
        let number = self.pods_so_far;
        let warm_at = ready_at + parameters.warmup_seconds;
        let consumers = (0..self.threads).map(|_| self.consumer(speed, warm_at));
        let consumers = consumers.collect();
        Pod {
            number,
            phase: Phase::Pending,
            created: self.t,
            ready_at,
            leaves_at: None,
            gone_at: None,
            cpu: 0.0,
            consumers,
        }
    }

    /// A consumer that has not joined.
    pub(super) fn consumer(&mut self, speed: f64, warm_at: i64) -> ConsumerAt {
        self.consumers.push(Consumer {
            id: format!("{:012x}", self.random.bits() >> 16),
            speed,
            drift: 0.0,
            warm_at,
            running: false,
            partitions: Vec::new(),
            moving: Vec::new(),
            next_commit: 0,
            expires: None,
            budget: 0.0,
            processed: 0.0,
            busy: 0.0,
            rate: 0.0,
        })
    }

    pub(super) fn start(&mut self) {
        let (least, mode, most) = self.parameters.start_seconds;
        let mut wait = nearest(self.random.triangular(least, mode, most));
        let needs_node = |most: usize| self.pods.len() >= most;
        if self.parameters.new_node_above.is_some_and(needs_node) {
            wait += self.parameters.new_node_seconds;
        }
        let pod = self.pod(wait);
        self.pods.push(pod);
    }

    pub(super) fn join(&mut self, consumer: ConsumerAt) {
        let commit = self
            .random
            .whole(1, self.parameters.commit_interval_seconds);
        self.members.push(consumer);
        let consumer = &mut self.consumers[consumer];
        consumer.running = true;
        consumer.next_commit = self.t + commit;
    }

    /// Sets the replica count, as a write of the scale subresource does.
    pub fn scale(&mut self, replicas: i32) {
        let replicas = replicas.max(0);
        if replicas == self.replicas {
            return;
        }
        self.tally.rescales.push(Rescale {
            t: self.t,
            from: self.replicas,
            to: replicas,
        });
        self.replicas = replicas;
        if !self.is_begun() {
            return;
        }
        let wanted = usize::try_from(replicas).unwrap_or(0);
        let is_live = |pod: &&Pod| pod.phase != Phase::Terminating;
        let live = self.pods.iter().filter(is_live).count();
        for _ in live..wanted {
            self.start();
        }
        if live > wanted {
            // Unready pods go first, then the youngest, as with a ReplicaSet.
            let mut order: Vec<_> = self.pods.iter().filter(is_live).collect();
            order.sort_by_key(|pod| match pod.phase {
                Phase::Running => (true, -pod.ready_at),
                Phase::Pending | Phase::Terminating => (false, 0),
            });
            let going: Vec<u64> = order.iter().map(|pod| pod.number).collect();
            for number in going.into_iter().take(live - wanted) {
                self.terminate(number);
            }
        }
    }

    pub(super) fn terminate(&mut self, number: u64) {
        let Some(pod) = self.pods.iter_mut().find(|pod| pod.number == number) else {
            return;
        };
        if pod.phase == Phase::Pending {
            self.pods.retain(|pod| pod.number != number);
            return;
        }
        let grace = self.parameters.grace_seconds;
        pod.phase = Phase::Terminating;
        pod.leaves_at = (grace > 0).then_some(self.t + grace);
        pod.gone_at = Some(self.t + grace + TERMINATION);
        if grace == 0 {
            self.leave(number);
        }
    }

    /// Stops the consumers of a pod. They leave the group if they are configured to.
    fn leave(&mut self, number: u64) {
        let Some(pod) = self.pods.iter().find(|pod| pod.number == number) else {
            return;
        };
        self.is_changed = true;
        let parameters = self.parameters;
        let leaves = parameters.leaves_group && !parameters.static_membership;
        for at in pod.consumers.clone() {
            let consumer = &mut self.consumers[at];
            consumer.running = false;
            for place in &consumer.partitions {
                let partition = &mut self.partitions[*place];
                if parameters.leaves_group && parameters.commits_on_revoke {
                    partition.commit();
                } else {
                    let back = partition.committed.unwrap_or(0.0);
                    self.tally.read_again += (partition.position - back).max(0.0);
                    partition.position = back;
                }
            }
            if leaves {
                self.members.retain(|member| *member != at);
            } else {
                consumer.expires = Some(self.t + parameters.session_timeout_seconds);
            }
        }
        if leaves {
            self.begin_rebalance();
        }
    }

    /// Pods become ready, leave the group, and are removed.
    pub(super) fn move_pods(&mut self) {
        let t = self.t;
        let is_due = |pod: &&mut Pod| pod.phase == Phase::Pending && t >= pod.ready_at;
        let ready = self.pods.iter_mut().filter(is_due).map(|pod| {
            pod.phase = Phase::Running;
            pod.consumers.clone()
        });
        for consumers in ready.collect::<Vec<_>>() {
            for consumer in consumers {
                self.join(consumer);
            }
            self.joined_at = t;
            self.begin_rebalance();
        }
        let leaves = |pod: &&Pod| pod.leaves_at == Some(t);
        let leavers: Vec<u64> = self
            .pods
            .iter()
            .filter(leaves)
            .map(|pod| pod.number)
            .collect();
        for number in leavers {
            self.leave(number);
        }
        self.pods.retain(|pod| pod.gone_at.is_none_or(|at| t < at));
    }

    /// Removes members whose session has timed out.
    pub(super) fn time_members_out(&mut self) {
        let t = self.t;
        let is_lost = |at: &ConsumerAt| self.consumers[*at].expires.is_some_and(|e| t >= e);
        let lost: Vec<_> = self.members.iter().copied().filter(is_lost).collect();
        for member in lost {
            self.members.retain(|other| *other != member);
            for partition in self.partitions.iter_mut() {
                if partition.owner == Some(member) {
                    partition.owner = None;
                }
            }
            if self.rebalance.is_none() || !self.parameters.assignor.is_eager() {
                self.begin_rebalance();
            }
            self.is_changed = true;
        }
    }

    /// Number of pods, including pending and terminating ones.
    pub(super) fn pods_there(&self) -> f64 {
        count(self.pods.len())
    }
}
