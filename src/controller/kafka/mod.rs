//! Which Kafka a resource reads, and with which credentials. The controller uses the reader of
//! Kafka only through [`port`].

pub mod port;

pub(super) mod credentials;
pub(super) mod source;
