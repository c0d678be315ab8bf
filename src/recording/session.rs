//! Reads lines, decides, and keeps the state between them. What is decided counts as done: the next observation shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use super::answer::Answer;
use super::line::{Committed, GroupLine, Init, Line, Observe, Spec, TopicLine};
use crate::api;
use crate::intent::{Intent, InvalidSpec};
use crate::scaling::observation::{
    Assignor, Blind, Commit, Group, GroupState, Look, Member, Members, Observation, Partition,
    Rebalance, Rollout, Target, Topic,
};
use crate::scaling::policy::{Brake, Objective, OffsetReset, Pacing};
use crate::scaling::{Memory, Policy, State, Verdict, decide};

/// Why a line cannot be used. The text says what to write instead.
#[derive(Debug, Error)]
pub enum BadLine {
    /// Not a line of this format.
    #[error("not a line of this format: {0}")]
    Json(#[from] serde_json::Error),
    /// An observation before the settings.
    #[error("the first line has to be an init line, unless --manifest is given")]
    NoInit,
    /// A format of another version.
    #[error("protocol {0} is not known; this program reads protocol {known}", known = super::PROTOCOL)]
    Protocol(i64),
    /// The manifest cannot be managed as it is written.
    #[error("manifest: {0}")]
    Manifest(#[from] InvalidSpec),
    /// Nothing says what to size for.
    #[error("spec: give max_delay_s (1 to 86400) or lag_per_replica (1 or more)")]
    Objective,
    /// Bounds that make no sense.
    #[error(
        "spec: min_replicas 0 or more, max_replicas 1 or more and not below it, threads 1 or more"
    )]
    Bounds,
    /// A time that goes back, or is none.
    #[error("t: {0} comes before the observation before it, or is no time")]
    Time(f64),
}

/// An end offset that is older than the commit beside it by up to so many seconds is taken for as new as that: whoever
/// recorded it read the ends first.
const ENDS_BEFORE_COMMITS: f64 = 2.0;

/// An end offset and when it was seen, in seconds.
#[derive(Debug, Clone, Copy, Default)]
struct LastEnd {
    t: f64,
    end: i64,
    is_seen: bool,
}

/// What has been read and decided so far.
#[derive(Debug, Default)]
pub struct Session {
    policy: Option<Policy>,
    state: State,
    number: u64,
    /// The end offsets of each topic as last seen: a partition that is missing in a line is unknown, not gone.
    topics: BTreeMap<String, Vec<LastEnd>>,
    last: Option<Timestamp>,
}

impl Session {
    /// A session for `manifest`, without an init line.
    pub fn of_manifest(manifest: api::ConsumerGroup) -> Result<Self, BadLine> {
        let spec = Spec {
            manifest: Some(Box::new(manifest)),
            ..Spec::default()
        };
        Ok(Self {
            policy: Some(policy(&spec)?),
            ..Self::default()
        })
    }

    /// Takes in a line. An observation gives an answer.
    pub fn take(&mut self, line: Line) -> Result<Option<Answer>, BadLine> {
        match line {
            Line::Init(init) => self.begin(*init).map(|()| None),
            Line::Observe(observe) => self.observe(&observe).map(Some),
            Line::End => Ok(None),
        }
    }

    fn begin(&mut self, init: Init) -> Result<(), BadLine> {
        if init.protocol != super::PROTOCOL {
            return Err(BadLine::Protocol(init.protocol));
        }
        *self = Self {
            policy: Some(policy(&init.spec)?),
            // Memory that cannot be read is absent memory.
            state: State::after_restart(
                init.status
                    .and_then(|memory| serde_json::from_value::<Memory>(memory).ok())
                    .unwrap_or_default()
                    .readable(),
            ),
            ..Self::default()
        };
        Ok(())
    }

    fn observe(&mut self, observe: &Observe) -> Result<Answer, BadLine> {
        let now = time(observe.t)
            .filter(|now| self.last.is_none_or(|last| last <= *now))
            .ok_or(BadLine::Time(observe.t))?;
        self.last = Some(now);
        self.number += 1;
        let observation = self.observation(observe, now);
        let policy = self.policy.as_ref().ok_or(BadLine::NoInit)?;
        let (decision, mut state) = decide(policy, std::mem::take(&mut self.state), &observation);
        if let Verdict::Scale { from, to, .. } = decision.verdict {
            state.memory = state.memory.begin(from, to, now).confirm();
        }
        self.state = state;
        Ok(Answer::new(observe.t, &decision, self.state.memory.clone()))
    }

    fn observation(&mut self, observe: &Observe, now: Timestamp) -> Observation {
        let target = Target {
            replicas: observe.workload.spec_replicas,
            ready: observe.workload.ready_replicas,
            rollout: if observe.workload.rollout {
                Rollout::InProgress
            } else {
                Rollout::None
            },
        };
        let look = if observe.kafka_ok {
            Ok(self.look(observe, now))
        } else {
            Err(Blind::Failed {
                number: self.number,
            })
        };
        Observation { now, look, target }
    }

