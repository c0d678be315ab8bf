//! Compares each snapshot with the truth: known values are true, and unknown ones have a reason.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use jiff::SignedDuration;
use lagrange::kafka::model::snapshot::{
    Group, GroupState, NodeId, Offset, Snapshot, Topic, TopicPartition,
};
use lagrange::kafka::pool::{Failures, Wakeups, Watch};
use lagrange_core::intent::topics::TopicSelection;
use lagrange_testing::poll_helper::brief;
use lagrange_testing::until::until;

use super::RECOVERY;
use super::cast::{Cast, Role};
use super::commits::{Commits, Finding};
use super::eyes::Watches;
use super::truth::Truth;

/// How long brokers may report an old number of partitions: a broker that was cut off has not
/// received the new one.
const NEWS: SignedDuration = SignedDuration::from_secs(15);

/// How long a deleted group may still be reported: its deletion is unconfirmed for
/// `Settings::regression_grace`, and then polled again.
const GONE: SignedDuration = SignedDuration::from_secs(60);

/// The faults that were found, and how often each event occurred.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) wrong: Vec<String>,
    pub(crate) counts: BTreeMap<String, u64>,
}

pub(crate) struct Checker {
    cast: Arc<Cast>,
    truth: Arc<Truth>,
    pub(crate) verdict: Mutex<Verdict>,
    last: Mutex<Option<Arc<Snapshot>>>,
    commits: Mutex<Commits>,
    /// Coordinators and leaders, by group and partition.
    places: Mutex<BTreeMap<String, NodeId>>,
}

impl Checker {
    pub(crate) fn new(cast: &Arc<Cast>, truth: &Arc<Truth>) -> Self {
        Self {
            cast: Arc::clone(cast),
            truth: Arc::clone(truth),
            verdict: Mutex::default(),
            last: Mutex::default(),
            commits: Mutex::default(),
            places: Mutex::default(),
        }
    }

    /// Checks each snapshot as it arrives.
    pub(crate) async fn follow(
        self: Arc<Self>,
        mut wakeups: Wakeups,
        mut failures: Failures,
        watches: Watches,
    ) {
        loop {
            let key = tokio::select! {
                key = wakeups.next() => key.unwrap(),
                failure = failures.next() => panic!("{failure}"),
            };
            let watches = watches.lock().unwrap();
            let latest = watches.get(&*key.name).and_then(Watch::latest);
            drop(watches);
            let mut last = self.last.lock().unwrap();
            match (latest, &*last) {
                (None, _) => continue,
                (Some(latest), Some(last)) if Arc::ptr_eq(&latest, last) => continue,
                (Some(latest), _) => *last = Some(latest),
            }
            drop(last);
            self.check(&self.last().unwrap());
        }
    }

    /// The last snapshot.
    pub(crate) fn last(&self) -> Option<Arc<Snapshot>> {
        self.last.lock().unwrap().clone()
    }

    pub(crate) fn has_found_something(&self) -> bool {
        !self.verdict.lock().unwrap().wrong.is_empty()
    }

    /// Waits until a poll that began after now knows everything, at most a minute.
    pub(crate) async fn until_whole(&self, when: &str) {
        let now = self.truth.now();
        until(RECOVERY, when, || async {
            let last = self.last().ok_or("no look")?;
            if last.started >= now && self.is_whole(&last) {
                Ok(())
            } else {
                Err(brief(&last))
            }
        })
        .await;
    }

    fn check(&self, snapshot: &Snapshot) {
        self.count("polls");
        self.commits.lock().unwrap().forget(snapshot);
        if let Some(error) = &snapshot.error {
            self.count(&format!("polls without an answer: {}", error.category()));
            if !snapshot.groups.is_empty() || !snapshot.topics.is_empty() {
                self.wrong(snapshot, "an error and numbers");
            }
            return;
        }
        if snapshot.renewal.is_some() {
            self.count("polls with older credentials");
        }
        for (name, topic) in &snapshot.topics {
            self.check_topic(snapshot, name, topic);
        }
        for (id, group) in &snapshot.groups {
            self.check_group(snapshot, id, group);
        }
    }

