//! How long a rebalance stops a group.

use crate::scaling::input::observation::Rebalance;
use crate::scaling::tuning::Tuning;

/// Seconds for which the worst partition stops in a rebalance that `joiners` consumers join.
///
/// Measured on real groups of each protocol. An eager group stops again for each joiner that comes
/// later.
pub(in crate::scaling) fn stall(rebalance: Rebalance, joiners: i32, tuning: &Tuning) -> f64 {
    let stall = &tuning.stall;
    match rebalance {
        Rebalance::Consumer => stall.consumer.as_secs_f64(),
        Rebalance::Cooperative => stall.cooperative.as_secs_f64(),
        Rebalance::Eager => {
            let later = f64::from((joiners - 1).max(0));
            let all = stall.eager.as_secs_f64() + stall.joiner.as_secs_f64() * later;
            all.min(stall.most.as_secs_f64())
        }
    }
}
