//! Decides who may manage a target or group that several want (ACT-9, `docs/decisions/0014`). Keeps
//! the claims of ConsumerGroups on targets and groups, and the HorizontalPodAutoscalers on targets.
//! Pure bookkeeping: no client, no clock.

mod messages;
mod standing;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt as _;
use lagrange_core::api::{ConsumerGroup, Mode};
use lagrange_core::intent::{Intent, Source};

use super::kube::error::Problem;
use super::kube::name::{Name, TargetKey};
use messages::{by_autoscaler, by_group};
use standing::{Rank, Standing};

pub(super) use messages::beside;
pub(super) use standing::Progress;

/// The target and the group that one ConsumerGroup wants to manage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// The ConsumerGroup.
    pub(super) name: Name,
    /// The older claim goes first; of two from the same second, the one with the smaller uid.
    pub(super) age: (Timestamp, String),
    /// The workload that it scales.
    pub(super) target: TargetKey,
    /// The group id.
    pub(super) group_id: Arc<str>,
    /// The Kafka cluster of the group.
    pub(super) source: Source,
    /// Whether it acts. A claim that changes nothing (`mode: DryRun`) contests nothing.
    pub(super) acts: bool,
}

impl Claim {
    /// The claim of `group`; none while it cannot be managed as it is written.
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

/// Every claim, indexed by what it claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_name: BTreeMap<Name, Claim>,
    standings: BTreeMap<Name, Standing>,
    targets: BTreeMap<TargetKey, BTreeSet<Name>>,
    groups: BTreeMap<Arc<str>, BTreeSet<Name>>,
    clusters: BTreeMap<Name, BTreeSet<Name>>,
    autoscalers: BTreeMap<TargetKey, BTreeMap<Name, Autoscaler>>,
    autoscaled: BTreeMap<Name, TargetKey>,
}

/// The part of a HorizontalPodAutoscaler that is needed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Autoscaler {
    /// The ScaledObject that made it, if KEDA did.
    pub(super) scaled_object: Option<String>,
}

/// How two claims on the same group id of Kafka relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// They are on two different groups, as far as is known.
    Strangers,
    /// They are on one group, and one of the two has to wait.
    Rivals,
    /// They seem to be on one group, and neither namespace may block the other.
    Neighbours,
}

/// Whether a group may be managed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ruling {
    /// No other claim goes first: it has the turn.
    Turn {
        /// A ConsumerGroup of another namespace that manages the same group, too.
        neighbour: Option<Name>,
    },
    /// Another claim goes first.
    Contested(Contest),
    /// Another claim is tried first; that takes a moment.
    Soon {
        /// That claim.
        rival: Name,
    },
}

/// The claim that goes first, and the problem that the waiting one reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contest {
    pub(super) problem: Problem,
    /// The ConsumerGroup that goes first; for the log, whose reader may see all namespaces.
    pub(super) rival: Option<Name>,
    /// When the rival's turn ends, unless it recovers.
    pub(super) until: Option<Timestamp>,
}

impl Claims {
    /// Applies a new or changed `group`. Returns the other claims that this concerns: those that
    /// waited for its previous claim. A new claim takes no turn away, so making claims wakes
    /// nothing.
    pub(super) fn apply(&mut self, group: &ConsumerGroup) -> BTreeSet<Name> {
        let name = Name::of(group);
        let claim = Claim::of(group);
        if self.by_name.get(&name) == claim.as_ref() {
            return BTreeSet::new();
        }
        let concerned = self.remove(&name);
        if let Some(claim) = claim {
            let target = self.targets.entry(claim.target.clone()).or_default();
            target.insert(name.clone());
            let on_group = self.groups.entry(Arc::clone(&claim.group_id)).or_default();
            on_group.insert(name.clone());
            if let Some(cluster) = cluster_of(&claim) {
                self.clusters
                    .entry(cluster)
                    .or_default()
                    .insert(name.clone());
            }
            self.standings.insert(name.clone(), Standing::new(group));
            self.by_name.insert(name, claim);
        }
        concerned
    }

