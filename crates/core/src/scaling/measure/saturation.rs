//! How busy the consumers are.

use crate::scaling::measure::partition::State;
use crate::scaling::measure::partitions::Partitions;
use crate::scaling::measure::series::Of;
use crate::scaling::number::{in_seconds, millis};
use crate::scaling::tuning::Tuning;

/// How busy the consumers are.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct Busy {
    /// For each member: its consumption if it was saturated.
    pub(in crate::scaling) saturated: Vec<Option<f64>>,
    /// Members that have at least one partition that is not stuck.
    pub(in crate::scaling) active: i32,
    /// Members that were saturated.
    pub(in crate::scaling) count: i32,
    /// Members that have a backlog at this poll, whatever they had before.
    backlogged: i32,
    /// Some member commits so rarely that the throughput of a minute shows little.
    pub(in crate::scaling) commits_rarely: bool,
    /// Best consumption of a member that has been steady for two minutes and whose arrivals match
    /// it.
    pub(in crate::scaling) steady_best: f64,
}

/// The partitions of each member that are not stuck.
fn owned(partitions: &Partitions) -> Vec<Vec<&State>> {
    let mut owned = vec![Vec::new(); partitions.members.len()];
    for (_, state) in partitions.all().filter(|(_, state)| !state.is_stuck) {
        if let Some(parts) = state.owner.and_then(|owner| owned.get_mut(owner)) {
            parts.push(state);
        }
    }
    owned
}

impl Busy {
    pub(in crate::scaling) fn of(
        partitions: &Partitions,
        is_measured: bool,
        now: i64,
        tuning: &Tuning,
    ) -> Self {
        let interval = millis(tuning.polls.interval);
        let capacity = &tuning.capacity;
        // The first sample needs fewer polls.
        let polls = if is_measured {
            capacity.polls
        } else {
            capacity.first_polls
        };
        let window = i64::try_from(polls).unwrap_or(i64::MAX) * interval;
        let minute = millis(tuning.arrivals.steady);
        let owned = owned(partitions);
        let mut busy = Self {
            saturated: vec![None; owned.len()],
            ..Self::default()
        };
        let (described_for, expired_for) = (&capacity.described_for, &capacity.expired_for);
        let (described_for, expired_for) = (millis(*described_for), millis(*expired_for));
        let described = partitions
            .described
            .is_some_and(|at| now - at <= described_for);
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
            // A partition whose commit has just stopped moving may be getting stuck.
            let stands = |state: &&State| state.series.lag() > 0.0 && state.is_late(now, tuning);
            let expires = |state: &&State| state.expired.is_some_and(|at| now - at <= expired_for);
            let went_on = |state: &&State| state.resumed.is_some_and(|at| now - at < window);
            let shows_less = |state: &State| stands(&state) || expires(&state) || went_on(&state);
            if parts.iter().any(|state| shows_less(state)) {
                continue;
            }
            let steady = now - member.since.max(stable_since);
            let paces = || parts.iter().map(|state| state.pace(now, window, tuning));
            // Rare commits show the rate between them, over the time between them.
            let window = paces().map(|(_, from)| now - from).fold(window, i64::max);
            let polls = window / interval;
            let rarest = parts.iter().filter(|state| state.commits_rarely(tuning));
            let rarest = rarest.map(|state| state.gap).fold(0.0, f64::max);
            busy.commits_rarely |= rarest > 0.0;
            let consumed: f64 = paces().map(|(rate, _)| rate).sum();
            let rates = parts
                .iter()
                .map(|state| state.series.rate(Of::Arrivals, minute, tuning));
            let arrivals: f64 = rates.map(|rate| rate.unwrap_or(0.0)).sum();
            if steady >= millis(capacity.steady_for) {
                busy.steady_best = busy.steady_best.max(consumed.min(arrivals));
            }
            let waits: f64 = parts.iter().map(|state| state.lag(tuning)).sum();
            let enough =
                ((in_seconds(capacity.backlog) + rarest) * arrivals.max(consumed)).max(1.0);
            busy.backlogged += i32::from(waits >= enough);
            let backlogged = (0..=polls).all(|poll| {
                let then = now - poll * interval;
                let waits_on = |state: &&State| state.series.lag() - state.lag(tuning);
                let lag_at = |s: &&State| Some(s.series.lag_at(then, tuning)? - waits_on(s));
                let lag: Option<f64> = parts.iter().map(lag_at).sum();
                lag.is_some_and(|lag| lag >= enough)
            });
            if steady >= window - millis(tuning.series.slack) && backlogged && consumed > 0.0 {
                *saturated = Some(consumed);
                busy.count += 1;
            }
        }
        busy
    }

    /// Median consumption of the saturated (the upper one of two).
    pub(in crate::scaling) fn median(&self) -> Option<f64> {
        let mut rates: Vec<f64> = self.saturated.iter().copied().flatten().collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    }

    /// Mean consumption of the saturated.
    pub(in crate::scaling) fn mean(&self) -> Option<f64> {
        let sum: f64 = self.saturated.iter().flatten().sum();
        (self.count > 0).then(|| sum / f64::from(self.count))
    }

    /// Whether at least half of the consumers that have work have a backlog now.
    pub(in crate::scaling) fn is_backlogged(&self) -> bool {
        self.active > 0 && self.backlogged * 2 >= self.active
    }

    /// Whether at least half of the consumers that have work were saturated.
    pub(in crate::scaling) fn is_saturated(&self) -> bool {
        self.active > 0 && self.count * 2 >= self.active
    }
}
