//! What is true of the brokers at any time, as far as the writers can know: bounds. What was
//! acknowledged exists. What was attempted without an acknowledgement may exist, at once or later.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use lagrange::clock::Clock;

/// How long a request without an acknowledgement may still take effect: it may be in the socket of
/// a paused broker.
const LOOSE: SignedDuration = SignedDuration::from_secs(60);

/// How long past values are kept: longer than any poll takes, and longer than any check looks back.
const MEMORY: SignedDuration = SignedDuration::from_secs(120);

/// A partition of a topic, by the topic's number.
pub(crate) type Place = (usize, i32);

/// A number that changes, and the bounds that it is known to have been in. `None` is less than any
/// offset: nothing committed.
#[derive(Debug)]
struct Bounds {
    low: Vec<(Timestamp, Option<i64>)>,
    high: Vec<(Timestamp, Option<i64>)>,
    acknowledged: Option<i64>,
    loose: Vec<(Timestamp, Option<i64>)>,
}

impl Bounds {
    fn from(now: Timestamp, value: Option<i64>) -> Self {
        Self {
            low: vec![(now, value)],
            high: vec![(now, value)],
            acknowledged: value,
            loose: Vec::new(),
        }
    }

    /// An attempt to set it begins. It may have this value from now on.
    fn attempt(&mut self, now: Timestamp, value: i64) {
        let highest = self.high.last().and_then(|(_, value)| *value);
        if Some(value) > highest {
            self.high.push((now, Some(value)));
            forget(&mut self.high, now);
        }
    }

    /// The attempt has ended. If it was not acknowledged, or only after a while, it may have been
    /// sent more than once.
    fn end_attempt(&mut self, began: Timestamp, now: Timestamp, value: i64, acknowledged: bool) {
        if acknowledged {
            self.acknowledged = Some(value);
        }
        if !acknowledged || now.duration_since(began) > SignedDuration::from_secs(1) {
            self.loose.push((now, Some(value)));
        }
        self.loose.retain(|(at, _)| now.duration_since(*at) < LOOSE);
        let loose = self.loose.iter().map(|(_, value)| *value);
        let low = loose.fold(self.acknowledged, Option::min);
        if self.low.last().is_none_or(|(_, before)| *before != low) {
            self.low.push((now, low));
            forget(&mut self.low, now);
        }
    }

    /// It may be deleted from now on, as long as a delete request may take effect.
    fn forget(&mut self, now: Timestamp) {
        self.acknowledged = None;
        self.loose.push((now, None));
        self.low.push((now, None));
        forget(&mut self.low, now);
    }

    /// Whether an unacknowledged attempt may still take effect.
    fn is_loose(&self, now: Timestamp) -> bool {
        let mut loose = self.loose.iter();
        loose.any(|(at, value)| value.is_some() && now.duration_since(*at) < LOOSE)
    }

    /// The least and the most that it can have been between two times.
    fn between(&self, from: Timestamp, to: Timestamp) -> (Option<i64>, Option<i64>) {
        let first = self.low.partition_point(|(at, _)| *at <= from);
        let lows = self.low[first.saturating_sub(1)..].iter();
        let low = lows
            .take_while(|(at, _)| *at <= to)
            .map(|(_, low)| *low)
            .min()
            .flatten();
        let last = self.high.partition_point(|(at, _)| *at <= to);
        (low, self.high[last.saturating_sub(1)].1)
    }
}

/// Drops values that were replaced before the kept period. The value that was true at its start
/// stays.
fn forget(history: &mut Vec<(Timestamp, Option<i64>)>, now: Timestamp) {
    let old = history.partition_point(|(at, _)| now.duration_since(*at) > MEMORY);
    history.drain(..old.saturating_sub(1));
}

/// A topic.
#[derive(Debug)]
struct TopicTruth {
    /// Number of its partitions.
    count: Bounds,
    ends: BTreeMap<i32, End>,
}

/// The end of a partition.
#[derive(Debug)]
struct End {
    bounds: Bounds,
    /// Records without an acknowledgement, including those that never get one.
    under_way: i64,
}

#[derive(Debug, Default)]
struct Known {
    topics: Vec<TopicTruth>,
    /// By group.
    commits: BTreeMap<String, BTreeMap<Place, Bounds>>,
    /// Groups that are certainly deleted, and since when.
    gone: BTreeMap<String, Timestamp>,
}

/// All that is true, shared by the writers and the judge.
#[derive(Debug)]
pub(crate) struct Truth {
    clock: Clock,
    known: Mutex<Known>,
}

