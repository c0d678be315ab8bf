//! Copies answers from their events into owned values. It refuses only what makes no sense.

use std::ffi::c_char;
use std::sync::Arc;

use rdkafka_sys as sys;

use super::queue::Event;
use super::values::{entries, entry, failure, shared, slice, text};
use super::{Code, Failure};
use crate::kafka::model::snapshot::{GroupState, Member, NodeId, Protocol, TopicPartition};
use crate::kafka::reader::{Cluster, DescribedGroup, ListedGroup, TopicLayout};

/// The error for one group, in an answer about several.
pub(in crate::kafka) type GroupFailure = Failure;

/// Partitions and the answer for each: a raw offset, or an error's number.
pub(super) type Offsets = Vec<(TopicPartition, Result<i64, Code>)>;

/// Partitions and the answer of their leaders: a raw offset and, when a record was asked for by its
/// timestamp, the raw timestamp of that record; or an error's number.
pub(super) type Found = Vec<(TopicPartition, Result<(i64, i64), Code>)>;

/// The answer to a call.
#[derive(Debug)]
pub(super) enum Reply {
    Cluster(Cluster),
    Groups(Vec<ListedGroup>, Vec<Failure>),
    Described(Vec<(Arc<str>, Result<DescribedGroup, GroupFailure>)>),
    Topics(Vec<(Arc<str>, Result<TopicLayout, Failure>)>),
    Offsets(Found),
    Committed(Result<Offsets, GroupFailure>),
}

impl Reply {
    /// Whether some of it came from a broker: some calls return `Ok` with only local errors inside.
    pub(super) fn is_from_a_broker(&self) -> bool {
        let local = |code: Code| code.0 < 0;
        match self {
            Self::Cluster(_) | Self::Topics(_) => true,
            Self::Groups(groups, errors) => !groups.is_empty() || errors.is_empty(),
            Self::Described(groups) => groups
                .iter()
                .any(|(_, group)| !matches!(group, Err(failure) if local(failure.code))),
            Self::Offsets(offsets) => offsets
                .iter()
                .any(|(_, offset)| matches!(offset, Ok((offset, _)) if *offset >= 0)),
            Self::Committed(offsets) => !matches!(offsets, Err(failure) if local(failure.code)),
        }
    }
}

/// The answer that an event carries.
pub(super) fn reply(event: &Event) -> Result<Reply, Failure> {
    // SAFETY, for each arm: the event is alive until this returns, everything is copied out of it,
    // and the kind of the result was just read from the event. A result of another kind is null,
    // which each function takes as empty.
    match event.kind() {
        // SAFETY: as above.
        sys::RD_KAFKA_EVENT_DESCRIBECLUSTER_RESULT => Ok(unsafe { cluster(event) }),
        // SAFETY: as above.
        sys::RD_KAFKA_EVENT_LISTCONSUMERGROUPS_RESULT => Ok(unsafe { groups(event) }),
        // SAFETY: as above.
        sys::RD_KAFKA_EVENT_DESCRIBECONSUMERGROUPS_RESULT => Ok(unsafe { described(event) }),
        // SAFETY: as above.
        sys::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT => Ok(unsafe { topics(event) }),
        // SAFETY: as above.
        sys::RD_KAFKA_EVENT_LISTOFFSETS_RESULT => Ok(unsafe { offsets(event) }),
        // SAFETY: as above.
        sys::RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT => unsafe { committed(event) },
        kind => Err(Failure::invalid(&format!("unexpected event {kind}"))),
    }
}

/// # Safety
/// The event carries a result of DescribeCluster.
unsafe fn cluster(event: &Event) -> Reply {
    // SAFETY: by the contract; the arrays and strings live as long as the event, and are copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeCluster_result(event.pointer());
        let mut count = 0;
        let nodes = sys::rd_kafka_DescribeCluster_result_nodes(result, &raw mut count);
        let nodes = slice(nodes, count).iter();
        let mut brokers: Vec<_> = nodes
            .map(|node| NodeId(sys::rd_kafka_Node_id(*node)))
            .collect();
        brokers.sort_unstable();
        Reply::Cluster(Cluster {
            id: shared(sys::rd_kafka_DescribeCluster_result_cluster_id(result)),
            brokers,
        })
    }
}

