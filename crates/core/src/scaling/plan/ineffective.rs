//! Ineffective scale-ups: if something behind the consumers is the bottleneck, the group goes back
//! and stays there.

use jiff::{SignedDuration, Timestamp};

use crate::scaling::measure::estimate::Estimate;
use crate::scaling::measure::history::ReviewState;
use crate::scaling::number::{milli, real};
use crate::scaling::output::decision::{HoldReason, ScaleReason};
use crate::scaling::output::trail::Step;
use crate::scaling::plan::proposal::Proposal;
use crate::scaling::plan::shrink;
use crate::scaling::plan::situation::{Ineffective, Review, Situation};
use crate::scaling::state::backoff::Backoff;
use crate::scaling::state::capacity_model::{Bottleneck, CapacityModel, Throughput};
use crate::scaling::tuning::Tuning;

/// Reviews the last scale-up. `None`: it cannot be judged now.
pub(in crate::scaling) fn review(situation: &Situation<'_>) -> Option<Review> {
    let tuning = &*situation.policy.tuning;
    let estimate = situation.measured.estimate.as_ref()?;
    let gate = situation.down_gate();
    let is_blocked = gate.is_some_and(|gate| gate.why != HoldReason::CoolingDown);
    if !tuning.ineffective.enabled
        || situation.replicas() == 0
        || situation.no_down().is_some()
        || estimate.is_outage
        || situation.has_records_in_hand()
        || is_blocked
    {
        return None;
    }
    let (memory, now) = (situation.memory, situation.now());
    let last = memory.last;
    let age = last.map_or(SignedDuration::MAX, |last| now.duration_since(last.time));
    let judged_after = tuning.ineffective.judged_after.max(tuning.pacing.landing);
    let is_settled = gate.is_none() && age >= judged_after;
    let mut model = memory.model.clone();
    let mut review_state = situation.history.consumption.review_state;
    let found = review_last_scale_up(
        (&mut model, &mut review_state),
        estimate,
        is_settled,
        age,
        situation.sizes()?,
        now,
        tuning,
    );
    Some(Review {
        model,
        state: review_state,
        found,
    })
}

/// Goes back if the last scale-up was ineffective.
pub(in crate::scaling) fn propose(situation: &Situation<'_>) -> Option<Proposal> {
    let found = situation.review.as_ref()?.found?;
    let to = situation.measured.bounds.as_ref()?.at_least(found.to);
    if to >= situation.replicas() {
        return None;
    }
    let step = Step::Ineffective {
        gained: found.gained,
        grown: found.grown,
    };
    let proposal = shrink::to(situation, to, ScaleReason::ScalingIneffective, None);
    Some(proposal.after(vec![step]))
}

/// Reviews a saturated, stable group. `settled`: the effect of the last action must be visible by
/// now; `sizes`: the aligned sizes, ascending.
fn review_last_scale_up(
    (model, review_state): (&mut CapacityModel, &mut ReviewState),
    estimate: &Estimate,
    settled: bool,
    age: SignedDuration,
    sizes: &[i32],
    now: Timestamp,
    tuning: &Tuning,
) -> Option<Ineffective> {
    let busy = &estimate.busy;
    let stable = is_stable(estimate, tuning);
    let ineffective = &tuning.ineffective;
    if !busy.is_saturated() || !stable || busy.commits_rarely {
        return None;
    }
    let mut found = None;
    if age > ineffective.judged_for {
        *review_state = ReviewState::Done;
    }
    if *review_state == ReviewState::Open && settled {
        *review_state = ReviewState::Done;
        if let Some(before) = model.saturated
            && before.consumers > 0
            && before.consumers < busy.active
            && before.milli > 0
            && now.duration_since(before.time).as_secs() < ineffective.compared_within.as_secs()
        {
            // Consumers without a backlog could do as much as the others.
            let rate = busy.mean().unwrap_or(0.0) * f64::from(busy.active);
            let gained = rate.max(estimate.consumed) / (real(before.milli) / 1000.0) - 1.0;
            let grown = f64::from(busy.active) / f64::from(before.consumers) - 1.0;
            if gained < ineffective.gained * grown {
                let to = enough(
                    sizes,
                    (estimate.placement.threads, estimate.placement.foreign),
                    (before, busy.active),
                    gained,
                    tuning,
                );
                let reached = milli(estimate.consumed).max(before.milli);
                note_bottleneck(model, to, reached, now, tuning);
                found = Some(Ineffective {
                    to,
                    gained: milli(gained) / 10,
                    grown: milli(grown) / 10,
                });
            }
        }
    }
    let smaller = model
        .saturated
        .is_none_or(|before| busy.active <= before.consumers);
    if found.is_none() && (*review_state == ReviewState::Done || smaller) {
        note(model, estimate, now);
    }
    found
}

