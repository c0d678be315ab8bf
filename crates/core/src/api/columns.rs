//! The columns of `kubectl get`. Those in the wide lists need `-o wide`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;

/// Heading, type, path and meaning.
type Column = (&'static str, &'static str, &'static str, &'static str);

const CONSUMER_GROUP: [Column; 7] = [
    (
        "Target",
        "string",
        ".spec.scaleTargetRef.name",
        "The workload that is scaled.",
    ),
    (
        "Replicas",
        "integer",
        ".status.replicas.current",
        "Replicas that the target has now.",
    ),
    (
        "Desired",
        "integer",
        ".status.replicas.desired",
        "Replicas that the group needs, within its limits.",
    ),
    (
        "Lag",
        "integer",
        ".status.lag.total",
        "Records that the group is behind, over all partitions.",
    ),
    (
        "Delay",
        "string",
        ".status.lag.delay",
        "Age of the oldest record that is not consumed.",
    ),
    (
        "Ready",
        "string",
        ".status.conditions[?(@.type==\"Ready\")].status",
        "Whether Lagrange manages the group.",
    ),
    (
        "Reason",
        "string",
        ".status.decision.reason",
        "The reason of the last decision.",
    ),
];

const CONSUMER_GROUP_WIDE: [Column; 10] = [
    ("Group", "string", ".status.group.id", "The group's id."),
    (
        "State",
        "string",
        ".status.group.state",
        "State of the group, as its coordinator reports it.",
    ),
    (
        "Partitions",
        "integer",
        ".status.partitions",
        "Partitions that the group reads.",
    ),
    (
        "Members",
        "integer",
        ".status.group.members",
        "Members of the group.",
    ),
    (
        "Idle",
        "integer",
        ".status.group.idleMembers",
        "Members that have no partition.",
    ),
    ("Min", "integer", ".spec.minReplicas", "minReplicas."),
    (
        "Max",
        "integer",
        ".spec.maxReplicas",
        "maxReplicas; empty: only the partition limit.",
    ),
    (
        "Last-Scale",
        "date",
        ".status.lastScale.time",
        "When the target was last scaled.",
    ),
    // A string: kubectl shows a date in the future as <invalid>.
    (
        "Not-Before",
        "string",
        ".status.decision.notBefore",
        "When the next action may follow.",
    ),
    ("Mode", "string", ".spec.mode", "Auto or DryRun."),
];

const KAFKA_CLUSTER: [Column; 4] = [
    (
        "Brokers",
        "integer",
        ".status.brokers",
        "Brokers that the cluster has.",
    ),
    (
        "Groups",
        "integer",
        ".status.groups",
        "ConsumerGroups that use it.",
    ),
    (
        "Connected",
        "string",
        ".status.conditions[?(@.type==\"Connected\")].status",
        "Whether the cluster answers.",
    ),
    (
        "Reason",
        "string",
        ".status.conditions[?(@.type==\"Connected\")].reason",
        "The reason of Connected.",
    ),
];

const KAFKA_CLUSTER_WIDE: [Column; 2] = [
    (
        "Cluster-Id",
        "string",
        ".status.clusterId",
        "Kafka's own id of the cluster.",
    ),
    (
        "Poll-Interval",
        "string",
        ".spec.pollInterval",
        "Time from one poll to the next.",
    ),
];

const AGE: Column = (
    "Age",
    "date",
    ".metadata.creationTimestamp",
    "Time since the resource was created.",
);

pub(super) fn of_consumer_group() -> Vec<CustomResourceColumnDefinition> {
    columns(&CONSUMER_GROUP, &CONSUMER_GROUP_WIDE)
}

pub(super) fn of_kafka_cluster() -> Vec<CustomResourceColumnDefinition> {
    columns(&KAFKA_CLUSTER, &KAFKA_CLUSTER_WIDE)
}

fn columns(always: &[Column], wide: &[Column]) -> Vec<CustomResourceColumnDefinition> {
    always
        .iter()
        .chain([&AGE])
        .map(|one| column(one, None))
        .chain(wide.iter().map(|one| column(one, Some(1))))
        .collect()
}

fn column(
    &(name, kind, path, description): &Column,
    priority: Option<i32>,
) -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: kind.to_owned(),
        json_path: path.to_owned(),
        description: Some(description.to_owned()),
        priority,
        format: None,
    }
}
