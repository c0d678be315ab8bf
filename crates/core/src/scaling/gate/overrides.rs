//! What goes before the lag: off by hand, the brake, the bounds, the fallback (decisions 3, 8, 10, 11).

use std::cmp::Ordering;

use crate::scaling::decide::Scene;
use crate::scaling::input::policy::Pause;
use crate::scaling::number::later;
use crate::scaling::output::decision::{HoldReason, Knowledge, ScaleReason, Verdict, Wait, wait};
use crate::scaling::output::trail::Step;
use crate::scaling::plan::limits::{LimitedBy, Shape};

impl Scene<'_> {
    /// Scaled to zero by hand, with `minReplicas` of at least 1 (decision 8).
    pub(in crate::scaling) fn is_switched_off(&self) -> bool {
        self.replicas == 0
            && self.policy.min > 0
            && !self
                .memory
                .last
                .is_some_and(|last| last.to == 0 && !last.external)
    }

    /// The pausing annotations (decision 10).
    pub(in crate::scaling) fn paused(&mut self) -> Option<(Verdict, Option<i32>)> {
        match self.policy.brake.pause.clone()? {
            Pause::Here => Some((Verdict::Hold(wait(HoldReason::Paused)), Some(self.replicas))),
            Pause::NotUnderstood { annotation, value } => {
                self.trail.push(Step::NotUnderstood { annotation, value });
                Some((Verdict::Hold(wait(HoldReason::Paused)), Some(self.replicas)))
            }
            Pause::At(at) => {
                let limit = self.memory.limit;
                // A raise stays within the limit, a cut within what is certain of it; where the user asks for what there
                // is, no limit takes anything away.
                let certain = self.shape.as_ref().map(Shape::certain_limit).or(limit);
                let to = match at.cmp(&self.replicas) {
                    Ordering::Greater => limit.map_or(at, |limit| at.min(limit).max(self.replicas)),
                    Ordering::Equal => at,
                    Ordering::Less => certain.map_or(at, |certain| at.min(certain)),
                };
                if to < at {
                    self.trail.push(Step::Limited {
                        by: LimitedBy::PartitionLimit,
                        at: to,
                    });
                }
                if to == self.replicas {
                    return Some((Verdict::Hold(wait(HoldReason::Paused)), Some(to)));
                }
                if to > self.replicas && limit.is_none() {
                    return Some((Verdict::Hold(wait(HoldReason::LagUnknown)), Some(to)));
                }
                let wait = if to > self.replicas {
                    self.gates.bound_up()
                } else {
                    self.gates.down(self.policy.pacing.min_scale_down_interval)
                };
                Some((self.unless(wait, to, ScaleReason::PausedReplicas), Some(to)))
            }
        }
    }

    /// A size that min, max or the partition limit rule out, whatever the lag (decision 3).
    pub(in crate::scaling) fn out_of_bounds(&mut self) -> Option<(i32, ScaleReason)> {
        let n = self.replicas;
        if let Some(max) = self.policy.max
            && n > max
        {
            // A limit that is not certain brings nobody down (decision 17), not even further down.
            let certain = self.shape.as_ref().map(Shape::certain_limit);
            let to = match (&self.bounds, certain) {
                (Some(bounds), Some(certain)) if certain > bounds.limit => max.min(certain),
                (Some(bounds), _) => bounds.ceiling,
                (None, _) => max,
            };
            self.trail.push(Step::Limited {
                by: LimitedBy::MaxReplicas,
                at: max,
            });
            return Some((to, ScaleReason::MaxReplicas));
        }
        let bounds = self.bounds.as_ref()?;
        // Only a partition count that two whole looks showed, the present one among them, brings a group down.
        let present = self.shape.as_ref().map(Shape::certain_limit);
        if let Some((certain, 2)) = self.history.certain_limit
            && self.is_whole
            && present.is_some_and(|present| n > present.max(certain))
        {
            // Under an assignor that is not known only what is certain to be idle goes (decision 17).
            let certain = self.policy.max.map_or(certain, |max| max.min(certain));
            let to = if certain > bounds.limit {
                certain
            } else {
                bounds.ceiling
            };
            self.trail.push(Step::Limited {
                by: LimitedBy::PartitionLimit,
                at: certain,
            });
            return Some((to, ScaleReason::PartitionLimit));
        }
        if n < bounds.floor {
            let to = bounds.floor;
            self.trail.push(Step::Limited {
                by: LimitedBy::MinReplicas,
                at: self.policy.min,
            });
            return Some((to, ScaleReason::MinReplicas));
        }
        None
    }

    pub(in crate::scaling) fn move_to_bound(&mut self, to: i32, why: ScaleReason) -> Verdict {
        let wait = if to > self.replicas {
            self.gates.bound_up()
        } else {
            self.gates.down(self.policy.pacing.min_scale_down_interval)
        };
        let wait = self.brake(to).or(wait);
        self.unless(wait, to, why)
    }

    /// The floor while Kafka cannot be read (decision 11).
    pub(in crate::scaling) fn fallback(&mut self) -> Option<(i32, ScaleReason)> {
        let fallback = self.policy.fallback?;
        let Knowledge::Missing { since, .. } = self.knowledge else {
            return None;
        };
        let bounds = self.bounds.as_ref()?;
        let to = fallback.replicas.min(bounds.ceiling);
        let overruled = self
            .memory
            .last
            .is_some_and(|last| last.external && last.time > since);
        if to <= self.replicas || later(since, fallback.after) > self.now || overruled {
            return None;
        }
        self.trail.push(Step::Blind(since));
        Some((to, ScaleReason::Fallback))
    }

    /// `paused-scale-in` and `paused-scale-out`.
    pub(in crate::scaling) fn brake(&self, to: i32) -> Option<Wait> {
        let brake = &self.policy.brake;
        let held = if to > self.replicas {
            brake.no_scale_out
        } else {
            brake.no_scale_in
        };
        held.then_some(wait(HoldReason::Paused))
    }
}
