//! The resource definitions on a real API server: what it refuses and in which words, what it fills
//! in, what it shows.

// clippy.toml allows these in tests, and takes only what is in a test function for one.
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
