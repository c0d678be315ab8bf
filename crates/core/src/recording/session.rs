//! Reads lines, decides, and keeps the state in between. A decided action counts as done: the next
//! observation shows whether it was.

use jiff::{SignedDuration, Timestamp};

use super::answer::Answer;
use super::line::{BadLine, Init, Line, Observe, PROTOCOL, Spec};
use super::reading::Reader;
use super::time::time;
use crate::api;
use crate::intent::Intent;
use crate::intent::topics::TopicPattern;
use crate::scaling::policy::{Objective, OffsetReset, Pacing, Pauses};
use crate::scaling::{Memory, Policy, SharedTuning, State, decide};

/// The state of the lines and decisions so far.
#[derive(Debug, Default)]
pub struct Session {
    policy: Option<Policy>,
    /// Numbers to decide with in place of the operator's.
    tuning: SharedTuning,
    state: State,
    reader: Reader,
    last: Option<Timestamp>,
}

impl Session {
    /// A session for `manifest`, without an init line.
    pub fn of_manifest(manifest: api::ConsumerGroup) -> Result<Self, BadLine> {
        let spec = Spec {
            manifest: Some(Box::new(manifest)),
            ..Spec::default()
        };
        let mut session = Self::default();
        session.set(&spec)?;
        Ok(session)
    }

    /// Decides with this tuning from now on.
    pub fn tune(&mut self, tuning: SharedTuning) {
        if let Some(policy) = &mut self.policy {
            policy.tuning = tuning.clone();
        }
        self.tuning = tuning;
    }

    /// Processes a line. An observation gives an answer.
    pub fn take(&mut self, line: Line) -> Result<Option<Answer>, BadLine> {
        match line {
            Line::Init(init) => self.begin(*init).map(|()| None),
            Line::Observe(observe) => self.observe(&observe).map(Some),
            Line::Decided(_) | Line::End => Ok(None),
        }
    }

    fn begin(&mut self, init: Init) -> Result<(), BadLine> {
        if init.protocol != PROTOCOL {
            return Err(BadLine::Protocol(init.protocol));
        }
        // Memory that cannot be parsed is treated as absent.
        let memory = init.status.map(memory);
        if init.continues && self.policy.is_some() {
            self.set(&init.spec)?;
            self.state.memory = memory.unwrap_or(std::mem::take(&mut self.state.memory));
            return Ok(());
        }
        let mut begun = Self {
            state: State::after_restart(memory.unwrap_or_default().readable()),
            tuning: self.tuning.clone(),
            ..Self::default()
        };
        begun.set(&init.spec)?;
        *self = begun;
        Ok(())
    }

    /// Applies the settings, if they are valid.
    fn set(&mut self, spec: &Spec) -> Result<(), BadLine> {
        let (mut policy, delayed) = settings(spec)?;
        policy.tuning = self.tuning.clone();
        self.policy = Some(policy);
        self.reader.delayed = delayed;
        Ok(())
    }

    fn observe(&mut self, observe: &Observe) -> Result<Answer, BadLine> {
        let now = time(observe.t)
            .filter(|now| self.last.is_none_or(|last| last <= *now))
            .ok_or(BadLine::Time(observe.t))?;
        let workload = &observe.workload;
        let counts = [
            ("spec_replicas", workload.spec_replicas),
            ("ready_replicas", workload.ready_replicas),
        ];
        if let Some((field, replicas)) = counts.into_iter().find(|(_, count)| *count < 0) {
            return Err(BadLine::Replicas { field, replicas });
        }
        if let Some(partitions) = self.reader.too_many(observe) {
            return Err(BadLine::Partitions(partitions));
        }
        self.last = Some(now);
        let observation = self.reader.observation(observe, now);
        let policy = self.policy.as_ref().ok_or(BadLine::NoInit)?;
        if let Some(status) = &observe.status {
            self.state.memory = memory(status.clone());
        }
        let (decision, state) = decide(policy, std::mem::take(&mut self.state), &observation);
        let answer = Answer {
            t: observe.t,
            ..Answer::new(now, &decision, &state.memory)
        };
        self.state = State {
            memory: answer.status.clone(),
            ..state
        };
        Ok(answer)
    }
}

/// The memory that was written, or an empty one if it cannot be parsed.
fn memory(value: serde_json::Value) -> Memory {
    serde_json::from_value(value).unwrap_or_default()
}

/// The settings as a policy, and the topics whose records wait on purpose.
fn settings(spec: &Spec) -> Result<(Policy, Option<TopicPattern>), BadLine> {
    match &spec.manifest {
        Some(manifest) => {
            let intent = Intent::of(manifest)?;
            Ok((intent.policy, intent.delayed))
        }
        None => Ok((policy(spec)?, None)),
    }
}

/// Settings without a manifest, as a policy.
fn policy(spec: &Spec) -> Result<Policy, BadLine> {
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
        measurement_key: 0,
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
        pauses: Pauses::default(),
        tuning: SharedTuning::default(),
    })
}
