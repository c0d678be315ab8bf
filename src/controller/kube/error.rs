//! What can go wrong between a decision and the API server, and what keeps a group from being
//! managed. Words and categories only: nothing here calls anybody.

use std::time::Duration;

use lagrange_core::api::condition::Reason;
use lagrange_core::intent::InvalidSpec;
use lagrange_core::text;
use thiserror::Error;

use super::answers;
use crate::credentials::Unusable;
use crate::kafka::pool::WatchError;

/// A call to the API server that did not do what it should. Tried again after a pause.
#[derive(Debug, Error)]
pub(in crate::controller) enum Error {
    /// The API server answered, and said no.
    #[error("{call}: the API server says {code} {message}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// HTTP status.
        code: u16,
        /// Its words.
        message: String,
    },
    /// No answer in time: it may have been done or not.
    #[error("{call}: no answer from the API server within {} s; see --api-timeout", within.as_secs_f64())]
    TimedOut {
        /// What was asked.
        call: &'static str,
        /// The deadline.
        within: Duration,
    },
    /// The connection broke, or the answer could not be read: it may have been done or not.
    #[error("{call}: {cause}")]
    Broken {
        /// What was asked.
        call: &'static str,
        /// What broke.
        cause: String,
    },
}

impl Error {
    /// Of a call that ended with `error`.
    pub(in crate::controller) fn of(call: &'static str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused {
                call,
                code: status.code,
                message: text::clean(&status.message),
            },
            // There is no such kind.
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

    /// What happened, as the end of a message.
    pub(in crate::controller) fn says(&self) -> String {
        match self {
            Self::Refused { code, message, .. } => format!("The API server says {code} {message}"),
            Self::TimedOut { within, .. } => {
                format!(
                    "The API server does not answer within {} s",
                    within.as_secs_f64()
                )
            }
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
        }
    }

    /// Whether the API server will say the same again: somebody has to put something right.
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
    /// What is the matter and what to do about it.
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
    /// The specification of one of our own objects is not one that this version knows.
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

/// Ends the work on one group for now: either its user has something to put right, or the API
/// server has to be asked again.
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

/// What a call on the target means for its group: refusals are the user's to put right, all else is
/// asked again.
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
            format!("{target} cannot be scaled: the API server says {code} {message}"),
        )
        .into(),
        _ => Stop::Error(error),
    }
}