impl Truth {
    pub(crate) fn new(clock: Clock, topics: usize, partitions: i32) -> Self {
        let now = clock.now();
        let topic = |_| TopicTruth {
            count: Bounds::from(now, Some(i64::from(partitions))),
            ends: BTreeMap::new(),
        };
        let known = Known {
            topics: (0..topics).map(topic).collect(),
            commits: BTreeMap::new(),
            gone: BTreeMap::new(),
        };
        Self {
            clock,
            known: Mutex::new(known),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one record: `send` returns its offset if it was acknowledged.
    pub(crate) async fn produce(&self, place: Place, send: impl Future<Output = Option<i64>>) {
        let began = self.clock.now();
        self.with_end(place, |end| {
            end.under_way += 1;
            // While leaders change, librdkafka may send an unacknowledged record twice, and it then
            // exists twice.
            let most = end.bounds.acknowledged.unwrap_or(0) + 2 * end.under_way;
            end.bounds.attempt(began, most);
        });
        let Some(offset) = send.await else {
            return;
        };
        let now = self.clock.now();
        self.with_end(place, |end| {
            end.under_way -= 1;
            let least = end.bounds.acknowledged.unwrap_or(0).max(offset + 1);
            end.bounds.attempt(now, least);
            end.bounds.end_attempt(now, now, least, true);
        });
    }

    fn with_end<T>(&self, (topic, partition): Place, of: impl FnOnce(&mut End) -> T) -> T {
        let now = self.clock.now();
        let mut known = self.lock();
        let ends = &mut known.topics[topic].ends;
        of(ends.entry(partition).or_insert_with(|| End {
            bounds: Bounds::from(now, Some(0)),
            under_way: 0,
        }))
    }

    /// The end up to which a partition certainly has records.
    pub(crate) fn safe_end(&self, place: Place) -> i64 {
        self.with_end(place, |end| end.bounds.acknowledged.unwrap_or(0))
    }

    /// Sets a committed offset: `commit` returns whether it was acknowledged. Blocks as long as
    /// `commit` does.
    pub(crate) fn commit(
        &self,
        group: &str,
        place: Place,
        offset: i64,
        commit: impl FnOnce() -> bool,
    ) -> bool {
        let began = self.clock.now();
        self.with_commit(group, place, |bounds| bounds.attempt(began, offset));
        let acknowledged = commit();
        let now = self.clock.now();
        self.with_commit(group, place, |bounds| {
            bounds.end_attempt(began, now, offset, acknowledged);
        });
        acknowledged
    }

    fn with_commit(&self, group: &str, place: Place, of: impl FnOnce(&mut Bounds)) {
        let now = self.clock.now();
        let mut known = self.lock();
        let commits = known.commits.entry(group.to_owned()).or_default();
        of(commits
            .entry(place)
            .or_insert_with(|| Bounds::from(now, None)));
    }

    /// The highest offset that a group certainly tried to commit.
    pub(crate) fn highest_commit(&self, group: &str, place: Place) -> i64 {
        let known = self.lock();
        let bounds = known.commits.get(group).and_then(|all| all.get(&place));
        bounds.and_then(|bounds| bounds.high.last()?.1).unwrap_or(0)
    }

    /// Whether a group certainly had a commit during the whole time between these.
    pub(crate) fn has_committed(&self, group: &str, from: Timestamp, to: Timestamp) -> bool {
        let known = self.lock();
        let mut all = known.commits.get(group).into_iter().flatten();
        all.any(|(_, bounds)| bounds.between(from, to).0.is_some())
    }

    /// A group is about to be deleted, or with `done` has been.
    pub(crate) fn forget(&self, group: &str, done: bool) {
        let now = self.clock.now();
        let mut known = self.lock();
        let commits = known.commits.entry(group.to_owned()).or_default();
        let loose = commits.values().any(|bounds| bounds.is_loose(now));
        for bounds in commits.values_mut() {
            bounds.forget(now);
        }
        if done && !loose {
            known.gone.insert(group.to_owned(), now);
        }
    }

    /// A deleted group may exist again.
    pub(crate) fn welcome(&self, group: &str) {
        self.lock().gone.remove(group);
    }

    /// Whether a group certainly was gone before that time.
    pub(crate) fn is_gone(&self, group: &str, then: Timestamp) -> bool {
        let known = self.lock();
        known.gone.get(group).is_some_and(|since| *since < then)
    }

    /// A topic is about to get this many partitions, or with `done` has them.
    pub(crate) fn grow(&self, topic: usize, count: i64, done: bool) {
        let now = self.clock.now();
        let bounds = &mut self.lock().topics[topic].count;
        bounds.attempt(now, count);
        if done {
            bounds.end_attempt(now, now, count, true);
        }
    }

    /// The partitions that a topic certainly has.
    pub(crate) fn count(&self, topic: usize) -> i64 {
        self.lock().topics[topic].count.acknowledged.unwrap_or(0)
    }

    /// The numbers of partitions that a topic can have had between two times.
    pub(crate) fn counts(&self, topic: usize, from: Timestamp, to: Timestamp) -> (i64, i64) {
        let (low, high) = self.lock().topics[topic].count.between(from, to);
        (low.unwrap_or(0), high.unwrap_or(0))
    }

    /// The ends that a partition can have had between two times.
    pub(crate) fn ends(&self, place: Place, from: Timestamp, to: Timestamp) -> (i64, i64) {
        let (low, high) = self.with_end(place, |end| end.bounds.between(from, to));
        (low.unwrap_or(0), high.unwrap_or(0))
    }

    /// The offsets that a group can have committed between two times.
    pub(crate) fn commits(
        &self,
        group: &str,
        place: Place,
        from: Timestamp,
        to: Timestamp,
    ) -> (Option<i64>, Option<i64>) {
        let known = self.lock();
        let bounds = known.commits.get(group).and_then(|all| all.get(&place));
        bounds.map_or((None, None), |bounds| bounds.between(from, to))
    }
}
