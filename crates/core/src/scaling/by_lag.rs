//! The lag objective: up when the lag asks for more, as a HorizontalPodAutoscaler would; down by the law as soon as the
//! capacity of a consumer is known, and by one count at a time before.
//!
//! A group that keeps up has no lag, so what the lag asks for says nothing about how few will do.

use jiff::{SignedDuration, Timestamp};

use crate::scaling::by_law::objective;
use crate::scaling::decide::Scene;
use crate::scaling::input::policy::Objective;
use crate::scaling::measure::estimate::Estimate;
use crate::scaling::number::{self, later, seconds};
use crate::scaling::output::decision::{HoldReason, ScaleReason, Verdict, Wait, wait};
use crate::scaling::output::trail::Step;
use crate::scaling::plan::delay_target::{self, Need};
use crate::scaling::plan::lag_target::Demand;
use crate::scaling::plan::{backlog, flap_backoff, scale_down};

/// No evidence is kept for longer than two hours.
const LONGEST_EVIDENCE: SignedDuration = SignedDuration::from_secs(7000);

impl Scene<'_> {
    /// What the lag asks for, and what stands in its way.
    pub(in crate::scaling) fn by_lag(
        &mut self,
        estimate: Option<&Estimate>,
        demand: Demand,
    ) -> (Verdict, Option<i32>) {
        let Demand { asked, wanted } = demand;
        let estimate = estimate.filter(|_| self.replicas > 0);
        if let Some(estimate) = estimate
            && self.no_down().is_none()
            && !estimate.is_outage
            && let Some(back) = self.in_vain(estimate)
        {
            return back;
        }
        self.explain_demand(asked, wanted);
        let to = if self.replicas > 0 && wanted > self.replicas {
            let capped = self.capped(wanted);
            estimate.map_or(capped, |estimate| self.shortening(estimate, capped))
        } else {
            wanted
        };
        if to > self.replicas {
            let drains = estimate.and_then(|estimate| self.drains_until(estimate));
            if let Some(until) = drains.filter(|_| self.up_gate().is_none()) {
                self.trail.push(Step::Said(
                    "that is what the last rebalance held up, and this size works it off",
                ));
                let settling = Wait {
                    why: HoldReason::Settling,
                    until: Some(until),
                };
                let verdict = self.unless(Some(settling), to, ScaleReason::LagAboveTarget);
                return (verdict, Some(to));
            }
            let why = if self.replicas == 0 {
                ScaleReason::WakeUp
            } else {
                ScaleReason::LagAboveTarget
            };
            return self.grow(estimate, to, why);
        }
        let measured = estimate.filter(|_| self.memory.learnt.is_measured());
        let (Some(estimate), Some(bounds)) = (measured, &self.bounds) else {
            return self.shrink_unmeasured();
        };
        // No smaller than the lag has lately asked for: where commits are rare it goes up and down with each of them.
        let window = self.policy.pacing.min_scale_down_interval;
        let peak = self.history.evidence.window(window).map_or(0, |w| w.peak);
        // And none that would take longer than the law allows for the backlog of its own rebalance: the lag would undo it.
        let load = self.load_needs(estimate).map_or(0, |need| need.size);
        let least = wanted.max(bounds.at_least(peak).max(load).min(self.replicas));
        let sizes = bounds.sizes().iter().copied();
        let sizes: Vec<i32> = sizes.filter(|size| *size >= least).collect();
        let decided = self.shrink(estimate, &sizes, ScaleReason::LagBelowTarget);
        let stays = decided.0 == Verdict::Hold(wait(HoldReason::AsDesired));
        if stays && wanted < self.replicas {
            self.explain_load(estimate);
            return (
                Verdict::Hold(wait(HoldReason::ArrivalsTooHigh)),
                Some(self.replicas),
            );
        }
        decided
    }

    /// How far towards `size` growing shortens anybody's backlog: a partition has one consumer, whatever the size.
    fn shortening(&mut self, estimate: &Estimate, size: i32) -> i32 {
        let Some(bounds) = &self.bounds else {
            return size;
        };
        let learnt = &self.memory.learnt;
        let capacity = learnt.capacity().filter(|_| learnt.is_measured());
        let sizes = bounds.sizes();
        let enough = backlog::enough_for_backlog(estimate, capacity, sizes, self.replicas, size);
        if enough < size
            && let Objective::LagPerReplica(per_replica) = self.policy.objective
        {
            self.backlogged = estimate.backlogged(per_replica);
            self.trail.push(Step::NoneShorter {
                replicas: enough,
                asked: size,
            });
        }
        enough
    }

    /// Until when the backlog counts as what the last rebalance held up, if this size works it off in time and nothing is late:
    /// growing for it would cost the next rebalance, and the size after that would be found too large again.
    fn drains_until(&self, estimate: &Estimate) -> Option<Timestamp> {
        let (memory, now) = (&self.memory, self.now);
        let last = memory.last.map(|last| last.time);
        // Whoever caused the rebalance: a release and a pod that was replaced hold records up as well.
        // One that does not end is no excuse for long.
        let disturbed = self.history.membership.disturbed;
        let disturbed = disturbed.filter(|_| self.gates.overdue.is_none());
        let held_up = last.max(disturbed);
        let held_up = held_up.filter(|_| memory.learnt.is_measured())?;
        let timeout = self.policy.pacing.settle_timeout;
        let until = later(held_up, timeout);
        // A release stops the group once for each pod; our own action does it once.
        let patience = if Some(held_up) == disturbed {
            timeout.as_secs_f64()
        } else {
            0.0
        };
        let need = self.load_needs(estimate)?;
        let drains = need.size <= self.replicas
            && need.delay <= objective(self.policy, &memory.learnt).max(patience);
        (until > now && drains).then_some(until)
    }

    /// What the load and the backlog need, whatever the lag asks for.
    fn load_needs(&self, estimate: &Estimate) -> Option<Need> {
        let memory = &self.memory;
        Some(delay_target::need(
            estimate,
            &memory.learnt,
            memory.last,
            self.bounds.as_ref()?.sizes(),
            self.replicas,
            objective(self.policy, &memory.learnt),
            self.now,
        ))
    }

    /// Why no smaller size is in question, although the lag asks for none of what there is.
    fn explain_load(&mut self, estimate: &Estimate) {
        if let Some(capacity) = self.memory.learnt.capacity() {
            self.trail.push(Step::Load {
                arrivals_milli: number::milli(estimate.arrivals()),
                capacity_milli: number::milli(capacity),
                is_measured: true,
                replicas: delay_target::unlimited(estimate, capacity),
            });
        }
    }

    /// One count less after a window in which the lag asked for no more. What one consumer can do is not known yet.
    fn shrink_unmeasured(&mut self) -> (Verdict, Option<i32>) {
        if let Some(held) = self.no_down().or_else(|| self.records_in_hand()) {
            return held;
        }
        let smaller = self.to_zero().or_else(|| {
            let (to, wait) = self.one_less()?;
            Some((to, ScaleReason::LagBelowTarget, wait))
        });
        match smaller {
            Some((to, why, wait)) => self.go_down(to, why, wait),
            None => (
                Verdict::Hold(wait(HoldReason::AsDesired)),
                Some(self.replicas),
            ),
        }
    }

    /// The next smaller count, and what it waits for. `None`: the lag asks for what there is.
    fn one_less(&mut self) -> Option<(i32, Option<Wait>)> {
        let next = self.bounds.as_ref()?.below(self.replicas).next_back()?;
        let rebalance = self.history.law.partitions.rebalance;
        let sizes = (self.replicas, next);
        let dear = scale_down::dear(&self.memory.learnt, rebalance, sizes, self.now);
        let least = flap_backoff::down_wait(&self.memory, self.policy.pacing, self.now);
        let length = least.max(seconds(dear)).min(LONGEST_EVIDENCE);
        let spacing = self.gates.down(length);
        let window = self.history.evidence.window(length);
        let covered = window.map(|window| window.covered).unwrap_or_default();
        if covered < length {
            // Would there be anything to go down to, as far as it can be seen?
            if self.demand?.wanted.max(next) >= self.replicas {
                return None;
            }
            self.trail.push(Step::Evidence {
                covered,
                window: length,
            });
            let until = later(self.now, length - covered);
            let gathering = Wait {
                why: HoldReason::GatheringEvidence,
                until: Some(until),
            };
            return Some((next, spacing.or(Some(gathering))));
        }
        let (bounds, peak) = (self.bounds.as_ref()?, window?.peak);
        // A ceiling that is not certain brings nobody down (decision 17).
        if peak > bounds.ceiling || bounds.at_least(peak) > next {
            return None;
        }
        self.trail.push(Step::CapacityUnknown);
        Some((next, spacing))
    }
}
