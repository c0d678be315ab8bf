//! What a scale-down teaches that had to be undone, while the capacity of a consumer is not known
//! yet: to wait longer.

use jiff::{SignedDuration, Timestamp};

use crate::scaling::input::policy::Policy;
use crate::scaling::state::memory::{LastAction, Memory, Regret};

/// How long a scale-down must wait: the user's interval, or longer after a down that had to be
/// undone. The extra wait halves every hour.
pub(in crate::scaling) fn down_wait(
    memory: &Memory,
    policy: &Policy,
    now: Timestamp,
) -> SignedDuration {
    let least = policy.pacing.min_scale_down_interval;
    let tuning = &policy.tuning.flap_backoff;
    let regret = memory.regret.filter(|_| tuning.enabled);
    let Some(Regret { wait, time }) = regret else {
        return least;
    };
    let halvings = now.duration_since(time).as_secs() / tuning.halves.as_secs().max(1);
    let halvings = halvings.clamp(0, 30);
    SignedDuration::from_secs(wait.max(0) >> halvings)
        .min(tuning.most)
        .max(least)
}

/// What an up teaches: if it undoes a down of the last ten minutes, downs wait twice as long as
/// they did.
pub(in crate::scaling) fn after_up(
    memory: &Memory,
    policy: &Policy,
    now: Timestamp,
) -> Option<Regret> {
    let LastAction {
        time,
        from,
        to,
        external: false,
        ..
    } = memory.last?
    else {
        return memory.regret;
    };
    let tuning = &policy.tuning.flap_backoff;
    let counted = memory.regret.is_some_and(|regret| regret.time == time);
    if to >= from || to == 0 || counted || now.duration_since(time) > tuning.undone_within {
        return memory.regret;
    }
    let wait = down_wait(memory, policy, now)
        .saturating_mul(2)
        .min(tuning.most);
    Some(Regret {
        wait: wait.as_secs(),
        time,
    })
}
