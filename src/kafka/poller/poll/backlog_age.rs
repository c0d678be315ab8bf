//! Where a partition ended before the first poll, by the timestamps of its records. Right after a
//! start nothing else shows how late a group is. It is asked for once for each partition with a lag
//! in the group's first polls, and used only if the timestamps agree with the arrivals that later
//! polls see. How a decision uses it is defined elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::commits::Committed;
use crate::kafka::model::snapshot::{EndAt, Known, Offset, Topic, TopicPartition};

/// Ages to ask for, as shares of the objective: close to it, where the exact delay matters, and far
/// beyond.
const AGES: [(u32, u32); 4] = [(1, 2), (1, 1), (2, 1), (8, 1)];
/// A group is new for this many polls: what the first of them could not read may be read by then.
const NEW_FOR: u8 = 4;
/// How often a request without an answer is repeated.
const TRIES: u8 = 3;
/// Timestamps are compared with the arrivals of at least this time, because records are batched
/// before they are sent.
const SPAN: SignedDuration = SignedDuration::from_secs(4);
/// How often in a row all arrivals may have older timestamps than expected. Once, the records may
/// have been in transit.
const MISSES: u8 = 2;

/// What is known of a group's partitions from before its first poll.
#[derive(Debug, Clone, Default)]
pub(super) struct Earlier {
    objective: Duration,
    polls: u8,
    /// The partitions that were found while the group is new.
    seen: BTreeSet<TopicPartition>,
    /// Those whose commit has not yet reached the end that was found first.
    marks: BTreeMap<TopicPartition, Mark>,
}

/// A partition when it was first found, and before.
#[derive(Debug, Clone)]
struct Mark {
    at: Timestamp,
    end: Offset,
    state: State,
    /// Requests that were not answered.
    tries: u8,
    /// The last end that timestamps were compared with.
    check: (Timestamp, Offset),
    misses: u8,
}

#[derive(Debug, Clone)]
enum State {
    /// Not asked for yet.
    Unasked,
    /// The next arrivals have to confirm that timestamps are arrival times.
    Unconfirmed(Arc<[EndAt]>),
    Accepted(Arc<[EndAt]>),
}

/// The first record at or after a time; `None`: there is none.
pub(super) type Answers = BTreeMap<Timestamp, BTreeMap<TopicPartition, Known<Option<EndAt>>>>;

impl Earlier {
    /// The confirmed ends.
    pub(super) fn ends(&self) -> BTreeMap<TopicPartition, Arc<[EndAt]>> {
        let accepted = self
            .marks
            .iter()
            .filter_map(|(key, mark)| match &mark.state {
                State::Accepted(ends) => Some((key.clone(), Arc::clone(ends))),
                State::Unasked | State::Unconfirmed(_) => None,
            });
        accepted.collect()
    }

    /// Records a poll, before the requests that follow from it.
    pub(super) fn note(
        &mut self,
        objective: Duration,
        committed: &Committed,
        topics: &BTreeMap<Arc<str>, Topic>,
    ) {
        if self.objective != objective {
            // Whoever decides drops what was measured under another objective.
            *self = Self {
                objective,
                ..Self::default()
            };
        }
        let is_new = self.polls < NEW_FOR;
        self.polls = self.polls.saturating_add(1);
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
                // Or the log was replaced.
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
        if is_whole || self.polls >= NEW_FOR {
            self.polls = NEW_FOR;
            self.seen = BTreeSet::new();
        }
        let asked = &committed.partitions;
        self.marks.retain(|key, _| asked.contains_key(key));
    }

