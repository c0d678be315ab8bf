//! What is scaled: its kind, its size, its rollout, and the one write of its replicas.

pub(super) mod kinds;
pub(super) mod scale;
pub(super) mod workload;

mod manager;
mod pods;
