//! The decision, with the numbers that it was made on and the steps that led to it.

pub mod decision;
pub mod trail;
