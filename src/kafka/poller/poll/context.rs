//! What all steps of a poll use and none changes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::kafka::connection::Identity;
use crate::kafka::poller::Settings;
use crate::kafka::poller::interests::PollPlan;
use crate::kafka::poller::quota::{Quota, Subject};

/// One poll.
pub(super) struct PollContext<'a> {
    pub(super) clock: &'a Clock,
    pub(super) settings: &'a Settings,
    pub(super) quota: &'a Quota,
    pub(super) cluster: &'a Identity,
    /// What was granted before this poll.
    pub(super) held: BTreeSet<Subject>,
    pub(super) wanted: &'a PollPlan,
    pub(super) began: Instant,
    pub(super) started: Timestamp,
}
