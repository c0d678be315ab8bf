//! What to read, what one poll found, and why something could not be read. Plain data: connects to
//! nothing.

pub mod error;
pub mod interest;
pub mod snapshot;
