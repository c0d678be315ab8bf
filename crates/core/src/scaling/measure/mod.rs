//! Measurements of the recent past: rates, delay, capacity, lag. Rates are records per second,
//! times are seconds, weights are records per second of one partition.

pub(in crate::scaling) mod capacity;
pub(in crate::scaling) mod demand;
pub mod estimate;
pub mod history;
pub mod lag;
pub(in crate::scaling) mod lag_peaks;
pub mod limits;
pub(in crate::scaling) mod load_history;
pub(in crate::scaling) mod membership;
pub mod notice;
pub(in crate::scaling) mod offsets;
mod partition;
pub(in crate::scaling) mod partitions;
pub(in crate::scaling) mod placement;
pub(in crate::scaling) mod replica_changes;
mod ring;
pub(in crate::scaling) mod saturation;
mod series;
mod surge;
pub(in crate::scaling) mod take;
