//! Lagrange sizes Kafka consumer groups. One way through the house: **observe, decide, act, report**.
//!
//! What is pure is a crate of its own, [`lagrange_core`]: the resources, the decision, recordings and the simulator. This one
//! is the operator around it.
//!
//! | room | what it does | may call |
//! |---|---|---|
//! | [`clock`] | the one source of the time | |
//! | [`kafka`] | reads Kafka; the only room that knows rdkafka | `clock` |
//! | [`credentials`] | a connection from what Secrets and ConfigMaps hold; pure | of `kafka` what connects to nothing: `certificates`, `connection`, `secret`, `security` and what configures `token` |
//! | [`recording`] | records a group while the operator works | |
//! | [`controller`] | turns decisions into changes; the only room that writes to Kubernetes | `clock`, `credentials`, `kafka`, `recording`, `process` |
//! | [`process`] | what any good server process has: options, logs, pages, metrics, shutdown | |
//! | [`cli`] | one file per subcommand | `clock`, `controller`, `kafka`, `process`, `recording` |
//!
//! `lagrange_core::intent` alone turns the resource into a policy, `controller::observe` alone turns a snapshot into an
//! observation; past those points nothing can be malformed.

pub mod cli;
pub mod clock;
pub mod controller;
pub mod credentials;
pub mod kafka;
pub mod metrics;
pub mod process;
pub mod recording;
