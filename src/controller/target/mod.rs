//! The scaled workload: its kind, its size, its rollout, and the only write of its replicas.

pub(super) mod kinds;
pub(super) mod scale;
pub(super) mod workload;

mod manager;
mod pods;
