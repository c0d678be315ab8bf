//! The estimate from one poll: rates, lag and delay of each live partition, and how busy each
//! consumer is.

use std::sync::Arc;

use jiff::Timestamp;

use crate::scaling::input::observation::{Assignor, Rebalance};
use crate::scaling::input::policy::Policy;
use crate::scaling::measure::load_history::LoadHistory;
use crate::scaling::measure::partition::State;
use crate::scaling::measure::partitions::Partitions;
use crate::scaling::measure::placement::{Placement, Spread};
use crate::scaling::measure::saturation::Busy;
use crate::scaling::measure::series::Of;
use crate::scaling::measure::surge::{self, Surge};
use crate::scaling::number::{milli, millis};
use crate::scaling::state::capacity_model::CapacityModel;
use crate::scaling::tuning::Tuning;

/// Partitions with a backlog that no size shortens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlogged {
    /// The partitions.
    pub partitions: Vec<(Arc<str>, i32)>,
    /// Their share of all records that wait, in percent.
    pub percent: i64,
}

/// A live partition.
#[derive(Debug, Clone, Copy)]
pub(in crate::scaling) struct Live {
    /// Arrivals since the poll before.
    pub(in crate::scaling) fast: f64,
    /// Arrivals for the prediction.
    pub(in crate::scaling) expected: f64,
    /// The same under a surge: only arrivals since it began.
    pub(in crate::scaling) surging: f64,
    pub(in crate::scaling) consumed: f64,
    pub(in crate::scaling) lag: f64,
    /// Age of its oldest unread record, in seconds.
    pub(in crate::scaling) delay: f64,
    /// The same without the usual time between commits, if commits are rare.
    pub(in crate::scaling) waits: f64,
    /// Place of its owner among the members.
    pub(in crate::scaling) owner: Option<usize>,
}

/// Records per second.
#[derive(Debug, Clone, Copy, Default)]
struct Rates {
    /// Arrivals since the poll before.
    fast: f64,
    /// Arrivals for the prediction.
    arrivals: f64,
    consumed: f64,
    /// It has been polled long enough for a rate.
    is_known: bool,
}

impl Rates {
    fn of(state: &State, at: i64, tuning: &Tuning) -> Self {
        let (arrivals, steady) = (&tuning.arrivals, millis(tuning.arrivals.steady));
        let rate = |window| state.series.rate(Of::Arrivals, window, tuning);
        let latest = rate(millis(arrivals.latest));
        let fast = latest.unwrap_or(0.0);
        let slow = rate(steady).unwrap_or(0.0);
        Self {
            fast,
            arrivals: arrivals.blend * fast + (1.0 - arrivals.blend.0) * slow,
            consumed: state.pace(at, steady, tuning).0,
            is_known: latest.is_some(),
        }
    }

    fn add(&mut self, other: Self) {
        self.fast += other.fast;
        self.arrivals += other.arrivals;
        self.consumed += other.consumed;
        self.is_known |= other.is_known;
    }
}

impl Live {
    /// The rates, lag and delay of a partition read at `latest` (milliseconds). `surge`: set if the
    /// load of all partitions has just risen.
    fn of(state: &State, rates: Rates, surge: Option<Surge>, latest: i64, tuning: &Tuning) -> Self {
        // Time in which the partition was not read does not add to its delay.
        let delay = (state.series.delay(latest, tuning) - state.wait).max(0.0);
        let expected = rates.arrivals;
        Self {
            fast: rates.fast,
            expected,
            surging: surge.map_or(expected, |surge| {
                surge.arrivals(&state.series, expected, tuning)
            }),
            consumed: rates.consumed,
            lag: state.lag(tuning),
            delay,
            waits: if state.commits_rarely(tuning) {
                (delay - state.gap).max(0.0)
            } else {
                delay
            },
            owner: state.owner,
        }
    }
}

/// The lag that demand is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scaling) struct LiveLag {
    /// Records. Unknown partitions count with their last value for a minute, and are left out after
    /// that.
    pub(in crate::scaling) total: i64,
    /// No partition is known, and their last values are too old to be used.
    pub(in crate::scaling) is_stale: bool,
    /// New partitions that have no owner yet.
    pub(in crate::scaling) new_partitions: i32,
    /// Stuck partitions, which are left out.
    pub(in crate::scaling) stuck: i32,
}

impl LiveLag {
    /// Nothing has been read.
    pub(in crate::scaling) const UNKNOWN: Self = Self {
        total: 0,
        is_stale: true,
        new_partitions: 0,
        stuck: 0,
    };
}

