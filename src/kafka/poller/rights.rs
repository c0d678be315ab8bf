//! What the current credentials were allowed to read, so that newer ones with fewer rights do not
//! replace them. Pure.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::kafka::model::error::{ReadError, Resource};
use crate::kafka::model::snapshot::{Group, Snapshot, Topic};

/// The topics and groups that could be described when they were last asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rights {
    topics: BTreeSet<Arc<str>>,
    groups: BTreeSet<Arc<str>>,
}

impl Rights {
    /// Records a poll. What is no longer asked for is forgotten; what was not answered stays as it
    /// was.
    pub(super) fn note(&mut self, snapshot: &Snapshot) {
        self.topics
            .retain(|name| snapshot.topics.contains_key(name));
        self.groups.retain(|id| snapshot.groups.contains_key(id));
        for (name, topic) in &snapshot.topics {
            match topic {
                Topic::Present(_) => self.topics.insert(Arc::clone(name)),
                topic if is_denied_topic(topic) => self.topics.remove(name),
                Topic::Absent | Topic::Unknown(_) => false,
            };
        }
        for (id, group) in &snapshot.groups {
            if is_denied_group(group, id) {
                self.groups.remove(id);
            } else if group.state.is_ok() {
                self.groups.insert(Arc::clone(id));
            }
        }
    }

    /// Whether a poll was refused all its topics, or all its groups. If rights are lost in the
    /// middle of a poll, the kind that was asked for first may still have been read.
    pub(super) fn is_all_denied_in(&self, snapshot: &Snapshot) -> bool {
        // Without the right to describe a topic or group, a broker may report it as missing: a
        // missing one proves nothing.
        let topics = self
            .topics
            .iter()
            .map(|name| match snapshot.topics.get(name)? {
                Topic::Present(partitions) => {
                    let mut ends = partitions.iter().map(|partition| &partition.end);
                    Some(ends.any(|end| matches!(end, Err(ReadError::Authorization { .. }))))
                }
                topic => is_denied_topic(topic).then_some(true),
            });
        let groups = self.groups.iter().map(|id| {
            let group = snapshot.groups.get(id)?;
            match group.state {
                _ if is_denied_group(group, id) => Some(true),
                Ok(_) => Some(false),
                Err(_) => None,
            }
        });
        let is_all = |answers: Vec<bool>| !answers.is_empty() && !answers.contains(&false);
        is_all(topics.flatten().collect()) || is_all(groups.flatten().collect())
    }

    /// Which of these rights a poll with other credentials lacked.
    pub(super) fn lost_in(&self, snapshot: &Snapshot) -> Option<ReadError> {
        let is_denied = |name: &Arc<str>| snapshot.topics.get(name).is_some_and(is_denied_topic);
        let topics = self.topics.iter().filter(|name| is_denied(name));
        let is_denied = |id: &Arc<str>| {
            let group = snapshot.groups.get(id);
            group.is_some_and(|group| is_denied_group(group, id))
        };
        let groups = self.groups.iter().filter(|id| is_denied(id));
        let topics = topics.map(|name| Resource::Topic(Arc::clone(name)));
        let mut lost = topics.chain(groups.map(|id| Resource::Group(Arc::clone(id))));
        let resource = lost.next()?;
        Some(ReadError::FewerRights {
            resource,
            more: NonZeroUsize::new(lost.count()),
        })
    }
}

fn is_denied_topic(topic: &Topic) -> bool {
    matches!(topic, Topic::Unknown(ReadError::Authorization { .. }))
}

/// Whether the group itself was denied. The partitions of a denied topic have the same error.
fn is_denied_group(group: &Group, id: &str) -> bool {
    let is_denied = |error: &ReadError| matches!(error, ReadError::Authorization { resource: Resource::Group(denied) } if **denied == *id);
    let committed = group.committed.values();
    let mut errors = committed
        .filter_map(|offset| offset.as_ref().err())
        .chain(group.state.as_ref().err());
    errors.any(is_denied)
}
