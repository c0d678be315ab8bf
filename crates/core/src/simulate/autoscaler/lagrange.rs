//! Lagrange: the operator's `decide`, called with the lines that `lagrange decide` reads. Nothing
//! is copied or approximated.

use super::{Answer, Autoscaler, Reason};
use crate::api::{ConsumerGroup, Mode};
use crate::recording::{BadLine, Init, Line, PROTOCOL, Session, Spec};
use crate::scaling::{Memory, SharedTuning};
use crate::simulate::plant::GroupView;

/// The operator's decision for one group.
#[derive(Debug)]
pub(in crate::simulate) struct Lagrange {
    spec: Spec,
    session: Session,
    /// The memory that the status would hold.
    memory: Memory,
    interval: i64,
}

impl Lagrange {
    /// Lagrange with the settings of `manifest`, polling every `interval` seconds. Its decisions
    /// are carried out, even if the manifest says DryRun.
    pub(in crate::simulate) fn new(
        manifest: &ConsumerGroup,
        interval: i64,
    ) -> Result<Self, BadLine> {
        let mut manifest = manifest.clone();
        manifest.spec.mode = Mode::Auto;
        let spec = Spec {
            manifest: Some(Box::new(manifest)),
            ..Spec::default()
        };
        let mut lagrange = Self {
            spec,
            session: Session::default(),
            memory: Memory::default(),
            interval,
        };
        lagrange.begin()?;
        Ok(lagrange)
    }

    /// The same with other parameters of the decision.
    pub(in crate::simulate) fn tuned(mut self, tuning: &SharedTuning) -> Self {
        self.session.tune(tuning.clone());
        self
    }

    fn begin(&mut self) -> Result<(), BadLine> {
        let init = Init {
            protocol: PROTOCOL,
            spec: self.spec.clone(),
            status: serde_json::to_value(&self.memory).ok(),
            continues: false,
        };
        self.session.take(Line::Init(Box::new(init))).map(|_| ())
    }
}

impl Autoscaler for Lagrange {
    fn interval(&self) -> i64 {
        self.interval
    }

    fn decide(&mut self, view: GroupView) -> Answer {
        // The plant's clock never goes back, and the settings were accepted: no line can be
        // refused.
        let Ok(Some(answer)) = self.session.take(Line::Observe(Box::new(view.line))) else {
            return Answer::default();
        };
        self.memory = answer.status;
        Answer {
            replicas: answer.replicas,
            reason: Some(Reason {
                name: answer.reason,
                trail: answer.trail.join("; "),
            }),
        }
    }

    fn restart(&mut self) {
        // The same settings were accepted before.
        let _ = self.begin();
    }
}
