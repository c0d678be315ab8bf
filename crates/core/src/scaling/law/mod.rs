//! The law: what a group needs so that no record waits longer than `maxDelay`, and how few replicas will do under either
//! objective, weighed against what a rebalance costs. Pure arithmetic on looks; pacing, bounds and the user's hand are decided elsewhere.
//!
//! One look goes through four steps: **take** (offsets, owners), **estimate** (rates, delay, capacity), **recommend** (up,
//! down), and, once an action is decided on, **note** (what the action will have taught). Rates are records per second,
//! times are seconds, weights are records per second of one partition.

mod capacity;
mod down;
mod estimate;
mod learnt;
mod partition;
mod partitions;
mod placement;
mod plateau;
mod series;
mod sooner;
mod surge;
mod up;
mod what_if;

pub(super) use capacity::learn;
pub(super) use down::{Grounds, Smaller, dear, judge_probe, note_down, note_undone, note_up};
pub use estimate::Backlogged;
pub(super) use estimate::{Estimate, LiveLag};
pub use learnt::{Capacity, Down, Learnt, Plateau, Seconds, Throughput};
pub(super) use partitions::Partitions;
pub(super) use plateau::{Judgement, cap, look as judge, note_before_up};
pub(super) use sooner::{enough_for_backlog, sooner};
pub(super) use up::{Need, need, unlimited};
pub(super) use what_if::WhatIf;

use super::observation::Rebalance;

/// Looks are made about so often; windows that are counted in looks are multiples of it.
const LOOK: f64 = 15.0;
/// Window of the steady rate of arrivals, and of one sample of capacity.
const MINUTE: f64 = 60.0;
/// A stall counts in the decision to grow up to this share of the objective: else a small objective grows for ever.
const STALL_SHARE: f64 = 0.5;

/// Seconds for which the worst partition stands still in a rebalance that `joiners` consumers join.
///
/// Measured on real groups of each protocol; an eager group stops again for each joiner that comes later.
fn stall(rebalance: Rebalance, joiners: i32) -> f64 {
    match rebalance {
        Rebalance::Consumer => 3.0,
        Rebalance::Cooperative => 4.0,
        Rebalance::Eager => (8.0 + 3.0 * f64::from((joiners - 1).max(0))).min(30.0),
    }
}

/// An integer as a real number: offsets and milliseconds are far below the 2^53 from which on that would round.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn real(n: i64) -> f64 {
    n as f64
}

/// Records that were counted as a real number.
#[expect(clippy::cast_possible_truncation, reason = "a cast saturates")]
fn whole(records: f64) -> i64 {
    records.round() as i64
}

/// A rate in thousandths, the grid on which what is learnt is kept (decision 27).
#[expect(clippy::cast_possible_truncation, reason = "rates are far below 2^53")]
pub(super) fn milli(rate: f64) -> i64 {
    (rate * 1000.0).round() as i64
}
