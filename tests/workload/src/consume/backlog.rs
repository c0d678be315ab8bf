//! Fetched records that are not done, by partition, and the order in which partitions take turns.
//! Pure: the caller passes the time.
//!
//! Each partition has its own lane, and lanes take turns. A broker sends hundreds of records of one
//! partition in a row; in that order the other partitions of a slow consumer would wait for
//! minutes. A lane holds only offsets; the records themselves are dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most records in a lane. Further fetched records wait in librdkafka, which then stops fetching
/// from that partition.
const LANE: usize = 100;

/// Pause of a partition before its poison record is tried again.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// Number of reports that a commit may stay unconfirmed before it is requested again.
const PATIENCE: u32 = 3;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
}

/// A fetched record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) offset: i64,
    pub(crate) poison: bool,
}

/// One partition's lane.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) place: Place,
    waiting: VecDeque<Fetched>,
    retry_at: Option<Instant>,
    /// Number of attempts at its poison record.
    pub(crate) retries: u64,
    /// The offset after the last record that was done.
    pub(crate) done: Option<i64>,
    asked: Option<i64>,
    /// Number of reports in a row without progress of the requested commit.
    unanswered: u32,
    /// The commit that the broker has confirmed.
    pub(crate) committed: Option<i64>,
}

impl Lane {
    fn new(place: Place) -> Self {
        Self {
            place,
            waiting: VecDeque::new(),
            retry_at: None,
            retries: 0,
            done: None,
            asked: None,
            unanswered: 0,
            committed: None,
        }
    }

    fn is_ready(&self, now: Instant) -> bool {
        !self.waiting.is_empty() && self.retry_at.is_none_or(|at| at <= now)
    }

    /// The poison record at which it is stuck.
    pub(crate) fn stuck_at(&self) -> Option<i64> {
        self.retry_at
            .and(self.waiting.front())
            .map(|record| record.offset)
    }
}

/// All lanes of the assigned partitions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backlog {
    lanes: Vec<Lane>,
    turn: usize,
}

impl Backlog {
    /// A partition was assigned.
    pub(crate) fn assign(&mut self, place: Place) {
        self.revoke(&place);
        self.lanes.push(Lane::new(place));
        self.lanes.sort_by(|a, b| a.place.cmp(&b.place));
    }

    /// A partition was revoked; its fetched records are dropped.
    pub(crate) fn revoke(&mut self, place: &Place) {
        self.lanes.retain(|lane| lane.place != *place);
    }

    /// The lanes, by topic and partition.
    pub(crate) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    fn lane(&mut self, topic: &str, partition: i32) -> Option<&mut Lane> {
        let key = |lane: &Lane| (&*lane.place.topic, lane.place.partition).cmp(&(topic, partition));
        let index = self.lanes.binary_search_by(key).ok()?;
        self.lanes.get_mut(index)
    }

    /// Puts a record into its lane. A record of a partition that is not assigned is dropped.
    pub(crate) fn put(&mut self, topic: &str, partition: i32, record: Fetched) {
        if let Some(lane) = self.lane(topic, partition) {
            lane.waiting.push_back(record);
        }
    }

    /// Number of records that a lane can take.
    pub(crate) fn room(&mut self, place: &Place) -> usize {
        let lane = self.lane(&place.topic, place.partition);
        lane.map_or(0, |lane| LANE.saturating_sub(lane.waiting.len()))
    }

    /// The next record, in turn. It stays at the front of its lane until [`Self::done`] or
    /// [`Self::failed`].
    pub(crate) fn next(&mut self, now: Instant) -> Option<(Place, Fetched)> {
        let count = self.lanes.len();
        let found = (0..count)
            .map(|step| (self.turn + step) % count)
            .find_map(|index| {
                let lane = self.lanes.get(index).filter(|lane| lane.is_ready(now))?;
                Some((index, lane.place.clone(), *lane.waiting.front()?))
            });
        let (index, place, record) = found?;
        self.turn = index + 1;
        Some((place, record))
    }

    /// The record at the front is done.
    pub(crate) fn done(&mut self, place: &Place) {
        if let Some(lane) = self.lane(&place.topic, place.partition) {
            lane.done = lane
                .waiting
                .pop_front()
                .map_or(lane.done, |record| Some(record.offset + 1));
        }
    }

    /// The record at the front failed; it stays there.
    pub(crate) fn failed(&mut self, place: &Place, now: Instant) {
        if let Some(lane) = self.lane(&place.topic, place.partition) {
            lane.retry_at = Some(now + RETRY);
            lane.retries += 1;
        }
    }

    /// Time of the next work: now, the time of a retry, or `None` if there is none before the next
    /// fetch.
    pub(crate) fn ready_at(&self, now: Instant) -> Option<Instant> {
        let busy = self.lanes.iter().filter(|lane| !lane.waiting.is_empty());
        busy.map(|lane| lane.retry_at.unwrap_or(now).max(now)).min()
    }

    /// Offsets that are done and whose commit is not requested yet; from now on it counts as
    /// requested.
    pub(crate) fn ask_commits(&mut self) -> Vec<(Place, i64)> {
        let moved = self.lanes.iter_mut().filter(|lane| lane.done != lane.asked);
        moved
            .filter_map(|lane| {
                lane.asked = lane.done;
                Some((lane.place.clone(), lane.done?))
            })
            .collect()
    }

    /// Offsets that are done and not confirmed, requested or not, in the lanes that `wanted`
    /// selects.
    pub(crate) fn unconfirmed(&self, wanted: impl Fn(&Place) -> bool) -> Vec<(Place, i64)> {
        let moved = self
            .lanes
            .iter()
            .filter(|lane| lane.done != lane.committed && wanted(&lane.place));
        moved
            .filter_map(|lane| Some((lane.place.clone(), lane.done?)))
            .collect()
    }

    /// The broker confirmed a commit of `offset`.
    pub(crate) fn confirm(&mut self, place: &Place, offset: i64) {
        if let Some(lane) = self.lane(&place.topic, place.partition) {
            lane.committed = Some(offset);
        }
    }

    /// Applies the commits that a report confirms. A commit that is not confirmed after some
    /// reports will be requested again. Returns the number of lanes with such a commit.
    pub(crate) fn report(&mut self, confirmed: impl Fn(&Place) -> Option<i64>) -> usize {
        let mut overdue = 0;
        for lane in &mut self.lanes {
            let confirmed = lane.asked.and_then(|_| confirmed(&lane.place));
            let moved = confirmed.is_some() && confirmed != lane.committed;
            lane.committed = confirmed.or(lane.committed);
            lane.unanswered = if moved || lane.asked == lane.committed {
                0
            } else {
                lane.unanswered + 1
            };
            if lane.unanswered > PATIENCE {
                lane.unanswered = 0;
                lane.asked = lane.committed;
                overdue += 1;
            }
        }
        overdue
    }
}

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;
