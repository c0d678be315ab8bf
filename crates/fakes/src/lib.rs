//! Servers on loopback that behave as a test says. They need nothing of `lagrange`, so that its
//! unit tests can use them too: through `lagrange-testing` these would link the library a second
//! time, with types of its own.

#![allow(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics"
)]

mod answers;
pub mod broker;
pub mod token_server;
