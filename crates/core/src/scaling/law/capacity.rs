//! What one consumer can do. It shows it only while it has work waiting all along: one that keeps up shows the load, one
//! that is stuck or rebalancing shows nothing.

use jiff::{SignedDuration, Timestamp};

use super::super::pacing::later;
use super::estimate::Estimate;
use super::learnt::Learnt;
use super::partition::State;
use super::partitions::Partitions;
use super::real;
use super::series::Of;

/// So many seconds of work waiting at every look is a backlog.
const BACKLOG: f64 = 12.0;
/// A sample is taken once in so many milliseconds.
const SAMPLE_EVERY: i64 = 30_000;
/// After retention has passed a commit, nothing is learnt from its consumer for so many milliseconds.
const EXPIRED: i64 = 120_000;
/// So long after it was described a member is taken to own the same, in milliseconds: it is described every two minutes.
const DESCRIBED: i64 = 150_000;
/// So large a share of saturated consumers is believed against what was possible once.
const BELIEVED: f64 = 0.3;
/// So long after the last sample nobody knows any more: a consumer that has become faster shows it only to who tries.
const OLD: SignedDuration = SignedDuration::from_hours(6);
/// A consumer that keeps up and does so many times what was measured shows that it was measured too low.
const OUTDONE: f64 = 1.1;
/// A plateau is over when the group gets through so many times as much.
const BEYOND_PLATEAU: f64 = 1.25;

/// How busy the consumers are.
#[derive(Debug, Clone, Default)]
pub(super) struct Busy {
    /// For each member: its consumption, if it was saturated.
    pub(super) saturated: Vec<Option<f64>>,
    /// Members that have a partition which is not stuck.
    pub(super) active: i32,
    /// Members that were saturated.
    pub(super) count: i32,
    /// Members that have a backlog at this look, whatever they had before.
    backlogged: i32,
    /// Some member commits so rarely that a minute's throughput says little.
    pub(super) commits_rarely: bool,
    /// Best consumption of a member that has been steady for two minutes and had arrivals to match.
    steady_best: f64,
}

impl Busy {
    pub(super) fn of(partitions: &Partitions, is_measured: bool, now: i64) -> Self {
        // A first sample is wanted soon.
        let looks = if is_measured { 4 } else { 2 };
        let window = looks * 15_000;
        let mut owned: Vec<Vec<&State>> = vec![Vec::new(); partitions.members.len()];
        for (_, state) in partitions.all().filter(|(_, state)| !state.is_stuck) {
            if let Some(parts) = state.owner.and_then(|owner| owned.get_mut(owner)) {
                parts.push(state);
            }
        }
        let mut busy = Self {
            saturated: vec![None; owned.len()],
            ..Self::default()
        };
        let described = partitions.described.is_some_and(|at| now - at <= DESCRIBED);
        for ((member, parts), saturated) in partitions
            .members
            .iter()
            .zip(&owned)
            .zip(&mut busy.saturated)
        {
            if parts.is_empty() {
                continue;
            }
            busy.active += 1;
            if !described {
                continue;
            }
            let Some(stable_since) = partitions.stable_since else {
                continue;
            };
            // One that has just stopped moving may be getting stuck.
            let stands = |state: &&State| {
                let usual = real(now - state.moved) <= 2000.0 * state.gap.max(super::LOOK);
                state.series.lag() > 0.0 && !usual
            };
            let expires = |state: &&State| state.expired.is_some_and(|at| now - at <= EXPIRED);
            let went_on = |state: &&State| state.resumed.is_some_and(|at| now - at < window);
            let shows_less = |state: &State| stands(&state) || expires(&state) || went_on(&state);
            if parts.iter().any(|state| shows_less(state)) {
                continue;
            }
            let steady = now - member.since.max(stable_since);
            let paces = || parts.iter().map(|state| state.pace(now, window));
            // Commits that are rare show the pace between them, over as long as that takes.
            let window = paces().map(|(_, from)| now - from).fold(window, i64::max);
            let looks = window / 15_000;
            let rarest = parts.iter().filter(|state| state.commits_rarely());
            let rarest = rarest.map(|state| state.gap).fold(0.0, f64::max);
            busy.commits_rarely |= rarest > 0.0;
            let consumed: f64 = paces().map(|(rate, _)| rate).sum();
            let rates = parts
                .iter()
                .map(|state| state.series.rate(Of::Arrivals, 60_000));
            let arrivals: f64 = rates.map(|rate| rate.unwrap_or(0.0)).sum();
            if steady >= 120_000 {
                busy.steady_best = busy.steady_best.max(consumed.min(arrivals));
            }
            let waits: f64 = parts.iter().map(|state| state.lag()).sum();
            let enough = ((BACKLOG + rarest) * arrivals.max(consumed)).max(1.0);
            busy.backlogged += i32::from(waits >= enough);
            let backlogged = (0..=looks).all(|look| {
                let then = now - look * 15_000;
                let waits_on = |state: &&State| state.series.lag() - state.lag();
                let lag_at = |s: &&State| Some(s.series.lag_at(then)? - waits_on(s));
                let lag: Option<f64> = parts.iter().map(lag_at).sum();
                lag.is_some_and(|lag| lag >= enough)
            });
            if steady >= window - 1_000 && backlogged && consumed > 0.0 {
                *saturated = Some(consumed);
                busy.count += 1;
            }
        }
        busy
    }

