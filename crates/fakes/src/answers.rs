//! The regular responses of the fake brokers.

use std::net::SocketAddr;

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, ConsumerGroupDescribeResponse, DescribeGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, GroupId, ListGroupsResponse,
    ListOffsetsResponse, MetadataRequest, MetadataResponse, OffsetFetchResponse, RequestKind,
    ResponseKind, SaslAuthenticateResponse, SaslHandshakeResponse, TopicName,
    api_versions_response::ApiVersion, consumer_group_describe_response, describe_groups_response,
    find_coordinator_response::Coordinator, list_groups_response::ListedGroup,
    list_offsets_response, metadata_response, offset_fetch_request, offset_fetch_response,
};
use kafka_protocol::protocol::StrBytes;

use crate::broker::{FakeTopic, World};

const UNKNOWN_TOPIC: i16 = 3;
const NOT_LEADER: i16 = 6;
const NOT_COORDINATOR: i16 = 16;
const LOGIN_REFUSED: i16 = 58;
const GROUP_ID_NOT_FOUND: i16 = 69;

/// Kinds of request, with the supported versions.
const SPOKEN: [(i16, i16, i16); 10] = [
    (2, 1, 7),
    (3, 1, 12),
    (9, 1, 8),
    (10, 0, 4),
    (15, 0, 5),
    (16, 0, 5),
    (17, 0, 1),
    (18, 0, 3),
    (36, 0, 1),
    (69, 0, 0),
];

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn versions(error: i16) -> ResponseKind {
    let keys = SPOKEN.map(|(key, low, high)| {
        ApiVersion::default()
            .with_api_key(key)
            .with_min_version(low)
            .with_max_version(high)
    });
    let response = ApiVersionsResponse::default()
        .with_error_code(error)
        .with_api_keys(keys.to_vec());
    ResponseKind::ApiVersions(response)
}

/// The response of broker `id`.
pub(crate) fn answer(
    id: i32,
    request: RequestKind,
    version: i16,
    world: &mut World,
) -> ResponseKind {
    match request {
        RequestKind::ApiVersions(_) => versions(0),
        RequestKind::Metadata(request) => metadata(&request, world),
        RequestKind::SaslHandshake(request) => ResponseKind::SaslHandshake(
            SaslHandshakeResponse::default().with_mechanisms(vec![request.mechanism]),
        ),
        RequestKind::SaslAuthenticate(_) => ResponseKind::SaslAuthenticate(login(id, world)),
        RequestKind::FindCoordinator(request) => {
            ResponseKind::FindCoordinator(coordinators(&request, version, world))
        }
        RequestKind::ListGroups(_) => ResponseKind::ListGroups(groups(id, world)),
        RequestKind::DescribeGroups(request) => {
            let groups = request
                .groups
                .iter()
                .map(|group| described(id, group, world));
            ResponseKind::DescribeGroups(
                DescribeGroupsResponse::default().with_groups(groups.collect()),
            )
        }
        // All groups of the fake have the classic protocol.
        RequestKind::ConsumerGroupDescribe(request) => {
            let groups = request.group_ids.iter().map(|group| {
                consumer_group_describe_response::DescribedGroup::default()
                    .with_group_id(group.clone())
                    .with_error_code(match world.groups.get(group.as_str()) {
                        Some(group) if group.coordinator != id => NOT_COORDINATOR,
                        _ => GROUP_ID_NOT_FOUND,
                    })
            });
            ResponseKind::ConsumerGroupDescribe(
                ConsumerGroupDescribeResponse::default().with_groups(groups.collect()),
            )
        }
        RequestKind::OffsetFetch(request) => {
            let groups = request
                .groups
                .into_iter()
                .map(|group| committed(id, group, world));
            ResponseKind::OffsetFetch(OffsetFetchResponse::default().with_groups(groups.collect()))
        }
        RequestKind::ListOffsets(request) => {
            let topics = request.topics.into_iter().map(|topic| {
                let known = world.topics.get(topic.name.as_str());
                let partitions = topic.partitions.into_iter().map(|partition| {
                    offset(id, known, partition.partition_index, partition.timestamp)
                });
                list_offsets_response::ListOffsetsTopicResponse::default()
                    .with_name(topic.name)
                    .with_partitions(partitions.collect())
            });
            ResponseKind::ListOffsets(ListOffsetsResponse::default().with_topics(topics.collect()))
        }
        other => panic!("the fake does not support {other:?}"),
    }
}

