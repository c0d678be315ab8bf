//! What a decision tells besides its verdict: what limits it, what stands in the way of an up, the numbers.

use jiff::SignedDuration;

use crate::scaling::by_law;
use crate::scaling::decide::{Scene, State};
use crate::scaling::input::observation::{Blind, GroupState};
use crate::scaling::input::policy::Objective;
use crate::scaling::measure::lag;
use crate::scaling::measure::replica_changes::Sight;
use crate::scaling::output::decision::{Decision, Facts, HoldReason, Verdict, Wait, wait};
use crate::scaling::output::trail::Step;
use crate::scaling::plan::limits::{LimitedBy, Shape};
use crate::scaling::state::memory::BeforeUp;

impl Scene<'_> {
    pub(in crate::scaling) fn explain_demand(&mut self, asked: i32, wanted: i32) {
        self.trail.push(Step::Lag {
            total: self.live.total,
            unknown: self.lag.unknown,
        });
        if self.live.new_partitions > 0 {
            self.trail.push(Step::NewPartitions {
                count: self.live.new_partitions,
            });
        }
        if self.live.stuck > 0 {
            self.trail.push(Step::Stuck {
                count: self.live.stuck,
            });
        }
        if let Objective::LagPerReplica(lag_per_replica) = self.policy.objective {
            self.trail.push(Step::Demand {
                replicas: asked,
                lag_per_replica,
            });
        }
        self.explain_limit(asked, wanted);
    }

    /// Why the size is not the count that was asked for.
    pub(in crate::scaling) fn explain_limit(&mut self, asked: i32, wanted: i32) {
        if let (Some(by), Some(bounds)) = (self.limited_by(), &self.bounds) {
            let at = if by == LimitedBy::MinReplicas {
                bounds.floor
            } else {
                bounds.ceiling
            };
            self.trail.push(Step::Limited { by, at });
        } else if wanted != asked
            && asked > 0
            && let Some(shape) = &self.shape
        {
            self.trail.push(Step::Useful {
                asked,
                taken: wanted,
                share_asked: shape.largest_share(asked),
                share_taken: shape.largest_share(wanted),
            });
        }
    }

    pub(in crate::scaling) fn limited_by(&self) -> Option<LimitedBy> {
        let bounds = self.bounds.as_ref()?;
        let asked = self.demand?.asked;
        if asked > bounds.ceiling {
            let max_binds = self.policy.max.is_some_and(|max| max < bounds.limit);
            return Some(if max_binds {
                LimitedBy::MaxReplicas
            } else {
                LimitedBy::PartitionLimit
            });
        }
        (asked.max(1) < bounds.floor).then_some(LimitedBy::MinReplicas)
    }

    /// What stands in the way of a scale-up, wanted or not (decision 30).
    pub(in crate::scaling) fn up_blocked(&self) -> Option<Wait> {
        if self.is_switched_off() {
            return Some(wait(HoldReason::ScalingDisabled));
        }
        if self.policy.brake.pause.is_some() || self.policy.brake.no_scale_out {
            return Some(wait(HoldReason::Paused));
        }
        if let Some(until) = self.memory.contested_until {
            return Some(Wait {
                why: HoldReason::TargetContested,
                until: Some(until),
            });
        }
        if self.sight == Sight::NotLanded {
            return Some(wait(HoldReason::Settling));
        }
        if self.observation.look == Err(Blind::NotYet) {
            return Some(wait(HoldReason::NotYetObserved));
        }
        self.up_gate()
    }

    pub(in crate::scaling) fn finish(
        mut self,
        verdict: Verdict,
        desired: Option<i32>,
        up_blocked: Option<Wait>,
    ) -> (Decision, State) {
        if let Some((topic, partition)) = self
            .observation
            .look
            .as_ref()
            .ok()
            .and_then(lag::past_its_end)
        {
            self.trail.push(Step::CommitPastEnd { topic, partition });
        }
        self.explain_pause();
        let sleeps = matches!(verdict, Verdict::Scale { to: 0, .. })
            || self.memory.last.is_some_and(|l| l.to == 0);
        if self.replicas > 0 && !sleeps {
            self.memory.slept_at = None;
        }
        if let Verdict::Scale { from, to, .. } = verdict
            && to > from
        {
            self.memory.before_up = self.before_up();
        }
        if let Some(overdue) = self.gates.overdue {
            let waited = self.now.duration_since(overdue.since);
            self.trail.push(Step::Overdue {
                what: overdue.what.as_str(),
                waited,
            });
        }
        let look = self.observation.look.as_ref().ok();
        let members = look.and_then(|l| l.group.members.as_ref());
        let stable = look.is_some_and(|l| l.group.state == GroupState::Stable);
        let rates = self.history.rates();
        let facts = Facts {
            current: self.replicas,
            ready: self.observation.target.ready,
            desired,
            limit: self.memory.limit,
            partitions: self.shape.as_ref().map(Shape::partitions),
            knowledge: self.knowledge,
            members: members.map(|m| m.list.len()),
            idle_members: members.filter(|_| stable).map(|m| {
                m.list
                    .iter()
                    .filter(|member| member.partitions == 0)
                    .count()
            }),
            produced: rates.map(|(produced, _)| produced),
            consumed: rates.map(|(_, consumed)| consumed),
            capacity: self.memory.learnt.capacity.map(|capacity| capacity.milli),
            delay: self.estimate.as_ref().map(|estimate| {
                SignedDuration::try_from_secs_f64(estimate.delay).unwrap_or_default()
            }),
            delay_partition: self
                .estimate
                .as_ref()
                .and_then(|estimate| estimate.latest_partition.clone()),
            hot_partitions: self
                .estimate
                .as_ref()
                .map(|estimate| {
                    let objective = by_law::objective(self.policy, &self.memory.learnt);
                    estimate.hot(&self.memory.learnt, objective)
                })
                .unwrap_or_default(),
            backlogged: std::mem::take(&mut self.backlogged),
            plateau: self.memory.learnt.plateau.map(|plateau| plateau.replicas),
            stuck_partitions: self
                .estimate
                .as_ref()
                .map(|estimate| estimate.stuck.clone())
                .unwrap_or_default(),
            overdue: self.gates.overdue,
            group_missing: self.gates.members_missing,
            members_missing: self.gates.nobody_joined,
            foreign_members: usize::try_from(self.history.membership.foreign()).unwrap_or(0),
            rebalances: self.history.membership.storm(self.now),
            nothing_committed: self.history.offsets.nothing_committed(),
            uncommitted: self.history.offsets.unknown(),
            wants_members: self.wants_members(verdict),
            lag: self.lag.clone(),
        };
        let limited_by = self.limited_by();
        let decision = Decision {
            verdict,
            up_blocked,
            limited_by,
            facts,
            notices: self.notices,
            trail: self.trail,
        };
        (
            decision,
            State {
                memory: self.memory,
                history: self.history,
            },
        )
    }

    /// What was learnt of this group's hand-overs, where that is more than is usual.
    fn explain_pause(&mut self) {
        let learnt = &self.memory.learnt;
        if let Some(pause) = learnt.pause.filter(|_| learnt.excess() > 0.0) {
            self.trail.push(Step::Pause {
                lasts: SignedDuration::from_secs(pause.seconds),
            });
        }
    }

    /// The group as it is, for a scale-up to be judged by.
    fn before_up(&self) -> Option<BeforeUp> {
        let look = self.observation.look.as_ref().ok()?;
        let members = look.group.members.as_ref()?.list.len();
        let ready = self.observation.target.ready;
        Some(BeforeUp {
            members: i32::try_from(members).unwrap_or(i32::MAX),
            working: self.history.membership.working(self.policy).max(ready),
        })
    }

    /// Members are described on each look while an action is near or has not settled (decision 22).
    pub(in crate::scaling) fn wants_members(&self, verdict: Verdict) -> bool {
        let in_flight = self.memory.last.is_some_and(|l| l.settled_after.is_none());
        let near = match verdict {
            Verdict::Scale { .. } => true,
            Verdict::Hold(Wait { why, .. }) => matches!(
                why,
                HoldReason::CoolingDown | HoldReason::GroupRebalancing | HoldReason::Settling
            ),
        };
        in_flight || near
    }
}
