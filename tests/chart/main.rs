//! The Helm chart, rendered by Helm and read: what a release would create, what is refused, and
//! whether chart, operator and documents say the same.
//!
//! Needs Helm from `tests/env` and no cluster. Texts that come from elsewhere are renewed by
//! UPDATE=1.

// clippy.toml allows these in tests, and takes only what is in a test function for one.
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
