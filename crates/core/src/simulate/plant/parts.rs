//! The parts of the plant: partitions, consumers and pods. Lists hand out places for their entries.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// An amount of records below this counts as zero.
const NOTHING: f64 = 1e-6;

/// A list that only grows. Only the list creates places, so every place has an entry.
#[derive(Debug)]
pub(super) struct List<T>(Vec<T>);

/// A place in the list of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PartitionAt(usize);

/// A place in the list of consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConsumerAt(usize);

/// A place in a list.
pub(super) trait Place: Copy {
    /// The type of the entries.
    type Of;
    /// The place at an index.
    fn at(place: usize) -> Self;
    /// The index of the place.
    fn number(self) -> usize;
}

impl Place for PartitionAt {
    type Of = Partition;
    fn at(place: usize) -> Self {
        Self(place)
    }
    fn number(self) -> usize {
        self.0
    }
}

impl Place for ConsumerAt {
    type Of = Consumer;
    fn at(place: usize) -> Self {
        Self(place)
    }
    fn number(self) -> usize {
        self.0
    }
}

impl<T> List<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends an entry.
    pub(super) fn push<P: Place<Of = T>>(&mut self, one: T) -> P {
        self.0.push(one);
        P::at(self.0.len() - 1)
    }

    /// All places.
    pub(super) fn places<P: Place<Of = T>>(&self) -> impl Iterator<Item = P> + use<T, P> {
        (0..self.0.len()).map(P::at)
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "places are given out by a list that only grows"
)]
impl<P: Place> Index<P> for List<P::Of> {
    type Output = P::Of;
    fn index(&self, place: P) -> &P::Of {
        &self.0[place.number()]
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "places are given out by a list that only grows"
)]
impl<P: Place> IndexMut<P> for List<P::Of> {
    fn index_mut(&mut self, place: P) -> &mut P::Of {
        &mut self.0[place.number()]
    }
}

/// A partition, and how far its group has read it. Amounts are cumulative, in records.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent of each other, and set in one place each"
)]
pub(super) struct Partition {
    pub(super) topic: Arc<str>,
    pub(super) number: u32,
    /// Whether it has been created.
    pub(super) exists: bool,
    /// Whether the group's consumers have found it.
    pub(super) known: bool,
    /// Not counted in the seconds over the objective: stuck at some time, or read late on purpose.
    pub(super) exempt: bool,
    /// Records that have arrived.
    pub(super) arrived: f64,
    /// The same a second ago.
    pub(super) arrived_before: f64,
    /// The arrival curve: records that had arrived by each second that still has unread ones.
    curve: VecDeque<f64>,
    /// Records that had arrived before the first second of the curve.
    read_through: f64,
    /// Position of the reader; goes back when work is lost.
    pub(super) position: f64,
    /// The highest position so far.
    pub(super) done: f64,
    pub(super) committed: Option<f64>,
    /// Its consumers keep their offsets elsewhere.
    pub(super) never_commits: bool,
    pub(super) owner: Option<ConsumerAt>,
    /// The last owner, and the time when the present owner has restored its state.
    pub(super) had: Option<ConsumerAt>,
    pub(super) restored_at: Option<i64>,
    /// Seconds after its arrival from which a record can be read.
    pub(super) waits: usize,
}

impl Partition {
    pub(super) fn new(topic: Arc<str>, number: u32, exists: bool) -> Self {
        Self {
            topic,
            number,
            exists,
            known: exists,
            exempt: false,
            arrived: 0.0,
            arrived_before: 0.0,
            curve: VecDeque::new(),
            read_through: 0.0,
            position: 0.0,
            done: 0.0,
            committed: None,
            never_commits: false,
            owner: None,
            had: None,
            restored_at: None,
            waits: 0,
        }
    }

    /// Adds one second, with the records that arrive in it.
    pub(super) fn arrive(&mut self, records: f64) {
        self.arrived_before = self.arrived;
        self.arrived += records.max(0.0);
        self.curve.push_back(self.arrived);
    }

    /// Unread records that can be read now.
    pub(super) fn unread(&self) -> f64 {
        if self.waits == 0 {
            return self.arrived - self.position;
        }
        let old = self.curve.len().checked_sub(self.waits + 1);
        let readable = old.and_then(|place| self.curve.get(place)).copied();
        (readable.unwrap_or(self.read_through) - self.position).max(0.0)
    }

