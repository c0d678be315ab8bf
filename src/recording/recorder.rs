//! What the operator records of one group: which lines a decision takes, so that they replay to the
//! same decision. Hands them over and never waits: who cannot keep up loses lines, and the
//! recording says so by beginning anew.

use std::sync::{Mutex, PoisonError};

use kube::ResourceExt as _;
use lagrange_core::api::ConsumerGroup;
use lagrange_core::recording::{Answer, Init, Line, Observe, Spec, Words};
use lagrange_core::scaling::{Decision, Memory, Observation};
use tokio::sync::mpsc;

/// Annotations that bear on a decision begin so; others are nobody's business.
const ANNOTATIONS: &str = "lagrange.dev/";

/// Lines that belong together: one decision's.
#[derive(Debug)]
pub struct Entry {
    /// Counts entries from 1; one that is missing was lost.
    pub(super) number: u64,
    /// What a file has to begin with that begins with these lines.
    pub(super) head: Init,
    pub(super) lines: Vec<Line>,
}

/// Records one group.
#[derive(Debug)]
pub struct Recorder {
    namespace: String,
    name: String,
    entries: mpsc::Sender<Entry>,
    told: Mutex<Told>,
}

/// What the lines so far say.
#[derive(Debug, Default)]
struct Told {
    number: u64,
    manifest: Option<Box<ConsumerGroup>>,
    /// The memory that the last answer left.
    memory: Option<Memory>,
}

/// One decision, and what it was made from.
#[derive(Debug)]
pub struct Turn<'a> {
    /// The group, as it was decided for.
    pub group: &'a ConsumerGroup,
    /// The memory before.
    pub before: Memory,
    /// Whether nothing had been seen of the group before: the state that was decided with was made
    /// of its memory alone.
    pub is_fresh: bool,
    /// What was seen.
    pub observation: &'a Observation,
    /// Kafka's words for it.
    pub words: Words<'a>,
    /// What was decided.
    pub decision: &'a Decision,
    /// The memory that it left.
    pub after: &'a Memory,
}

impl Recorder {
    /// A recorder of a group that hands over what it records.
    pub fn new(namespace: String, name: String, entries: mpsc::Sender<Entry>) -> Self {
        Self {
            namespace,
            name,
            entries,
            told: Mutex::default(),
        }
    }

    /// Whether it records this group.
    pub fn is_of(&self, group: &ConsumerGroup) -> bool {
        group.name_any() == self.name && group.namespace().is_some_and(|n| n == self.namespace)
    }

    /// Records a decision, unless too much is waiting to be written.
    pub fn record(&self, turn: &Turn<'_>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = told.entry(turn);
        drop(told);
        // Full: lost, which its number tells. Closed: the process is ending.
        let _ = self.entries.try_send(entry);
    }
}

impl Told {
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

/// What of a group bears on its decisions.
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
