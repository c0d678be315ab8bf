//! Kafka's assignors: they assign partitions to members. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::parameters::Assignor;
use super::parts::{Consumer, ConsumerAt, List, Partition, PartitionAt};

/// Partitions and the members that get them.
pub(super) type Assignment = Vec<(PartitionAt, ConsumerAt)>;

/// Assigns the partitions that the group knows to `members`.
pub(super) fn assign(
    assignor: Assignor,
    partitions: &List<Partition>,
    consumers: &List<Consumer>,
    members: &[ConsumerAt],
) -> Assignment {
    let known: Vec<PartitionAt> = partitions
        .places::<PartitionAt>()
        .filter(|place| partitions[*place].known)
        .collect();
    let mut members = members.to_vec();
    members.sort_by(|a, b| consumers[*a].id.cmp(&consumers[*b].id));
    if members.is_empty() {
        return Assignment::new();
    }
    match assignor {
        Assignor::Range => range(partitions, &known, &members),
        Assignor::RoundRobin => known
            .into_iter()
            .zip(members.iter().copied().cycle())
            .collect(),
        Assignor::Sticky | Assignor::CooperativeSticky | Assignor::Uniform => {
            sticky(partitions, &known, &members)
        }
    }
}

/// Topic by topic, in blocks; the first members get one more if the division leaves a rest.
fn range(
    partitions: &List<Partition>,
    known: &[PartitionAt],
    members: &[ConsumerAt],
) -> Assignment {
    let mut topics: BTreeMap<&str, Vec<PartitionAt>> = BTreeMap::new();
    for place in known {
        let topic = topics.entry(&partitions[*place].topic).or_default();
        topic.push(*place);
    }
    let mut assignment = Assignment::new();
    for topic in topics.values() {
        let mut rest = topic.iter().copied();
        for (place, member) in members.iter().enumerate() {
            let share = quota(topic.len(), members.len(), place);
            assignment.extend(rest.by_ref().take(share).map(|p| (p, *member)));
        }
    }
    assignment
}

/// An even share; the first members get one more.
fn quota(partitions: usize, members: usize, place: usize) -> usize {
    partitions / members + usize::from(place < partitions % members)
}

/// Even counts with the fewest moves.
fn sticky(
    partitions: &List<Partition>,
    known: &[PartitionAt],
    members: &[ConsumerAt],
) -> Assignment {
    let places: BTreeSet<ConsumerAt> = members.iter().copied().collect();
    let mut owned: Vec<(ConsumerAt, Vec<PartitionAt>)> =
        members.iter().map(|member| (*member, Vec::new())).collect();
    let mut free = Vec::new();
    for place in known {
        let owner = partitions[*place].owner.filter(|o| places.contains(o));
        match owned.iter_mut().find(|(member, _)| Some(*member) == owner) {
            Some((_, theirs)) => theirs.push(*place),
            None => free.push(*place),
        }
    }
    // Those that own the most keep the odd ones.
    owned.sort_by_key(|(_, theirs)| std::cmp::Reverse(theirs.len()));
    for (place, (_, theirs)) in owned.iter_mut().enumerate() {
        let share = quota(known.len(), members.len(), place);
        free.extend(theirs.drain(theirs.len().min(share)..));
    }
    for (place, (_, theirs)) in owned.iter_mut().enumerate() {
        let lacks = quota(known.len(), members.len(), place).saturating_sub(theirs.len());
        let from = free.len().saturating_sub(lacks);
        theirs.extend(free.drain(from..));
    }
    owned
        .into_iter()
        .flat_map(|(member, theirs)| theirs.into_iter().map(move |p| (p, member)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::simulate::plant::tests::{consumers, partitions};

    fn shares(assignor: Assignor, topics: &[(&str, u32)], members: usize) -> Vec<usize> {
        let partitions = partitions(topics);
        let (consumers, members) = consumers(members);
        let given = assign(assignor, &partitions, &consumers, &members);
        members
            .iter()
            .map(|member| given.iter().filter(|(_, to)| to == member).count())
            .collect()
    }

    #[rstest]
    #[case::range_by_topic(Assignor::Range, &[("a", 3), ("b", 3)], 2, &[4, 2])]
    #[case::roundrobin_over_all(Assignor::RoundRobin, &[("a", 3), ("b", 3)], 2, &[3, 3])]
    #[case::range_leaves_some_idle(Assignor::Range, &[("a", 2), ("b", 2)], 4, &[2, 2, 0, 0])]
    #[case::the_others_do_not(Assignor::Uniform, &[("a", 2), ("b", 2)], 4, &[1, 1, 1, 1])]
    #[case::seven_by_three(Assignor::CooperativeSticky, &[("a", 7)], 3, &[3, 2, 2])]
    #[case::nobody(Assignor::Range, &[("a", 7)], 0, &[])]
    fn partitions_are_shared_as_kafka_shares_them(
        #[case] assignor: Assignor,
        #[case] topics: &[(&str, u32)],
        #[case] members: usize,
        #[case] expected: &[usize],
    ) {
        assert_eq!(shares(assignor, topics, members), expected);
    }

    proptest! {
        #[test]
        fn every_partition_has_one_owner_and_sticky_moves_no_more_than_it_must(
            partitions_count in 1_u32..40, before in 1_usize..12, after in 1_usize..12
        ) {
            let mut partitions = partitions(&[("a", partitions_count)]);
            let (consumers, members) = consumers(before.max(after));
            let (first, second) = (&members[..before], &members[..after]);
            for (place, member) in assign(Assignor::Sticky, &partitions, &consumers, first) {
                prop_assert!(partitions[place].owner.replace(member).is_none());
            }
            prop_assert!(partitions.iter().all(|p| p.owner.is_some()));
            let given = assign(Assignor::Sticky, &partitions, &consumers, second);
            let mut owners = BTreeMap::new();
            for (place, member) in &given {
                prop_assert!(owners.insert(*place, *member).is_none());
            }
            prop_assert_eq!(owners.len(), partitions.iter().count());
            let moved = given.iter().filter(|(p, m)| partitions[*p].owner != Some(*m)).count();
            let share = partitions.iter().count() / after;
            let extra = after.saturating_sub(before);
            let gone = partitions.iter().filter(|p| !second.contains(&p.owner.unwrap())).count();
            prop_assert!(moved <= gone + extra * (share + 1) + after, "{moved} moved");
        }
    }
}
