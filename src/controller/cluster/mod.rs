//! The pipeline of one KafkaCluster: has it polled, and writes its status.

pub(super) mod reconcile;

mod status;
