//! What was fetched and not yet done, by partition, and whose turn it is. Pure: it is told the
//! time.
//!
//! Each partition has a lane of its own, and lanes take turns: taken as a broker sends them,
//! hundreds of records of one partition in a row, they would leave the other partitions of a slow
//! consumer standing for minutes. A lane holds offsets only; the records themselves are let go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A lane takes no more records than this; what else was fetched waits in librdkafka, which then
/// fetches no more of it.
const LANE: usize = 100;

/// How long a partition rests before its poison record is tried again.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// For so many reports a commit may stay without an answer before it is asked for again.
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
    /// How often its poison record was tried.
    pub(crate) retries: u64,
    /// The offset after the last record that was done.
    pub(crate) done: Option<i64>,
    asked: Option<i64>,
    /// For how many reports in a row what was asked for has not come nearer.
    unanswered: u32,
    /// What the broker has confirmed.
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

    /// The record that it cannot get past.
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

    /// A partition was taken away; what was fetched of it is dropped.
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

    /// How many records a lane takes.
    pub(crate) fn room(&mut self, place: &Place) -> usize {
        let lane = self.lane(&place.topic, place.partition);
        lane.map_or(0, |lane| LANE.saturating_sub(lane.waiting.len()))
    }

    /// The next record, taking turns: its place stays in front of its lane until it is told what
    /// became of it.
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

    /// The record in front was done.
    pub(crate) fn done(&mut self, place: &Place) {
        if let Some(lane) = self.lane(&place.topic, place.partition) {
            lane.done = lane
                .waiting
                .pop_front()
                .map_or(lane.done, |record| Some(record.offset + 1));
        }
    }

    /// The record in front could not be done; it stays.
    pub(crate) fn failed(&mut self, place: &Place, now: Instant) {
        if let Some(lane) = self.lane(&place.topic, place.partition) {
            lane.retry_at = Some(now + RETRY);
            lane.retries += 1;
        }
    }

    /// When there is something to do: now, at a retry's time, or `None` for only when more is
    /// fetched.
    pub(crate) fn ready_at(&self, now: Instant) -> Option<Instant> {
        let busy = self.lanes.iter().filter(|lane| !lane.waiting.is_empty());
        busy.map(|lane| lane.retry_at.unwrap_or(now).max(now)).min()
    }

    /// What is done and not yet asked to be committed; counts as asked from now on.
    pub(crate) fn ask_commits(&mut self) -> Vec<(Place, i64)> {
        let moved = self.lanes.iter_mut().filter(|lane| lane.done != lane.asked);
        moved
            .filter_map(|lane| {
                lane.asked = lane.done;
                Some((lane.place.clone(), lane.done?))
            })
            .collect()
    }

    /// What is done in the lanes that `wanted` picks and not confirmed, whether it was asked for or
    /// not.
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

    /// Takes in what each lane's broker has confirmed as of one report. What was asked for and is
    /// not confirmed after some reports is asked for again. Tells how many lanes that were.
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