    fn check_topic(&self, snapshot: &Snapshot, name: &str, topic: &Topic) {
        let number = self.cast.topics.iter().position(|topic| topic == name);
        let partitions = match (topic, number) {
            (Topic::Absent | Topic::Unknown(_), None) => return,
            (Topic::Unknown(error), Some(_)) => {
                return self.count(&format!("topics unknown: {}", error.category()));
            }
            (Topic::Absent, Some(_)) => return self.wrong(snapshot, &format!("{name} is absent")),
            (Topic::Present(_), None) => {
                return self.wrong(snapshot, &format!("{name} is there"));
            }
            (Topic::Present(partitions), Some(_)) => partitions,
        };
        let number = number.unwrap();
        let since = snapshot.started - NEWS;
        let (least, most) = self.truth.counts(number, since, snapshot.finished);
        let count = i64::try_from(partitions.len()).unwrap();
        if !(least..=most).contains(&count) {
            let what = format!("{name} has {count} partitions, not {least} to {most}");
            self.wrong(snapshot, &what);
        }
        for (index, partition) in (0..).zip(partitions) {
            let place = (number, index);
            self.follow_move("leaders moved", format!("{name} {index}"), partition.leader);
            let (low, high) = self.truth.ends(place, snapshot.started, partition.at);
            match &partition.end {
                Ok(end) if (low..=high).contains(&end.get()) => self.count("ends"),
                Ok(end) => {
                    let end = end.get();
                    let what = format!("{name} {index} ends at {end}, not {low} to {high}");
                    self.wrong(snapshot, &what);
                }
                Err(error) => self.count(&format!("ends unknown: {}", error.category())),
            }
            if let Ok(start) = &partition.start
                && start.get() != 0
            {
                self.wrong(snapshot, &format!("{name} {index} begins at {start:?}"));
            }
        }
    }

    fn check_group(&self, snapshot: &Snapshot, id: &Arc<str>, group: &Group) {
        let role = self.cast.groups[&**id];
        self.follow_move("coordinators moved", id.to_string(), group.coordinator);
        match (&group.state, role) {
            (Err(error), _) => self.count(&format!("states unknown: {}", error.category())),
            (Ok(GroupState::Empty), Role::Guest) if self.is_long_gone(snapshot, id) => {
                self.wrong(snapshot, &format!("{id} has been deleted, and is reported"));
            }
            (Ok(GroupState::Empty), Role::Alone | Role::Guest)
            | (Ok(GroupState::Dead), Role::Never) => {}
            (Ok(GroupState::Dead), _) if !self.has_committed(snapshot, id) => {}
            (Ok(state), Role::Members(_)) if *state != GroupState::Dead => {}
            (Ok(state), _) => self.wrong(snapshot, &format!("{id} is {state:?}")),
        }
        if let Ok(topics) = group.topics_for(&TopicSelection::OfGroup)
            && topics != [self.cast.topic_name(id).into()]
            && self
                .truth
                .has_committed(id, snapshot.started - NEWS, snapshot.started - NEWS)
        {
            let (state, on) = (&group.state, group.coordinator);
            self.wrong(
                snapshot,
                &format!("{id}, {state:?} at {on:?}, has topics {topics:?}"),
            );
        }
        for (partition, committed) in &group.committed {
            let Some(topic) = self.number(partition) else {
                if matches!(committed, Ok(Some(_))) {
                    self.wrong(snapshot, &format!("{id} has committed in {partition:?}"));
                }
                continue;
            };
            let place = (topic, partition.partition);
            let bounds = |from| self.truth.commits(id, place, from, group.committed_at);
            match committed {
                Ok(Some(offset)) if self.is_long_gone(snapshot, id) => {
                    let what = format!("{id} has been deleted, and {offset:?} is reported");
                    self.wrong(snapshot, &what);
                }
                Ok(offset) => {
                    let key = (Arc::clone(id), partition.clone());
                    let offset = offset.map(Offset::get);
                    let mut commits = self.commits.lock().unwrap();
                    match commits.judge(key, offset, snapshot.started, bounds) {
                        Finding::Right => self.count("commits"),
                        Finding::Late => self.count("commits, a little late"),
                        Finding::Wrong(what) => {
                            let (state, on) = (&group.state, group.coordinator);
                            let whose = format!("{id}, {state:?} at {on:?}, in {place:?}");
                            self.wrong(snapshot, &format!("{whose}: committed {what}"));
                        }
                    }
                }
                Err(error) => {
                    let category = error.category();
                    self.count(
                        &format!("commits unknown: {category} ({error})")
                            .replace(|c: char| c.is_ascii_digit(), ""),
                    );
                }
            }
        }
        self.check_assignment(snapshot, id, group);
    }

