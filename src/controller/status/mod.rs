//! Reports a decision: the status of a group, its conditions, its events and its metrics. Decides
//! nothing.

pub(super) mod change;
pub(super) mod conditions;
pub(super) mod events;
pub(super) mod format;
pub(super) mod group;
pub(super) mod metrics;
pub(super) mod reported;
