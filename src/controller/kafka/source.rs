//! Where a group's Kafka is, who may use it (SAFE-34 and SAFE-39), and which problem is reported to
//! its user when it cannot be read: for a cluster of another namespace, only the category. Uses
//! what the watches have delivered; makes no calls.

use std::{fmt::Display, sync::Arc, time::Duration};

use kube::core::{Selector, SelectorExt as _};
use lagrange_core::api::condition::Reason;
use lagrange_core::api::{KafkaCluster, NamespacesFrom};
use lagrange_core::intent::topics::{GroupInterest, TopicSelection};
use lagrange_core::intent::{Plan, Source};

use super::credentials::Chosen;
use crate::controller::context::Context;
use crate::controller::kube::error::Problem;
use crate::controller::kube::name::Name;
use crate::controller::ownership::{self, Claim, Relation};
use crate::credentials::{self, Unusable};
use crate::kafka::connection::Connection;
use crate::kafka::model::error::ReadError;
use crate::kafka::model::interest::Key;
use crate::kafka::model::snapshot::{Snapshot, Topic};
use crate::kafka::pool::WatchError;
use crate::sync::lock;

/// A Kafka cluster that a group may use.
#[derive(Debug, Clone)]
pub(in crate::controller) struct Located {
    plan: Plan,
    /// Namespace of the objects that the plan names.
    namespace: Arc<str>,
    interval: Duration,
    /// The KafkaCluster, unless the group names the servers itself.
    cluster: Option<Name>,
    /// It belongs to another namespace.
    foreign: bool,
}

/// The same, with a connection to it.
#[derive(Debug, Clone)]
pub(in crate::controller) struct Resolved {
    pub(in crate::controller) connection: Connection,
    /// Why the connection is the previous one: the present configuration makes no usable
    /// connection.
    pub(in crate::controller) stale: Option<Problem>,
    pub(in crate::controller) interval: Duration,
    pub(in crate::controller) cluster: Option<Name>,
    pub(in crate::controller) foreign: bool,
}

/// Finds the cluster that a group of `namespace` names, if it may use it.
pub(in crate::controller) fn locate(
    context: &Context,
    source: &Source,
    namespace: &str,
    group_id: &str,
) -> Result<Located, Problem> {
    let (cluster_namespace, name) = match source {
        Source::Inline(plan) if context.settings.inline_connections => {
            return Ok(Located {
                plan: Plan::clone(plan),
                namespace: namespace.into(),
                interval: context.settings.inline_interval,
                cluster: None,
                foreign: false,
            });
        }
        Source::Inline(_) => {
            return Err(Problem::new(
                Reason::InvalidSpec,
                "kafka.bootstrapServers is switched off in this installation (--inline-connections=false): use clusterRef",
            ));
        }
        Source::Cluster { namespace, name } => (namespace, name),
    };
    let key = Name::new(cluster_namespace, name);
    let cluster = lock(&context.seen.clusters).get(&key).cloned();
    let foreign = cluster_namespace != namespace;
    let found = cluster.filter(|cluster| !foreign || allows(context, cluster, namespace, group_id));
    let Some(cluster) = found else {
        let unreadable = lock(&context.seen.unreadable_clusters).contains_key(&key);
        return Err(if unreadable && !foreign {
            Problem::new(
                Reason::InvalidSpec,
                format!("KafkaCluster {name} cannot be read: its status shows what is wrong"),
            )
        } else if foreign {
            Problem::new(
                Reason::ClusterNotAllowed,
                format!(
                    "KafkaCluster {key} does not exist, or does not allow group {group_id} of namespace {namespace}: ask its owner for allowedNamespaces"
                ),
            )
        } else {
            Problem::new(
                Reason::ClusterNotFound,
                format!(
                    "there is no KafkaCluster {name} in namespace {namespace}: create it, or correct spec.kafka.clusterRef"
                ),
            )
        });
    };
    let plan = Plan::of_cluster(&cluster.spec).map_err(|error| {
        if foreign {
            unreadable_abroad(&key, Reason::InvalidSpec)
        } else {
            Problem::new(Reason::InvalidSpec, format!("KafkaCluster {key}: {error}"))
        }
    })?;
    Ok(Located {
        plan,
        namespace: Arc::clone(&key.namespace),
        interval: cluster.spec.poll_interval.as_std(),
        cluster: Some(key),
        foreign,
    })
}

