//! Converts what the user wrote into what the rest of the operator needs: the policy, what to read,
//! what to scale. Pure: no client, no clock. After this, nothing can be malformed.
//!
//! The API server has checked the same rules, but not for every object: one that was stored before
//! a rule existed keeps its value (ratcheting), and definitions can be older than the operator.

mod brake;
pub mod connection;
pub mod fingerprint;
mod invalid;
pub mod servers;
mod subject;
pub mod topics;

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use kube::ResourceExt as _;

use crate::api::{
    AutoOffsetReset, ConsumerGroup, ConsumerGroupSpec, IsolationLevel, Mode, ScaleTargetRef,
};
use crate::intent::topics::{
    GroupInterest, Isolation, TopicPattern, TopicSelection, is_topic_name,
};
use crate::scaling::policy::{Fallback, Objective, OffsetReset, Pacing, Policy};
use crate::{api, text};

pub use connection::{Plan, Source};
pub use invalid::InvalidSpec;
use invalid::without_control_characters;

/// The checked content of one ConsumerGroup.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// How to decide.
    pub policy: Policy,
    /// What to read of Kafka.
    pub reading: GroupInterest,
    /// Where Kafka is.
    pub source: Source,
    /// Topics whose records wait on purpose.
    pub delayed: Option<TopicPattern>,
    /// What to scale, in the resource's own namespace.
    pub target: ScaleTargetRef,
    /// Whether decisions are acted on.
    pub mode: Mode,
}

impl Intent {
    /// The intent of `group`.
    pub fn of(group: &ConsumerGroup) -> Result<Self, InvalidSpec> {
        let spec = &group.spec;
        let namespace = group.namespace().unwrap_or_default();
        let group_id = spec.group_id.clone().unwrap_or_else(|| group.name_any());
        // A group id that librdkafka refuses would fail a request that is also about other groups.
        without_control_characters("groupId", &group_id)?;
        let source = source(spec, &namespace)?;
        let policy = policy(
            spec,
            subject::of(spec, &group_id, &source),
            group.annotations(),
        )?;
        let topics = topics(spec)?;
        if policy.min == 0 && topics == TopicSelection::OfGroup {
            return Err(InvalidSpec::NothingToWake);
        }
        let delayed = delayed(spec, &topics)?;
        let isolation = match spec.isolation_level {
            IsolationLevel::ReadUncommitted => Isolation::ReadUncommitted,
            IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
        };
        Ok(Self {
            policy,
            reading: GroupInterest {
                id: group_id.into(),
                topics,
                isolation,
                max_delay: spec.objective.max_delay.map(crate::api::Duration::as_std),
            },
            source,
            delayed,
            target: spec.scale_target_ref.clone(),
            mode: spec.mode,
        })
    }
}

impl Intent {
    /// `delayedTopicPattern`, if it matches none of the named topics, which means a mistake in it.
    /// If a pattern or the group selects the topics, a match may still be created.
    pub fn unmatched_pattern(&self) -> Option<&TopicPattern> {
        let delayed = self.delayed.as_ref()?;
        match &self.reading.topics {
            TopicSelection::Named(topics) => {
                (!topics.iter().any(|topic| delayed.matches(topic))).then_some(delayed)
            }
            TopicSelection::Pattern(_) | TopicSelection::OfGroup => None,
        }
    }
}

fn policy(
    spec: &ConsumerGroupSpec,
    subject: i64,
    annotations: &BTreeMap<String, String>,
) -> Result<Policy, InvalidSpec> {
    let min = at_least(0, "minReplicas", spec.min_replicas)?;
    let max = spec
        .max_replicas
        .map(|max| at_least(1, "maxReplicas", max))
        .transpose()?;
    if let Some(max) = max.filter(|&max| min > max) {
        return Err(InvalidSpec::Bounds { min, max });
    }
    let fallback = spec.fallback.as_ref().map(|fallback| {
        let replicas = at_least(1, "fallback.replicas", fallback.replicas)?;
        Ok::<_, InvalidSpec>(Fallback {
            replicas,
            after: span(fallback.after),
        })
    });
    Ok(Policy {
        subject,
        min,
        max,
        objective: objective(&spec.objective)?,
        pacing: Pacing {
            min_interval: span(spec.pacing.min_interval),
            min_scale_down_interval: span(spec.pacing.min_scale_down_interval),
            settle_timeout: span(spec.pacing.settle_timeout),
            scale_to_zero_delay: span(spec.pacing.scale_to_zero_delay),
        },
        threads: at_least(1, "threadsPerReplica", spec.threads_per_replica)?,
        may_hold_markers: spec.isolation_level == IsolationLevel::ReadCommitted,
        dry_run: spec.mode == Mode::DryRun,
        offset_reset: match spec.auto_offset_reset {
            AutoOffsetReset::Latest => OffsetReset::Latest,
            AutoOffsetReset::Earliest => OffsetReset::Earliest,
        },
        fallback: fallback.transpose()?,
        brake: brake::of(annotations, max),
    })
}

