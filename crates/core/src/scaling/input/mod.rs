//! What is decided on: what the user asks for, and what was observed. Plain data.

pub mod observation;
pub mod policy;
