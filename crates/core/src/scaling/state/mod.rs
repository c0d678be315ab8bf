//! What survives a restart. It is kept in `status.memory`.

pub(in crate::scaling) mod backoff;
pub mod learnt;
pub mod memory;
