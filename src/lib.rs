//! Lagrange sizes Kafka consumer groups. Everything follows one pipeline: **observe, decide, act,
//! report**.
//!
//! The pure part is a crate of its own, [`lagrange_core`]: the resources, the decision, recordings
//! and the simulator. This crate is the operator around it.
//!
//! | module | what it does | may call |
//! |---|---|---|
//! | [`clock`] | the only source of the time | |
//! | `sync` | takes locks | |
//! | [`kafka`] | reads Kafka; the only module that uses rdkafka | `clock`, `sync` |
//! | [`credentials`] | makes a connection from the contents of Secrets and ConfigMaps; pure | of `kafka` what connects to nothing: `connection` and what configures `token` |
//! | [`recording`] | records a group while the operator works | |
//! | [`process`] | what every server process needs: logs, pages, readiness, shutdown | |
//! | [`metrics`] | every metric for Prometheus | of `kafka` `connection`, `observer` and the categories of its errors; of `process` the trait that its pages show |
//! | [`controller`] | turns decisions into changes; the only module that writes to Kubernetes | `clock`, `credentials`, `kafka`, `metrics`, `process`, `recording`, `sync` |
//! | [`cli`] | one file per subcommand, and the flags that they share | `clock`, `controller`, `kafka`, `metrics`, `process`, `recording` |
//!
//! Only `lagrange_core::intent` turns the resource into a policy, and only
//! `controller::group::observe` turns a snapshot into an observation. After these two points,
//! nothing can be malformed.

pub mod cli;
#[cfg(feature = "operator")]
pub mod clock;
#[cfg(feature = "operator")]
pub mod controller;
#[cfg(feature = "operator")]
pub mod credentials;
#[cfg(feature = "operator")]
pub mod kafka;
#[cfg(feature = "operator")]
pub mod metrics;
#[cfg(feature = "operator")]
pub mod process;
#[cfg(feature = "operator")]
pub mod recording;

#[cfg(feature = "operator")]
mod sync;