    /// Removes a group. Returns the other claims that this concerns.
    pub(super) fn remove(&mut self, name: &Name) -> BTreeSet<Name> {
        let Some(claim) = self.by_name.remove(name) else {
            return BTreeSet::new();
        };
        let managed = (self.standings.remove(name)).is_some_and(|standing| standing.manages());
        take(&mut self.targets, &claim.target, name);
        take(&mut self.groups, &claim.group_id, name);
        if let Some(cluster) = cluster_of(&claim) {
            take(&mut self.clusters, &cluster, name);
        }
        self.concerned(&claim, managed)
    }

    /// The claims that the removal or failure of `claim` concerns: those that wait for it and, if
    /// it `managed`, those of other namespaces that report it. Never all that contest the same
    /// target or group: they may be thousands, and users can create and delete claims quickly.
    fn concerned(&self, claim: &Claim, managed: bool) -> BTreeSet<Name> {
        let waits = |name: &&Name| {
            let standing = self.standings.get(*name);
            standing.and_then(|standing| standing.waits_for.as_ref()) == Some(&claim.name)
        };
        let is_reported = |name: &&Name| {
            managed
                && name.namespace != claim.name.namespace
                && self.standings.get(*name).is_some_and(Standing::manages)
        };
        let on_target = self.targets.get(&claim.target).into_iter().flatten();
        let on_group = self.groups.get(&claim.group_id).into_iter().flatten();
        let on_group = on_group.filter(|name| waits(name) || is_reported(name));
        on_target.filter(waits).chain(on_group).cloned().collect()
    }

    /// Applies a new or changed HorizontalPodAutoscaler. Returns the groups that this concerns.
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

    /// Removes a HorizontalPodAutoscaler. Returns the groups that this concerns.
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

    /// Whether `name` may manage what it claims. If it may, no claim that contests it may from now
    /// on. `relation` returns how two claims on one group id relate, with the asking one first.
    pub(super) fn ask(
        &mut self,
        name: &Name,
        now: Timestamp,
        relation: impl Fn(&Claim, &Claim) -> Relation,
    ) -> Ruling {
        let Some(mine) = self.by_name.get(name).filter(|claim| claim.acts) else {
            return Ruling::Turn { neighbour: None };
        };
        if let Some((hpa, autoscaler)) = self
            .autoscalers
            .get(&mine.target)
            .and_then(|there| there.iter().next())
        {
            let contest = Contest {
                problem: by_autoscaler(&mine.target, hpa, autoscaler),
                rival: None,
                until: None,
            };
            return Ruling::Contested(contest);
        }
        let rank = self.rank(name, now);
        let mut neighbour = None;
        let on_target = self.first(mine, rank, self.targets.get(&mine.target), now, |_| true);
        let first = on_target.map(|rival| (rival, true)).or_else(|| {
            let rivals = self.groups.get(&mine.group_id);
            let first = self.first(mine, rank, rivals, now, |other| {
                may_be_rivals(mine, other) && relation(mine, other) == Relation::Rivals
            });
            if first.is_none() {
                neighbour = self.neighbour(mine, &relation);
            }
            first.map(|rival| (rival, false))
        });
        let Some((rival, is_on_target)) = first else {
            if let Some(standing) = self.standings.get_mut(name) {
                standing.begin(now);
            }
            return Ruling::Turn { neighbour };
        };
        let theirs = self.standings.get(&rival.name);
        // Whether the rival can be managed is known in a moment; until then it is not reported as
        // managing.
        let has_managed = theirs.is_some_and(|theirs| theirs.has_managed(now));
        let is_soon = match self.rank(&rival.name, now) {
            Rank::Turn => matches!(rank, Rank::Lapsed | Rank::Failed) && !has_managed,
            Rank::Former | Rank::Lapsed | Rank::Untried | Rank::Failed => true,
        };
        let ruling = if is_soon {
            let rival = rival.name.clone();
            Ruling::Soon { rival }
        } else {
            Ruling::Contested(Contest {
                problem: by_group(mine, rival, theirs, is_on_target),
                rival: Some(rival.name.clone()),
                until: theirs.and_then(Standing::ends),
            })
        };
        let rival = rival.name.clone();
        if let Some(standing) = self.standings.get_mut(name) {
            standing.wait(rival, has_managed, now);
        }
        ruling
    }

