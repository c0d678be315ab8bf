//! What one replica can do, as far as it can be told before the time objective measures it: the best consumption seen
//! under a backlog. And what a scale-down that had to be undone teaches: to wait longer.

use jiff::{SignedDuration, Timestamp};

use super::decision::Lag;
use super::history::{History, RATE_WINDOW};
use super::memory::{LastAction, Memory, Rate, Regret};
use super::observation::{GroupState, Look, Target};
use super::policy::Pacing;

/// A group is backlogged while its lag is at least so many seconds of its consumption (as in the law of the time objective).
const BACKLOG_SECS: i64 = 12;
/// The best consumption fades by a twentieth an hour, so that a release that made consumers slower is believed in time.
const FADE: SignedDuration = SignedDuration::from_secs(3600);
/// An up so soon after a down means that the down was wrong.
const REGRETTED: SignedDuration = SignedDuration::from_secs(600);
/// No wait grows beyond this.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(3600);

/// Learns from a whole look; returns the memory with what it taught.
pub(super) fn learn(
    memory: &mut Memory,
    history: &mut History,
    look: &Look,
    target: Target,
    lag: &Lag,
) {
    let Some((_, consumed)) = history.rates() else {
        history.backlog_since = None;
        return;
    };
    let busy = look.group.state == GroupState::Stable
        && target.replicas > 0
        && target.ready == target.replicas
        && consumed > 0
        && lag.total.saturating_mul(1000) >= BACKLOG_SECS.saturating_mul(consumed);
    if !busy {
        history.backlog_since = None;
        return;
    }
    let since = *history.backlog_since.get_or_insert(look.at);
    if look.at.duration_since(since) < RATE_WINDOW {
        return;
    }
    let sample = consumed / i64::from(target.replicas);
    if best(memory, look.at).is_none_or(|best| sample > best) {
        memory.best = Some(Rate {
            milli: sample,
            time: super::memory::to_millis(look.at),
        });
    }
}

/// Best consumption of one replica under a backlog, faded, in thousandths of a record per second.
pub(super) fn best(memory: &Memory, now: Timestamp) -> Option<i64> {
    let Rate { milli, time } = memory.best?;
    let hours = now.duration_since(time).as_secs() / FADE.as_secs();
    Some((0..hours.clamp(0, 48)).fold(milli, |rate, _| rate - rate / 20)).filter(|rate| *rate > 0)
}

/// How long a scale-down must wait: the user's interval, or longer after a down that had to be undone. The extra wait
/// halves every hour.
pub(super) fn down_wait(memory: &Memory, pacing: Pacing, now: Timestamp) -> SignedDuration {
    let least = pacing.min_scale_down_interval;
    let Some(Regret { wait, time }) = memory.regret else {
        return least;
    };
    let halvings = (now.duration_since(time).as_secs() / 3600).clamp(0, 30);
    SignedDuration::from_secs(wait.max(0) >> halvings)
        .min(LONGEST_WAIT)
        .max(least)
}

/// What an up teaches: if it undoes a down of the last ten minutes, downs wait twice as long as they did.
pub(super) fn regret(memory: &Memory, pacing: Pacing, now: Timestamp) -> Option<Regret> {
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
