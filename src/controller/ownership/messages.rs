//! The reason and the message that a waiting ConsumerGroup reports. Texts only.

use lagrange_core::api::condition::Reason;

use super::standing::Standing;
use super::{Autoscaler, Claim, Name, TargetKey, cluster_of};
use crate::controller::kube::error::Problem;
use crate::controller::status::format;

/// The characters of a group id that a message shows: Kafka allows 255, and a message has 256.
const SHOWN: usize = 32;

/// The problem of the claim that waits because of the one that goes first.
pub(super) fn by_group(
    mine: &Claim,
    rival: &Claim,
    standing: Option<&Standing>,
    is_on_target: bool,
) -> Problem {
    let since = standing
        .and_then(Standing::since)
        .map_or_else(String::new, |since| {
            format!(" since {}", format::instant(since))
        });
    let group = shown(&mine.group_id);
    let (reason, what) = if is_on_target {
        (Reason::TargetContested, mine.target.to_string())
    } else {
        (
            Reason::GroupContested,
            format!("group {group} of the same Kafka cluster"),
        )
    };
    let message = if rival.name.namespace == mine.name.namespace {
        let comes_first = if rival.age < mine.age {
            "is older and manages"
        } else {
            "already manages"
        };
        let advice = match standing.and_then(Standing::ends) {
            Some(until) => format!(
                "it has trouble, and this one takes over at {} unless that ends",
                format::clock(until)
            ),
            None => "delete one of the two; this one takes over when the other is gone".to_owned(),
        };
        format!(
            "ConsumerGroup {} {comes_first} {what}{since}: {advice}",
            rival.name
        )
    } else {
        // The owner of the group stays hidden from other namespaces (SAFE-34). The two share a
        // KafkaCluster.
        let cluster = cluster_of(mine).map_or_else(String::new, |name| name.to_string());
        format!(
            "a ConsumerGroup of another namespace manages group {group} of KafkaCluster {cluster}{since}: ask the cluster's owner, who finds both in the operator's log, or for a KafkaCluster with your own groupIdPrefixes"
        )
    };
    Problem::new(reason, message)
}

/// The message of a ConsumerGroup whose group is also managed from another namespace.
pub(in crate::controller) fn beside(group_id: &str) -> String {
    format!(
        "a ConsumerGroup of another namespace manages group {} of these servers too; each adds replicas for the whole lag: agree on one, or on two group ids",
        shown(group_id)
    )
}

fn shown(group_id: &str) -> String {
    match group_id.char_indices().nth(SHOWN) {
        None => group_id.to_owned(),
        Some((end, _)) => format!("{}…", group_id.get(..end).unwrap_or_default()),
    }
}

pub(super) fn by_autoscaler(target: &TargetKey, hpa: &Name, autoscaler: &Autoscaler) -> Problem {
    let message = match &autoscaler.scaled_object {
        Some(scaled_object) => format!(
            "HorizontalPodAutoscaler {} of KEDA's ScaledObject {scaled_object} scales {target}: delete the ScaledObject, or set mode: DryRun to compare",
            hpa.name
        ),
        None => format!(
            "HorizontalPodAutoscaler {} scales {target}: delete it, or set mode: DryRun to compare",
            hpa.name
        ),
    };
    Problem::new(Reason::TargetContested, message)
}