    /// Reads all that can be read.
    pub(super) fn read_all(&mut self) {
        self.position = match self.waits {
            0 => self.arrived,
            _ => self.position + self.unread(),
        };
    }

    /// Removes what has been read from the curve. For each second, calls `read` with the age in
    /// seconds and the number of records. Returns the age of the oldest unread record, in seconds.
    pub(super) fn settle(&mut self, mut read: impl FnMut(usize, f64)) -> Option<usize> {
        self.done = self.done.max(self.position);
        while let Some(arrived) = self.curve.front().copied() {
            if arrived > self.done + NOTHING {
                break;
            }
            let records = arrived - self.read_through;
            if records > 0.0 {
                read(self.curve.len() - 1, records);
            }
            self.read_through = arrived;
            self.curve.pop_front();
        }
        self.curve.len().checked_sub(1)
    }

    /// Continues from the last commit, as a new owner does.
    pub(super) fn seek(&mut self) {
        if let Some(committed) = self.committed {
            self.position = committed;
        }
    }

    pub(super) fn commit(&mut self) {
        if !self.never_commits {
            self.committed = Some(self.position);
        }
    }
}

/// A consumer: one member of the group, single-threaded over its partitions.
#[derive(Debug)]
pub(super) struct Consumer {
    /// The member id.
    pub(super) id: String,
    /// Records per second at full speed.
    pub(super) speed: f64,
    /// Slow noise of the speed.
    pub(super) drift: f64,
    /// The time until which it is slower.
    pub(super) warm_at: i64,
    /// Whether its pod runs.
    pub(super) running: bool,
    pub(super) partitions: Vec<PartitionAt>,
    /// Partitions in which it makes progress.
    pub(super) moving: Vec<PartitionAt>,
    pub(super) next_commit: i64,
    /// When its session times out, if it ended without leaving the group.
    pub(super) expires: Option<i64>,
    /// Records per second that it can do now, and that it did.
    pub(super) budget: f64,
    pub(super) processed: f64,
    /// Share of the time that it works, a moving average.
    pub(super) busy: f64,
    /// Records per second, a moving average.
    pub(super) rate: f64,
}

/// State of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not ready yet.
    Pending,
    /// Its consumers are members of the group.
    Running,
    /// It is being removed.
    Terminating,
}

/// A pod.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) number: u64,
    pub(super) phase: Phase,
    pub(super) created: i64,
    pub(super) ready_at: i64,
    /// When its consumers leave the group, if not at once.
    pub(super) leaves_at: Option<i64>,
    pub(super) gone_at: Option<i64>,
    /// Share of its CPU request, as metrics-server reports it.
    pub(super) cpu: f64,
    pub(super) consumers: Vec<ConsumerAt>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arrival_curve_knows_the_second_of_the_oldest_unread_record() {
        let mut partition = Partition::new("orders".into(), 0, true);
        let mut read = Vec::new();
        partition.arrive(10.0);
        assert_eq!(partition.settle(|_, _| {}), Some(0));
        partition.arrive(0.0);
        partition.arrive(5.0);
        assert_eq!(partition.settle(|_, _| {}), Some(2));
        // The first ten are read: the rest arrived in this second.
        partition.position = 10.0;
        assert_eq!(partition.settle(|ago, n| read.push((ago, n))), Some(0));
        partition.arrive(0.0);
        partition.position = 12.0;
        assert_eq!(partition.settle(|ago, n| read.push((ago, n))), Some(1));
        partition.position = 15.0;
        assert_eq!(partition.settle(|ago, n| read.push((ago, n))), None);
        assert_eq!(read, [(2, 10.0), (1, 5.0)]);
    }

    #[test]
    fn what_was_read_twice_was_late_once() {
        let mut partition = Partition::new("orders".into(), 0, true);
        let mut records = 0.0;
        partition.arrive(10.0);
        partition.position = 10.0;
        partition.settle(|_, n| records += n);
        partition.position = 4.0;
        partition.arrive(1.0);
        assert_eq!(partition.settle(|_, n| records += n), Some(0));
        partition.position = 11.0;
        partition.settle(|_, n| records += n);
        assert!((records - 11.0).abs() < 1e-9);
    }
}
