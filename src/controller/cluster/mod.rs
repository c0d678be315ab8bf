//! The pipeline of one KafkaCluster: has it looked at, and writes its status.

pub(super) mod reconcile;

mod status;
