//! Whether the process is ready, and whether it lives. Neither ever depends on Kafka: a restart
//! repairs no broker.
//!
//! Ready means that everything is there which this process needs in order to do its work; the gates
//! are fixed at start, so that a part that never begins is named too. Alive means that the tasks
//! move; it does not depend on the gates, because restarting the operator makes no missing resource
//! definition appear.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How often a runtime shows that it lives.
const PULSE: Duration = Duration::from_secs(5);

/// Registers the gates; once built there are no new ones.
#[derive(Debug, Default)]
pub struct ReadinessBuilder {
    gates: Vec<Gate>,
}

impl ReadinessBuilder {
    /// A gate, closed at first. `name` stands in `/readyz` while it is closed: "watch of
    /// ConsumerGroups".
    pub fn gate(&mut self, name: &'static str) -> Gate {
        let gate = Gate {
            name,
            state: Arc::new(Mutex::new(GateState::Closed { detail: None })),
        };
        self.gates.push(gate.clone());
        gate
    }

    /// What `/readyz` asks.
    pub fn build(self) -> Readiness {
        Readiness {
            gates: self.gates.into(),
        }
    }
}

/// One thing that must have happened before the process is ready. Clones are the same gate.
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
    /// It is there.
    pub fn open(&self) {
        self.set(GateState::Open);
    }

    /// It is not there, or no longer; `detail` says what a person can do about it.
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
    /// `Ok` when every gate is open, else the names of those that are not, in the order they were
    /// registered.
    pub fn check(&self) -> Result<(), NotReady> {
        let missing: Vec<_> = self.gates.iter().filter_map(Gate::missing).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(NotReady { missing })
        }
    }
}

/// What is missing.
#[derive(Debug, thiserror::Error)]
#[error("waiting for: {}", missing.join(", "))]
pub struct NotReady {
    missing: Vec<String>,
}

/// The heartbeats that `/healthz` asks.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    hearts: Arc<Mutex<Vec<Heartbeat>>>,
}

impl Liveness {
    /// A loop that has to call [`Heartbeat::beat`] at least every `within`, from now on.
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

    /// A loop that does nothing but beat: it stands still when tasks of its runtime no longer get
    /// their turn.
    pub async fn pulse(self, stop: CancellationToken) {
        let heart = self.heartbeat("task runtime", PULSE * 12);
        while stop.run_until_cancelled(sleep(PULSE)).await.is_some() {
            heart.beat();
        }
    }

    /// `Ok` while every loop beats, else those that have been silent for too long.
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

/// Proof that one loop moves. Clones are the same heart.
#[derive(Clone)]
pub struct Heartbeat {
    name: &'static str,
    within: Duration,
    last: Arc<Mutex<Instant>>,
}

impl Heartbeat {
    /// The loop has come round.
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

/// Which loops stand still.
#[derive(Debug, thiserror::Error)]
#[error("no sign of life from: {}", silent.join(", "))]
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
    fn a_gate_whose_owner_is_gone_stays_named() {
        let mut gates = ReadinessBuilder::default();
        drop(gates.gate("watch of ConsumerGroups"));
        assert_eq!(
            gates.build().check().unwrap_err().to_string(),
            "waiting for: watch of ConsumerGroups"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_loop_is_named_and_a_beating_one_is_not() {
        let liveness = Liveness::default();
        let _silent = liveness.heartbeat("controller", Duration::from_mins(1));
        let beating = liveness.heartbeat("supervisor", Duration::from_mins(1));
        assert!(liveness.check().is_ok());

        tokio::time::advance(Duration::from_secs(61)).await;
        beating.beat();
        assert_eq!(
            liveness.check().unwrap_err().to_string(),
            "no sign of life from: controller for 61 s (limit 60 s)"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_lives_while_its_tasks_get_their_turn() {
        let liveness = Liveness::default();
        let pulse = tokio::spawn(liveness.clone().pulse(CancellationToken::new()));
        sleep(Duration::from_mins(10)).await;
        assert!(liveness.check().is_ok());
        pulse.abort();
        sleep(Duration::from_secs(61)).await;
        assert!(liveness.check().is_err());
    }
}
