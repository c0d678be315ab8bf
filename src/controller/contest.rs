//! Who may manage what when several want to (decision 9): claims of ConsumerGroups on targets and groups, and the
//! HorizontalPodAutoscalers on them. Pure bookkeeping: no client, no clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt as _;

use crate::{
    api::{ConsumerGroup, Mode, condition::reasons},
    intent::{Intent, Source},
};

use super::{
    error::Problem,
    name::{Name, TargetKey},
};

/// What one ConsumerGroup wants to manage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// The ConsumerGroup.
    pub(super) name: Name,
    /// The older one wins; of two of the same second, the smaller uid.
    pub(super) age: (Timestamp, String),
    /// What it scales.
    pub(super) target: TargetKey,
    /// The group id.
    pub(super) group_id: Arc<str>,
    /// Where the group is.
    pub(super) source: Source,
    /// Whether it acts. What changes nothing (`mode: DryRun`) contests nothing.
    pub(super) acts: bool,
}

impl Claim {
    /// What `group` claims; nothing while it cannot be managed as it is written.
    pub(super) fn of(group: &ConsumerGroup) -> Option<Self> {
        let intent = Intent::of(group).ok()?;
        let namespace = group.namespace().unwrap_or_default();
        let created = group
            .creation_timestamp()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        Some(Self {
            name: Name::of(group),
            age: (created, group.uid().unwrap_or_default()),
            target: TargetKey::of(&intent.target, &namespace),
            group_id: intent.reading.id,
            source: intent.source,
            acts: intent.mode == Mode::Auto,
        })
    }
}

/// Every claim, found by what it is on.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_name: BTreeMap<Name, Claim>,
    targets: BTreeMap<TargetKey, BTreeSet<Name>>,
    groups: BTreeMap<Arc<str>, BTreeSet<Name>>,
    clusters: BTreeMap<Name, BTreeSet<Name>>,
    autoscalers: BTreeMap<TargetKey, BTreeMap<Name, Autoscaler>>,
    autoscaled: BTreeMap<Name, TargetKey>,
}

/// A HorizontalPodAutoscaler, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Autoscaler {
    /// The ScaledObject that made it, if KEDA did.
    pub(super) scaled_object: Option<String>,
}

impl Claims {
    /// `group` is there, perhaps changed. Says which others that concerns.
    pub(super) fn apply(&mut self, group: &ConsumerGroup) -> BTreeSet<Name> {
        let name = Name::of(group);
        let claim = Claim::of(group);
        if self.by_name.get(&name) == claim.as_ref() {
            return BTreeSet::new();
        }
        let mut concerned = self.remove(&name);
        if let Some(claim) = claim {
            let all = [
                self.targets.entry(claim.target.clone()).or_default(),
                self.groups.entry(Arc::clone(&claim.group_id)).or_default(),
            ];
            for names in all {
                names.insert(name.clone());
                concerned.extend(names.iter().cloned());
            }
            if let Some(cluster) = cluster_of(&claim) {
                self.clusters
                    .entry(cluster)
                    .or_default()
                    .insert(name.clone());
            }
            self.by_name.insert(name.clone(), claim);
        }
        concerned.remove(&name);
        concerned
    }

    /// The group is gone. Says which others that concerns.
    pub(super) fn remove(&mut self, name: &Name) -> BTreeSet<Name> {
        let Some(claim) = self.by_name.remove(name) else {
            return BTreeSet::new();
        };
        let mut concerned = take(&mut self.targets, &claim.target, name);
        concerned.append(&mut take(&mut self.groups, &claim.group_id, name));
        if let Some(cluster) = cluster_of(&claim) {
            take(&mut self.clusters, &cluster, name);
        }
        concerned
    }

    /// A HorizontalPodAutoscaler is there, perhaps changed. Says which groups that concerns.
    pub(super) fn apply_autoscaler(&mut self, hpa: &HorizontalPodAutoscaler) -> BTreeSet<Name> {
        let name = Name::of(hpa);
        let mut concerned = self.remove_autoscaler(&name);
        let Some(spec) = &hpa.spec else {
            return concerned;
        };
        let reference = &spec.scale_target_ref;
        let api_version = reference.api_version.as_deref().unwrap_or_default();
        let target = TargetKey::new(
            &name.namespace,
            api_version,
            &reference.kind,
            &reference.name,
        );
        let scaled_object = hpa
            .owner_references()
            .iter()
            .find(|owner| owner.kind == "ScaledObject")
            .map(|owner| owner.name.clone());
        self.autoscalers
            .entry(target.clone())
            .or_default()
            .insert(name.clone(), Autoscaler { scaled_object });
        concerned.extend(self.on_target(&target));
        self.autoscaled.insert(name, target);
        concerned
    }

