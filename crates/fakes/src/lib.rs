//! Servers on loopback whose behaviour tests control. They do not depend on `lagrange`, so that its
//! unit tests can use them too: `lagrange-testing` would link the library a second time, with
//! different types.

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
