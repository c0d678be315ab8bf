//! Takes the Lease, renews it, and releases it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::leadership::Leadership;
use super::lease::{self, Observed, Step, Timing};
use crate::clock::Clock;
use crate::controller::kube::answers::ApiServer;
use crate::controller::kube::api::Api;
use crate::controller::kube::error::Error;
use crate::metrics::Metrics;
use crate::process::readiness::Gate;
use crate::sync::lock;

/// The longest pause after a renewal that failed. A lost answer must not cost much of the deadline.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a candidate is started with.
#[expect(missing_debug_implementations, reason = "a client has none")]
pub struct Election {
    /// The client of the API server.
    pub client: kube::Client,
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// The name of this process; no other process may have it, not even the next one in this Pod.
    pub identity: String,
    /// Durations.
    pub timing: Timing,
    /// For the times that people read in the Lease.
    pub clock: Clock,
    /// Open while the Lease can be read and written.
    pub gate: Gate,
    /// Counts the writes.
    pub metrics: Metrics,
}

/// A process that may become the leader. Clones are the same candidate.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a client has none")]
pub struct Candidate {
    api: Api,
    leases: kube::Api<Lease>,
    /// `namespace/name`.
    path: Arc<str>,
    name: Arc<str>,
    identity: Arc<str>,
    timing: Timing,
    clock: Clock,
    gate: Gate,
    leadership: Leadership,
    /// The Lease as this process last wrote it, while it holds it.
    held: Arc<Mutex<Option<Lease>>>,
}

/// Why a leader has to end.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another process holds the Lease.
    #[error(
        "the Lease {path} is held by {holder}: this process ends, and starts again as a stand-by"
    )]
    ToAnother {
        /// `namespace/name` of the Lease.
        path: String,
        /// The holder, or "nobody".
        holder: String,
    },
    /// The Lease could not be renewed in time.
    #[error(
        "could not renew the Lease {path} within {} s ({cause}): this process ends, and starts again as a stand-by",
        within.as_secs_f64()
    )]
    NotRenewed {
        /// `namespace/name` of the Lease.
        path: String,
        /// The renew deadline.
        within: Duration,
        /// The last error.
        cause: String,
    },
}

/// The result of a try to take the Lease.
enum Tried {
    /// This process holds it; with the time before the write was sent.
    Taken(Instant),
    /// Another process does, or did until a moment ago.
    Held(Option<String>),
}

impl Candidate {
    /// A candidate that does not lead yet.
    pub fn new(election: Election) -> Self {
        let Election {
            client,
            namespace,
            name,
            identity,
            timing,
            clock,
            gate,
            metrics,
        } = election;
        Self {
            path: format!("{namespace}/{name}").into(),
            leases: kube::Api::namespaced(client.clone(), &namespace),
            api: Api {
                server: ApiServer::new(client),
                // One call that hangs must leave time for another.
                within: timing.renew_deadline / 2,
                metrics,
                leadership: Leadership::unlimited(),
            },
            name: name.into(),
            identity: identity.into(),
            timing,
            clock,
            gate,
            leadership: Leadership::none(),
            held: Arc::default(),
        }
    }

    /// Whether this process leads; changes with time.
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits for the Lease and renews it, until the process stops (`Ok`) or loses it.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Lost> {
        let Some(since) = stop.run_until_cancelled(self.take()).await else {
            return Ok(());
        };
        self.api.metrics.leads(true);
        info!(lease = %self.path, identity = %self.identity, "became the leader");
        match stop.run_until_cancelled(self.keep(since)).await {
            None => Ok(()),
            Some(lost) => {
                self.leadership.end();
                self.api.metrics.leads(false);
                *lock(&self.held) = None;
                Err(lost)
            }
        }
    }

    /// Gives the Lease away, so that another process may take it at once. Call it when nothing of
    /// this process can write any more.
    pub async fn release(&self) {
        self.leadership.end();
        let Some(held) = lock(&self.held).take() else {
            return;
        };
        let released = match self.write_released(held).await {
            // A renewal that was under way when the process was stopped has had its effect.
            Err(error) if error.is(409) => self.release_again(error).await,
            other => other,
        };
        match released {
            Ok(()) => info!(lease = %self.path, "released the Lease"),
            Err(error) => warn!(lease = %self.path, %error, "could not release the Lease"),
        }
    }

    /// Releases the Lease as it is now, if this process still holds it.
    async fn release_again(&self, refused: Error) -> Result<(), Error> {
        match self.read().await? {
            Some(lease) if self.holds(&lease) => self.write_released(lease).await,
            _ => Err(refused),
        }
    }

    async fn write_released(&self, mut held: Lease) -> Result<(), Error> {
        let now = self.clock.now();
        held.spec = held.spec.map(|spec| lease::released(spec, now));
        self.write("release the Lease", &held).await.map(drop)
    }

    fn holds(&self, lease: &Lease) -> bool {
        lease.spec.as_ref().and_then(lease::holder) == Some(&*self.identity)
    }

    /// Waits until the Lease can be taken, and takes it. Returns the time before the write.
    async fn take(&self) -> Instant {
        let mut observed = None;
        let mut held_by: Option<Option<String>> = None;
        let mut failing: Option<&'static str> = None;
        loop {
            match self.try_to_take(&mut observed).await {
                Ok(Tried::Taken(since)) => {
                    self.gate.open();
                    return since;
                }
                Ok(Tried::Held(holder)) => {
                    self.gate.open();
                    failing = None;
                    if held_by.as_ref() != Some(&holder) {
                        let holder = holder.as_deref().unwrap_or("nobody");
                        info!(lease = %self.path, holder, "standing by");
                    }
                    held_by = Some(holder);
                }
                Err(error) => {
                    // Once for each kind of error, and not at each try.
                    if failing.replace(error.category()) != Some(error.category()) {
                        warn!(lease = %self.path, %error, "cannot take the Lease");
                    }
                    self.gate.close(self.advice(&error));
                }
            }
            sleep(jittered(self.timing.retry_period)).await;
        }
    }