fn objective(objective: &api::Objective) -> Result<Objective, InvalidSpec> {
    match (objective.max_delay, objective.lag_per_replica) {
        (Some(delay), None) => Ok(Objective::MaxDelay(span(delay))),
        (None, Some(lag)) if lag >= 1 => Ok(Objective::LagPerReplica(lag)),
        (None, _) | (Some(_), Some(_)) => Err(InvalidSpec::Objective),
    }
}

fn at_least(least: i32, field: &'static str, value: i32) -> Result<i32, InvalidSpec> {
    let bounds = if least == 0 { "0 or more" } else { "1 or more" };
    if value >= least {
        Ok(value)
    } else {
        Err(InvalidSpec::Count {
            field,
            value,
            bounds,
        })
    }
}

fn span(duration: api::Duration) -> SignedDuration {
    SignedDuration::from_millis(duration.as_millis().cast_signed())
}

fn source(spec: &ConsumerGroupSpec, namespace: &str) -> Result<Source, InvalidSpec> {
    match (&spec.kafka.cluster_ref, &spec.kafka.bootstrap_servers) {
        (Some(cluster), None) => Ok(Source::Cluster {
            namespace: cluster
                .namespace
                .clone()
                .unwrap_or_else(|| namespace.to_owned()),
            name: cluster.name.clone(),
        }),
        (None, Some(servers)) => Ok(Source::Inline(Box::new(Plan::inline(
            servers,
            &spec.kafka,
        )?))),
        (None, None) | (Some(_), Some(_)) => Err(InvalidSpec::Kafka),
    }
}

fn topics(spec: &ConsumerGroupSpec) -> Result<TopicSelection, InvalidSpec> {
    let named = spec.topics.as_deref().unwrap_or_default();
    if let Some(topic) = named.iter().find(|topic| !is_topic_name(topic)) {
        return Err(InvalidSpec::TopicName {
            topic: text::clean_to(topic, 64),
        });
    }
    match &spec.topic_pattern {
        None if named.is_empty() => Ok(TopicSelection::OfGroup),
        None => Ok(TopicSelection::Named(
            named
                .iter()
                .map(|topic| Arc::from(topic.as_str()))
                .collect(),
        )),
        Some(_) if !named.is_empty() => Err(InvalidSpec::Topics),
        Some(text) => pattern("topicPattern", text).map(TopicSelection::Pattern),
    }
}

fn delayed(
    spec: &ConsumerGroupSpec,
    topics: &TopicSelection,
) -> Result<Option<TopicPattern>, InvalidSpec> {
    let Some(text) = &spec.delayed_topic_pattern else {
        return Ok(None);
    };
    let delayed = pattern("delayedTopicPattern", text)?;
    let all_match = match topics {
        TopicSelection::Named(topics) => topics.iter().all(|topic| delayed.matches(topic)),
        TopicSelection::Pattern(counted) => *counted == delayed,
        TopicSelection::OfGroup => false,
    };
    if all_match {
        return Err(InvalidSpec::AllDelayed);
    }
    Ok(Some(delayed))
}

fn pattern(field: &'static str, text: &str) -> Result<TopicPattern, InvalidSpec> {
    TopicPattern::new(text).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => InvalidSpec::PatternTooLarge { field },
        error => InvalidSpec::Pattern {
            field,
            problem: last_line(&error.to_string()),
        },
    })
}

/// The crate shows the pattern with a mark under the fault, on several lines. A condition has room
/// for the last one.
fn last_line(error: &str) -> String {
    let line = error.lines().last().unwrap_or(error).trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests;
