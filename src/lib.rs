//! Lagrange sizes Kafka consumer groups. One way through the house: **observe, decide, act, report**.
//!
//! | room | what it does | may call |
//! |---|---|---|
//! | [`api`] | the custom resources: what users write and read | |
//! | [`clock`] | the one source of the time | |
//! | [`text`] | foreign text, made fit to be shown; pure, and anybody may call it | |
//! | [`scaling`] | the decision; pure | |
//! | [`kafka`] | reads Kafka; the only room that knows rdkafka | `clock`, `text` |
//! | [`intent`] | what the user wrote, as a policy and as what is to be read; pure | `api`, `scaling`, and of `kafka` what connects to nothing: `certificates`, `connection`, `interest`, `secret`, `security` and what configures `token` |
//! | [`controller`] | turns decisions into changes; the only room that writes to Kubernetes | `api`, `clock`, `intent`, `kafka`, `scaling`, `recording`, `process::metrics` |
//! | [`process`] | what any good server process has: options, logs, pages, metrics, shutdown | `clock` |
//! | [`recording`] | observations and decisions as JSON lines | `api`, `intent`, `scaling`, and of `kafka` the patterns of `interest` |
//! | [`simulate`] | a model of topics, consumers and rebalances that runs a load through the decision; pure | `api`, `recording`, `scaling` |
//! | [`cli`] | one file per subcommand | `process`, `controller`, `intent`, `simulate`, `recording`, `api` |
//!
//! `intent` alone turns the resource into a policy, `controller::observe` alone turns a snapshot into an observation; past
//! those points nothing can be malformed.

pub mod api;
pub mod cli;
pub mod clock;
pub mod controller;
#[cfg(test)]
mod fuzz;
pub mod intent;
pub mod kafka;
pub mod process;
pub mod recording;
pub mod scaling;
pub mod simulate;
pub mod text;
