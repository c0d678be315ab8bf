//! The state that is shown. Pure: without a clock.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lagrange_core::api::{ConsumerGroup, ConsumerGroupStatus, DecisionStatus, ScaleRecord};

use crate::{
    load::Load,
    sources::{Event, Heard},
};

/// Most readings of the lag in the curve of a group.
const MOST_LAGS: usize = 200;

/// Everything that is shown.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) groups: BTreeMap<String, Group>,
    /// Oldest first.
    pub(crate) happenings: Vec<Happening>,
    pub(crate) load: Load,
    seen: BTreeSet<String>,
}

/// One consumer group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// `minReplicas`: its floor.
    pub(crate) min: i32,
    pub(crate) status: ConsumerGroupStatus,
    /// Its exact lag, from the metrics page; oldest first.
    pub(crate) lags: Vec<i64>,
    pub(crate) largest_lag: i64,
    /// Every action, by its time. The status keeps the last ten.
    pub(crate) actions: BTreeMap<Timestamp, ScaleRecord>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) time: Timestamp,
    pub(crate) about: String,
    pub(crate) reason: String,
    pub(crate) note: String,
    pub(crate) warning: bool,
}

/// A change, for the plain lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Happened(Happening),
    /// A group holds, with a new reason.
    Holds {
        about: String,
        reason: String,
        message: String,
    },
}

impl Model {
    /// Applies news, and returns the changes.
    pub(crate) fn hear(&mut self, heard: Heard) -> Vec<Change> {
        match heard {
            Heard::Group(group) => self.group(*group).into_iter().collect(),
            Heard::Event(event) => self.event(event).into_iter().collect(),
            Heard::Lags(lags) => {
                for (name, lag) in lags {
                    if let Some(group) = self.groups.get_mut(&name) {
                        group.reads(lag);
                    }
                }
                self.load.mark();
                Vec::new()
            }
        }
    }

    fn group(&mut self, new: ConsumerGroup) -> Option<Change> {
        let name = new.metadata.name?;
        let group = self.groups.entry(name.clone()).or_default();
        group.min = new.spec.min_replicas;
        let before = std::mem::replace(&mut group.status, new.status.unwrap_or_default());
        for action in &group.status.history {
            if let Some(time) = &action.time {
                group.actions.insert(time.0, action.clone());
            }
        }
        if let Some(lag) = group.status.lag.as_ref().and_then(|lag| lag.total) {
            group.largest_lag = group.largest_lag.max(lag);
        }
        let word =
            |status: &ConsumerGroupStatus| status.decision.as_ref().map(|d| d.reason.clone());
        let decision = group.status.decision.as_ref()?;
        let is_new = word(&before).as_ref() != Some(&decision.reason);
        (is_new && decision.action == "Hold").then(|| Change::Holds {
            about: name,
            reason: decision.reason.clone(),
            message: decision.message.clone(),
        })
    }

    fn event(&mut self, event: Event) -> Option<Change> {
        let is_ours = event.regarding.api_version.starts_with("lagrange.dev/");
        if !is_ours || !self.seen.insert(event.metadata.name) {
            return None;
        }
        let happening = Happening {
            time: event.time?,
            about: event.regarding.name,
            reason: event.reason,
            note: event.note,
            warning: event.kind == "Warning",
        };
        let place = self
            .happenings
            .partition_point(|other| other.time <= happening.time);
        self.happenings.insert(place, happening.clone());
        Some(Change::Happened(happening))
    }
}

impl Group {
    fn reads(&mut self, lag: i64) {
        self.largest_lag = self.largest_lag.max(lag);
        if self.lags.len() == MOST_LAGS {
            self.lags.remove(0);
        }
        self.lags.push(lag);
    }

    /// Its current lag; `None` while it is unknown.
    pub(crate) fn lag(&self) -> Option<i64> {
        let stored = self.status.lag.as_ref()?.total?;
        Some(self.lags.last().copied().unwrap_or(stored))
    }

    pub(crate) fn decision(&self) -> Option<&DecisionStatus> {
        self.status.decision.as_ref()
    }

    /// Its replicas: requested, ready, desired, and the limit.
    pub(crate) fn sizes(&self) -> Option<Sizes> {
        let replicas = self.status.replicas.as_ref()?;
        let current = replicas.current?;
        Some(Sizes {
            current,
            ready: replicas.ready.unwrap_or(0),
            desired: replicas.desired.unwrap_or(current),
            limit: replicas.limit,
        })
    }

    /// Number of scale-ups and of scale-downs.
    pub(crate) fn ups_and_downs(&self) -> (usize, usize) {
        let ups = self.actions.values().filter(|a| a.to > a.from).count();
        (ups, self.actions.len() - ups)
    }

    /// Its sizes over time.
    pub(crate) fn path(&self) -> Vec<i32> {
        let start = self.actions.values().next().map(|first| first.from);
        let start = start.or_else(|| self.sizes().map(|sizes| sizes.current));
        start
            .into_iter()
            .chain(self.actions.values().map(|action| action.to))
            .collect()
    }
}

/// Replicas of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) current: i32,
    pub(crate) ready: i32,
    pub(crate) desired: i32,
    pub(crate) limit: Option<i32>,
}