fn metadata(request: &MetadataRequest, world: &mut World) -> ResponseKind {
    if world.is_empty {
        return ResponseKind::Metadata(MetadataResponse::default());
    }
    let brokers = world.addresses.iter().map(|(id, address)| {
        metadata_response::MetadataResponseBroker::default()
            .with_node_id(BrokerId(*id))
            .with_host(text(&address.ip().to_string()))
            .with_port(i32::from(address.port()))
    });
    let mut brokers: Vec<_> = brokers.collect();
    let first = world.addresses.values().next().copied();
    let named = world.named.clone().zip(first.into_iter().cycle());
    brokers.extend(named.map(|(id, address)| {
        metadata_response::MetadataResponseBroker::default()
            .with_node_id(BrokerId(id))
            .with_host(text(&address.ip().to_string()))
            .with_port(i32::from(address.port()))
    }));
    if world.is_restless {
        let more = i32::try_from(world.named.len()).unwrap();
        world.named = world.named.end..world.named.end + more;
    }
    let names: Vec<String> = match &request.topics {
        Some(topics) => {
            let names = topics.iter().filter_map(|topic| topic.name.as_ref());
            names.map(|name| name.as_str().to_owned()).collect()
        }
        None => world.topics.keys().cloned().collect(),
    };
    let missing = names.iter().any(|name| !world.topics.contains_key(name));
    if missing && request.allow_auto_topic_creation {
        world.would_create += 1;
    }
    let topics = names.iter().map(|name| {
        let answer = metadata_response::MetadataResponseTopic::default()
            .with_name(Some(TopicName(text(name))));
        match world.topics.get(name) {
            Some(topic) => answer.with_partitions(partitions(topic)),
            None => answer.with_error_code(UNKNOWN_TOPIC),
        }
    });
    let response = MetadataResponse::default()
        .with_cluster_id(Some(text("fake")))
        .with_controller_id(BrokerId(1))
        .with_topics(topics.collect())
        .with_brokers(brokers);
    ResponseKind::Metadata(response)
}

fn partitions(topic: &FakeTopic) -> Vec<metadata_response::MetadataResponsePartition> {
    let partitions = (0..)
        .zip(&topic.leaders)
        .filter(|(_, leader)| **leader != -2);
    let answer = partitions.map(|(index, leader)| {
        metadata_response::MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(*leader))
            .with_leader_epoch(1)
            .with_error_code(if *leader < 0 { 5 } else { 0 })
    });
    answer.collect()
}

fn login(id: i32, world: &mut World) -> SaslAuthenticateResponse {
    *world.logins.entry(id).or_default() += 1;
    let answer = SaslAuthenticateResponse::default();
    if !world.refusing.contains(&id) {
        return answer;
    }
    let usual = "Authentication failed: Invalid username or password";
    let words = world.words.as_deref().unwrap_or(usual);
    answer
        .with_error_code(LOGIN_REFUSED)
        .with_error_message(Some(text(words)))
}

/// Before version 4 the request names one group, and the response has no list.
fn coordinators(
    request: &FindCoordinatorRequest,
    version: i16,
    world: &World,
) -> FindCoordinatorResponse {
    let answer = FindCoordinatorResponse::default();
    if version < 4 {
        let (node, address) = coordinator(&request.key, world);
        return answer
            .with_node_id(node)
            .with_host(text(&address.ip().to_string()))
            .with_port(i32::from(address.port()));
    }
    let found = request.coordinator_keys.iter().map(|key| {
        let (node, address) = coordinator(key, world);
        Coordinator::default()
            .with_key(key.clone())
            .with_node_id(node)
            .with_host(text(&address.ip().to_string()))
            .with_port(i32::from(address.port()))
    });
    answer.with_coordinators(found.collect())
}