/// The estimate from one poll.
#[derive(Debug, Clone)]
pub(in crate::scaling) struct Estimate {
    /// One entry for each of [`Placement::live`].
    pub(in crate::scaling) live: Vec<Live>,
    pub(in crate::scaling) placement: Placement,
    pub(in crate::scaling) busy: Busy,
    pub(in crate::scaling) rebalance: Rebalance,
    /// How long the group has been stable, in seconds.
    pub(in crate::scaling) stable_for: Option<f64>,
    /// Seconds since the first poll of this process.
    pub(in crate::scaling) watched_for: f64,
    /// The recently measured skew. `None`: skew is switched off.
    skew: Option<f64>,
    /// Members have been described since the group became stable.
    is_described: bool,
    /// Some partition is known. What was not read within the last minute is left out, so the rest
    /// is a lower bound.
    pub(in crate::scaling) is_known: bool,
    /// Of all recently polled partitions, including those that do not count.
    rates: Rates,
    /// Records waiting in stuck partitions.
    stuck_lag: f64,
    /// New partitions that have no owner yet.
    new_partitions: i32,
    /// Age of the oldest unread record of all live partitions, in seconds, and its partition.
    pub(in crate::scaling) delay: f64,
    pub(in crate::scaling) latest_partition: Option<(Arc<str>, i32)>,
    /// The same without the usual time between commits, if commits are rare.
    pub(in crate::scaling) waits: f64,
    /// Stuck partitions: they have lag and an owner, and their commit does not move.
    pub(in crate::scaling) stuck: Vec<(Arc<str>, i32)>,
    /// At least half of the partitions do not move: the consumers stand still, not their records.
    pub(in crate::scaling) is_outage: bool,
    /// The topics, in the order in which [`Placement`] counts them.
    names: Vec<Arc<str>>,
    /// Consumption of all live partitions.
    pub(in crate::scaling) consumed: f64,
}

impl Estimate {
    /// The estimate as of `now`. `None`: nothing has been read.
    pub(in crate::scaling) fn new(
        partitions: &Partitions,
        model: &CapacityModel,
        assignor: Option<Assignor>,
        (policy, foreign): (&Policy, i32),
        now: Timestamp,
    ) -> Option<Self> {
        let began = partitions.began?;
        let (at, tuning) = (now.as_millisecond(), &*policy.tuning);
        let fresh = millis(tuning.polls.fresh);
        let mut places = Vec::new();
        let mut live = Vec::new();
        let surge = surge::of(partitions.all().map(|(_, state)| &state.series), tuning);
        // A topic that was never read has no partitions.
        let mut is_whole = partitions.topics.values().all(|states| !states.is_empty());
        let (mut stuck_lag, mut new_partitions) = (0.0, 0);
        let mut stuck = Vec::new();
        let mut hopeless = 0;
        let mut rates = Rates::default();
        for (place, state) in partitions.all() {
            let latest = state.series.latest();
            let latest = latest.filter(|latest| at - latest <= fresh);
            let own = latest.map(|_| Rates::of(state, at, tuning));
            let own = own.unwrap_or_default();
            rates.add(own);
            // One record may be a transaction marker, which no consumer reads.
            hopeless += usize::from(state.is_stuck);
            if state.is_stuck && !state.is_silent && state.series.lag() > 1.0 {
                stuck.extend(partitions.name(place));
            }
            if !state.is_live() {
                new_partitions += i32::from(!state.is_stuck);
                stuck_lag += if state.is_stuck {
                    state.series.lag()
                } else {
                    0.0
                };
                continue;
            }
            let Some(latest) = latest else {
                is_whole = false;
                continue;
            };
            places.push(place);
            live.push(Live::of(state, own, surge, latest, tuning));
        }
        let latest = live
            .iter()
            .zip(&places)
            .filter(|(live, _)| live.delay > 0.0)
            .max_by(|a, b| a.0.delay.total_cmp(&b.0.delay));
        let count = |states: &Vec<_>| i32::try_from(states.len()).unwrap_or(i32::MAX);
        let seconds = |since: i64| crate::scaling::number::real(at - since) / 1000.0;
        Some(Self {
            delay: latest.map_or(0.0, |(live, _)| live.delay),
            waits: live.iter().map(|live| live.waits).fold(0.0, f64::max),
            rates,
            latest_partition: latest.and_then(|(_, place)| partitions.name(*place)),
            consumed: live.iter().map(|live| live.consumed).sum(),
            busy: Busy::of(partitions, model.is_measured(), at, tuning),
            rebalance: partitions.rebalance,
            stable_for: partitions.stable_since.map(seconds),
            watched_for: seconds(began),
            skew: tuning.skew.enabled.then(|| partitions.skew(at)),
            is_described: partitions.described.is_some(),
            is_known: is_whole || !live.is_empty(),
            stuck_lag,
            new_partitions,
            is_outage: hopeless > 0 && hopeless >= live.len(),
            stuck,
            names: partitions.topics.keys().cloned().collect(),
            placement: Placement {
                topics: partitions.topics.values().map(count).collect(),
                is_even: assignor == Some(Assignor::Even),
                threads: policy.threads.max(1),
                foreign: foreign.max(0),
                live: places,
            },
            live,
        })
    }