    fn look(&mut self, observe: &Observe, now: Timestamp) -> Look {
        let group = observe.group.as_ref();
        let mut owners: BTreeMap<(&str, u32), u32> = BTreeMap::new();
        for (place, member) in (0..).zip(group.iter().flat_map(|g| g.members.iter().flatten())) {
            let keys = member.assignment.iter().map(|(t, p)| (t.as_str(), *p));
            owners.extend(keys.map(|key| (key, place)));
        }
        let gone = self
            .topics
            .keys()
            .filter(|name| !observe.topics.contains_key(*name));
        let mut topics: Vec<Topic> = gone
            .map(|name| Topic {
                name: Arc::from(name.as_str()),
                counts: true,
                partitions: None,
            })
            .collect();
        for (name, topic) in &observe.topics {
            let ends = self.topics.entry(name.clone()).or_default();
            ends.resize(ends.len().max(count(topic)), LastEnd::default());
            let mut partitions = partitions(name, topic, ends.len(), &owners);
            for (partition, last) in partitions.iter_mut().zip(ends) {
                last.mend(observe.t, partition);
            }
            topics.push(Topic {
                name: Arc::from(name.as_str()),
                counts: !topic.only_assigned,
                partitions: Some(partitions),
            });
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Look {
            number: self.number,
            began: now,
            at: now,
            topics,
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
}

impl LastEnd {
    /// Raises an end that was read a moment before the commit, and remembers it.
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

fn count(topic: &TopicLine) -> usize {
    let named = topic.partitions.iter().map(|p| p.p.saturating_add(1)).max();
    // A number that no topic has is a slip, and not worth its memory.
    let most = named
        .unwrap_or(0)
        .max(topic.count.unwrap_or(0))
        .min(1 << 20);
    usize::try_from(most).unwrap_or(0)
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
    for line in &topic.partitions {
        let place = usize::try_from(line.p).ok();
        if let Some(partition) = place.and_then(|place| partitions.get_mut(place)) {
            // No offset is negative; one that is says nothing.
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
    let protocol = group.protocol.as_deref();
    let is_consumer = group.kind.as_deref() == Some("Consumer") || protocol == Some("uniform");
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
        assignor: protocol.map(Assignor::named),
        rebalance: protocol
            .map(|protocol| match protocol {
                _ if is_consumer => Rebalance::Consumer,
                "cooperative-sticky" => Rebalance::Cooperative,
                _ => Rebalance::Eager,
            })
            .or(is_consumer.then_some(Rebalance::Consumer)),
        members: group.members.as_ref().map(|members| Members {
            look: number.saturating_sub(group.described_before),
            list: members
                .iter()
                .map(|member| Member {
                    id: Arc::from(member.id.as_str()),
                    partitions: member.assignment.len(),
                    is_static: member.is_static,
                })
                .collect(),
        }),
    }
}

/// The settings as a policy.
fn policy(spec: &Spec) -> Result<Policy, BadLine> {
    if let Some(manifest) = &spec.manifest {
        return Ok(Intent::of(manifest)?.policy);
    }
    let objective = match (spec.lag_per_replica, spec.max_delay_s) {
        (Some(lag), _) if lag >= 1 => Objective::LagPerReplica(lag),
        (None, Some(delay)) if (1.0..=86_400.0).contains(&delay) => {
            Objective::MaxDelay(SignedDuration::try_from_secs_f64(delay).unwrap_or_default())
        }
        _ => return Err(BadLine::Objective),
    };
    let (min, max) = (spec.min_replicas.unwrap_or(1), spec.max_replicas);
    let threads = spec.threads.unwrap_or(1);
    if min < 0 || threads < 1 || max.is_some_and(|max| max < min.max(1)) {
        return Err(BadLine::Bounds);
    }
    let pacing = spec.pacing.clone().unwrap_or_default();
    let span = |duration: api::Duration| {
        SignedDuration::from_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    };
    Ok(Policy {
        subject: 0,
        min,
        max,
        objective,
        pacing: Pacing {
            min_interval: span(pacing.min_interval),
            min_scale_down_interval: span(pacing.min_scale_down_interval),
            settle_timeout: span(pacing.settle_timeout),
            scale_to_zero_delay: span(pacing.scale_to_zero_delay),
        },
        threads,
        offset_reset: OffsetReset::Earliest,
        may_hold_markers: false,
        dry_run: false,
        fallback: None,
        brake: Brake::default(),
    })
}

/// Seconds as a time.
fn time(t: f64) -> Option<Timestamp> {
    let since = SignedDuration::try_from_secs_f64(t).ok()?;
    Timestamp::from_millisecond(i64::try_from(since.as_millis()).ok()?).ok()
}

/// A time as seconds.
pub(super) fn seconds(at: Timestamp) -> f64 {
    real(at.as_millisecond()) / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn real(n: i64) -> f64 {
    n as f64
}
