//! Converts lines to observations. What a line lacks is unknown, not gone, unless the line is
//! marked as whole. Decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::line::{Committed, GroupLine, MemberLine, Observe, TopicLine};
use super::time::{real, time};
use crate::intent::topics::TopicPattern;
use crate::scaling::observation::{
    Assignor, Commit, Earlier, Group, GroupSnapshot, GroupState, Member, Members, Observation,
    Partition, Rebalance, Rollout, Target, Topic, TopicRole, Unreadable,
};

/// An end offset that is older than the commit beside it by up to this many seconds is raised to
/// it: the recorder read the ends first.
const ENDS_BEFORE_COMMITS: f64 = 2.0;

/// Partitions that are accepted without being named one by one: a few bytes can claim any number.
const MOST_PARTITIONS: usize = 20_000;

/// An end offset and the time of it, in seconds.
#[derive(Debug, Clone, Copy, Default)]
struct LastEnd {
    t: f64,
    end: i64,
    is_seen: bool,
}

/// Reads the lines of one group, one after the other.
#[derive(Debug, Default)]
pub struct Reader {
    number: u64,
    /// The most partitions that one line has named.
    named: usize,
    /// The last end offsets of each topic. A partition that is missing in a line is unknown, not
    /// gone.
    topics: BTreeMap<String, Vec<LastEnd>>,
    /// Topics whose records wait on purpose, from the settings.
    pub(super) delayed: Option<TopicPattern>,
}

impl Reader {
    /// The observation of a line, made at `now`.
    pub fn observation(&mut self, observe: &Observe, now: Timestamp) -> Observation {
        self.number = observe.poll.unwrap_or(self.number.wrapping_add(1));
        let target = Target {
            replicas: observe.workload.spec_replicas,
            ready: observe.workload.ready_replicas,
            rollout: if observe.workload.rollout {
                Rollout::InProgress
            } else {
                Rollout::None
            },
        };
        let poll = if observe.kafka_ok {
            Ok(self.poll(observe, now))
        } else if observe.not_yet {
            Err(Unreadable::NeverPolled)
        } else {
            Err(Unreadable::PollFailed {
                number: self.number,
            })
        };
        Observation {
            now,
            snapshot: poll,
            target,
        }
    }

    /// The number of partitions once this line has been read, if there are too many.
    pub(super) fn too_many(&mut self, observe: &Observe) -> Option<usize> {
        let lines = observe.topics.values();
        let named = lines.map(|topic| topic.partitions.iter().flatten().count());
        self.named = self.named.max(named.sum());
        let is_kept = |name: &String| !observe.whole && !observe.topics.contains_key(name);
        let kept = self.topics.iter().filter(|(name, _)| is_kept(name));
        let kept = kept.map(|(_, ends)| ends.len());
        let said = observe.topics.iter().map(|(name, topic)| {
            let before = self.topics.get(name).filter(|_| !observe.whole);
            count(topic).max(before.map_or(0, Vec::len))
        });
        let all: usize = kept.chain(said).sum();
        (all > at_most(self.named)).then_some(all)
    }

    fn poll(&mut self, observe: &Observe, now: Timestamp) -> GroupSnapshot {
        let group = observe.group.as_ref();
        let mut owners: BTreeMap<(&str, u32), u32> = BTreeMap::new();
        for (place, member) in (0..).zip(group.iter().flat_map(|g| g.members.iter().flatten())) {
            let keys = member.assignment.iter().map(|(t, p)| (t.as_str(), *p));
            owners.extend(keys.map(|key| (key, place)));
        }
        let when = |said: Option<f64>| said.and_then(time).unwrap_or(now);
        GroupSnapshot {
            number: self.number,
            began: when(observe.began),
            at: when(observe.at),
            topics: self.topics(observe, &owners),
            earlier: earlier(observe),
            group: group.map_or(
                Group {
                    state: GroupState::Unknown,
                    assignor: None,
                    rebalance: None,
                    members: None,
                },
                |group| observed(group, self.number),
            ),
        }
    }

    /// The role of a topic, unless a line says more about it.
    fn role(&self, topic: &str) -> TopicRole {
        if self.delayed.as_ref().is_some_and(|p| p.matches(topic)) {
            TopicRole::Delayed
        } else {
            TopicRole::Counted
        }
    }

