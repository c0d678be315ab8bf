//! The state that survives a restart, kept in `status.memory`.

pub(in crate::scaling) mod backoff;
pub mod capacity_model;
pub mod memory;
