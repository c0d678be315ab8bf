//! Scaling with real parts only: a real node, real brokers, the operator installed by Helm as a Pod
//! under its own ServiceAccount, and real consumers in Pods.

// clippy.toml allows these in tests, but only inside of test functions.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::unwrap_used
)]

mod counts;
mod day;
mod delay;
mod faults;
mod field;
mod playback;
mod protocols;
mod remains;
mod watched;
