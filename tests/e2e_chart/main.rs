//! The chart on a real node, installed by Helm, with the operator as a Pod under its own
//! ServiceAccount: install, test, upgrade, rollback, uninstall, another name, releases side by
//! side, chosen namespaces.

// clippy.toml allows these in tests, but only inside of test functions.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::unwrap_used
)]

mod helm_test;
mod image;
mod life;
mod node;
mod paced;
mod rights;
mod shop;
mod side_by_side;
mod upgrade;
