//! The controller on a real API server with fake Pods, a real broker, and real members of real
//! groups. One file per theme. The tests mostly wait: with `--test-threads 6`, more of them wait at
//! the same time than on two threads.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests unwrap what they expect"
)]

mod account;
mod api_server;
mod contest;
mod credentials;
mod crowded;
mod definitions;
mod delayed;
mod identity;
#[cfg(feature = "gssapi")]
mod kerberos;
mod killed;
mod leader;
mod limits;
mod manual_scaling;
mod neighbours;
mod objects;
mod offsets;
mod process;
mod quiet;
mod recording;
mod rights;
mod rollout;
mod sharing;
mod spacing;
mod stage;
mod targets;
mod unknown;
mod zero;
