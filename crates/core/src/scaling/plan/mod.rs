//! Proposals: the overrides, what the objective asks for, and how few replicas are enough, weighed
//! against the cost of a rebalance.

mod backlog;
pub(in crate::scaling) mod delay_objective;
pub(in crate::scaling) mod delay_target;
pub(in crate::scaling) mod explain;
mod flap_backoff;
mod grow;
pub(in crate::scaling) mod ineffective;
pub(in crate::scaling) mod lag_objective;
pub(in crate::scaling) mod learnings;
pub(in crate::scaling) mod overrides;
pub(in crate::scaling) mod proposal;
mod rebalance_cost;
pub(in crate::scaling) mod scale_down;
mod shrink;
pub(in crate::scaling) mod situation;
mod size_input;
