//! The decision, with the numbers that it used and the steps that led to it.

pub mod decision;
pub mod trail;
