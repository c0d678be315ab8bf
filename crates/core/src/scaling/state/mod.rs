//! What survives a restart. It is kept in `status.memory`.

pub mod learnt;
pub mod memory;
