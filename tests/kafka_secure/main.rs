//! Reads real brokers that want to know who comes: every login and every protection, what is said
//! when one fails, credentials that change, and the rights that reading takes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test say what they expect by unwrapping it"
)]

mod logins;
mod refusals;
mod renewals;
mod rights;
mod silence;