    fn topics(&mut self, observe: &Observe, owners: &BTreeMap<(&str, u32), u32>) -> Vec<Topic> {
        if observe.whole {
            self.topics.clear();
        }
        let gone = self
            .topics
            .keys()
            .filter(|name| !observe.topics.contains_key(*name));
        let mut topics: Vec<Topic> = gone
            .map(|name| Topic {
                name: Arc::from(name.as_str()),
                role: self.role(name),
                partitions: None,
            })
            .collect();
        for (name, topic) in &observe.topics {
            let ends = self.topics.entry(name.clone()).or_default();
            let partitions = topic.partitions.as_ref().map(|_| {
                ends.resize(ends.len().max(count(topic)), LastEnd::default());
                let mut partitions = partitions(name, topic, ends.len(), owners);
                if !observe.whole {
                    for (partition, last) in partitions.iter_mut().zip(ends) {
                        last.mend(observe.t, partition);
                    }
                }
                partitions
            });
            topics.push(Topic {
                name: Arc::from(name.as_str()),
                role: if topic.only_assigned {
                    TopicRole::Assigned
                } else if topic.delayed {
                    TopicRole::Delayed
                } else {
                    self.role(name)
                },
                partitions,
            });
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        topics
    }
}

impl LastEnd {
    /// Raises an end that was read a moment before the commit, and keeps it.
    fn mend(&mut self, t: f64, partition: &mut Partition) {
        let Some(end) = partition.log_end else { return };
        let mut now = end;
        if let Commit::At(committed) = partition.committed
            && committed > end
            && self.is_seen
        {
            let per_second = real(committed - self.end) / (t - self.t).max(1.0);
            if real(committed - end) <= per_second * ENDS_BEFORE_COMMITS + 1.0 {
                now = committed;
            }
        }
        partition.log_end = Some(now);
        *self = Self {
            t,
            end: now,
            is_seen: true,
        };
    }
}

/// Earlier ends of partitions, by the timestamps of their records. Invalid times and offsets are
/// left out.
fn earlier(observe: &Observe) -> Vec<Earlier> {
    let of = |(name, topic): (&String, &TopicLine)| -> Vec<Earlier> {
        let lines = topic.partitions.iter().flatten();
        let said = lines.filter(|line| !line.earlier.is_empty());
        said.map(|line| Earlier {
            topic: Arc::from(name.as_str()),
            partition: line.p,
            ends: line
                .earlier
                .iter()
                .filter_map(|(at, end)| Some((time(*at)?, (*end >= 0).then_some(*end)?)))
                .collect(),
        })
        .collect()
    };
    observe.topics.iter().flat_map(of).collect()
}

fn count(topic: &TopicLine) -> usize {
    let lines = topic.partitions.iter().flatten();
    let most = lines.clone().map(|line| line.p.saturating_add(1)).max();
    let most = most.unwrap_or(0).max(topic.count.unwrap_or(0));
    // A partition number that no topic has is a mistake, and not worth its memory.
    let bound = at_most(lines.count());
    usize::try_from(most).unwrap_or(bound).min(bound)
}

/// Partitions that are accepted when a line names this many: each needs memory, and time on each
/// line.
fn at_most(named: usize) -> usize {
    MOST_PARTITIONS.max(named.saturating_mul(2))
}

fn partitions(
    name: &str,
    topic: &TopicLine,
    count: usize,
    owners: &BTreeMap<(&str, u32), u32>,
) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = (0..)
        .take(count)
        .map(|number| Partition {
            log_start: None,
            log_end: None,
            committed: Commit::Unknown,
            owner: owners.get(&(name, number)).copied(),
        })
        .collect();
    for line in topic.partitions.iter().flatten() {
        let place = usize::try_from(line.p).ok();
        if let Some(partition) = place.and_then(|place| partitions.get_mut(place)) {
            // A negative offset is treated as unknown.
            partition.log_start = line.log_start.filter(|offset| *offset >= 0);
            partition.log_end = line.log_end.filter(|offset| *offset >= 0);
            partition.committed = match line.committed {
                Committed::Unknown => Commit::Unknown,
                Committed::Nothing => Commit::Absent,
                Committed::At(offset) if offset < 0 => Commit::Unknown,
                Committed::At(offset) => Commit::At(offset),
            };
        }
    }
    partitions
}

fn observed(group: &GroupLine, number: u64) -> Group {
    Group {
        state: match group.state.as_str() {
            "Stable" => GroupState::Stable,
            "Empty" => GroupState::Empty,
            "Dead" => GroupState::Dead,
            "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
                GroupState::Rebalancing
            }
            _ => GroupState::Unknown,
        },
        assignor: group.protocol.as_deref().map(Assignor::named),
        rebalance: match group.rebalance.as_deref() {
            Some("Eager") => Some(Rebalance::Eager),
            Some("Cooperative") => Some(Rebalance::Cooperative),
            Some("Consumer") => Some(Rebalance::Consumer),
            Some(_) => None,
            None => rebalance(group),
        },
        members: group.members.as_ref().map(|members| Members {
            poll: number.saturating_sub(group.described_before),
            list: members.iter().map(member).collect(),
        }),
    }
}

/// How partitions are reassigned, from protocol and type.
pub(super) fn rebalance(group: &GroupLine) -> Option<Rebalance> {
    let protocol = group.protocol.as_deref();
    let is_consumer = match group.kind.as_deref() {
        Some(kind) => kind == "Consumer",
        None => protocol == Some("uniform"),
    };
    match protocol {
        _ if is_consumer => Some(Rebalance::Consumer),
        Some("cooperative-sticky") => Some(Rebalance::Cooperative),
        protocol => protocol.map(|_| Rebalance::Eager),
    }
}

fn member(line: &MemberLine) -> Member {
    Member {
        id: Arc::from(line.id.as_str()),
        partitions: line.partitions.unwrap_or(line.assignment.len()),
        is_static: line.is_static,
    }
}
