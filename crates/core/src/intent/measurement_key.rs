//! The measurement key of a group: one number that restarts and releases do not change.

use crate::api::ConsumerGroupSpec;

use super::connection::Source;
use super::fingerprint::Fingerprint;

/// Programs that parse JSON numbers as floating point lose digits of larger whole numbers.
const EXACT_IN_JSON: u64 = (1 << 53) - 1;

/// The number for [`Policy::measurement_key`](crate::scaling::Policy::measurement_key). It differs
/// for another group, cluster, target, objective or thread count (KEEP-28). It is stored: a change
/// of this computation drops the measurements of every group once.
pub(super) fn of(spec: &ConsumerGroupSpec, group_id: &str, source: &Source) -> i64 {
    let target = &spec.scale_target_ref;
    let group = Fingerprint::new().with("group", group_id);
    let cluster = match source {
        Source::Cluster { namespace, name } => {
            group.with("namespace", namespace).with("cluster", name)
        }
        // The login is not part of it: the cluster stays the same.
        Source::Inline(plan) => group.with("servers", &plan.servers().to_string()),
    };
    let mut all = cluster
        .with("apiVersion", &target.api_version)
        .with("kind", &target.kind)
        .with("name", &target.name)
        .with("threads", &spec.threads_per_replica.to_string());
    if let Some(delay) = spec.objective.max_delay {
        all = all.with("maxDelay", &delay.to_string());
    }
    if let Some(lag) = spec.objective.lag_per_replica {
        all = all.with("lagPerReplica", &lag.to_string());
    }
    (all.number() & EXACT_IN_JSON).cast_signed()
}
