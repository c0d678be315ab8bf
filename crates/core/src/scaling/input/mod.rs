//! The input of a decision: the user's policy and the observation. Plain data.

pub mod observation;
pub mod policy;