/// # Safety
/// The event carries a result of ListConsumerGroups.
unsafe fn groups(event: &Event) -> Reply {
    // SAFETY: by the contract; the arrays and strings live as long as the event, and are copied.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroups_result(event.pointer());
        let mut count = 0;
        let valid = sys::rd_kafka_ListConsumerGroups_result_valid(result, &raw mut count);
        let groups = slice(valid, count).iter().map(|&group| ListedGroup {
            id: text(sys::rd_kafka_ConsumerGroupListing_group_id(group)).into(),
            state: state(sys::rd_kafka_ConsumerGroupListing_state(group)),
            protocol: protocol(sys::rd_kafka_ConsumerGroupListing_type(group)),
        });
        let groups = groups.collect();
        let errors = sys::rd_kafka_ListConsumerGroups_result_errors(result, &raw mut count);
        let errors = slice(errors, count)
            .iter()
            .filter_map(|&error| failure(error));
        Reply::Groups(groups, errors.collect())
    }
}

/// # Safety
/// The event carries a result of DescribeConsumerGroups.
unsafe fn described(event: &Event) -> Reply {
    // SAFETY: by the contract; the arrays and strings live as long as the event, and are copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.pointer());
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let groups = slice(groups, count).iter().map(|&group| {
            let id = text(sys::rd_kafka_ConsumerGroupDescription_group_id(group)).into();
            let description = match failure(sys::rd_kafka_ConsumerGroupDescription_error(group)) {
                Some(failure) => Err(failure),
                None => Ok(group_description(group)),
            };
            (id, description)
        });
        Reply::Described(groups.collect())
    }
}

/// # Safety
/// `group` points to a description that lives until this returns.
unsafe fn group_description(
    group: *const sys::rd_kafka_ConsumerGroupDescription_t,
) -> DescribedGroup {
    // SAFETY: by the contract.
    unsafe {
        let members = sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        let member = |index| member(sys::rd_kafka_ConsumerGroupDescription_member(group, index));
        DescribedGroup {
            state: state(sys::rd_kafka_ConsumerGroupDescription_state(group)),
            protocol: protocol(sys::rd_kafka_ConsumerGroupDescription_type(group)),
            assignor: shared(sys::rd_kafka_ConsumerGroupDescription_partition_assignor(
                group,
            )),
            members: (0..members).map(member).collect(),
        }
    }
}

/// # Safety
/// `member` points to a description that lives until this returns.
unsafe fn member(member: *const sys::rd_kafka_MemberDescription_t) -> Member {
    // SAFETY: by the contract.
    unsafe {
        let owned = |pointer: *const c_char| -> Arc<str> { text(pointer).into() };
        let host = text(sys::rd_kafka_MemberDescription_host(member));
        let assigned = sys::rd_kafka_MemberDescription_assignment(member);
        let target = sys::rd_kafka_MemberDescription_target_assignment(member);
        Member {
            id: owned(sys::rd_kafka_MemberDescription_consumer_id(member)),
            client_id: owned(sys::rd_kafka_MemberDescription_client_id(member)),
            host: host.strip_prefix('/').unwrap_or(&host).into(),
            instance_id: shared(sys::rd_kafka_MemberDescription_group_instance_id(member)),
            assigned: assignment(assigned),
            target: (!target.is_null()).then(|| assignment(target)),
        }
    }
}

/// # Safety
/// `assignment` is null or points to an assignment that lives until this returns.
unsafe fn assignment(assignment: *const sys::rd_kafka_MemberAssignment_t) -> Vec<TopicPartition> {
    if assignment.is_null() {
        return Vec::new();
    }
    // SAFETY: not null, so by the contract alive, and so is its list.
    let entries = unsafe { entries(sys::rd_kafka_MemberAssignment_partitions(assignment)) };
    entries
        .into_iter()
        .map(|(partition, _)| partition)
        .collect()
}

