//! The chart on a real node, installed by Helm, with the operator as a Pod under its own
//! ServiceAccount: install, upgrade, uninstall, another name, a second release, chosen namespaces.

// clippy.toml allows these in tests, but only inside of test functions.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::unwrap_used
)]

mod life;
mod node;
mod rights;
mod shop;
