//! What a decision teaches: worked out once, and then written down.

use crate::scaling::input::observation::Observation;
use crate::scaling::input::policy::Policy;
use crate::scaling::measure::history::{History, Judgement};
use crate::scaling::output::decision::Verdict;
use crate::scaling::plan::flap_backoff;
use crate::scaling::plan::ineffective::note_before_up;
use crate::scaling::plan::proposal::{Lesson, Proposal};
use crate::scaling::plan::scale_down::{note_down, note_undone, note_up};
use crate::scaling::plan::situation::Situation;
use crate::scaling::state::learnt::Learnt;
use crate::scaling::state::memory::{BeforeUp, Memory, Regret};

/// What is known after a decision.
#[derive(Debug, Clone)]
pub(in crate::scaling) struct Learned {
    learnt: Learnt,
    judgement: Judgement,
    regret: Option<Regret>,
    before_up: Option<BeforeUp>,
    slept_at: Option<i64>,
    uneven: Option<f64>,
}

/// What is known once `proposal` is decided.
pub(in crate::scaling) fn learn(situation: &Situation<'_>, proposal: &Proposal) -> Learned {
    let (memory, review) = (situation.memory, situation.review.as_ref());
    let mut learned = Learned {
        learnt: situation.learnt().clone(),
        judgement: review.map_or(situation.history.law.judgement, |review| review.judgement),
        regret: memory.regret,
        before_up: memory.before_up,
        slept_at: memory.slept_at,
        uneven: None,
    };
    for lesson in &proposal.lessons {
        match *lesson {
            Lesson::Grows => learned.note_growth(situation),
            Lesson::Shrinks => {
                learned.judgement = Judgement::Done;
                let (replicas, now) = (situation.replicas(), situation.now());
                note_down(&mut learned.learnt, replicas, now, &situation.policy.tuning);
            }
            Lesson::Sleeps(ends) => learned.slept_at = ends,
            Lesson::Uneven(times) => learned.uneven = Some(times),
            Lesson::PlateauOver => learned.learnt.plateau = None,
        }
    }
    let was_put_to_sleep = memory.last.is_some_and(|last| last.to == 0);
    match proposal.verdict {
        Verdict::Scale { to: 0, .. } => {}
        _ if situation.replicas() > 0 && !was_put_to_sleep => learned.slept_at = None,
        _ => {}
    }
    if let Verdict::Scale { from, to, .. } = proposal.verdict
        && to > from
    {
        learned.before_up = before_up(situation);
    }
    learned
}

impl Learned {
    fn note_growth(&mut self, situation: &Situation<'_>) {
        let (memory, now) = (situation.memory, situation.now());
        let is_measured = self.learnt.is_measured();
        let estimate = situation.measured.estimate.as_ref();
        if let Some(estimate) = estimate.filter(|_| situation.replicas() > 0) {
            let objective = situation.objective();
            let learnt = &mut self.learnt;
            let (replicas, tuning) = (situation.replicas(), &*situation.policy.tuning);
            note_up(learnt, estimate, replicas, objective, now, tuning);
            note_undone(learnt, memory.last, now, tuning);
            note_before_up(learnt, self.judgement, estimate, now, tuning);
            self.judgement = Judgement::Open;
        }
        if !is_measured {
            self.regret = flap_backoff::after_up(memory, situation.policy, now);
        }
    }
}

/// Writes down what was learnt.
pub(in crate::scaling) fn apply(
    learned: Learned,
    memory: &mut Memory,
    history: &mut History,
    policy: &Policy,
    observation: &Observation,
) {
    memory.learnt = learned.learnt;
    memory.regret = learned.regret;
    memory.before_up = learned.before_up;
    memory.slept_at = learned.slept_at;
    history.law.judgement = learned.judgement;
    if let Some(times) = learned.uneven {
        let at = observation.now.as_millisecond();
        history
            .law
            .partitions
            .note_uneven(times, at, &policy.tuning);
    }
}

/// The group as it is, for a scale-up to be judged by.
fn before_up(situation: &Situation<'_>) -> Option<BeforeUp> {
    let members = situation.look()?.group.members.as_ref()?.list.len();
    let working = situation.history.membership.working(situation.policy);
    Some(BeforeUp {
        members: i32::try_from(members).unwrap_or(i32::MAX),
        working: working.max(situation.observation.target.ready),
    })
}
