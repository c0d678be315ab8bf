//! Lagrange sizes Kafka consumer groups. One way through the house: **observe, decide, act,
//! report**.
//!
//! What is pure is a crate of its own, [`lagrange_core`]: the resources, the decision, recordings
//! and the simulator. This one is the operator around it.
//!
//! | room | what it does | may call |
//! |---|---|---|
//! | [`clock`] | the one source of the time | |
//! | `sync` | takes locks | |
//! | [`kafka`] | reads Kafka; the only room that knows rdkafka | `clock`, `sync` |
//! | [`credentials`] | a connection from what Secrets and ConfigMaps hold; pure | of `kafka` what connects to nothing: `connection` and what configures `token` |
//! | [`recording`] | records a group while the operator works | |
//! | [`process`] | what any good server process has: logs, pages, readiness, shutdown | |
//! | [`metrics`] | every number that Prometheus may read | of `kafka` `connection`, `observer` and the categories of its errors; of `process` the trait that its pages show |
//! | [`controller`] | turns decisions into changes; the only room that writes to Kubernetes | `clock`, `credentials`, `kafka`, `metrics`, `process`, `recording`, `sync` |
//! | [`cli`] | one file per subcommand, and the flags that they share | `clock`, `controller`, `kafka`, `metrics`, `process`, `recording` |
//!
//! `lagrange_core::intent` alone turns the resource into a policy, `controller::group::observe`
//! alone turns a snapshot into an observation; past those points nothing can be malformed.

pub mod cli;
pub mod clock;
pub mod controller;
pub mod credentials;
pub mod kafka;
pub mod metrics;
pub mod process;
pub mod recording;

mod sync;
