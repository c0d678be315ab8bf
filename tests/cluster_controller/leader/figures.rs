//! How long the take-overs took.

use std::fmt;
use std::time::Duration;

use super::Fault;

/// The times of the hand-overs, by fault.
#[derive(Debug, Default)]
pub(super) struct Figures {
    seen: Vec<(Fault, Duration)>,
}

impl Figures {
    pub(super) fn add(&mut self, fault: Fault, took: Duration) {
        self.seen.push((fault, took));
    }

    /// The number of times that another process took over. A deleted Lease stays with its holder.
    pub(super) fn handovers(&self) -> usize {
        let others = self
            .seen
            .iter()
            .filter(|(fault, _)| *fault != Fault::Delete);
        others.count()
    }

    /// Number, minimum, median and maximum of some of the times.
    fn line(&self, of: impl Fn(Fault) -> bool) -> String {
        let chosen = self.seen.iter().filter(|(fault, _)| of(*fault));
        let mut times: Vec<f64> = chosen.map(|(_, took)| took.as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (times.first(), times.last()) else {
            return "0".to_owned();
        };
        let median = times[times.len() / 2];
        format!("{} in {least:.2} / {median:.2} / {most:.2} s", times.len())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.line(|fault| fault != Fault::Delete);
        write!(f, "hand-overs, and least / median / most: {all}")?;
        for fault in super::FAULTS {
            if self.seen.iter().any(|(seen, _)| *seen == fault) {
                write!(f, "; {fault:?} {}", self.line(|seen| seen == fault))?;
            }
        }
        Ok(())
    }
}
