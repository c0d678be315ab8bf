//! The decision from the user's point of view: a small world of topics, a group and a workload, in
//! virtual time.

mod before_first_poll;
mod delay;
mod delayed;
mod external_changes;
mod flapping;
mod ineffective;
mod lag;
mod limits;
mod measurements;
mod membership;
mod plant;
mod probes;
mod promises;
mod scenarios;
mod settling;
mod shapes;
mod to_zero;
mod trail;
mod unknowns;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::scaling::decide;
use crate::scaling::decide::State;
use crate::scaling::input::observation::{
    Assignor, Commit, Earlier, Group, GroupSnapshot, GroupState, Member, Members, Observation,
    Partition, Rollout, Target, Topic, TopicRole, Unreadable,
};
use crate::scaling::input::policy::{Objective, OffsetReset, Pacing, Pauses, Policy};
use crate::scaling::output::decision::{Decision, HoldReason, Verdict};
use crate::scaling::state::memory::Memory;
use crate::scaling::tuning::SharedTuning;

pub(in crate::scaling) fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

pub(in crate::scaling) fn policy() -> Policy {
    Policy {
        measurement_key: 1,
        min: 1,
        max: None,
        objective: Objective::LagPerReplica(1000),
        pacing: Pacing {
            min_interval: secs(30),
            min_scale_down_interval: secs(120),
            settle_timeout: secs(300),
            scale_to_zero_delay: secs(300),
        },
        threads: 1,
        offset_reset: OffsetReset::Latest,
        may_hold_markers: false,
        dry_run: false,
        fallback: None,
        pauses: Pauses::default(),
        tuning: SharedTuning::default(),
    }
}

/// How partitions are handed out.
#[derive(Clone, Copy)]
pub(in crate::scaling) enum HandsOut {
    ByTurns,
    InBlocks,
}

/// One topic, one group, one workload. Members are always those of the replicas, spread evenly.
#[derive(Clone)]
pub(in crate::scaling) struct World {
    pub(in crate::scaling) policy: Policy,
    pub(in crate::scaling) state: State,
    pub(in crate::scaling) now: Timestamp,
    pub(in crate::scaling) replicas: i32,
    pub(in crate::scaling) ready: i32,
    pub(in crate::scaling) rollout: Rollout,
    pub(in crate::scaling) partitions: Vec<Partition>,
    pub(in crate::scaling) group: GroupState,
    pub(in crate::scaling) members: Option<usize>,
    pub(in crate::scaling) static_members: bool,
    pub(in crate::scaling) assignor: Option<Assignor>,
    pub(in crate::scaling) blind: bool,
    pub(in crate::scaling) earlier: Vec<Earlier>,
    /// How partitions are handed out, independent of `assignor`.
    pub(in crate::scaling) hands_out: HandsOut,
    /// The partitions from this place on belong to a second topic.
    pub(in crate::scaling) second: Option<(usize, TopicRole)>,
    /// Members are not described.
    pub(in crate::scaling) hides_members: bool,
    /// The poll that described the members, if it is an earlier one.
    pub(in crate::scaling) described: Option<u64>,
    pub(in crate::scaling) number: u64,
    births: u64,
}

