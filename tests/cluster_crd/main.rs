//! The resource definitions on a real API server: what it refuses and with which message, which
//! defaults it sets, and what it shows.

// clippy.toml allows these in tests, but only inside of test functions.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod admission;
mod bounds;
mod connections;
mod objects;
mod reading;
mod rules;
mod server;
