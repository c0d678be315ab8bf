//! How long a rebalance stops a group.

use crate::scaling::input::observation::Rebalance;

/// A stall counts in the decision to grow up to this share of the objective: else a small objective
/// grows for ever.
pub(in crate::scaling) const STALL_SHARE: f64 = 0.5;

/// Seconds for which the worst partition stands still in a rebalance that `joiners` consumers join.
///
/// Measured on real groups of each protocol; an eager group stops again for each joiner that comes
/// later.
pub(in crate::scaling) fn stall(rebalance: Rebalance, joiners: i32) -> f64 {
    match rebalance {
        Rebalance::Consumer => 3.0,
        Rebalance::Cooperative => 4.0,
        Rebalance::Eager => (8.0 + 3.0 * f64::from((joiners - 1).max(0))).min(30.0),
    }
}
