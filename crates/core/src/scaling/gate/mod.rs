//! When an action may happen.

pub(in crate::scaling) mod pacing;
