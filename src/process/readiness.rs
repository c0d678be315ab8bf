//! Readiness and liveness of the process. Neither depends on Kafka: a restart does not repair a
//! broker.
//!
//! The process is ready when all gates are open: everything that it needs is there. The gates are
//! fixed at start, so that a part that never starts is reported too. The process is alive while its
//! tasks make progress. Liveness does not depend on the gates: restarting the operator does not
//! create a missing resource definition.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Interval of the heartbeat of the task runtime.
const PULSE: Duration = Duration::from_secs(5);

/// Registers the gates. No gate can be added after [`Self::build`].
#[derive(Debug, Default)]
pub struct ReadinessBuilder {
    gates: Vec<Gate>,
}

impl ReadinessBuilder {
    /// Adds a gate, closed at first. `/readyz` shows its `name` while it is closed, such as "watch
    /// of ConsumerGroups".
    pub fn gate(&mut self, name: &'static str) -> Gate {
        let gate = Gate {
            name,
            state: Arc::new(Mutex::new(GateState::Closed { detail: None })),
        };
        self.gates.push(gate.clone());
        gate
    }

    /// Returns what `/readyz` checks.
    pub fn build(self) -> Readiness {
        Readiness {
            gates: self.gates.into(),
        }
    }
}

/// One condition of readiness. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    name: &'static str,
    state: Arc<Mutex<GateState>>,
}

#[derive(Debug)]
enum GateState {
    Open,
    Closed { detail: Option<String> },
}

impl Gate {
    /// The condition is met.
    pub fn open(&self) {
        self.set(GateState::Open);
    }

    /// The condition is not, or no longer, met; `detail` says what to do about it.
    pub fn close(&self, detail: impl Into<String>) {
        self.set(GateState::Closed {
            detail: Some(detail.into()),
        });
    }

    fn set(&self, state: GateState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn missing(&self) -> Option<String> {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            GateState::Open => None,
            GateState::Closed { detail: None } => Some(self.name.to_owned()),
            GateState::Closed {
                detail: Some(detail),
            } => Some(format!("{} ({detail})", self.name)),
        }
    }
}

/// All gates of the process.
#[derive(Clone, Debug)]
pub struct Readiness {
    gates: Arc<[Gate]>,
}

impl Readiness {
    /// `Ok` when every gate is open, else the names of the closed ones in the order of their
    /// registration.
    pub fn check(&self) -> Result<(), NotReady> {
        let missing: Vec<_> = self.gates.iter().filter_map(Gate::missing).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(NotReady { missing })
        }
    }
}

/// The gates that are closed.
#[derive(Debug, thiserror::Error)]
#[error("waiting for: {}", missing.join(", "))]
pub struct NotReady {
    missing: Vec<String>,
}

/// The heartbeats that `/healthz` checks.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    hearts: Arc<Mutex<Vec<Heartbeat>>>,
}

impl Liveness {
    /// Registers a loop that has to call [`Heartbeat::beat`] at least every `within`, from now on.
    pub fn heartbeat(&self, name: &'static str, within: Duration) -> Heartbeat {
        let heart = Heartbeat {
            name,
            within,
            last: Arc::new(Mutex::new(Instant::now())),
        };
        let mut hearts = self.hearts.lock().unwrap_or_else(PoisonError::into_inner);
        hearts.push(heart.clone());
        heart
    }

    /// A loop that only beats. It stops when the tasks of its runtime no longer run.
    pub async fn pulse(self, stop: CancellationToken) {
        let heart = self.heartbeat("task runtime", PULSE * 12);
        while stop.run_until_cancelled(sleep(PULSE)).await.is_some() {
            heart.beat();
        }
    }

    /// `Ok` while every loop beats, else the loops without a beat within their limit.
    pub fn check(&self) -> Result<(), NotAlive> {
        let hearts = self.hearts.lock().unwrap_or_else(PoisonError::into_inner);
        let silent: Vec<_> = hearts.iter().filter_map(Heartbeat::silence).collect();
        if silent.is_empty() {
            Ok(())
        } else {
            Err(NotAlive { silent })
        }
    }
}

/// The heartbeat of one loop. Clones are the same heartbeat.
#[derive(Clone)]
pub struct Heartbeat {
    name: &'static str,
    within: Duration,
    last: Arc<Mutex<Instant>>,
}

impl Heartbeat {
    /// Records that the loop made a turn.
    pub fn beat(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn silence(&self) -> Option<String> {
        let silent = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed();
        (silent > self.within).then(|| {
            format!(
                "{} for {} s (limit {} s)",
                self.name,
                silent.as_secs(),
                self.within.as_secs()
            )
        })
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Heartbeat({})", self.name)
    }
}

/// The loops without a heartbeat.
#[derive(Debug, thiserror::Error)]
#[error("no heartbeat from: {}", silent.join(", "))]
pub struct NotAlive {
    silent: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_closed_gate_and_what_to_do_about_it() {
        let mut gates = ReadinessBuilder::default();
        let api = gates.gate("Kubernetes API server");
        let crds = gates.gate("resource definitions");
        gates.gate("watch of ConsumerGroups");
        let readiness = gates.build();

        api.open();
        crds.close("kafkaclusters.lagrange.dev is missing");
        assert_eq!(
            readiness.check().unwrap_err().to_string(),
            "waiting for: resource definitions (kafkaclusters.lagrange.dev is missing), watch of ConsumerGroups"
        );
    }

    #[test]
    fn is_ready_when_the_last_gate_opens_and_not_when_one_closes_again() {
        let mut gates = ReadinessBuilder::default();
        let only = gates.gate("watch of ConsumerGroups");
        let readiness = gates.build();
        assert!(readiness.check().is_err());
        only.open();
        assert!(readiness.check().is_ok());
        only.close("no answer for 5 minutes");
        assert!(readiness.check().is_err());
    }

    #[test]
    fn a_dropped_gate_is_still_reported_as_closed() {
        let mut gates = ReadinessBuilder::default();
        drop(gates.gate("watch of ConsumerGroups"));
        assert_eq!(
            gates.build().check().unwrap_err().to_string(),
            "waiting for: watch of ConsumerGroups"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_loop_without_a_heartbeat_is_reported() {
        let liveness = Liveness::default();
        let _silent = liveness.heartbeat("controller", Duration::from_mins(1));
        let beating = liveness.heartbeat("supervisor", Duration::from_mins(1));
        assert!(liveness.check().is_ok());

        tokio::time::advance(Duration::from_secs(61)).await;
        beating.beat();
        assert_eq!(
            liveness.check().unwrap_err().to_string(),
            "no heartbeat from: controller for 61 s (limit 60 s)"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_runtime_is_alive_while_its_tasks_run() {
        let liveness = Liveness::default();
        let pulse = tokio::spawn(liveness.clone().pulse(CancellationToken::new()));
        sleep(Duration::from_mins(10)).await;
        assert!(liveness.check().is_ok());
        pulse.abort();
        sleep(Duration::from_secs(61)).await;
        assert!(liveness.check().is_err());
    }
}
