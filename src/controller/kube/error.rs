//! The errors of calls to the API server, and the problems that keep a group from being managed.
//! Texts and categories only, without I/O.

use std::time::Duration;

use lagrange_core::api::condition::Reason;
use lagrange_core::intent::InvalidSpec;
use lagrange_core::text;
use thiserror::Error;

use super::answers;
use crate::credentials::Unusable;
use crate::kafka::pool::WatchError;

/// A call to the API server that failed. It is tried again after a pause.
#[derive(Debug, Error)]
pub(in crate::controller) enum Error {
    /// The API server refused the call.
    #[error("{call}: the API server answered {code} {message}")]
    Refused {
        /// The call.
        call: &'static str,
        /// HTTP status.
        code: u16,
        /// Its message.
        message: String,
    },
    /// No answer in time: the call may have had its effect or not.
    #[error("{call}: no answer from the API server within {} s", within.as_secs_f64())]
    TimedOut {
        /// The call.
        call: &'static str,
        /// The deadline.
        within: Duration,
    },
    /// Nothing was sent: another process may be the leader by now.
    #[error("{call}: this process is no longer the leader")]
    NotLeader {
        /// The call.
        call: &'static str,
    },
    /// The connection broke, or the answer could not be read: the call may have had its effect or
    /// not.
    #[error("{call}: {cause}")]
    Broken {
        /// The call.
        call: &'static str,
        /// The cause.
        cause: String,
    },
}

impl Error {
    /// The error of a call that ended with `error`.
    pub(in crate::controller) fn of(call: &'static str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused {
                call,
                code: status.code,
                message: text::clean(&status.message),
            },
            // The kind does not exist.
            kube::Error::Discovery(error) => Self::Refused {
                call,
                code: 404,
                message: text::clean(&error.to_string()),
            },
            other => Self::Broken {
                call,
                cause: answers::words(other),
            },
        }
    }

    /// The failure, as the end of a message.
    pub(in crate::controller) fn says(&self) -> String {
        match self {
            Self::Refused { code, message, .. } => {
                format!("The API server answered {code} {message}")
            }
            Self::TimedOut { within, .. } => {
                format!(
                    "The API server does not answer within {} s",
                    within.as_secs_f64()
                )
            }
            Self::NotLeader { .. } => "This process is no longer the leader".to_owned(),
            Self::Broken { cause, .. } => format!("Its answer cannot be read: {cause}"),
        }
    }

    /// Label of metrics: a bounded set.
    pub(in crate::controller) fn category(&self) -> &'static str {
        match self {
            Self::Refused { code: 403, .. } => "ApiForbidden",
            Self::Refused { code: 404, .. } => "ApiNotFound",
            Self::Refused { code: 409, .. } => "ApiConflict",
            Self::Refused { code: 400..500, .. } => "ApiRefused",
            Self::Refused { .. } => "ApiUnavailable",
            Self::TimedOut { .. } => "ApiTimeout",
            Self::Broken { .. } => "ApiBroken",
            Self::NotLeader { .. } => "NotLeader",
        }
    }

    /// Whether the same call would fail again until someone fixes the cause.
    pub(in crate::controller) fn is_lasting(&self) -> bool {
        matches!(self, Self::Refused { code: 400..500, .. })
            && ![404, 408, 409, 429].iter().any(|code| self.is(*code))
    }

    pub(in crate::controller) fn is(&self, status: u16) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == status)
    }
}

/// Why a group is not managed at present: the reason and message of `Ready=False`. It waits for
/// something that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) struct Problem {
    /// The cause.
    pub(in crate::controller) reason: Reason,
    /// The problem and what to do about it.
    pub(in crate::controller) message: String,
}

impl Problem {
    pub(in crate::controller) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

impl Problem {
    /// The specification of a ConsumerGroup or KafkaCluster is not valid in this version.
    pub(in crate::controller) fn unreadable_spec(why: &str) -> Self {
        Self::new(
            Reason::InvalidSpec,
            format!(
                "the spec cannot be read ({why}): correct it, or run the version of Lagrange that the resource definitions are of"
            ),
        )
    }
}

impl From<InvalidSpec> for Problem {
    fn from(invalid: InvalidSpec) -> Self {
        Self::new(invalid.reason(), invalid.to_string())
    }
}

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Self {
        Self::new(error.reason(), error.to_string())
    }
}

impl From<Unusable> for Problem {
    fn from(unusable: Unusable) -> Self {
        Self::new(unusable.reason(), unusable.to_string())
    }
}

/// Ends the work on one group for now: either its user has to fix something, or the API server has
/// to be called again.
#[derive(Debug)]
pub(in crate::controller) enum Stop {
    Problem(Problem),
    Error(Error),
}

impl<P: Into<Problem>> From<P> for Stop {
    fn from(problem: P) -> Self {
        Self::Problem(problem.into())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What a failed call on the target means for its group: refusals are the user's to fix, other
/// errors are retried.
pub(in crate::controller) fn target_problem(error: Error, target: &str) -> Stop {
    match &error {
        Error::Refused { code: 403, message, .. } => Problem::new(
            Reason::TargetForbidden,
            format!("Lagrange may not scale {target}: grant get and patch on its scale (chart value scaleTargets). {message}"),
        )
        .into(),
        Error::Refused { code: 404, .. } => Problem::new(
            Reason::TargetNotFound,
            format!("{target} does not exist or cannot be scaled: correct spec.scaleTargetRef, or create it"),
        )
        .into(),
        Error::Refused { code: code @ (400 | 405 | 422), message, .. } => Problem::new(
            Reason::TargetNotFound,
            format!("{target} cannot be scaled: the API server answered {code} {message}"),
        )
        .into(),
        _ => Stop::Error(error),
    }
}
