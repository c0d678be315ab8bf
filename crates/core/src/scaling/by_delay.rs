//! The time objective: up when the delay that is predicted passes the line, down by the law.

use crate::scaling::by_law::objective;
use crate::scaling::decide::Scene;
use crate::scaling::measure::estimate::Estimate;
use crate::scaling::number::{self, seconds};
use crate::scaling::output::decision::{HoldReason, ScaleReason, Verdict, wait};
use crate::scaling::output::trail::Step;
use crate::scaling::plan::backlog;
use crate::scaling::plan::delay_target::{self, Need};
use crate::scaling::plan::lag_target::Demand;

impl Scene<'_> {
    /// What the time objective asks for, and what stands in its way.
    pub(in crate::scaling) fn by_delay(&mut self, estimate: &Estimate) -> (Verdict, Option<i32>) {
        let objective = objective(self.policy, &self.memory.learnt);
        let (now, replicas) = (self.now, self.replicas);
        let Some(sizes) = self.bounds.as_ref().map(|bounds| bounds.sizes().to_vec()) else {
            return (Verdict::Hold(wait(HoldReason::LagUnknown)), None);
        };
        if self.no_down().is_none()
            && !estimate.is_outage
            && let Some(back) = self.in_vain(estimate)
        {
            return back;
        }
        let memory = &self.memory;
        let need = delay_target::need(
            estimate,
            &memory.learnt,
            memory.last,
            &sizes,
            replicas,
            objective,
            now,
        );
        let learnt = &self.memory.learnt;
        let need = backlog::sooner(need, estimate, learnt, &sizes, replicas, objective);
        self.explain_need(estimate, &need);
        self.is_urgent = need.predicted > objective;
        if need.is_up {
            let to = self.capped(need.size);
            if to > replicas {
                let grown = self.grow(Some(estimate), to, ScaleReason::DelayAboveTarget);
                if need.is_uneven && matches!(grown.0, Verdict::Scale { .. }) {
                    let partitions = &mut self.history.law.partitions;
                    partitions.note_uneven(estimate.unevenness(), now.as_millisecond());
                }
                return grown;
            }
        }
        if !need.is_up && need.is_stale && need.size > replicas {
            return (Verdict::Hold(wait(HoldReason::LagUnknown)), Some(need.size));
        }
        self.shrink(estimate, &sizes, ScaleReason::DelayBelowTarget)
    }

    fn explain_need(&mut self, estimate: &Estimate, need: &Need) {
        self.trail.push(Step::Delay {
            delay: seconds(need.delay),
            predicted: seconds(need.predicted),
            unknown: self.lag.unknown,
        });
        if self.live.new_partitions > 0 {
            self.trail.push(Step::NewPartitions {
                count: self.live.new_partitions,
            });
        }
        if !estimate.stuck.is_empty() {
            self.trail.push(Step::Stuck {
                count: i32::try_from(estimate.stuck.len()).unwrap_or(i32::MAX),
            });
        }
        if let Some(capacity) = need.capacity {
            self.trail.push(Step::Load {
                arrivals_milli: number::milli(need.arrivals),
                capacity_milli: number::milli(capacity),
                is_measured: self.memory.learnt.capacity.is_some(),
                replicas: need.unlimited,
            });
        } else if need.delay > 0.0 {
            self.trail.push(Step::Said(
                "nothing has been committed yet, so nothing can be said of what more replicas could do",
            ));
        }
        self.demand = Some(Demand {
            asked: need.unlimited,
            wanted: need.size,
        });
        self.explain_limit(need.unlimited, need.size);
    }
}