    /// Checks that no partition has two members.
    fn check_assignment(&self, snapshot: &Snapshot, id: &str, group: &Group) {
        let Some(Ok(description)) = &group.description else {
            return;
        };
        let mut owners: BTreeMap<&TopicPartition, &str> = BTreeMap::new();
        for member in &description.members {
            for partition in &member.assigned {
                if let Some(other) = owners.insert(partition, &member.id) {
                    let what = format!("{id}: {other} and {} have {partition:?}", member.id);
                    self.wrong(snapshot, &what);
                }
            }
        }
    }

    /// Whether everything is known that can be known.
    fn is_whole(&self, snapshot: &Snapshot) -> bool {
        let topics = self.cast.topics.iter().enumerate().all(|(number, name)| {
            let mut groups = self.cast.groups.iter();
            if !groups.any(|(id, role)| *role != Role::Never && self.cast.topic_of(id) == number) {
                return true;
            }
            let count = usize::try_from(self.truth.count(number)).unwrap();
            match snapshot.topics.get(name.as_str()) {
                Some(Topic::Present(all)) => {
                    all.len() == count && all.iter().all(|it| it.end.is_ok() && it.start.is_ok())
                }
                _ => false,
            }
        });
        let groups = self.cast.groups.iter().all(|(id, role)| {
            let Some(group) = snapshot.groups.get(id.as_str()) else {
                return false;
            };
            let count = match role {
                Role::Never => 0,
                _ => usize::try_from(self.truth.count(self.cast.topic_of(id))).unwrap(),
            };
            group.state.is_ok()
                && group.committed.len() == count
                && group.committed.values().all(Result::is_ok)
        });
        let whole = snapshot.error.is_none() && snapshot.renewal.is_none();
        whole && snapshot.brokers.len() == 3 && topics && groups
    }

    fn has_committed(&self, snapshot: &Snapshot, id: &str) -> bool {
        self.truth
            .has_committed(id, snapshot.started, snapshot.finished)
    }

    fn is_long_gone(&self, snapshot: &Snapshot, id: &str) -> bool {
        self.truth.is_gone(id, snapshot.started - GONE)
    }

    /// Counts how often something has moved.
    fn follow_move(&self, what: &str, whose: String, now: Option<NodeId>) {
        let Some(now) = now else { return };
        let before = self.places.lock().unwrap().insert(whose, now);
        if before.is_some_and(|before| before != now) {
            self.count(what);
        }
    }

    fn number(&self, partition: &TopicPartition) -> Option<usize> {
        let name = &*partition.topic;
        self.cast.topics.iter().position(|topic| topic == name)
    }

    fn count(&self, what: &str) {
        let mut verdict = self.verdict.lock().unwrap();
        *verdict.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn wrong(&self, snapshot: &Snapshot, what: &str) {
        let line = format!("{} look {}: {what}", snapshot.finished, snapshot.poll);
        println!("WRONG {line}");
        self.verdict.lock().unwrap().wrong.push(line);
    }
}
