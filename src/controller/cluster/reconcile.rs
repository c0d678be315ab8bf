//! The pipeline for one KafkaCluster: has it polled, and reports in its status whether it answers
//! and how many groups use it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use kube::{
    Resource as _, ResourceExt as _,
    api::{Patch, PatchParams, Request},
    runtime::controller,
};
use lagrange_core::api::condition::Reason;
use lagrange_core::api::{KafkaCluster, NamespacesFrom};
use lagrange_core::intent::Plan;
use serde_json::json;

use super::status::{self, ConnectionState, Seen};
use crate::controller::context::Context;
use crate::controller::kafka::credentials::Chosen;
use crate::controller::kafka::port::Watching;
use crate::controller::kafka::source;
use crate::controller::kube::answers;
use crate::controller::kube::error::{Error, Problem};
use crate::controller::kube::event::REPORTER;
use crate::controller::kube::event::throttle::EventThrottle;
use crate::controller::kube::name::Name;
use crate::controller::status::group::merge_patch;
use crate::credentials::{self, Unusable};
use crate::kafka::connection::Connection;
use crate::kafka::model::interest::{Interest, Key};
use crate::kafka::model::snapshot::Snapshot;
use crate::sync::lock;

/// A cluster that does not answer is reported after this time and two polls (KNOW-16).
const LASTING: SignedDuration = SignedDuration::from_secs(20);

/// What this process remembers of each KafkaCluster.
#[derive(Debug, Default)]
pub(in crate::controller) struct Clusters(Mutex<BTreeMap<Name, Arc<tokio::sync::Mutex<Followed>>>>);

impl Clusters {
    fn of(&self, name: &Name) -> Arc<tokio::sync::Mutex<Followed>> {
        Arc::clone(lock(&self.0).entry(name.clone()).or_default())
    }
}

/// One cluster.
#[derive(Debug, Default)]
pub(in crate::controller) struct Followed {
    watch: Option<(Connection, Duration, Box<dyn Watching>)>,
    /// Since when it does not answer, and the number of the first poll that failed.
    failing: Option<(Timestamp, u64)>,
    /// The state of the connection that was last written.
    reported: Option<ConnectionState>,
    throttle: EventThrottle,
    failures: u32,
}

/// What all reconciliations of clusters share.
pub(in crate::controller) struct Shared {
    pub(in crate::controller) context: Arc<Context>,
    pub(in crate::controller) clusters: Clusters,
}

impl Shared {
    /// Removes everything that is kept of a deleted cluster.
    pub(in crate::controller) fn forget(&self, name: &Name) {
        lock(&self.clusters.0).remove(name);
        let key = Key::kafka_cluster(&name.namespace, &name.name);
        self.context.secrets.release(&key);
    }
}

/// Brings one cluster's status up to date.
pub(in crate::controller) async fn reconcile(
    cluster: Arc<KafkaCluster>,
    shared: Arc<Shared>,
) -> Result<controller::Action, Error> {
    let context = &shared.context;
    let name = Name::of(&*cluster);
    let followed = shared.clusters.of(&name);
    let mut followed = followed.lock().await;
    let stored = cluster.status.clone().unwrap_or_default();
    let now = context.clock.now();
    let (state, snapshot) = match follow(context, &name, &cluster, &mut followed) {
        Ok((snapshot, stale)) => {
            let state = state(now, &mut followed, snapshot.as_deref(), stale);
            (state, snapshot)
        }
        Err(problem) => {
            followed.watch = None;
            (Some(ConnectionState::Failed(problem)), None)
        }
    };
    let seen = Seen {
        now,
        generation: cluster.metadata.generation,
        state: state.as_ref(),
        snapshot: snapshot.as_deref(),
        limits: limits(context, &cluster),
        users: users(context, &name),
    };
    let next = status::status(&seen, &stored);
    if let Some(change) = merge_patch(&json!(stored), &json!(next)) {
        let patch = Patch::Merge(json!({
            "metadata": { "resourceVersion": cluster.resource_version(), "uid": cluster.uid() },
            "status": change,
        }));
        let requests = Request::new(KafkaCluster::url_path(&(), Some(&name.namespace)));
        let parameters = PatchParams {
            field_manager: Some(REPORTER.to_owned()),
            ..PatchParams::default()
        };
        let request = requests.patch_subresource("status", &name.name, &parameters, &patch);
        let request = request.map_err(kube::Error::BuildRequest);
        let written = async { answers::nothing(&context.api.server, request?).await };
        match context
            .api
            .write("status", "write the status", written)
            .await
        {
            Ok(()) => {
                let stored = || {
                    state
                        .as_ref()
                        .and_then(|now| status::stored(&stored, &next, now))
                };
                let before = followed.reported.take().or_else(stored);
                if let Some(note) = state.as_ref().and_then(|now| now.turned(before.as_ref())) {
                    (context.events)
                        .write(&mut followed.throttle, &*cluster, None, note)
                        .await;
                }
                followed.reported = state.or(before);
            }
            // Another write has come first, perhaps this process's own, and the watch has not
            // delivered it yet.
            Err(error) if error.is(409) => {}
            Err(error) => {
                followed.failures = followed.failures.saturating_add(1);
                return Err(error);
            }
        }
    } else if state.is_some() {
        followed.reported = state;
    }
    followed.failures = 0;
    Ok(controller::Action::requeue(Duration::from_mins(1)))
}