/// The connection to a located cluster; `None`: its Secrets are being read. `before` is the
/// connection that `user` reads with now.
pub(in crate::controller) fn connect(
    context: &Context,
    located: Located,
    user: &Name,
    before: Option<&Connection>,
) -> Result<Option<Resolved>, Problem> {
    let Located {
        plan,
        namespace,
        interval,
        cluster,
        foreign,
    } = located;
    let key = Key::consumer_group(&user.namespace, &user.name);
    let now = context.clock.now();
    let problem = |unusable: Unusable| match &cluster {
        Some(cluster) if foreign => unreadable_abroad(cluster, unusable.reason()),
        _ => unusable.into(),
    };
    let chosen = (context.secrets).choose(&namespace, &plan, &key, before, now);
    let Some(Chosen { connection, stale }) = chosen.map_err(problem)? else {
        return Ok(None);
    };
    let stale = stale.map(problem);
    Ok(Some(Resolved {
        connection,
        stale,
        interval,
        cluster,
        foreign,
    }))
}

/// Whether a KafkaCluster allows a group of another namespace.
fn allows(context: &Context, cluster: &KafkaCluster, namespace: &str, group_id: &str) -> bool {
    let allowed = &cluster.spec.allowed_namespaces;
    let lets_in = match allowed.from {
        NamespacesFrom::Same => false,
        NamespacesFrom::All => true,
        NamespacesFrom::Names => allowed.names.iter().flatten().any(|name| name == namespace),
        NamespacesFrom::Selector => {
            let namespaces = lock(&context.seen.namespaces);
            let selector = allowed.selector.clone().map(Selector::try_from);
            match (selector, namespaces.get(namespace)) {
                (Some(Ok(selector)), Some(labels)) => selector.matches(labels),
                _ => false,
            }
        }
    };
    let prefixes = allowed.group_id_prefixes.as_deref().unwrap_or_default();
    lets_in && (prefixes.is_empty() || prefixes.iter().any(|prefix| group_id.starts_with(prefix)))
}

/// Whether a claim's group may use the cluster that it names.
pub(in crate::controller) fn is_allowed(context: &Context, claim: &Claim) -> bool {
    located(context, claim).is_some()
}

fn located(context: &Context, claim: &Claim) -> Option<Located> {
    let namespace = &claim.name.namespace;
    locate(context, &claim.source, namespace, &claim.group_id).ok()
}

/// How two claims on one group id relate (`docs/decisions/0014`).
///
/// Inside a namespace, the id that brokers give their cluster is compared: whoever wrote both
/// groups chose both brokers. In another namespace anyone can run a broker that returns any id, and
/// write down any servers. Between namespaces, the only proof is one KafkaCluster whose owner
/// allowed both.
pub(in crate::controller) fn relation(context: &Context, mine: &Claim, other: &Claim) -> Relation {
    let is_same_namespace = mine.name.namespace == other.name.namespace;
    let by_one_resource = matches!(
        (ownership::cluster_of(mine), ownership::cluster_of(other)),
        (Some(mine), Some(other)) if mine == other
    );
    let (Some(mine), Some(other)) = (located(context, mine), located(context, other)) else {
        return Relation::Strangers;
    };
    let identity = |located: &Located| credentials::identity(&located.plan, &located.namespace);
    if by_one_resource
        || is_same_namespace && context.is_same_cluster(&identity(&mine), &identity(&other))
    {
        Relation::Rivals
    } else if !is_same_namespace && mine.plan.servers() == other.plan.servers() {
        Relation::Neighbours
    } else {
        Relation::Strangers
    }
}

/// Why Kafka is not read with the present configuration, if it is not.
pub(in crate::controller) fn stale(
    resolved: &Resolved,
    snapshot: Option<&Snapshot>,
) -> Option<String> {
    if let Some(problem) = &resolved.stale {
        return Some(problem.message.clone());
    }
    let error = snapshot?.renewal.as_ref()?;
    Some(match &resolved.cluster {
        Some(cluster) if resolved.foreign => abroad(cluster, error.category()),
        _ => error.to_string(),
    })
}

/// The problem that keeps a group from being read and does not pass by itself. A problem that may
/// pass counts only once it lasts.
pub(in crate::controller) fn trouble(
    snapshot: &Snapshot,
    reading: &GroupInterest,
    resolved: &Resolved,
    lasts: bool,
) -> Option<Problem> {
    let error = match &snapshot.error {
        // A refusal does not pass by itself: it is retried in a minute.
        Some(error) => (lasts || is_refusal(error)).then_some(error)?,
        None => definite(snapshot, reading)?,
    };
    let reason = error.reason();
    Some(match &resolved.cluster {
        // Which topics it selects is the user's own choice to correct.
        Some(cluster) if resolved.foreign && !error.is_too_much() => {
            unreadable_abroad(cluster, reason)
        }
        _ => Problem::new(reason, advice(error, reading)),
    })
}

