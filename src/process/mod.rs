//! What any server process needs: logs, HTTP pages, readiness, shutdown. Independent of Kafka and
//! of the decision.

pub mod descriptors;
pub mod http;
pub mod logging;
pub mod memory;
pub mod readiness;
pub mod shutdown;
