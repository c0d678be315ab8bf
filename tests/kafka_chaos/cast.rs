//! The participants: topics, groups, and what each group does.

use std::collections::BTreeMap;

use lagrange::kafka::model::interest::Interest;
use lagrange_core::intent::topics::TopicSelection;
use lagrange_testing::poll_helper::{interest, named};
use lagrange_testing::unique;

/// What a group does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Commits are made for it; it has no members.
    Alone,
    /// It has members, with this assignor, or `consumer` for KIP-848.
    Members(&'static str),
    /// It is created and deleted again and again; while it exists, commits are made for it.
    Guest,
    /// There is no such group and no such topic.
    Never,
}

pub(crate) struct Cast {
    /// The prefix of all their names.
    pub(crate) stem: String,
    pub(crate) topics: Vec<String>,
    pub(crate) groups: BTreeMap<String, Role>,
}

pub(crate) const PARTITIONS: i32 = 6;

/// Partitions are added up to this.
pub(crate) const MOST_PARTITIONS: i64 = 12;

impl Cast {
    /// 4 topics, 12 groups without members, 7 with members, 4 that are created and deleted, and one
    /// that never exists. A `small` one has one of each.
    pub(crate) fn new(small: bool) -> Self {
        let stem = unique("chaos");
        let most = if small { 1 } else { usize::MAX };
        let roles = [
            ("alone", 12, Role::Alone),
            ("range", 2, Role::Members("range")),
            ("sticky", 2, Role::Members("cooperative-sticky")),
            ("consumer", 3, Role::Members("consumer")),
            ("guest", 4, Role::Guest),
            ("never", 1, Role::Never),
        ]
        .map(|(kind, count, role)| (kind, most.min(count), role));
        let groups = roles.into_iter().flat_map(|(kind, count, role)| {
            let stem = &stem;
            (0..count).map(move |number| (format!("{stem}-{kind}-{number}"), role))
        });
        Self {
            topics: (0..4).map(|number| format!("{stem}-{number}")).collect(),
            groups: groups.collect(),
            stem,
        }
    }

    /// The number of the topic that a group reads.
    pub(crate) fn topic_of(&self, group: &str) -> usize {
        let number = self.groups.keys().position(|id| id == group).unwrap();
        number % self.topics.len()
    }

    /// The topic that a group's interest names.
    pub(crate) fn topic_name(&self, group: &str) -> String {
        match self.groups[group] {
            Role::Never => format!("{}-never", self.stem),
            _ => self.topics[self.topic_of(group)].clone(),
        }
    }

    /// What to read of a group. Half of the groups with members read the topics of the group
    /// itself.
    pub(crate) fn interest(&self, group: &str) -> Interest {
        let by_itself = matches!(self.groups[group], Role::Members(_)) && group.ends_with('0');
        let topics = if by_itself {
            TopicSelection::OfGroup
        } else {
            named(&[&self.topic_name(group)])
        };
        interest(group, topics)
    }
}