    /// The lag that demand is computed from. In an outage stuck partitions count: their records may
    /// take long.
    pub(in crate::scaling) fn live_lag(&self) -> LiveLag {
        let moves: f64 = self.live.iter().map(|live| live.lag).sum();
        let all = if self.is_outage {
            moves + self.stuck_lag
        } else {
            moves
        };
        let stuck = if self.is_outage { 0 } else { self.stuck.len() };
        LiveLag {
            total: crate::scaling::number::whole(all),
            is_stale: !self.is_known,
            new_partitions: self.new_partitions,
            stuck: i32::try_from(stuck).unwrap_or(i32::MAX),
        }
    }

    /// Arrivals and consumption of all partitions in thousandths of a record per second, from the
    /// rates that the decision uses. `None`: they have not been polled long enough.
    pub(in crate::scaling) fn rates(&self) -> Option<(i64, i64)> {
        let rates = self.rates;
        rates
            .is_known
            .then(|| (milli(rates.arrivals), milli(rates.consumed)))
    }

    /// Arrivals, in records per second.
    pub(in crate::scaling) fn arrivals(&self) -> f64 {
        self.live.iter().map(|live| live.expected).sum()
    }

    /// Late partitions whose arrivals exceed the measured capacity of one consumer: no size helps
    /// them.
    pub(in crate::scaling) fn hot(
        &self,
        model: &CapacityModel,
        objective: f64,
        tuning: &Tuning,
    ) -> Vec<(Arc<str>, i32)> {
        let late = tuning.growth.hot_share * objective;
        let Some(capacity) = model.capacity().filter(|_| model.is_measured()) else {
            return Vec::new();
        };
        let is_hot = |live: &Live| live.expected > capacity && live.delay > late;
        let live = self.live.iter().zip(&self.placement.live);
        let hot = live.filter(|(live, _)| is_hot(live));
        hot.filter_map(|(_, (topic, index))| Some((Arc::clone(self.names.get(*topic)?), *index)))
            .collect()
    }

    /// Partitions with more than `per_replica` records waiting, and their share of all waiting
    /// records in percent.
    pub(in crate::scaling) fn backlogged(&self, records: i64) -> Backlogged {
        let beyond = |live: &Live| live.lag > crate::scaling::number::real(records);
        let all: f64 = self.live.iter().map(|live| live.lag).sum();
        let theirs = self.live.iter().filter(|live| beyond(live));
        let share = theirs.map(|live| live.lag).sum::<f64>() / all.max(1.0);
        let places = self.live.iter().zip(&self.placement.live);
        let places = places.filter(|(live, _)| beyond(live));
        let named = places
            .filter_map(|(_, (topic, index))| Some((Arc::clone(self.names.get(*topic)?), *index)));
        Backlogged {
            partitions: named.collect(),
            percent: crate::scaling::number::whole(100.0 * share),
        }
    }

    /// Adds this poll to the load history. An incomplete poll only ages the history.
    pub(in crate::scaling) fn note_loads(
        &self,
        load_history: &mut LoadHistory,
        sizes: &[i32],
        is_whole: bool,
        now: Timestamp,
        tuning: &Tuning,
    ) {
        load_history.about(sizes, &self.placement.live);
        // In an outage most of the load is left out, so the rest shows nothing about a smaller
        // size.
        if is_whole && !self.is_outage {
            let at = now.as_millisecond();
            let weights = self.weights(|live| live.fast);
            load_history.note_whole(at, millis(tuning.polls.fresh));
            let spread = Spread::new(self.skew(), &weights);
            load_history.push(at, |size| spread.max_load(&self.placement, size), tuning);
        }
    }

    /// The load of the busiest consumer, by the present owners, relative to partitions handed out
    /// in turn. Assignors that count partitions put heavy ones together and keep them there. At
    /// least 1, and at least the remembered skew.
    pub(in crate::scaling) fn skew(&self) -> f64 {
        let remembered = |skew: f64| skew.max(self.skew_now().unwrap_or(1.0));
        self.skew.map_or(1.0, remembered)
    }

    fn skew_now(&self) -> Option<f64> {
        let consumers = self.busy.saturated.len();
        if !self.placement.is_even || self.stable_for.is_none() || !self.is_described {
            return None;
        }
        let mut loads = vec![0.0; consumers];
        for live in &self.live {
            *live.owner.and_then(|owner| loads.get_mut(owner))? += live.expected;
        }
        let max_load = loads.into_iter().fold(0.0, f64::max);
        let weights = self.weights(|live| live.expected);
        let even = self
            .placement
            .max_load_of(i32::try_from(consumers).ok()?, &weights);
        (even > 0.0).then(|| max_load / even)
    }

    /// One weight for each live partition.
    pub(in crate::scaling) fn weights(&self, weight: impl Fn(&Live) -> f64) -> Vec<f64> {
        self.live.iter().map(weight).collect()
    }
}
