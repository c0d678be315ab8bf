//! What survives a restart. It is kept in `status.memory`.

pub(in crate::scaling) mod backoff;
pub mod capacity_model;
pub mod memory;
