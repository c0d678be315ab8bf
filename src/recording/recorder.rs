//! Composes the lines of each decision of one group, so that they replay to the same decision. The
//! lines go to a channel without waiting. When the writer cannot keep up, lines are lost, and the
//! recording then starts again with an init line.

use std::sync::{Mutex, PoisonError};

use kube::ResourceExt as _;
use lagrange_core::api::ConsumerGroup;
use lagrange_core::recording::{Answer, Init, Line, Observe, Spec, Words};
use lagrange_core::scaling::{Decision, Memory, Observation};
use tokio::sync::mpsc;

/// Prefix of the annotations that affect a decision. Others are not recorded.
const ANNOTATIONS: &str = "lagrange.dev/";

/// The lines of one decision.
#[derive(Debug)]
pub struct Entry {
    /// Counts entries from 1. A missing number is a lost entry.
    pub(super) number: u64,
    /// The init line to put first when a file starts with these lines.
    pub(super) head: Init,
    pub(super) lines: Vec<Line>,
}

/// Records one group.
#[derive(Debug)]
pub struct Recorder {
    namespace: String,
    name: String,
    entries: mpsc::Sender<Entry>,
    written: Mutex<Written>,
}

/// What the lines recorded so far contain.
#[derive(Debug, Default)]
struct Written {
    number: u64,
    manifest: Option<Box<ConsumerGroup>>,
    /// The memory after the last decision.
    memory: Option<Memory>,
}

/// One decision and its inputs.
#[derive(Debug)]
pub struct Turn<'a> {
    /// The group at the time of the decision.
    pub group: &'a ConsumerGroup,
    /// The memory before the decision.
    pub before: Memory,
    /// Whether this was the first observation of the group: the state was made from the memory
    /// alone.
    pub is_fresh: bool,
    /// The observation.
    pub observation: &'a Observation,
    /// Kafka's names in the observation.
    pub words: Words<'a>,
    /// The decision.
    pub decision: &'a Decision,
    /// The memory after the decision.
    pub after: &'a Memory,
}

impl Recorder {
    /// A recorder of a group that sends its entries to `entries`.
    pub fn new(namespace: String, name: String, entries: mpsc::Sender<Entry>) -> Self {
        Self {
            namespace,
            name,
            entries,
            written: Mutex::default(),
        }
    }

    /// Whether it records this group.
    pub fn is_of(&self, group: &ConsumerGroup) -> bool {
        group.name_any() == self.name && group.namespace().is_some_and(|n| n == self.namespace)
    }

    /// Records a decision, unless too many entries wait to be written.
    pub fn record(&self, turn: &Turn<'_>) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = written.entry(turn);
        drop(written);
        // Full: the entry is lost, and its number is missing. Closed: the process is ending.
        let _ = self.entries.try_send(entry);
    }
}

impl Written {
    fn entry(&mut self, turn: &Turn<'_>) -> Entry {
        let manifest = manifest(turn.group);
        let is_same = self.manifest.as_deref() == Some(&manifest);
        let manifest = Box::new(manifest);
        let head = Init {
            protocol: lagrange_core::recording::PROTOCOL,
            spec: Spec {
                manifest: Some(manifest.clone()),
                ..Spec::default()
            },
            status: serde_json::to_value(&turn.before).ok(),
            continues: true,
        };
        let mut lines = Vec::with_capacity(3);
        if turn.is_fresh || !is_same {
            lines.push(Line::Init(Box::new(Init {
                continues: !turn.is_fresh,
                ..head.clone()
            })));
        }
        let mut observe = Observe::of(turn.observation, turn.words);
        if lines.is_empty() && self.memory.as_ref() != Some(&turn.before) {
            observe.status.clone_from(&head.status);
        }
        lines.push(Line::Observe(Box::new(observe)));
        let answer = Answer::new(turn.observation.now, turn.decision, turn.after);
        self.number += 1;
        self.manifest = Some(manifest);
        self.memory = Some(answer.status.clone());
        lines.push(Line::Decided(Box::new(answer)));
        Entry {
            number: self.number,
            head,
            lines,
        }
    }
}

/// The part of the resource that affects decisions.
fn manifest(group: &ConsumerGroup) -> ConsumerGroup {
    let mut manifest = ConsumerGroup::new(&group.name_any(), group.spec.clone());
    manifest.metadata.namespace = group.namespace();
    let annotations = group.annotations().iter();
    let ours = annotations.filter(|(name, _)| name.starts_with(ANNOTATIONS));
    let ours: std::collections::BTreeMap<_, _> = ours
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    manifest.metadata.annotations = (!ours.is_empty()).then_some(ours);
    manifest
}