    /// The times for which each partition's end is to be asked.
    pub(super) fn questions<'a>(
        &'a self,
        topics: &'a BTreeMap<Arc<str>, Topic>,
    ) -> impl Iterator<Item = (Timestamp, &'a TopicPartition)> {
        let of = move |(key, mark): (&'a TopicPartition, &'a Mark)| {
            let times = match mark.state {
                State::Unasked => self.ages(mark.at).to_vec(),
                State::Unconfirmed(_) => match mark.arrived(key, topics) {
                    Some((_, end)) if end > mark.check.1 => vec![mark.check.0],
                    Some(_) | None => Vec::new(),
                },
                State::Accepted(_) => Vec::new(),
            };
            times.into_iter().map(move |time| (time, key))
        };
        self.marks.iter().flat_map(of)
    }

    /// The times before `at`, the latest first.
    fn ages(&self, at: Timestamp) -> [Timestamp; AGES.len()] {
        AGES.map(|(times, parts)| before(at, self.objective * times / parts))
    }

    /// Records the answers to the requests that were made.
    pub(super) fn take(&mut self, topics: &BTreeMap<Arc<str>, Topic>, answers: &Answers) {
        let objective = self.objective;
        self.marks.retain(|key, mark| {
            let answer = |time| answers.get(&time)?.get(key);
            match mark.state.clone() {
                State::Unasked => {
                    let ages = AGES.map(|(t, parts)| before(mark.at, objective * t / parts));
                    mark.learn(ages.map(|time| (time, answer(time))));
                }
                State::Unconfirmed(ends) => {
                    if let Some(now) = mark.arrived(key, topics) {
                        mark.judge(ends, now, answer(mark.check.0));
                    }
                }
                State::Accepted(_) => {}
            }
            mark.tries < TRIES && mark.misses < MISSES
        });
    }
}

impl Mark {
    /// Its current end and the time of it, if enough time has passed since timestamps were last
    /// compared.
    fn arrived(
        &self,
        key: &TopicPartition,
        topics: &BTreeMap<Arc<str>, Topic>,
    ) -> Option<(Timestamp, Offset)> {
        let partition = Topic::partition_of(topics, key)?;
        let end = *partition.end.as_ref().ok()?;
        (partition.at.duration_since(self.check.0) >= SPAN).then_some((partition.at, end))
    }

    /// Records where it ended at these times. `None`: not asked.
    fn learn<const N: usize>(&mut self, answers: [(Timestamp, Option<&Known<Option<EndAt>>>); N]) {
        if answers.iter().all(|(_, answer)| answer.is_none()) {
            return;
        }
        // At the time that was asked for, and until that record came, nothing beyond it had
        // arrived.
        let ends = answers.into_iter().filter_map(|(at, answer)| match answer {
            Some(Ok(Some(first))) => Some([EndAt { at, ..*first }, *first]),
            Some(Ok(None)) => Some([EndAt { at, end: self.end }; 2]),
            Some(Err(_)) | None => None,
        });
        match self.ends(ends) {
            Some(ends) => self.state = State::Unconfirmed(ends),
            None => self.tries += 1,
        }
    }

    /// Compares the timestamps with the arrivals until `now`, by the first record since the last
    /// comparison.
    fn judge(
        &mut self,
        ends: Arc<[EndAt]>,
        now: (Timestamp, Offset),
        first: Option<&Known<Option<EndAt>>>,
    ) {
        let has_arrivals = now.1 > self.check.1;
        match first {
            // Nothing contradicts the timestamps.
            None if !has_arrivals && self.misses == 0 => self.state = State::Accepted(ends),
            None => {}
            Some(Err(_)) => self.tries += 1,
            Some(Ok(Some(_))) => self.state = State::Accepted(ends),
            // By their timestamps, all records since then are older.
            Some(Ok(None)) => {
                self.misses += 1;
                self.check = now;
            }
        }
    }

    /// The ends, oldest first, never decreasing, with the end that was found last. Of equal ends
    /// the first and the last are kept. `None`: there was no answer.
    fn ends(&self, answers: impl Iterator<Item = [EndAt; 2]>) -> Option<Arc<[EndAt]>> {
        let seen = EndAt {
            at: self.at,
            end: self.end,
        };
        let mut ends: Vec<EndAt> = answers.flatten().filter(|end| end.at < self.at).collect();
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
