//! Where a partition ended before anybody looked, by the timestamps of its records: right after a
//! start nothing else tells how late a group is. Asked once for each partition that had lag at the
//! group's first looks, and believed only where the timestamps agree with what was seen to arrive.
//! What it means for a decision is not said here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::commits::Committed;
use crate::kafka::model::snapshot::{EndAt, Known, Offset, Topic, TopicPartition};

/// Ages that are asked for, as shares of the objective: close around it, where it matters how late
/// exactly, and far beyond.
const AGES: [(u32, u32); 4] = [(1, 2), (1, 1), (2, 1), (8, 1)];
/// A group is new for so many looks: what could not be read in the first of them may yet be.
const NEW_FOR: u8 = 4;
/// A question that is not answered is asked so often.
const TRIES: u8 = 3;
/// Timestamps are held against what has arrived in so long at least: records are batched before
/// they are sent.
const SPAN: SignedDuration = SignedDuration::from_secs(4);
/// So often in a row nothing that arrived may have been of its time. Once it may have been under
/// way.
const MISSES: u8 = 2;

/// What is known of a group's partitions from before its first look.
#[derive(Debug, Clone, Default)]
pub(super) struct Earlier {
    objective: Duration,
    looks: u8,
    /// The partitions that have been seen, while the group is new.
    seen: BTreeSet<TopicPartition>,
    /// Those whose commit has not yet come to where the end was when they were first seen.
    marks: BTreeMap<TopicPartition, Mark>,
}

/// A partition when it was first seen, and before.
#[derive(Debug, Clone)]
struct Mark {
    at: Timestamp,
    end: Offset,
    state: State,
    /// Questions that were not answered.
    tries: u8,
    /// What was seen last that timestamps are held against.
    check: (Timestamp, Offset),
    misses: u8,
}

#[derive(Debug, Clone)]
enum State {
    /// Nobody has been asked yet.
    Unasked,
    /// Whether the timestamps are when records arrived has to be seen on the next that do.
    Doubted(Arc<[EndAt]>),
    Believed(Arc<[EndAt]>),
}

/// The first record at or after a time; `None`: there is none.
pub(super) type Answers = BTreeMap<Timestamp, BTreeMap<TopicPartition, Known<Option<EndAt>>>>;

impl Earlier {
    /// What is believed.
    pub(super) fn ends(&self) -> BTreeMap<TopicPartition, Arc<[EndAt]>> {
        let believed = self
            .marks
            .iter()
            .filter_map(|(key, mark)| match &mark.state {
                State::Believed(ends) => Some((key.clone(), Arc::clone(ends))),
                State::Unasked | State::Doubted(_) => None,
            });
        believed.collect()
    }

    /// Takes in a look, before what it gives rise to is asked.
    pub(super) fn note(
        &mut self,
        objective: Duration,
        committed: &Committed,
        topics: &BTreeMap<Arc<str>, Topic>,
    ) {
        if self.objective != objective {
            // What was seen under another objective is thrown away by whoever decides.
            *self = Self {
                objective,
                ..Self::default()
            };
        }
        let is_new = self.looks < NEW_FOR;
        self.looks = self.looks.saturating_add(1);
        let mut is_whole = true;
        for (key, value) in &committed.partitions {
            let seen =
                Topic::partition_of(topics, key).and_then(|p| Some((p.at, *p.end.as_ref().ok()?)));
            let (Some((at, end)), Ok(commit)) = (seen, value) else {
                is_whole = false;
                continue;
            };
            let is_reached = |mark: Offset| commit.is_some_and(|commit| commit >= mark);
            if let Some(mark) = self.marks.get(key) {
                // Or the log is another one.
                if is_reached(mark.end) || end < mark.end {
                    self.marks.remove(key);
                }
            } else if is_new && self.seen.insert(key.clone()) && !is_reached(end) && end.get() > 0 {
                let mark = Mark {
                    at,
                    end,
                    state: State::Unasked,
                    tries: 0,
                    check: (at, end),
                    misses: 0,
                };
                self.marks.insert(key.clone(), mark);
            }
        }
        if is_whole || self.looks >= NEW_FOR {
            self.looks = NEW_FOR;
            self.seen = BTreeSet::new();
        }
        let asked = &committed.partitions;
        self.marks.retain(|key, _| asked.contains_key(key));
    }

