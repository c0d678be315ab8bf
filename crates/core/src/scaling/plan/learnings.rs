//! What a decision changes in the memory: computed once, then stored.

use crate::scaling::input::observation::Observation;
use crate::scaling::input::policy::Policy;
use crate::scaling::measure::history::{History, ReviewState};
use crate::scaling::output::decision::Verdict;
use crate::scaling::plan::flap_backoff;
use crate::scaling::plan::ineffective::note_before_up;
use crate::scaling::plan::proposal::{Learning, Proposal};
use crate::scaling::plan::scale_down::{note_down, note_undone, note_up};
use crate::scaling::plan::situation::Situation;
use crate::scaling::state::capacity_model::CapacityModel;
use crate::scaling::state::memory::{BeforeUp, FlapBackoff, Memory};

/// The memory after a decision.
#[derive(Debug, Clone)]
pub(in crate::scaling) struct MemoryUpdate {
    model: CapacityModel,
    review_state: ReviewState,
    flap_backoff: Option<FlapBackoff>,
    before_up: Option<BeforeUp>,
    ends_at_zero: Option<i64>,
    skew: Option<f64>,
}

/// The memory after `proposal` is decided.
pub(in crate::scaling) fn learn(situation: &Situation<'_>, proposal: &Proposal) -> MemoryUpdate {
    let (memory, review) = (situation.memory, situation.review.as_ref());
    let mut update = MemoryUpdate {
        model: situation.model().clone(),
        review_state: review.map_or(situation.history.consumption.review_state, |review| {
            review.state
        }),
        flap_backoff: memory.flap_backoff,
        before_up: memory.before_up,
        ends_at_zero: memory.ends_at_zero,
        skew: None,
    };
    for learning in &proposal.learnings {
        match *learning {
            Learning::Grows => update.note_growth(situation),
            Learning::Shrinks => {
                update.review_state = ReviewState::Done;
                let (replicas, now) = (situation.replicas(), situation.now());
                note_down(&mut update.model, replicas, now, &situation.policy.tuning);
            }
            Learning::Sleeps(ends) => update.ends_at_zero = ends,
            Learning::Skewed(times) => update.skew = Some(times),
            Learning::BottleneckExpired => update.model.bottleneck = None,
        }
    }
    let was_put_to_sleep = memory.last.is_some_and(|last| last.to == 0);
    match proposal.verdict {
        Verdict::Scale { to: 0, .. } => {}
        _ if situation.replicas() > 0 && !was_put_to_sleep => update.ends_at_zero = None,
        _ => {}
    }
    if let Verdict::Scale { from, to, .. } = proposal.verdict
        && to > from
    {
        update.before_up = before_up(situation);
    }
    update
}

impl MemoryUpdate {
    fn note_growth(&mut self, situation: &Situation<'_>) {
        let (memory, now) = (situation.memory, situation.now());
        let is_measured = self.model.is_measured();
        let estimate = situation.measured.estimate.as_ref();
        if let Some(estimate) = estimate.filter(|_| situation.replicas() > 0) {
            let objective = situation.objective();
            let model = &mut self.model;
            let (replicas, tuning) = (situation.replicas(), &*situation.policy.tuning);
            note_up(model, estimate, replicas, objective, now, tuning);
            note_undone(model, memory.last, now, tuning);
            note_before_up(model, self.review_state, estimate, now, tuning);
            self.review_state = ReviewState::Open;
        }
        if !is_measured {
            self.flap_backoff = flap_backoff::after_up(memory, situation.policy, now);
        }
    }
}

/// Stores the update.
pub(in crate::scaling) fn apply(
    update: MemoryUpdate,
    memory: &mut Memory,
    history: &mut History,
    policy: &Policy,
    observation: &Observation,
) {
    memory.model = update.model;
    memory.flap_backoff = update.flap_backoff;
    memory.before_up = update.before_up;
    memory.ends_at_zero = update.ends_at_zero;
    history.consumption.review_state = update.review_state;
    if let Some(times) = update.skew {
        let at = observation.now.as_millisecond();
        history
            .consumption
            .partitions
            .note_skew(times, at, &policy.tuning);
    }
}

/// The present group, to judge a scale-up by.
fn before_up(situation: &Situation<'_>) -> Option<BeforeUp> {
    let members = situation.snapshot()?.group.members.as_ref()?.list.len();
    let working = situation.history.membership.working(situation.policy);
    Some(BeforeUp {
        members: i32::try_from(members).unwrap_or(i32::MAX),
        working: working.max(situation.observation.target.ready),
    })
}