/// The groups that a broker coordinates.
fn groups(id: i32, world: &World) -> ListGroupsResponse {
    let all = world.groups.iter();
    let mine = all.filter(|(_, group)| group.coordinator == id);
    let groups = mine.map(|(name, group)| {
        ListedGroup::default()
            .with_group_id(GroupId(text(name)))
            .with_protocol_type(text(group.kind))
            .with_group_state(text("Stable"))
            .with_group_type(text("classic"))
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}

fn coordinator(key: &StrBytes, world: &World) -> (BrokerId, SocketAddr) {
    let group = world.groups.get(key.as_str());
    let id = group.map_or(1, |group| group.coordinator);
    (BrokerId(id), world.addresses[&id])
}

fn described(id: i32, group: &GroupId, world: &World) -> describe_groups_response::DescribedGroup {
    let answer = describe_groups_response::DescribedGroup::default().with_group_id(group.clone());
    match world.groups.get(group.as_str()) {
        Some(known) if known.coordinator == id => answer
            .with_group_state(text("Stable"))
            .with_protocol_type(text(known.kind))
            .with_protocol_data(text("range"))
            .with_members(vec![
                describe_groups_response::DescribedGroupMember::default()
                    .with_member_id(text("member-1"))
                    .with_client_id(text("app"))
                    .with_client_host(text("/10.0.0.1"))
                    .with_member_assignment(Bytes::from_static(world.assignment)),
            ]),
        Some(_) => answer.with_error_code(NOT_COORDINATOR),
        None => answer.with_group_state(text("Dead")),
    }
}

fn committed(
    id: i32,
    group: offset_fetch_request::OffsetFetchRequestGroup,
    world: &World,
) -> offset_fetch_response::OffsetFetchResponseGroup {
    let answer = offset_fetch_response::OffsetFetchResponseGroup::default();
    let known = world.groups.get(group.group_id.as_str());
    let error = match known {
        Some(known) if known.coordinator == id => known.error,
        Some(_) => NOT_COORDINATOR,
        None => 0,
    };
    let committed = known.map_or(-1, |known| known.committed);
    let topics = group.topics.unwrap_or_default().into_iter().map(|topic| {
        let partitions = topic.partition_indexes.into_iter().map(|index| {
            offset_fetch_response::OffsetFetchResponsePartitions::default()
                .with_partition_index(index)
                .with_committed_offset(committed)
        });
        offset_fetch_response::OffsetFetchResponseTopics::default()
            .with_name(topic.name)
            .with_partitions(partitions.collect())
    });
    answer
        .with_group_id(group.group_id)
        .with_error_code(error)
        .with_topics(topics.collect())
}

fn offset(
    id: i32,
    topic: Option<&FakeTopic>,
    index: i32,
    timestamp: i64,
) -> list_offsets_response::ListOffsetsPartitionResponse {
    let answer =
        list_offsets_response::ListOffsetsPartitionResponse::default().with_partition_index(index);
    let leader = |topic: &FakeTopic| topic.leaders.get(usize::try_from(index).ok()?).copied();
    match topic {
        Some(topic) if topic.error != 0 => answer.with_error_code(topic.error).with_offset(-1),
        Some(topic) if leader(topic) == Some(id) => {
            // No record has a timestamp at or after the requested one.
            answer.with_offset(match timestamp {
                -2 => 0,
                -1 => topic.end,
                _ => -1,
            })
        }
        Some(_) => answer.with_error_code(NOT_LEADER).with_offset(-1),
        None => answer.with_error_code(UNKNOWN_TOPIC).with_offset(-1),
    }
}