/// The size to go back to: the smallest with about the same throughput, at the rate per consumer
/// from before. Several scale-ups may have followed each other before one could be judged, and not
/// all of them were ineffective.
fn enough(
    sizes: &[i32],
    (threads, foreign): (i32, i32),
    (before, active): (Throughput, i32),
    gained: f64,
    tuning: &Tuning,
) -> i32 {
    let consumers = |size: &i32| size.saturating_mul(threads).saturating_add(foreign);
    let within = |size: &&i32| consumers(size) >= before.consumers && consumers(size) < active;
    let needed = tuning.ineffective.about * f64::from(before.consumers) * (1.0 + gained);
    let mut smaller = sizes.iter().filter(within);
    let first = smaller
        .clone()
        .find(|size| f64::from(consumers(size)) >= needed);
    first.or(smaller.next_back()).copied().unwrap_or_else(|| {
        crate::scaling::measure::limits::ceil_div((before.consumers - foreign).max(1), threads)
    })
}

fn note_bottleneck(
    model: &mut CapacityModel,
    replicas: i32,
    milli: i64,
    now: Timestamp,
    tuning: &Tuning,
) {
    let tuning = &tuning.ineffective;
    let backoff = Backoff {
        initial: tuning.first,
        most: tuning.most,
        factor: tuning.factor.0,
        halves_after: None,
    };
    let again = |before| backoff.next(Some(before), SignedDuration::ZERO);
    let wait = model.backoff.map_or(tuning.first, again);
    model.backoff = Some(wait.as_secs());
    model.bottleneck = Some(Bottleneck {
        replicas,
        milli,
        until: crate::scaling::number::later(now, wait),
    });
}

/// Notes the throughput of a saturated group before it grows. A group that has just been handed
/// partitions shows the pause, not its limit, so the earlier value stays. It also stays while an
/// earlier scale-up has not been judged: both are judged by it.
pub(in crate::scaling) fn note_before_up(
    model: &mut CapacityModel,
    review_state: ReviewState,
    estimate: &Estimate,
    now: Timestamp,
    tuning: &Tuning,
) {
    let earlier = |before: Throughput| {
        let age = now.duration_since(before.time);
        before.consumers < estimate.busy.active && age <= tuning.ineffective.judged_for
    };
    if review_state == ReviewState::Open && model.saturated.is_some_and(earlier) {
        return;
    }
    let steady = is_stable(estimate, tuning);
    if estimate.busy.is_saturated() || (steady && estimate.busy.is_backlogged()) {
        note(model, estimate, now);
    }
}

/// Whether the group has been stable for the window over which rates are taken.
fn is_stable(estimate: &Estimate, tuning: &Tuning) -> bool {
    let least = tuning.ineffective.stable_for.as_secs_f64();
    estimate.stable_for.is_some_and(|seconds| seconds >= least)
}

fn note(model: &mut CapacityModel, estimate: &Estimate, now: Timestamp) {
    model.saturated = Some(Throughput {
        consumers: estimate.busy.active,
        milli: milli(estimate.consumed),
        time: now,
    });
}

/// How far the group may grow.
#[derive(Debug, Clone)]
pub(in crate::scaling) struct Cap {
    pub(in crate::scaling) size: i32,
    /// Why that is less than was asked for.
    pub(in crate::scaling) step: Option<Step>,
    /// The bottleneck has expired.
    pub(in crate::scaling) is_over: bool,
}

/// How far towards `size` the group may grow: no further than the bottleneck. Once that has
/// expired, a larger size is tried again.
pub(in crate::scaling) fn cap(situation: &Situation<'_>, size: i32) -> Cap {
    let bottleneck = situation.model().bottleneck;
    let Some(bottleneck) = bottleneck.filter(|bottleneck| bottleneck.until > situation.now())
    else {
        return Cap {
            size,
            step: None,
            is_over: bottleneck.is_some(),
        };
    };
    let bounds = situation.measured.bounds.as_ref();
    let known = bounds.map_or(bottleneck.replicas, |b| b.at_least(bottleneck.replicas));
    let most = known.max(situation.replicas());
    let step = (size > most).then_some(Step::Bottleneck {
        replicas: bottleneck.replicas,
        until: bottleneck.until,
    });
    Cap {
        size: size.min(most),
        step,
        is_over: false,
    }
}
