//! What a scale-down teaches that had to be undone, while the capacity of a consumer is not known
//! yet: to wait longer.

use jiff::{SignedDuration, Timestamp};

use crate::scaling::input::policy::Pacing;
use crate::scaling::state::memory::{LastAction, Memory, Regret};

/// An up so soon after a down means that the down was wrong.
const REGRETTED: SignedDuration = SignedDuration::from_secs(600);
/// No wait grows beyond this.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(3600);

/// How long a scale-down must wait: the user's interval, or longer after a down that had to be
/// undone. The extra wait halves every hour.
pub(in crate::scaling) fn down_wait(
    memory: &Memory,
    pacing: Pacing,
    now: Timestamp,
) -> SignedDuration {
    let least = pacing.min_scale_down_interval;
    let Some(Regret { wait, time }) = memory.regret else {
        return least;
    };
    let halvings = (now.duration_since(time).as_secs() / 3600).clamp(0, 30);
    SignedDuration::from_secs(wait.max(0) >> halvings)
        .min(LONGEST_WAIT)
        .max(least)
}

/// What an up teaches: if it undoes a down of the last ten minutes, downs wait twice as long as
/// they did.
pub(in crate::scaling) fn after_up(
    memory: &Memory,
    pacing: Pacing,
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
    let counted = memory.regret.is_some_and(|regret| regret.time == time);
    if to >= from || to == 0 || counted || now.duration_since(time) > REGRETTED {
        return memory.regret;
    }
    let wait = down_wait(memory, pacing, now)
        .saturating_mul(2)
        .min(LONGEST_WAIT);
    Some(Regret {
        wait: wait.as_secs(),
        time,
    })
}
