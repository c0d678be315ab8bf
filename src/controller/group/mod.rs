//! The pipeline of one ConsumerGroup, a file a step: resolve, observe, act, report. [`session`] is
//! what is remembered of it.

pub(super) mod reconcile;
pub(super) mod report;
pub(super) mod session;

mod act;
mod observe;
mod resolve;