impl World {
    pub(in crate::scaling) fn new(partitions: usize, replicas: i32) -> Self {
        let partition = Partition {
            log_start: Some(0),
            log_end: Some(0),
            committed: Commit::At(0),
            owner: Some(0),
        };
        Self {
            policy: policy(),
            state: State::default(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            replicas,
            ready: replicas,
            rollout: Rollout::None,
            partitions: vec![partition; partitions],
            group: if replicas > 0 {
                GroupState::Stable
            } else {
                GroupState::Empty
            },
            members: None,
            static_members: false,
            assignor: Some(Assignor::Range),
            blind: false,
            earlier: Vec::new(),
            hands_out: HandsOut::ByTurns,
            second: None,
            hides_members: false,
            described: None,
            number: 0,
            births: 0,
        }
    }

    /// A group of one replica that may go to zero. All that one of its two partitions holds beyond
    /// the commit is a transaction marker.
    pub(in crate::scaling) fn with_marker() -> Self {
        let mut world = Self::new(2, 1);
        world.policy.min = 0;
        world.policy.may_hold_markers = true;
        world.partitions[0] = Partition {
            log_end: Some(11),
            committed: Commit::At(10),
            ..world.partitions[0]
        };
        world
    }

    /// Sets the lag of the whole topic, spread evenly, by moving the ends.
    pub(in crate::scaling) fn lag(mut self, lag: i64) -> Self {
        self.set_lag(lag);
        self
    }

    pub(in crate::scaling) fn set_lag(&mut self, lag: i64) {
        let count = i64::try_from(self.partitions.len()).unwrap();
        for (i, p) in (0..).zip(&mut self.partitions) {
            let share = lag / count + i64::from(i < lag % count);
            let (Some(end), Commit::At(committed)) = (p.log_end, p.committed) else {
                continue;
            };
            let end = end.max(committed + share);
            p.log_end = Some(end);
            p.committed = Commit::At(end - share);
        }
    }

    /// Adds arrivals and consumption to the whole topic.
    pub(in crate::scaling) fn flow(&mut self, arrive: i64, read: i64) {
        let count = i64::try_from(self.partitions.len()).unwrap();
        for p in &mut self.partitions {
            let (Some(end), Commit::At(committed)) = (p.log_end, p.committed) else {
                continue;
            };
            let end = end + arrive / count;
            p.log_end = Some(end);
            p.committed = Commit::At((committed + read / count).min(end));
        }
    }

    pub(in crate::scaling) fn observation(&self) -> Observation {
        let consumers = self
            .members
            .unwrap_or_else(|| usize::try_from(self.replicas * self.policy.threads).unwrap());
        let list = (0..consumers)
            .map(|i| Member {
                id: format!("member-{i}-{}", self.births).into(),
                partitions: (i..self.partitions.len()).step_by(consumers.max(1)).count(),
                is_static: self.static_members,
            })
            .collect();
        let poll = GroupSnapshot {
            number: self.number,
            began: self.now,
            at: self.now,
            topics: self.topics(consumers),
            group: Group {
                state: self.group,
                rebalance: None,
                assignor: self.assignor,
                members: (!self.hides_members).then_some(Members {
                    poll: self.described.unwrap_or(self.number),
                    list,
                }),
            },
            earlier: self.earlier.clone(),
        };
        Observation {
            now: self.now,
            snapshot: if self.blind {
                Err(Unreadable::PollFailed {
                    number: self.number,
                })
            } else {
                Ok(poll)
            },
            target: Target {
                replicas: self.replicas,
                ready: self.ready,
                rollout: self.rollout,
            },
        }
    }

    fn topics(&self, consumers: usize) -> Vec<Topic> {
        let mut counted = self.owned(consumers);
        let second = self
            .second
            .map(|(from, role)| (role, counted.split_off(from)));
        let topic = |name, role, partitions| Topic {
            name: Arc::from(name),
            role,
            partitions: Some(partitions),
        };
        let second = second.map(|(role, all)| topic("orders-retry", role, all));
        std::iter::once(topic("orders", TopicRole::Counted, counted))
            .chain(second)
            .collect()
    }

    /// The consumer of a partition, of `consumers` in all.
    pub(in crate::scaling) fn owner(&self, partition: usize, consumers: usize) -> Option<usize> {
        match self.hands_out {
            HandsOut::ByTurns => partition.checked_rem(consumers),
            HandsOut::InBlocks => {
                partition.checked_div(self.partitions.len().div_ceil(consumers.max(1)))
            }
        }
    }

    /// The partitions with their owners, as members of a stable group show them.
    fn owned(&self, consumers: usize) -> Vec<Partition> {
        let mut partitions = self.partitions.clone();
        for (i, partition) in partitions.iter_mut().enumerate() {
            let owner = self.owner(i, consumers);
            let owner = owner.and_then(|owner| u32::try_from(owner).ok());
            let is_shown = partition.owner.is_some() && self.group == GroupState::Stable;
            partition.owner = owner.filter(|_| is_shown);
        }
        partitions
    }

    /// Time passes and the next poll is made.
    pub(in crate::scaling) fn after(&mut self, seconds: i64) -> Decision {
        self.now = self.now.checked_add(secs(seconds)).unwrap();
        self.number += 1;
        self.decide()
    }

    pub(in crate::scaling) fn poll(&mut self) -> Decision {
        self.after(15)
    }

    pub(in crate::scaling) fn decide(&mut self) -> Decision {
        let (decision, state) = decide(&self.policy, self.state.clone(), &self.observation());
        self.state = state;
        decision
    }

    /// Carries out the decision; it takes effect at once.
    pub(in crate::scaling) fn act(&mut self, decision: &Decision) {
        let Verdict::Scale { from, to, .. } = decision.verdict else {
            panic!("nothing to do: {decision:#?}")
        };
        self.state.memory = self.state.memory.begin(from, to, self.now).confirm();
        self.resize(to);
    }

    pub(in crate::scaling) fn resize(&mut self, to: i32) {
        (self.replicas, self.ready) = (to, to);
        self.group = if to > 0 {
            GroupState::Stable
        } else {
            GroupState::Empty
        };
        self.births += 1;
    }

    /// A new process starts from the memory in the status.
    pub(in crate::scaling) fn restart(&mut self) {
        let text = serde_json::to_string(&self.state.memory).unwrap();
        let memory: Memory = serde_json::from_str(&text).unwrap();
        assert_eq!(memory, self.state.memory, "memory survives being written");
        self.state = State::after_restart(memory.readable());
    }

    /// A number of polls without any action.
    pub(in crate::scaling) fn run(&mut self, polls: usize) {
        for _ in 0..polls {
            assert_eq!(scale(&self.poll()), None);
        }
    }

    /// Polls until there is an action, and carries it out. Gives up after `polls`.
    pub(in crate::scaling) fn until_action(&mut self, polls: usize) -> Option<(i32, i32)> {
        for _ in 0..polls {
            let decision = self.poll();
            if let Verdict::Scale { from, to, .. } = decision.verdict {
                self.act(&decision);
                return Some((from, to));
            }
        }
        None
    }
}

pub(in crate::scaling) fn scale(decision: &Decision) -> Option<(i32, i32)> {
    match decision.verdict {
        Verdict::Scale { from, to, .. } => Some((from, to)),
        Verdict::Hold(_) => None,
    }
}

pub(in crate::scaling) fn hold(decision: &Decision) -> Option<HoldReason> {
    match decision.verdict {
        Verdict::Scale { .. } => None,
        Verdict::Hold(wait) => Some(wait.why),
    }
}