    /// Notes the progress of `name`. Returns the other claims that this concerns.
    pub(super) fn note(
        &mut self,
        name: &Name,
        progress: Progress,
        now: Timestamp,
    ) -> BTreeSet<Name> {
        let Some(standing) = self.standings.get_mut(name) else {
            return BTreeSet::new();
        };
        let managed = standing.manages();
        let concerns = standing.note(progress, now);
        let claim = self.by_name.get(name).filter(|_| concerns);
        claim.map_or_else(BTreeSet::new, |claim| self.concerned(claim, managed))
    }

    /// Whether `name` may act: it may manage, and its turn has not ended since it asked.
    pub(super) fn has_turn(&self, name: &Name, now: Timestamp) -> bool {
        self.standings
            .get(name)
            .is_some_and(|standing| standing.has_turn(now))
    }

    fn has_just_failed(&self, name: &Name, now: Timestamp) -> bool {
        self.standings
            .get(name)
            .is_some_and(|standing| standing.has_just_failed(now))
    }

    fn rank(&self, name: &Name, now: Timestamp) -> Rank {
        self.standings
            .get(name)
            .map_or(Rank::Failed, |standing| standing.rank(now))
    }

    /// The first of the claims that go before `mine`. A claim that cannot be managed goes before no
    /// other, and neither does one that waits for a third.
    fn first(
        &self,
        mine: &Claim,
        rank: Rank,
        names: Option<&BTreeSet<Name>>,
        now: Timestamp,
        counts: impl Fn(&Claim) -> bool,
    ) -> Option<&Claim> {
        let waits = |name: &Name| {
            let standing = self.standings.get(name);
            standing
                .and_then(|standing| standing.waits_for.as_ref())
                .is_some_and(|other| *other != mine.name && self.has_turn(other, now))
        };
        let place = |claim: &Claim| {
            let theirs = self.rank(&claim.name, now);
            let goes_before = match theirs {
                Rank::Turn | Rank::Former => true,
                Rank::Lapsed => !self.has_just_failed(&claim.name, now),
                Rank::Untried => !waits(&claim.name),
                Rank::Failed => false,
            };
            goes_before.then(|| (theirs, claim.age.clone()))
        };
        let here = (rank, mine.age.clone());
        let others = names
            .into_iter()
            .flatten()
            .filter(|name| **name != mine.name)
            .filter_map(|name| self.by_name.get(name));
        others
            .filter(|other| other.acts)
            .filter_map(|other| Some((place(other)?, other)))
            .filter(|(place, other)| *place < here && counts(other))
            .min_by(|(a, _), (b, _)| a.cmp(b))
            .map(|(_, other)| other)
    }

    /// A claim of another namespace that manages what seems to be the same group.
    fn neighbour(
        &self,
        mine: &Claim,
        relation: &impl Fn(&Claim, &Claim) -> Relation,
    ) -> Option<Name> {
        let names = self.groups.get(&mine.group_id).into_iter().flatten();
        names
            .filter(|name| name.namespace != mine.name.namespace)
            .filter(|name| self.standings.get(*name).is_some_and(Standing::manages))
            .filter_map(|name| self.by_name.get(name))
            .find(|other| other.acts && relation(mine, other) == Relation::Neighbours)
            .map(|other| other.name.clone())
    }
}

/// Whether two claims on one group id can contest each other at all: in two namespaces, only if
/// both use one KafkaCluster. Checked first, because it is cheap even if the same group id is
/// claimed a thousand times.
fn may_be_rivals(mine: &Claim, other: &Claim) -> bool {
    mine.name.namespace == other.name.namespace
        || matches!(mine.source, Source::Cluster { .. }) && mine.source == other.source
}

/// The KafkaCluster that a claim names.
pub(super) fn cluster_of(claim: &Claim) -> Option<Name> {
    match &claim.source {
        Source::Cluster { namespace, name } => Some(Name::new(namespace, name)),
        Source::Inline(_) => None,
    }
}

/// Removes `name` from the set at `key`.
fn take<K: Ord>(map: &mut BTreeMap<K, BTreeSet<Name>>, key: &K, name: &Name) {
    if let Some(names) = map.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