/// The latest snapshot, and why the present resource and Secrets are not used, if they are not.
type Followup = (Option<Arc<Snapshot>>, Option<Unusable>);

/// Has the cluster polled.
fn follow(
    context: &Context,
    name: &Name,
    cluster: &KafkaCluster,
    followed: &mut Followed,
) -> Result<Followup, Problem> {
    if let Some(why) = lock(&context.seen.unreadable_clusters).get(name) {
        return Err(Problem::unreadable_spec(why));
    }
    let plan = Plan::of_cluster(&cluster.spec)?;
    let user = Key::kafka_cluster(&name.namespace, &name.name);
    let now = context.clock.now();
    let before = followed.watch.as_ref().map(|(before, ..)| before);
    let chosen = (context.secrets).choose(&name.namespace, &plan, &user, before, now);
    let Some(Chosen { connection, stale }) = chosen? else {
        return Ok((None, None));
    };
    let identity = credentials::identity(&plan, &name.namespace);
    let interval = cluster.spec.poll_interval.as_std();
    let interest = Interest {
        was_refused: false,
        interval,
        group: None,
    };
    match &mut followed.watch {
        Some((same, before, watch)) if same.identity() == identity => {
            if *same != connection {
                watch.renew(&connection);
                *same = connection;
            }
            if *before != interval {
                watch.update(interest);
                *before = interval;
            }
        }
        _ => {
            followed.watch = None;
            followed.failing = None;
            let watch = context.kafka.watch(&connection, user.clone(), interest);
            let watch = watch.inspect_err(|_| context.secrets.unmake(&user))?;
            followed.watch = Some((connection, interval, watch));
        }
    }
    let snapshot = followed
        .watch
        .as_ref()
        .and_then(|(_, _, watch)| watch.latest());
    if let Some(snapshot) = &snapshot {
        context.note_cluster_id(&identity, snapshot.cluster_id.as_ref());
    }
    Ok((snapshot, stale))
}

/// The state of the connection after the latest poll; `None`: unchanged.
fn state(
    now: Timestamp,
    followed: &mut Followed,
    snapshot: Option<&Snapshot>,
    stale: Option<Unusable>,
) -> Option<ConnectionState> {
    let snapshot = snapshot?;
    let Some(error) = &snapshot.error else {
        followed.failing = None;
        let renewal = snapshot.renewal.as_ref().map(ToString::to_string);
        let stale = stale.map(|unusable| unusable.to_string()).or(renewal);
        return Some(stale.map_or(ConnectionState::Ok, ConnectionState::Stale));
    };
    let (since, poll) = *followed.failing.get_or_insert((now, snapshot.poll));
    let lasts =
        source::is_refusal(error) || snapshot.poll > poll && now.duration_since(since) >= LASTING;
    let reason = error.reason();
    lasts.then(|| {
        ConnectionState::Failed(match stale {
            // The refusal of the previous credentials explains less.
            Some(unusable) if reason == Reason::AuthenticationFailed => unusable.into(),
            _ => Problem::new(reason, error.to_string()),
        })
    })
}

/// What this installation cannot do for the cluster.
fn limits(context: &Context, cluster: &KafkaCluster) -> Option<&'static str> {
    let selects = cluster.spec.allowed_namespaces.from == NamespacesFrom::Selector;
    (selects && !context.settings.namespaces.is_empty()).then_some(
        "allowedNamespaces.from: Selector needs an installation that watches all namespaces; here only this namespace may use the cluster",
    )
}

/// ConsumerGroups that refer to the cluster and may use it.
fn users(context: &Context, name: &Name) -> i32 {
    let claims: Vec<_> = lock(&context.seen.claims)
        .on_cluster(name)
        .cloned()
        .collect();
    let allowed = claims
        .iter()
        .filter(|claim| source::is_allowed(context, claim));
    i32::try_from(allowed.count()).unwrap_or(i32::MAX)
}

/// When to try again after an error of the API server.
#[expect(clippy::needless_pass_by_value, reason = "called so by the scheduler")]
pub(in crate::controller) fn error_policy(
    cluster: Arc<KafkaCluster>,
    error: &Error,
    shared: Arc<Shared>,
) -> controller::Action {
    shared.context.metrics.reconcile_error(error.category());
    let followed = shared.clusters.of(&Name::of(&*cluster));
    let failures = followed.try_lock().map_or(1, |followed| followed.failures);
    tracing::warn!(cluster = %Name::of(&*cluster), failures, "{error}");
    controller::Action::requeue(Duration::from_secs(1 << failures.min(6)))
}