/// Whether the brokers refuse the login, or are more than the limit.
pub(in crate::controller) fn is_refusal(error: &ReadError) -> bool {
    matches!(
        error,
        ReadError::Authentication { .. } | ReadError::TooManyBrokers { .. }
    )
}

/// Whether the group selects too many partitions to read.
pub(in crate::controller) fn is_too_much(snapshot: &Snapshot, reading: &GroupInterest) -> bool {
    too_much(snapshot, reading).is_some()
}

fn too_much<'a>(snapshot: &'a Snapshot, reading: &GroupInterest) -> Option<&'a ReadError> {
    let group = snapshot.groups.get(&reading.id)?;
    let error = group.topics.get(&reading.topics)?.as_ref().err()?;
    error.is_too_much().then_some(error)
}

/// The first refusal, or topic that the user names and that does not exist.
fn definite<'a>(snapshot: &'a Snapshot, reading: &GroupInterest) -> Option<&'a ReadError> {
    let is_definite = |error: &&ReadError| {
        matches!(
            error,
            ReadError::Authorization { .. }
                | ReadError::GroupType { .. }
                | ReadError::Authentication { .. }
        )
    };
    if let Some(error) = too_much(snapshot, reading) {
        return Some(error);
    }
    let group = snapshot.groups.get(&reading.id)?;
    let of_group = group.state.as_ref().err().into_iter().chain(
        group
            .committed
            .values()
            .filter_map(|known| known.as_ref().err()),
    );
    if let Some(error) = of_group.clone().find(is_definite) {
        return Some(error);
    }
    let topics = group.topics_for(&reading.topics).unwrap_or_default();
    topics
        .iter()
        .find_map(|topic| match snapshot.topics.get(topic) {
            Some(Topic::Unknown(error)) => Some(error).filter(is_definite),
            Some(Topic::Absent) if matches!(reading.topics, TopicSelection::Named(_)) => {
                Some(&ReadError::UnknownTopic)
            }
            _ => None,
        })
}

fn advice(error: &ReadError, reading: &GroupInterest) -> String {
    match (error, &reading.topics) {
        (ReadError::UnknownTopic, TopicSelection::Named(names)) => format!(
            "a topic of spec.topics ({}) does not exist: create it, or correct the name",
            names.join(", ")
        ),
        _ => error.to_string(),
    }
}

/// Why a cluster is not watched. A fault in a foreign cluster's servers is shown only to its owner
/// (SAFE-34).
pub(in crate::controller) fn unwatchable(resolved: &Resolved, error: WatchError) -> Problem {
    match (&resolved.cluster, &error) {
        (Some(cluster), WatchError::Connection(_)) if resolved.foreign => {
            unreadable_abroad(cluster, error.reason())
        }
        _ => error.into(),
    }
}

fn unreadable_abroad(cluster: &Name, reason: Reason) -> Problem {
    Problem::new(reason, abroad(cluster, reason))
}

/// The only text about a failure of a KafkaCluster that users other than its owner get (SAFE-34).
fn abroad(cluster: &Name, why: impl Display) -> String {
    format!("KafkaCluster {cluster} cannot be read ({why}): its owner finds more in its status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_a_foreign_cluster_are_shown_to_no_other_namespace() {
        let connection = Connection::plaintext(&["127.0.0.1:9092".to_owned()]).unwrap();
        let error: WatchError = connection.refuse_local_addresses().unwrap_err().into();
        let mut resolved = Resolved {
            connection,
            stale: None,
            interval: std::time::Duration::from_secs(15),
            cluster: Some(Name {
                namespace: "kafka".into(),
                name: "main".into(),
            }),
            foreign: true,
        };
        let problem = unwatchable(&resolved, error.clone());
        assert!(
            !problem.message.contains("127.0.0.1"),
            "{}",
            problem.message
        );
        assert!(
            problem.message.contains("kafka/main"),
            "{}",
            problem.message
        );
        resolved.foreign = false;
        assert!(unwatchable(&resolved, error).message.contains("127.0.0.1"));
    }
}
