//! Kubernetes events: what is told once, in which words, and no more often than a reader can use
//! (TELL-31). One object per event, never a series: a series keeps the first note, and ours carry
//! numbers.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Resource, ResourceExt as _,
    api::{ObjectMeta, PostParams, Request},
};
use lagrange_core::text;
use tokio::time::Instant;
use tracing::{info, warn};

use super::answers;
use super::api::Api;
use super::name::TargetKey;
use crate::clock::Clock;

/// What events and field managers call us.
pub(in crate::controller) const REPORTER: &str = "lagrange.dev/operator";
/// Longest note that the API takes, in bytes.
const MAX_NOTE: usize = 1024;
/// One reason that may flap is told about one object at most this often.
const AT_MOST_EVERY: Duration = Duration::from_mins(10);

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) struct Happening {
    /// One word, in the past tense: `ScaledUp`.
    pub(in crate::controller) reason: &'static str,
    /// What was done or tried: a short verb.
    pub(in crate::controller) action: &'static str,
    /// For a person, with numbers.
    pub(in crate::controller) note: String,
    /// Whether it wants attention.
    pub(in crate::controller) warning: bool,
    /// Whether it may come and go, and is then not told each time.
    pub(in crate::controller) flaps: bool,
}

impl Happening {
    pub(in crate::controller) fn normal(
        reason: &'static str,
        action: &'static str,
        note: String,
    ) -> Self {
        Self {
            reason,
            action,
            note,
            warning: false,
            flaps: false,
        }
    }

    pub(in crate::controller) fn flapping(self) -> Self {
        Self {
            flaps: true,
            ..self
        }
    }

    pub(in crate::controller) fn warning(
        reason: &'static str,
        action: &'static str,
        note: String,
    ) -> Self {
        Self {
            warning: true,
            ..Self::normal(reason, action, note)
        }
    }
}

/// What has been told about one object lately.
#[derive(Debug, Default)]
pub(in crate::controller) struct Told(BTreeMap<&'static str, Instant>);

impl Told {
    /// Whether this may be told now; if so it counts as told.
    pub(super) fn admits(&mut self, happening: &Happening) -> bool {
        if !happening.flaps {
            return true;
        }
        let now = Instant::now();
        let last = self.0.get(happening.reason);
        if last.is_some_and(|last| now.duration_since(*last) < AT_MOST_EVERY) {
            return false;
        }
        self.0.insert(happening.reason, now);
        true
    }
}

/// Writes events in the name of this process.
pub(in crate::controller) struct Events {
    pub(in crate::controller) api: Api,
    pub(in crate::controller) clock: Clock,
    /// This process.
    pub(in crate::controller) instance: String,
}

impl Events {
    /// Tells it. An event that cannot be written is logged and not tried again: the status says the
    /// same.
    pub(in crate::controller) async fn tell<K>(
        &self,
        told: &mut Told,
        regarding: &K,
        target: Option<(&TargetKey, &str)>,
        happening: Happening,
    ) where
        K: Resource<DynamicType = ()>,
    {
        if !told.admits(&happening) {
            return;
        }
        let namespace = regarding.meta().namespace.clone().unwrap_or_default();
        info!(
            object = format!("{namespace}/{}", regarding.name_any()),
            reason = happening.reason,
            "{}",
            happening.note
        );
        let now = self.clock.now();
        let event = event(&self.instance, now, regarding, target, happening);
        let requests = Request::new(Event::url_path(&(), Some(&namespace)));
        let request = serde_json::to_vec(&event)
            .map_err(kube::Error::SerdeError)
            .and_then(|body| {
                let request = requests.create(&PostParams::default(), body);
                request.map_err(kube::Error::BuildRequest)
            });
        let created = async { answers::nothing(&self.api.server, request?).await };
        let created = self.api.write("event", "create event", created);
        if let Err(error) = created.await {
            warn!("{error}");
        }
    }
}

fn event<K: Resource<DynamicType = ()>>(
    instance: &str,
    now: Timestamp,
    regarding: &K,
    target: Option<(&TargetKey, &str)>,
    happening: Happening,
) -> Event {
    let namespace = regarding.meta().namespace.clone();
    let related = target.map(|(target, api_version)| ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(target.kind.clone()),
        name: Some(target.name.clone()),
        namespace: namespace.clone(),
        ..ObjectReference::default()
    });
    Event {
        metadata: ObjectMeta {
            name: Some(unique_name(&regarding.name_any(), now)),
            namespace,
            ..ObjectMeta::default()
        },
        action: Some(happening.action.to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(cut(happening.note)),
        reason: Some(happening.reason.to_owned()),
        regarding: Some(regarding.object_ref(&())),
        related,
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        type_: Some(
            if happening.warning {
                "Warning"
            } else {
                "Normal"
            }
            .to_owned(),
        ),
        ..Event::default()
    }
}

/// The object's name, cut to leave room, and what no other event has: time and a count.
fn unique_name(name: &str, now: Timestamp) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed) & 0xffff;
    let name: String = name.chars().take(200).collect();
    let name = name.trim_end_matches(['.', '-']);
    format!("{name}.{:x}{count:04x}", now.as_microsecond())
}

/// At most [`MAX_NOTE`] bytes, cut between characters.
fn cut(mut note: String) -> String {
    if let Cow::Owned(one_line) = text::one_line(&note) {
        note = one_line;
    }
    if note.len() > MAX_NOTE {
        let end = (0..=MAX_NOTE - '…'.len_utf8())
            .rev()
            .find(|end| note.is_char_boundary(*end))
            .unwrap_or(0);
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_flaps_is_told_once_in_ten_minutes() {
        let mut told = Told::default();
        let lag = || Happening::warning("LagUnknown", "Observe", String::new()).flapping();
        let scaled = || Happening::normal("ScaledUp", "Scale", String::new());
        assert!(told.admits(&lag()));
        for _ in 0..59 {
            tokio::time::advance(Duration::from_secs(10)).await;
            assert!(!told.admits(&lag()));
            assert!(told.admits(&scaled()), "every action is told");
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(told.admits(&lag()));
    }

    #[test]
    fn two_events_of_one_moment_have_two_names() {
        let now = Timestamp::UNIX_EPOCH;
        assert_ne!(unique_name("orders", now), unique_name("orders", now));
    }

    proptest! {
        #[test]
        fn a_note_of_any_length_and_script_fits(note in "\\PC{0,1500}") {
            let told = cut(note.clone());
            prop_assert!(told.len() <= MAX_NOTE);
            prop_assert!(note.len() > MAX_NOTE || note.contains(text::is_disruptive) || told == note);
        }

        #[test]
        fn a_name_of_any_length_makes_a_name(name in "[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?){0,3}") {
            let unique = unique_name(&name, Timestamp::now());
            prop_assert!(unique.len() <= 253 && !unique.contains("-.") && !unique.contains(".."));
        }
    }
}
