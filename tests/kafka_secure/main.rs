//! Reads real brokers that require a login: every login and encryption, the message when one fails,
//! credentials that change, and the rights that reading needs.
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