/// # Safety
/// The event carries a result of DescribeTopics.
unsafe fn topics(event: &Event) -> Reply {
    // SAFETY: by the contract; the arrays and strings live as long as the event, and are copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.pointer());
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let topics = slice(topics, count).iter().map(|&topic| {
            let name = text(sys::rd_kafka_TopicDescription_name(topic)).into();
            let layout = match failure(sys::rd_kafka_TopicDescription_error(topic)) {
                Some(failure) => Err(failure),
                None => layout(topic),
            };
            (name, layout)
        });
        Reply::Topics(topics.collect())
    }
}

/// # Safety
/// `topic` points to a description that lives until this returns.
unsafe fn layout(topic: *const sys::rd_kafka_TopicDescription_t) -> Result<TopicLayout, Failure> {
    // SAFETY: by the contract.
    unsafe {
        let mut count = 0;
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let partitions = slice(partitions, count).iter().map(|&partition| {
            let leader = sys::rd_kafka_TopicPartitionInfo_leader(partition);
            let leader = (!leader.is_null()).then(|| NodeId(sys::rd_kafka_Node_id(leader)));
            let index = sys::rd_kafka_TopicPartitionInfo_partition(partition);
            (index, leader.filter(|leader| leader.0 >= 0))
        });
        let mut partitions: Vec<_> = partitions.collect();
        partitions.sort_unstable();
        if !partitions
            .iter()
            .map(|(index, _)| *index)
            .eq((0..).take(count))
        {
            return Err(Failure::invalid(
                "the broker left out partitions of a topic",
            ));
        }
        Ok(TopicLayout {
            leaders: partitions.into_iter().map(|(_, leader)| leader).collect(),
            internal: sys::rd_kafka_TopicDescription_is_internal(topic) != 0,
        })
    }
}

/// # Safety
/// The event carries a result of ListOffsets.
unsafe fn offsets(event: &Event) -> Reply {
    // SAFETY: by the contract; the arrays and strings live as long as the event, and are copied.
    unsafe {
        let result = sys::rd_kafka_event_ListOffsets_result(event.pointer());
        let mut count = 0;
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let infos = slice(infos, count).iter();
        let partition = |&info| {
            let (partition, offset) =
                entry(sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info));
            let timestamp = sys::rd_kafka_ListOffsetsResultInfo_timestamp(info);
            (partition, offset.map(|offset| (offset, timestamp)))
        };
        Reply::Offsets(infos.map(partition).collect())
    }
}

/// # Safety
/// The event carries a result of ListConsumerGroupOffsets.
unsafe fn committed(event: &Event) -> Result<Reply, Failure> {
    // SAFETY: by the contract; the arrays and strings live as long as the event, and are copied.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.pointer());
        let mut count = 0;
        let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
        let Some(&group) = slice(groups, count).first() else {
            return Err(Failure::invalid("the answer names no group"));
        };
        Ok(Reply::Committed(
            match failure(sys::rd_kafka_group_result_error(group)) {
                Some(failure) => Err(failure),
                None => Ok(entries(sys::rd_kafka_group_result_partitions(group))),
            },
        ))
    }
}

fn state(state: sys::rd_kafka_consumer_group_state_t) -> Option<GroupState> {
    use sys::rd_kafka_consumer_group_state_t as s;
    match state {
        s::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE => {
            Some(GroupState::PreparingRebalance)
        }
        s::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => {
            Some(GroupState::CompletingRebalance)
        }
        s::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => Some(GroupState::Stable),
        s::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => Some(GroupState::Dead),
        s::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => Some(GroupState::Empty),
        s::RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN | s::RD_KAFKA_CONSUMER_GROUP_STATE__CNT => None,
    }
}

fn protocol(kind: sys::rd_kafka_consumer_group_type_t) -> Protocol {
    use sys::rd_kafka_consumer_group_type_t as t;
    match kind {
        t::RD_KAFKA_CONSUMER_GROUP_TYPE_CLASSIC => Protocol::Classic,
        t::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER => Protocol::Consumer,
        t::RD_KAFKA_CONSUMER_GROUP_TYPE_UNKNOWN | t::RD_KAFKA_CONSUMER_GROUP_TYPE__CNT => {
            Protocol::Unknown
        }
    }
}