    async fn try_to_take(&self, observed: &mut Option<Observed>) -> Result<Tried, Error> {
        let read = self.read().await?;
        let spec = read.as_ref().and_then(|lease| lease.spec.as_ref());
        let own = self.timing.lease_duration;
        let step = lease::step(observed, spec, own, Instant::now());
        // Its own already, if a write had its effect and the answer was lost.
        let is_own = read.as_ref().is_some_and(|lease| self.holds(lease));
        if let Step::Wait { holder } = step
            && !is_own
        {
            return Ok(Tried::Held(holder));
        }
        let before = read.unwrap_or_default();
        let since = Instant::now();
        let clocks = (self.clock.now(), since);
        let ahead = lease::ahead_of_holder(observed.as_ref(), self.timing.retry_period, clocks);
        match self.write_own(before).await {
            Ok(()) => {
                if let Some(ahead) = ahead {
                    let seconds = ahead.as_secs();
                    warn!(lease = %self.path, seconds, "this clock is ahead of the last leader's");
                    self.leadership.set_ahead_of_predecessor(ahead);
                }
                self.leadership.renew(since + self.timing.renew_deadline);
                Ok(Tried::Taken(since))
            }
            // Another candidate was faster. It is seen at the next try.
            Err(error) if error.is(409) => Ok(Tried::Held(None)),
            Err(error) => Err(error),
        }
    }

    /// Renews the Lease until that fails. Returns why.
    async fn keep(&self, since: Instant) -> Lost {
        let mut since = since;
        loop {
            sleep(self.timing.retry_period).await;
            let deadline = since + self.timing.renew_deadline;
            let mut last = None;
            let renewed = timeout_at(deadline, self.renew(&mut last)).await;
            since = match renewed {
                Ok(Ok(sent)) => sent,
                Ok(Err(lost)) => return lost,
                Err(_) => {
                    let cause = last.map_or("no answer".to_owned(), |error| error.to_string());
                    return Lost::NotRenewed {
                        path: self.path.to_string(),
                        within: self.timing.renew_deadline,
                        cause,
                    };
                }
            };
            self.leadership.renew(since + self.timing.renew_deadline);
        }
    }

    /// Renews the Lease once; tries again for as long as it is polled. Returns the time before the
    /// write that succeeded. `last` is the last error.
    async fn renew(&self, last: &mut Option<Error>) -> Result<Instant, Lost> {
        loop {
            let since = Instant::now();
            let held = lock(&self.held).clone().unwrap_or_default();
            let error = match self.write_own(held).await {
                Ok(()) => return Ok(since),
                Err(error) => error,
            };
            // Somebody wrote or deleted the Lease, or a write whose answer was lost had its effect.
            let is_changed = error.is(409) || error.is(404);
            if last.is_none() {
                warn!(lease = %self.path, %error, "the Lease is not renewed yet");
            }
            *last = Some(error);
            if is_changed && let Ok(read) = self.read().await {
                if let Some(lease) = &read
                    && !self.holds(lease)
                {
                    let holder = lease.spec.as_ref().and_then(lease::holder);
                    return Err(Lost::ToAnother {
                        path: self.path.to_string(),
                        holder: holder.unwrap_or("nobody").to_owned(),
                    });
                }
                // One that was deleted is created again.
                *lock(&self.held) = read;
                continue;
            }
            sleep(self.timing.retry_period.min(LONGEST_PAUSE)).await;
        }
    }

    /// Writes this process into the Lease: creates it, takes it or renews it. The resourceVersion
    /// of `before` refuses the write if somebody else was faster.
    async fn write_own(&self, before: Lease) -> Result<(), Error> {
        let Lease { metadata, spec } = before;
        let spec = spec.unwrap_or_default();
        let (lease, now) = (self.timing.lease_duration, self.clock.now());
        let spec = if lease::holder(&spec) == Some(&*self.identity) {
            lease::renewed(spec, lease, now)
        } else {
            lease::taken(spec, &self.identity, lease, now)
        };
        let own = Lease {
            metadata,
            spec: Some(spec),
        };
        let written = if own.metadata.resource_version.is_none() {
            let own = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.to_string()),
                    ..ObjectMeta::default()
                },
                ..own
            };
            let parameters = PostParams::default();
            let create = self.leases.create(&parameters, &own);
            self.api.write("lease", "create the Lease", create).await?
        } else {
            self.write("write the Lease", &own).await?
        };
        *lock(&self.held) = Some(written);
        Ok(())
    }

    async fn write(&self, call: &'static str, lease: &Lease) -> Result<Lease, Error> {
        let parameters = PostParams::default();
        let replace = self.leases.replace(&self.name, &parameters, lease);
        self.api.write("lease", call, replace).await
    }

    async fn read(&self) -> Result<Option<Lease>, Error> {
        let get = self.leases.get_opt(&self.name);
        self.api.read("read the Lease", get).await
    }

    /// For `/readyz`.
    fn advice(&self, error: &Error) -> String {
        let path = &self.path;
        if error.is(403) {
            return format!(
                "{error}: grant the operator's account create, get and update on the Lease {path}"
            );
        }
        format!("Lease {path}: {error}")
    }
}

/// Candidates that start together must not try together.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(0.9 + fastrand::f64() * 0.2)
}