    /// The HorizontalPodAutoscaler is gone. Says which groups that concerns.
    pub(super) fn remove_autoscaler(&mut self, name: &Name) -> BTreeSet<Name> {
        let Some(target) = self.autoscaled.remove(name) else {
            return BTreeSet::new();
        };
        if let Some(there) = self.autoscalers.get_mut(&target) {
            there.remove(name);
            if there.is_empty() {
                self.autoscalers.remove(&target);
            }
        }
        self.on_target(&target)
    }

    /// The groups that want to manage this target.
    pub(super) fn on_target(&self, target: &TargetKey) -> BTreeSet<Name> {
        self.targets.get(target).cloned().unwrap_or_default()
    }

    /// The groups that refer to this KafkaCluster, allowed or not.
    pub(super) fn on_cluster(&self, cluster: &Name) -> impl Iterator<Item = &Claim> {
        let names = self.clusters.get(cluster).into_iter().flatten();
        names.filter_map(|name| self.by_name.get(name))
    }

    /// All groups that have a claim.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.by_name.keys()
    }

    /// What keeps `name` from managing what it claims, if anything. `same_cluster` says whether two sources are one Kafka
    /// cluster that both may use.
    pub(super) fn verdict(
        &self,
        name: &Name,
        same_cluster: impl Fn(&Claim, &Claim) -> bool,
    ) -> Option<Problem> {
        let mine = self.by_name.get(name).filter(|claim| claim.acts)?;
        if let Some((hpa, autoscaler)) = self
            .autoscalers
            .get(&mine.target)
            .and_then(|there| there.iter().next())
        {
            return Some(by_autoscaler(&mine.target, hpa, autoscaler));
        }
        if let Some(winner) = self.oldest(mine, self.targets.get(&mine.target), |_| true) {
            return Some(Problem::new(
                reasons::TARGET_CONTESTED,
                format!(
                    "ConsumerGroup {} is older and manages {}: delete one of the two; this one takes over when that one goes",
                    winner.name, mine.target
                ),
            ));
        }
        let rivals = self.groups.get(&mine.group_id);
        let winner = self.oldest(mine, rivals, |other| same_cluster(mine, other))?;
        // Whose group it is stays hidden from other namespaces (decision 34).
        let who = if winner.name.namespace == mine.name.namespace {
            format!("ConsumerGroup {}", winner.name)
        } else {
            "a ConsumerGroup of another namespace".to_owned()
        };
        Some(Problem::new(
            reasons::GROUP_CONTESTED,
            format!(
                "{who} is older and manages group {} of the same Kafka cluster: delete one of the two; this one takes over when that one goes",
                mine.group_id
            ),
        ))
    }

    fn oldest(
        &self,
        mine: &Claim,
        names: Option<&BTreeSet<Name>>,
        counts: impl Fn(&Claim) -> bool,
    ) -> Option<&Claim> {
        let others = names
            .into_iter()
            .flatten()
            .filter_map(|name| self.by_name.get(name));
        others
            .filter(|other| other.acts && other.age < mine.age && counts(other))
            .min_by(|a, b| a.age.cmp(&b.age))
    }
}

fn by_autoscaler(target: &TargetKey, hpa: &Name, autoscaler: &Autoscaler) -> Problem {
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
    Problem::new(reasons::TARGET_CONTESTED, message)
}

fn cluster_of(claim: &Claim) -> Option<Name> {
    match &claim.source {
        Source::Cluster { namespace, name } => Some(Name::new(namespace, name)),
        Source::Inline(_) => None,
    }
}

/// Takes `name` out of the set at `key`; what is left there is concerned.
fn take<K: Ord + Clone>(
    map: &mut BTreeMap<K, BTreeSet<Name>>,
    key: &K,
    name: &Name,
) -> BTreeSet<Name> {
    let Some(names) = map.get_mut(key) else {
        return BTreeSet::new();
    };
    names.remove(name);
    if names.is_empty() {
        map.remove(key);
        return BTreeSet::new();
    }
    names.clone()
}

#[cfg(test)]
mod tests;
