//! Filters what brokers report before it is used: impossible names are left out, texts for display
//! are cleaned, and members are counted. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use lagrange_core::intent::topics::is_topic_name;
use lagrange_core::text;

use crate::kafka::model::error::{Bound, ReadError};
use crate::kafka::model::snapshot::{Known, Member, TopicPartition};
use crate::kafka::reader::DescribedGroup;

/// Characters of an id or address that are kept. Kafka's member ids have up to 40 more than the
/// client id.
const LONGEST_ID: usize = 255;

/// The names that a topic may have.
pub(super) fn topic_names(names: BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
    if names.iter().all(|name| is_topic_name(name)) {
        return names;
    }
    names
        .into_iter()
        .filter(|name| is_topic_name(name))
        .collect()
}

/// An id that is safe to show.
pub(super) fn id(id: Arc<str>) -> Arc<str> {
    if id.len() <= LONGEST_ID && !id.contains(text::is_disruptive) {
        return id;
    }
    text::clean_id(&id, LONGEST_ID).into()
}

/// A description with at most `limit` members and at most `limit` assigned partitions, plus as many
/// in their target assignments.
pub(super) fn group(group: DescribedGroup, limit: usize) -> Known<DescribedGroup> {
    let partitions: usize = group.members.iter().map(partitions).sum();
    if group.members.len() > limit || partitions > limit {
        return Err(ReadError::TooManyMembers {
            members: number(group.members.len()),
            partitions: number(partitions),
            limit: number(limit),
            bound: Bound::Group,
        });
    }
    // Share one copy of the name among all partitions of a topic.
    let mut names = BTreeSet::new();
    let members = group.members.into_iter().map(|member| Member {
        id: id(member.id),
        client_id: id(member.client_id),
        host: id(member.host),
        instance_id: member.instance_id.map(id),
        assigned: partitions_of(member.assigned, &mut names),
        target: member
            .target
            .map(|target| partitions_of(target, &mut names)),
    });
    Ok(DescribedGroup {
        members: members.collect(),
        assignor: group.assignor.map(id),
        ..group
    })
}

/// Partitions that a member has or is to have, whichever is more.
pub(super) fn partitions(member: &Member) -> usize {
    let target = member.target.as_ref().map_or(0, Vec::len);
    member.assigned.len().max(target)
}

fn partitions_of(
    partitions: Vec<TopicPartition>,
    names: &mut BTreeSet<Arc<str>>,
) -> Vec<TopicPartition> {
    let may_be =
        |partition: &TopicPartition| partition.partition >= 0 && is_topic_name(&partition.topic);
    let shared = |partition: TopicPartition| {
        let topic = if let Some(topic) = names.get(&partition.topic) {
            Arc::clone(topic)
        } else {
            names.insert(Arc::clone(&partition.topic));
            partition.topic
        };
        TopicPartition { topic, ..partition }
    };
    partitions.into_iter().filter(may_be).map(shared).collect()
}

/// A count, in the type that messages use.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("orders.eu_1-a", true)]
    #[case("", false)]
    #[case(".", false)]
    #[case("..", false)]
    #[case("...", true)]
    #[case("a\n2026 INFO forged", false)]
    #[case("a\u{1b}[2J", false)]
    #[case("a b", false)]
    #[case("ä", false)]
    fn only_names_that_kafka_allows_are_kept(#[case] name: &str, #[case] allowed: bool) {
        assert_eq!(is_topic_name(name), allowed);
        assert!(is_topic_name(&"x".repeat(249)) && !is_topic_name(&"x".repeat(250)));
    }
}
