//! The measurement key of a group: one number that restarts and releases do not change.

use crate::api::ConsumerGroupSpec;

use super::connection::Source;

/// Programs that parse JSON numbers as floating point lose digits of larger whole numbers.
const EXACT_IN_JSON: u64 = (1 << 53) - 1;

/// The number for [`Policy::subject`](crate::scaling::Policy::subject). It differs for another
/// group, cluster, target, objective or thread count (KEEP-28). It is stored: a change of this
/// computation drops the measurements of every group once.
pub(super) fn of(spec: &ConsumerGroupSpec, group_id: &str, source: &Source) -> i64 {
    let target = &spec.scale_target_ref;
    let mut hash = Fnv::new();
    hash.field("group", group_id);
    match source {
        Source::Cluster { namespace, name } => {
            hash.field("namespace", namespace).field("cluster", name)
        }
        // The login is not part of it: the cluster stays the same.
        Source::Inline(plan) => hash.field("servers", &plan.servers().to_string()),
    };
    hash.field("apiVersion", &target.api_version)
        .field("kind", &target.kind)
        .field("name", &target.name);
    hash.field("threads", &spec.threads_per_replica.to_string());
    if let Some(delay) = spec.objective.max_delay {
        hash.field("maxDelay", &delay.to_string());
    }
    if let Some(lag) = spec.objective.lag_per_replica {
        hash.field("lagPerReplica", &lag.to_string());
    }
    (hash.0 & EXACT_IN_JSON).cast_signed()
}

/// FNV-1a, 64 bits: the hashes of the standard library may change with a release.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Name and value end with a zero byte, which no text in an object contains, so that
    /// neighbouring fields cannot run together.
    fn field(&mut self, name: &str, value: &str) -> &mut Self {
        for byte in name.bytes().chain([0]).chain(value.bytes()).chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        self
    }
}