    /// The times at which each partition's end is to be asked for.
    pub(super) fn questions<'a>(
        &'a self,
        topics: &'a BTreeMap<Arc<str>, Topic>,
    ) -> impl Iterator<Item = (Timestamp, &'a TopicPartition)> {
        let of = move |(key, mark): (&'a TopicPartition, &'a Mark)| {
            let times = match mark.state {
                State::Unasked => self.ages(mark.at).to_vec(),
                State::Doubted(_) => match mark.arrived(key, topics) {
                    Some((_, end)) if end > mark.check.1 => vec![mark.check.0],
                    Some(_) | None => Vec::new(),
                },
                State::Believed(_) => Vec::new(),
            };
            times.into_iter().map(move |time| (time, key))
        };
        self.marks.iter().flat_map(of)
    }

    /// The times before `at`, the latest first.
    fn ages(&self, at: Timestamp) -> [Timestamp; AGES.len()] {
        AGES.map(|(times, parts)| before(at, self.objective * times / parts))
    }

    /// Takes in the answers, of those questions that were asked.
    pub(super) fn take(&mut self, topics: &BTreeMap<Arc<str>, Topic>, answers: &Answers) {
        let objective = self.objective;
        self.marks.retain(|key, mark| {
            let answer = |time| answers.get(&time)?.get(key);
            match mark.state.clone() {
                State::Unasked => {
                    let ages = AGES.map(|(t, parts)| before(mark.at, objective * t / parts));
                    mark.learn(ages.map(|time| (time, answer(time))));
                }
                State::Doubted(ends) => {
                    if let Some(now) = mark.arrived(key, topics) {
                        mark.judge(ends, now, answer(mark.check.0));
                    }
                }
                State::Believed(_) => {}
            }
            mark.tries < TRIES && mark.misses < MISSES
        });
    }
}

impl Mark {
    /// Where it ends now and when that was seen, if enough time has passed since that was last held
    /// against timestamps.
    fn arrived(
        &self,
        key: &TopicPartition,
        topics: &BTreeMap<Arc<str>, Topic>,
    ) -> Option<(Timestamp, Offset)> {
        let partition = Topic::partition_of(topics, key)?;
        let end = *partition.end.as_ref().ok()?;
        (partition.at.duration_since(self.check.0) >= SPAN).then_some((partition.at, end))
    }

    /// Takes in where it ended at these times. `None`: not asked.
    fn learn<const N: usize>(&mut self, told: [(Timestamp, Option<&Known<Option<EndAt>>>); N]) {
        if told.iter().all(|(_, answer)| answer.is_none()) {
            return;
        }
        // Up to the time that was asked for no more had come than before that record; nor until
        // that came.
        let ends = told.into_iter().filter_map(|(at, answer)| match answer {
            Some(Ok(Some(first))) => Some([EndAt { at, ..*first }, *first]),
            Some(Ok(None)) => Some([EndAt { at, end: self.end }; 2]),
            Some(Err(_)) | None => None,
        });
        match self.ends(ends) {
            Some(ends) => self.state = State::Doubted(ends),
            None => self.tries += 1,
        }
    }

    /// Holds the timestamps against what has arrived until `now`: the first record since the check,
    /// by its timestamp.
    fn judge(
        &mut self,
        ends: Arc<[EndAt]>,
        now: (Timestamp, Offset),
        first: Option<&Known<Option<EndAt>>>,
    ) {
        let has_arrivals = now.1 > self.check.1;
        match first {
            // Nothing speaks against it.
            None if !has_arrivals && self.misses == 0 => self.state = State::Believed(ends),
            None => {}
            Some(Err(_)) => self.tries += 1,
            Some(Ok(Some(_))) => self.state = State::Believed(ends),
            // All that came since is older than that, by its timestamps.
            Some(Ok(None)) => {
                self.misses += 1;
                self.check = now;
            }
        }
    }

    /// The ends, oldest first, never going back, and at last what was seen; of equal ones the first
    /// and the last. `None`: nothing was told.
    fn ends(&self, told: impl Iterator<Item = [EndAt; 2]>) -> Option<Arc<[EndAt]>> {
        let seen = EndAt {
            at: self.at,
            end: self.end,
        };
        let mut ends: Vec<EndAt> = told.flatten().filter(|end| end.at < self.at).collect();
        if ends.is_empty() {
            return None;
        }
        ends.push(seen);
        ends.sort_by_key(|end| end.at);
        let mut most = self.end;
        for end in ends.iter_mut().rev() {
            most = most.min(end.end);
            end.end = most;
        }
        let mut kept: Vec<EndAt> = Vec::with_capacity(ends.len());
        for end in ends {
            if let [.., before, last] = kept.as_mut_slice()
                && before.end == end.end
                && last.end == end.end
            {
                last.at = end.at;
            } else {
                kept.push(end);
            }
        }
        Some(kept.into())
    }
}

/// `age` before `at`, on a whole millisecond as Kafka has them.
fn before(at: Timestamp, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let millis = at.as_millisecond().saturating_sub(age).max(0);
    Timestamp::from_millisecond(millis).unwrap_or(at)
}
