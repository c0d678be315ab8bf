//! Writes Kubernetes events, no more often than is useful (TELL-31). Each event is one object,
//! never a series: a series keeps the first note, and these notes carry numbers.

pub(in crate::controller) mod note;
pub(in crate::controller) mod throttle;

use std::{
    borrow::Cow,
    sync::atomic::{AtomicU64, Ordering},
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
use tracing::{info, warn};

use super::answers;
use super::api::Api;
use super::name::TargetKey;
use crate::clock::Clock;
use note::EventNote;
use throttle::EventThrottle;

/// The operator's name in events and field managers.
pub(in crate::controller) const REPORTER: &str = "lagrange.dev/operator";
/// The longest note that the API accepts, in bytes.
const MAX_NOTE: usize = 1024;

/// Writes events in the name of this process.
pub(in crate::controller) struct Events {
    pub(in crate::controller) api: Api,
    pub(in crate::controller) clock: Clock,
    /// The name of this process.
    pub(in crate::controller) instance: String,
}

impl Events {
    /// Writes the event if the throttle admits it. An event that cannot be written is logged and
    /// not retried: the status has the same content.
    pub(in crate::controller) async fn write<K>(
        &self,
        throttle: &mut EventThrottle,
        regarding: &K,
        target: Option<(&TargetKey, &str)>,
        note: EventNote,
    ) where
        K: Resource<DynamicType = ()>,
    {
        if !throttle.admits(note.reason) {
            return;
        }
        let namespace = regarding.meta().namespace.clone().unwrap_or_default();
        info!(
            object = format!("{namespace}/{}", regarding.name_any()),
            reason = note.reason.as_str(),
            "{}",
            note.text
        );
        let now = self.clock.now();
        let event = event(&self.instance, now, regarding, target, note);
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
    note: EventNote,
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
        action: Some(note.reason.action().to_owned()),
        event_time: Some(MicroTime(now)),
        reason: Some(note.reason.as_str().to_owned()),
        regarding: Some(regarding.object_ref(&())),
        related,
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        type_: Some(
            if note.reason.is_warning() {
                "Warning"
            } else {
                "Normal"
            }
            .to_owned(),
        ),
        note: Some(cut(note.text)),
        ..Event::default()
    }
}

/// The object's name, shortened to leave room, with a time and a count that no other event has.
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

    #[test]
    fn two_events_of_one_moment_have_two_names() {
        let now = Timestamp::UNIX_EPOCH;
        assert_ne!(unique_name("orders", now), unique_name("orders", now));
    }

    proptest! {
        #[test]
        fn a_note_of_any_length_and_script_fits(note in "\\PC{0,1500}") {
            let shown = cut(note.clone());
            prop_assert!(shown.len() <= MAX_NOTE);
            prop_assert!(note.len() > MAX_NOTE || note.contains(text::is_disruptive) || shown == note);
        }

        #[test]
        fn a_name_of_any_length_makes_a_name(name in "[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?){0,3}") {
            let unique = unique_name(&name, Timestamp::now());
            prop_assert!(unique.len() <= 253 && !unique.contains("-.") && !unique.contains(".."));
        }
    }
}
