//! The pipeline of one ConsumerGroup, one file per step: resolve, observe, act, report. [`session`]
//! keeps what is remembered of the group.

pub(super) mod reconcile;
pub(super) mod report;
pub(super) mod session;

mod act;
mod observe;
mod resolve;
