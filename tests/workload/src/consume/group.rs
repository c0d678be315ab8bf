//! State of a member that the reading thread, the callbacks and the endpoint share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ConsumeArgs;
use super::backlog::Backlog;
use super::statistics::Statistics;
use super::status::{self, Readiness, Status};

/// One member of a group.
#[derive(Debug)]
pub(crate) struct Group {
    id: String,
    client_id: String,
    state: Mutex<State>,
}

/// The part that changes. It is locked only for moments, and never during a call of librdkafka,
/// whose callbacks lock it too.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) backlog: Backlog,
    pub(crate) statistics: Statistics,
    pub(crate) readiness: Readiness,
    pub(crate) records: u64,
    pub(crate) rebalances: u64,
    pub(crate) commit_errors: u64,
}

impl Group {
    /// A member that has not started.
    pub(crate) fn new(args: &ConsumeArgs) -> Self {
        Self {
            id: args.group.clone(),
            client_id: args.connection.client_id.clone(),
            state: Mutex::new(State {
                backlog: Backlog::default(),
                statistics: Statistics::default(),
                readiness: Readiness::Waiting("starting".to_owned()),
                records: 0,
                rebalances: 0,
                commit_errors: 0,
            }),
        }
    }

    /// Locks the state.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status of the member.
    pub(crate) fn status(&self) -> Status {
        let state = self.state();
        let partitions = status::partitions(&state.backlog, &state.statistics);
        Status {
            group: self.id.clone(),
            client_id: self.client_id.clone(),
            ready: matches!(state.readiness, Readiness::Ready),
            records: state.records,
            rebalances: state.rebalances,
            commit_errors: state.commit_errors,
            lag: status::lag(&partitions),
            partitions,
        }
    }
}
