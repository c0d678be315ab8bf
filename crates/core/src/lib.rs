//! Lagrange without Kafka, Kubernetes or a process around it: the resources, the decision, and what
//! replays or simulates it. Has no client, no runtime, no clock and no file; builds wherever Rust
//! does.
//!
//! | room | what it does | may call |
//! |---|---|---|
//! | [`text`] | foreign text, made fit to be shown | |
//! | [`api`] | the custom resources: what users write and read | `text` |
//! | [`scaling`] | the decision | |
//! | [`intent`] | what the user wrote, as a policy and as what is to be read | `api`, `scaling`, `text` |
//! | [`recording`] | observations and decisions as JSON lines | `api`, `intent`, `scaling`, `text` |
//! | [`simulate`] | a model of topics, consumers and rebalances that runs a load through the decision | `api`, `recording`, `scaling`, `text` |

pub mod api;
pub mod intent;
pub mod recording;
pub mod scaling;
pub mod simulate;
pub mod text;
