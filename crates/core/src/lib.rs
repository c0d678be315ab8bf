//! Lagrange without Kafka, Kubernetes or a process: the resources, the decision, and what replays
//! or simulates it. It has no client, no runtime and no clock, reads no file, and builds wherever
//! Rust does.
//!
//! | module | what it does | may call |
//! |---|---|---|
//! | [`text`] | cleans foreign text so that it can be shown | |
//! | [`api`] | the custom resources: what users write and read | `text` |
//! | [`scaling`] | the decision | |
//! | [`intent`] | turns a resource into a policy and into the list of what to read | `api`, `scaling`, `text` |
//! | [`recording`] | observations and decisions as JSON lines | `api`, `intent`, `scaling`, `text` |
//! | [`simulate`] | a model of topics, consumers and rebalances that runs a load through the decision | `api`, `recording`, `scaling`, `text` |

pub mod api;
pub mod intent;
pub mod recording;
pub mod scaling;
pub mod simulate;
pub mod text;
