//! The topics of a selection, from what is known of the cluster. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lagrange_core::intent::topics::TopicSelection;

use super::foreign::number;
use super::memory::Memory;
use crate::kafka::model::error::{Bound, ReadError};
use crate::kafka::model::snapshot::Known;

/// The topics of each group's selections.
pub(super) type Selected = BTreeMap<Arc<str>, BTreeMap<TopicSelection, Known<Vec<Arc<str>>>>>;

/// The error for so many names that they alone are more partitions than a group may have.
pub(super) fn too_many_topics(topics: usize, limit: usize) -> ReadError {
    ReadError::TooManyPartitions {
        topics: number(topics),
        partitions: number(topics),
        at_least: true,
        limit: number(limit),
        bound: Bound::Group,
    }
}

/// The topics of a selection, sorted and at most `most` of them, and their total number.
pub(super) fn resolve(
    known: &Memory,
    id: &str,
    selection: &TopicSelection,
    most: usize,
) -> Known<(Vec<Arc<str>>, usize)> {
    let first = |topics: &BTreeSet<Arc<str>>| {
        let names = topics.iter().take(most).cloned().collect();
        (names, topics.len())
    };
    match selection {
        TopicSelection::Named(names) => Ok(first(&names.iter().cloned().collect())),
        TopicSelection::OfGroup => of_group(known, id).map(first),
        TopicSelection::Pattern(pattern) => {
            let (mut names, mut count) = (Vec::new(), 0);
            for name in all_names(known)?
                .iter()
                .filter(|name| pattern.matches(name))
            {
                count += 1;
                if names.len() < most {
                    names.push(Arc::clone(name));
                }
            }
            Ok((names, count))
        }
    }
}

/// The names of all topics from the last list.
fn all_names(known: &Memory) -> Known<&BTreeSet<Arc<str>>> {
    match &known.names {
        Some((_, Ok(names))) => Ok(names),
        Some((_, Err(error))) => Err(error.clone()),
        None => Err(ReadError::NotYetRead),
    }
}

/// The topics that are assigned to a group's members; without members, those in which it has
/// committed.
fn of_group<'a>(known: &'a Memory, id: &str) -> Known<&'a BTreeSet<Arc<str>>> {
    let memory = known.groups.get(id).ok_or(ReadError::NotYetRead)?;
    if memory.has_members()? {
        if memory.assigned.is_empty() {
            return Err(ReadError::AssignmentUnknown);
        }
        return Ok(&memory.assigned);
    }
    match &memory.committed {
        Some((_, Ok(topics))) => Ok(topics),
        Some((_, Err(error))) => Err(error.clone()),
        None => Err(ReadError::NotYetRead),
    }
}
