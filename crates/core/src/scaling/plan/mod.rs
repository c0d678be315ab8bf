//! The size that an objective asks for, and how few replicas will do, weighed against what a rebalance costs. Pure arithmetic.

pub(in crate::scaling) mod backlog;
pub(in crate::scaling) mod delay_target;
pub(in crate::scaling) mod flap_backoff;
pub(in crate::scaling) mod ineffective;
pub(in crate::scaling) mod lag_target;
pub mod limits;
pub(in crate::scaling) mod rebalance_cost;
pub(in crate::scaling) mod scale_down;
