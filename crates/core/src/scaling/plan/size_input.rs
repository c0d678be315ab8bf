//! The input of the choice of a size, up or down.

use jiff::Timestamp;

use crate::scaling::measure::estimate::Estimate;
use crate::scaling::measure::load_history::LoadHistory;
use crate::scaling::state::capacity_model::CapacityModel;
use crate::scaling::state::memory::LastAction;
use crate::scaling::tuning::Tuning;

/// The input of the choice of a size.
#[derive(Clone, Copy)]
pub(in crate::scaling) struct SizeInput<'a> {
    pub(in crate::scaling) estimate: &'a Estimate,
    pub(in crate::scaling) model: &'a CapacityModel,
    pub(in crate::scaling) load_history: &'a LoadHistory,
    pub(in crate::scaling) last: Option<LastAction>,
    /// Aligned sizes, ascending.
    pub(in crate::scaling) sizes: &'a [i32],
    pub(in crate::scaling) replicas: i32,
    /// Seconds.
    pub(in crate::scaling) objective: f64,
    pub(in crate::scaling) now: Timestamp,
    pub(in crate::scaling) tuning: &'a Tuning,
}
