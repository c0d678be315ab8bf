//! The controller with an API server and a Kafka in memory, in virtual time: hours of polls in
//! milliseconds, and every accident at every step.

#![allow(
    clippy::needless_pass_by_value,
    clippy::semicolon_if_nothing_returned,
    clippy::too_many_lines,
    clippy::unchecked_time_subtraction,
    clippy::unused_self,
    clippy::unwrap_in_result,
    unreachable_pub,
    missing_docs,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "compiled into one test program; a test that cannot go on panics"
)]

mod accidents;
mod api_server;
mod contest;
mod handover;
mod kafka;
mod leader;
mod limits;
mod many_claims;
mod objects;
mod quiet;
mod scene;
mod secrets;
mod sources;
mod targets;
