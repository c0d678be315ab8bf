//! What is wanted of a cluster, what one look saw, and why it could not be read. Plain data:
//! connects to nothing.

pub mod error;
pub mod interest;
pub mod snapshot;
