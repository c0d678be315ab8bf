//! Renders the status of a KafkaCluster from the state of its connection, and the event for a
//! change of that state. Pure.

use jiff::Timestamp;
use lagrange_core::api::condition::{Finding, Reason, Status, Type};
use lagrange_core::api::{KafkaClusterStatus, condition};

use crate::controller::kube::error::Problem;
use crate::controller::kube::event::note::{EventNote, EventReason};
use crate::kafka::model::snapshot::Snapshot;

/// The state of the connection to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// It is read with the current credentials.
    Ok,
    /// It is read with the previous credentials. Why the current ones cannot be used.
    Stale(String),
    /// It is not read, for this reason.
    Failed(Problem),
}

impl ConnectionState {
    /// The `Connected` condition. `limits` is what this installation cannot do for the cluster.
    fn finding(&self, limits: Option<&str>) -> Finding {
        let (status, reason, message) = match self {
            Self::Ok => (
                Status::True,
                Reason::BrokersReachable,
                limits.unwrap_or_default().to_owned(),
            ),
            Self::Stale(why) => (
                Status::True,
                Reason::BrokersReachable,
                format!("still read with the previous credentials: {why}"),
            ),
            Self::Failed(problem) => (Status::False, problem.reason, problem.message.clone()),
        };
        Finding {
            condition: Type::Connected,
            status,
            reason,
            message,
        }
    }

    /// The event for the change from `before` to this state.
    pub(super) fn turned(&self, before: Option<&Self>) -> Option<EventNote> {
        let restored =
            |text: &str| Some(EventNote::new(EventReason::KafkaConnectionRestored, text));
        match (before, self) {
            (None | Some(Self::Ok), Self::Ok)
            | (Some(Self::Stale(_)), Self::Stale(_))
            | (Some(Self::Failed(_)), Self::Failed(_)) => None,
            (_, Self::Failed(_) | Self::Stale(_)) => Some(EventNote::new(
                EventReason::KafkaConnectionFailed,
                self.finding(None).message,
            )),
            (Some(Self::Stale(_)), Self::Ok) => restored("it is read with the current credentials"),
            (Some(Self::Failed(_)), Self::Ok) => restored("the cluster answers again"),
        }
    }
}

/// The state in a status that another process has written. A cluster that is read with the current
/// credentials and one that is read with the previous ones differ only in the message: if that is
/// the present one, the state has not changed.
pub(super) fn stored(
    stored: &KafkaClusterStatus,
    next: &KafkaClusterStatus,
    now: &ConnectionState,
) -> Option<ConnectionState> {
    let found = condition::find(&stored.conditions, Type::Connected)?;
    match condition::said(&stored.conditions, Type::Connected)? {
        (Status::True, _) => {
            let same = condition::find(&next.conditions, Type::Connected).is_some_and(|next| {
                (&next.status, &next.message) == (&found.status, &found.message)
            });
            Some(if same {
                now.clone()
            } else {
                ConnectionState::Ok
            })
        }
        (Status::False, reason) => Some(ConnectionState::Failed(Problem::new(
            reason.unwrap_or(Reason::KafkaUnreachable),
            found.message.clone(),
        ))),
        (Status::Unknown, _) => None,
    }
}

/// The input of a status.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) now: Timestamp,
    pub(super) generation: Option<i64>,
    /// `None`: unchanged.
    pub(super) state: Option<&'a ConnectionState>,
    /// The latest poll.
    pub(super) snapshot: Option<&'a Snapshot>,
    /// What this installation cannot do for the cluster.
    pub(super) limits: Option<&'a str>,
    /// ConsumerGroups that use it.
    pub(super) users: i32,
}

/// The next status. It keeps from the stored one what the input does not replace.
pub(super) fn status(seen: &Seen<'_>, stored: &KafkaClusterStatus) -> KafkaClusterStatus {
    let found = match seen.state {
        Some(state) => Some(state.finding(seen.limits)),
        None if stored.conditions.is_empty() => Some(Finding::not_yet_observed(Type::Connected)),
        None => None,
    };
    let conditions = match found {
        Some(found) => condition::merge(&stored.conditions, &[found], seen.generation, seen.now),
        None => stored.conditions.clone(),
    };
    // While the cluster does not answer, the values of its last answer are kept.
    let answered = seen.snapshot.filter(|snapshot| snapshot.error.is_none());
    let brokers = answered.and_then(|snapshot| i32::try_from(snapshot.brokers.len()).ok());
    let cluster_id = answered.and_then(|snapshot| snapshot.cluster_id.as_deref());
    KafkaClusterStatus {
        observed_generation: seen.generation,
        cluster_id: cluster_id
            .map(ToOwned::to_owned)
            .or_else(|| stored.cluster_id.clone()),
        brokers: brokers.or(stored.brokers),
        groups: Some(seen.users),
        conditions,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn stale(why: &str) -> ConnectionState {
        ConnectionState::Stale(why.to_owned())
    }

    fn failed(why: &str) -> ConnectionState {
        ConnectionState::Failed(Problem::new(Reason::KafkaUnreachable, why))
    }

    #[rstest]
    #[case(None, ConnectionState::Ok, None)]
    #[case(
        None,
        stale("a"),
        Some("KafkaConnectionFailed: still read with the previous credentials: a")
    )]
    #[case(None, failed("a"), Some("KafkaConnectionFailed: a"))]
    #[case(Some(ConnectionState::Ok), ConnectionState::Ok, None)]
    #[case(Some(stale("a")), stale("b"), None)]
    #[case(Some(failed("a")), failed("b"), None)]
    #[case(
        Some(failed("a")),
        stale("b"),
        Some("KafkaConnectionFailed: still read with the previous credentials: b")
    )]
    #[case(Some(stale("a")), failed("b"), Some("KafkaConnectionFailed: b"))]
    #[case(
        Some(stale("a")),
        ConnectionState::Ok,
        Some("KafkaConnectionRestored: it is read with the current credentials")
    )]
    #[case(
        Some(failed("a")),
        ConnectionState::Ok,
        Some("KafkaConnectionRestored: the cluster answers again")
    )]
    fn each_change_of_state_gives_one_event(
        #[case] before: Option<ConnectionState>,
        #[case] now: ConnectionState,
        #[case] expected: Option<&str>,
    ) {
        let note = now.turned(before.as_ref());
        let note = note.map(|note| format!("{}: {}", note.reason.as_str(), note.text));
        assert_eq!(note.as_deref(), expected);
    }

    /// The status for this state.
    fn written(state: &ConnectionState) -> KafkaClusterStatus {
        let seen = Seen {
            now: Timestamp::UNIX_EPOCH,
            generation: Some(1),
            state: Some(state),
            snapshot: None,
            limits: None,
            users: 0,
        };
        status(&seen, &KafkaClusterStatus::default())
    }

    #[rstest]
    #[case::as_it_was(stale("a"), stale("a"), false)]
    #[case::for_another_cause(stale("a"), stale("b"), true)]
    #[case::new(ConnectionState::Ok, stale("a"), true)]
    #[case::well(ConnectionState::Ok, ConnectionState::Ok, false)]
    #[case::as_bad_as_it_was(failed("a"), failed("b"), false)]
    #[case::better(failed("a"), ConnectionState::Ok, true)]
    fn a_process_that_begins_goes_on_from_the_stored_status(
        #[case] before: ConnectionState,
        #[case] now: ConnectionState,
        #[case] tells: bool,
    ) {
        let before = stored(&written(&before), &written(&now), &now);
        assert_eq!(now.turned(before.as_ref()).is_some(), tells);
    }
}
