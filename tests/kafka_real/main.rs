//! Reads one real broker: how each case of `docs/kafka.md` appears to a user of the pool.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test say what they expect by unwrapping it"
)]

mod before_first_poll;
mod delay;
mod groups;
mod offsets;
mod topics;
