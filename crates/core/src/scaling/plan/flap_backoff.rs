//! A scale-down that had to be undone while the capacity is unknown makes the next one wait longer.

use jiff::{SignedDuration, Timestamp};

use crate::scaling::input::policy::Policy;
use crate::scaling::state::backoff::Backoff;
use crate::scaling::state::memory::{FlapBackoff, LastAction, Memory};

/// The wait before a scale-down: the user's interval, or longer after a scale-down that had to be
/// undone. The extra wait halves every hour.
pub(in crate::scaling) fn down_wait(
    memory: &Memory,
    policy: &Policy,
    now: Timestamp,
) -> SignedDuration {
    let (backoff, stored, age) = backoff(memory, policy, now);
    backoff.current(stored, age)
}

/// The back-off, its stored wait, and the age of that.
fn backoff(
    memory: &Memory,
    policy: &Policy,
    now: Timestamp,
) -> (Backoff, Option<i64>, SignedDuration) {
    let tuning = &policy.tuning.flap_backoff;
    let flap_backoff = memory.flap_backoff.filter(|_| tuning.enabled);
    let backoff = Backoff {
        initial: policy.pacing.min_scale_down_interval,
        most: tuning.most,
        factor: tuning.factor.0,
        halves_after: Some(tuning.halves),
    };
    let age = flap_backoff.map(|flap_backoff| now.duration_since(flap_backoff.time));
    let stored = flap_backoff.map(|flap_backoff| flap_backoff.wait);
    (backoff, stored, age.unwrap_or_default())
}

/// The back-off after a scale-up: if it undoes a scale-down of the last ten minutes, the wait
/// doubles.
pub(in crate::scaling) fn after_up(
    memory: &Memory,
    policy: &Policy,
    now: Timestamp,
) -> Option<FlapBackoff> {
    let LastAction {
        time,
        from,
        to,
        external: false,
        ..
    } = memory.last?
    else {
        return memory.flap_backoff;
    };
    let tuning = &policy.tuning.flap_backoff;
    let counted = memory
        .flap_backoff
        .is_some_and(|flap_backoff| flap_backoff.time == time);
    if to >= from || to == 0 || counted || now.duration_since(time) > tuning.undone_within {
        return memory.flap_backoff;
    }
    let (backoff, stored, age) = backoff(memory, policy, now);
    let wait = backoff.next(stored, age);
    Some(FlapBackoff {
        wait: wait.as_secs(),
        time,
    })
}
