//! Calls to the API server, under one deadline; those that write are counted by their outcome.

use std::time::Duration;

use tokio::time::timeout;

use super::answers::ApiServer;
use super::error::Error;
use crate::controller::leader::Leadership;
use crate::metrics::{Metrics, WriteOutcome};

/// The API server, as all calls of the controller use it.
#[derive(Clone)]
pub(in crate::controller) struct Api {
    pub(in crate::controller) server: ApiServer,
    /// The deadline of each call.
    pub(in crate::controller) within: Duration,
    pub(in crate::controller) metrics: Metrics,
    /// Whether this process may write.
    pub(in crate::controller) leadership: Leadership,
}

impl Api {
    /// A call that only reads, under the deadline.
    pub(in crate::controller) async fn read<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        let within = self.within;
        match timeout(within, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Error::of(call, &error)),
            Err(_) => Err(Error::TimedOut { call, within }),
        }
    }

    /// A call that writes, under the deadline, and counted by its outcome. Only the leader sends
    /// it (ACT-15): the process may have been suspended since it was elected.
    pub(in crate::controller) async fn write<T>(
        &self,
        kind: &'static str,
        call: &'static str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        if !self.leadership.holds() {
            return Err(Error::NotLeader { call });
        }
        let answer = self.read(call, answer).await;
        let outcome = match &answer {
            Ok(_) => WriteOutcome::Succeeded,
            Err(Error::TimedOut { .. }) => WriteOutcome::TimedOut,
            Err(error) if error.is(409) => WriteOutcome::Conflict,
            Err(_) => WriteOutcome::Failed,
        };
        self.metrics.api_write(kind, outcome);
        answer
    }
}
