//! What comes before the objective, and when an action may happen.

pub(in crate::scaling) mod overrides;
pub(in crate::scaling) mod pacing;
