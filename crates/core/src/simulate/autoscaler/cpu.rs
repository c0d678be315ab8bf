//! The HPA by CPU. In the plant, CPU is a perfect signal of the load; in reality it seldom is.

use super::hpa::{Hpa, SYNC};
use super::options::Options;
use super::{Answer, Autoscaler, Bounds};
use crate::simulate::number::{count, nearest, replicas, small};
use crate::simulate::plant::{GroupView, Phase};

/// Age in seconds below which the metrics of a pod are ignored
/// (`--horizontal-pod-autoscaler-initial-readiness-delay`).
const FRESH: i64 = 30;

#[derive(Debug)]
struct Cpu {
    /// Target, as a share of the CPU request.
    target: f64,
    hpa: Hpa,
}

/// `hpa-cpu=70`: percent of the CPU request.
pub(super) fn new(options: &Options, bounds: &Bounds) -> Result<Box<dyn Autoscaler>, String> {
    let options = options.read();
    let target = options.number("", 1.0, 1000.0)?;
    let target =
        target.ok_or("write the target in percent of the CPU request, as in hpa-cpu=70")?;
    let hpa = Hpa::new(&options, bounds.least(), bounds.most())?;
    options.done()?;
    Ok(Box::new(Cpu {
        target: target / 100.0,
        hpa,
    }))
}

impl Cpu {
    /// The replicas that the metric asks for. For a scale-up, pods without metrics count as idle.
    fn proposed(&self, view: &GroupView) -> Option<i32> {
        let current = view.line.workload.spec_replicas;
        let is_running = |p: &&crate::simulate::plant::PodView| p.phase == Phase::Running;
        let ready: Vec<f64> = view
            .pods
            .iter()
            .filter(is_running)
            .filter(|p| p.age > FRESH)
            .map(|p| p.cpu)
            .collect();
        if ready.is_empty() {
            return None;
        }
        let young = view
            .pods
            .iter()
            .filter(|p| p.phase == Phase::Pending || (p.phase == Phase::Running && p.age <= FRESH));
        let young = young.count();
        let used: f64 = ready.iter().sum();
        let ratio = used / count(ready.len()) / self.target;
        if young > 0 && ratio > 1.0 {
            let all = ready.len() + young;
            let ratio = used / count(all) / self.target;
            let grows = ratio > 1.0 && self.hpa.differs(ratio);
            return Some(if grows {
                current.max(replicas(ratio * count(all)))
            } else {
                current
            });
        }
        if !self.hpa.differs(ratio) {
            return Some(current);
        }
        let asked = replicas(ratio * f64::from(small(ready.len())));
        Some(if ratio > 1.0 {
            asked.max(current)
        } else {
            asked.min(current)
        })
    }
}

impl Autoscaler for Cpu {
    fn interval(&self) -> i64 {
        SYNC
    }

    fn decide(&mut self, view: GroupView) -> Answer {
        let (t, current) = (nearest(view.line.t), view.line.workload.spec_replicas);
        let proposed = self.proposed(&view);
        Answer::replicas(proposed.map(|proposed| self.hpa.step(t, current, proposed)))
    }
}
