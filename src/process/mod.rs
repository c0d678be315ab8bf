//! What any good server process has: logs, pages, readiness, shutdown. Knows nothing of Kafka or of
//! how replicas are decided.

pub mod descriptors;
pub mod http;
pub mod logging;
pub mod memory;
pub mod readiness;
pub mod shutdown;
