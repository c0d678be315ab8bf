//! Which Kafka a resource reads, and with which credentials. The controller knows the reader of
//! Kafka by [`port`] alone.

pub mod port;

pub(super) mod credentials;
pub(super) mod source;
