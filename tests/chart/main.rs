//! The Helm chart, rendered by Helm: what a release creates, which values are refused, and whether
//! chart, operator and documents agree.
//!
//! Needs Helm from `tests/env`, but no cluster. UPDATE=1 rewrites the generated texts.

// clippy.toml allows these in tests, but only inside of test functions.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::unwrap_used
)]

mod agreement;
mod helm;
mod memory;
mod operator;
mod permissions;
mod refusals;
mod rendering;
mod values;