    /// Median consumption of the saturated (the upper one of two).
    fn median(&self) -> Option<f64> {
        let mut rates: Vec<f64> = self.saturated.iter().copied().flatten().collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    }

    /// Mean consumption of the saturated.
    pub(super) fn mean(&self) -> Option<f64> {
        let sum: f64 = self.saturated.iter().flatten().sum();
        (self.count > 0).then(|| sum / f64::from(self.count))
    }

    /// Whether at least half of the consumers that have work have a backlog now.
    pub(super) fn is_backlogged(&self) -> bool {
        self.active > 0 && self.backlogged * 2 >= self.active
    }

    /// Whether at least half of the consumers that have work were saturated.
    pub(super) fn is_saturated(&self) -> bool {
        self.active > 0 && self.count * 2 >= self.active
    }
}

/// Learns from a new look. `next_sample`: not before, in milliseconds.
pub(in crate::scaling) fn learn(
    learnt: &mut Learnt,
    next_sample: &mut i64,
    estimate: &Estimate,
    now: Timestamp,
) {
    let busy = &estimate.busy;
    if let (Some(plateau), Some(_)) = (learnt.plateau, busy.median())
        && estimate.consumed > BEYOND_PLATEAU * real(plateau.milli) / 1000.0
    {
        learnt.plateau = None;
        learnt.backoff = None;
    }
    // At a plateau consumers show the bottleneck, not themselves.
    if let Some(sample) = busy.median()
        && learnt.plateau.is_none()
        && now.as_millisecond() >= *next_sample
    {
        *next_sample = now.as_millisecond() + SAMPLE_EVERY;
        let share = f64::from(busy.count) / f64::from(busy.active.max(1));
        if share >= BELIEVED && sample < learnt.at_least(now) {
            learnt.set_at_least(sample, now);
        }
        let known = learnt.capacity().filter(|_| learnt.is_measured());
        let capacity = known.map_or(sample, |known| {
            known + (0.25 + 0.5 * share) * (sample - known)
        });
        learnt.set_capacity(capacity, true, now);
    }
    if busy.steady_best > learnt.at_least(now) {
        learnt.set_at_least(busy.steady_best, now);
    }
    if learnt.is_measured_before(later(now, -OLD)) {
        learnt.doubt();
    }
    // Bracketed from below: while nothing better is known, what was done can be done.
    let at_least = learnt.at_least(now);
    // Measured in worse days: nobody has a backlog, and somebody has been doing more for two minutes.
    if learnt.is_measured() && busy.count == 0 {
        let known = learnt.capacity().unwrap_or(0.0);
        if busy.steady_best > OUTDONE * known {
            learnt.set_capacity(busy.steady_best, true, now);
        }
    }
    if !learnt.is_measured() && learnt.capacity().is_some_and(|known| known < at_least) {
        learnt.set_capacity(at_least, false, now);
    }
}
