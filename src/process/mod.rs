//! What any good server process has. Knows nothing of Kafka or of how replicas are decided.

pub mod budget;
pub mod descriptors;
pub mod http;
pub mod kubernetes;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod options;
pub mod readiness;
pub mod shutdown;
pub mod values;
