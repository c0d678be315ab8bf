//! The chart on a real node, installed by Helm, with the operator as a Pod under its own account:
//! install, upgrade, uninstall, another name, a second release, chosen namespaces.

// clippy.toml allows these in tests, and takes only what is in a test function for one.
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
