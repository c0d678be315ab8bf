//! Status of a member: readiness, numbers, lag. Pure.

use std::fmt;

use serde::Serialize;

use crate::output::thousands;

use super::backlog::{Backlog, Lane};
use super::statistics::{Membership, Statistics};

/// The status of a member, for `/stats` and the printed line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) group: String,
    pub(crate) client_id: String,
    pub(crate) ready: bool,
    /// Records done since the start.
    pub(crate) records: u64,
    /// Assignments and revocations since the start.
    pub(crate) rebalances: u64,
    pub(crate) commit_errors: u64,
    /// The sum over the partitions; `None` while one is unknown.
    pub(crate) lag: Option<i64>,
    pub(crate) partitions: Vec<PartitionStatus>,
}

/// One assigned partition.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PartitionStatus {
    topic: String,
    partition: i32,
    /// The offset after the last record done, since this assignment.
    done: Option<i64>,
    /// The commit that the broker has confirmed, since this assignment.
    committed: Option<i64>,
    /// The log end at the last fetch.
    end: Option<i64>,
    lag: Option<i64>,
    /// The record at which it is stuck, and the number of attempts.
    stuck_at: Option<i64>,
    retries: u64,
}

impl PartitionStatus {
    fn new(lane: &Lane, statistics: &Statistics) -> Self {
        let end = statistics.end(&lane.place.topic, lane.place.partition);
        let next = lane
            .done
            .or_else(|| statistics.begin(&lane.place.topic, lane.place.partition));
        Self {
            topic: lane.place.topic.to_string(),
            partition: lane.place.partition,
            done: lane.done,
            committed: lane.committed,
            end,
            // The end can be up to a second older than the last record done.
            lag: end.zip(next).map(|(end, next)| (end - next).max(0)),
            stuck_at: lane.stuck_at(),
            retries: lane.retries,
        }
    }
}

/// The partitions of a member.
pub(crate) fn partitions(backlog: &Backlog, statistics: &Statistics) -> Vec<PartitionStatus> {
    backlog
        .lanes()
        .iter()
        .map(|lane| PartitionStatus::new(lane, statistics))
        .collect()
}

/// The lag over all partitions, `None` while one is unknown.
pub(crate) fn lag(partitions: &[PartitionStatus]) -> Option<i64> {
    partitions.iter().map(|partition| partition.lag).sum()
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, partitions) = (thousands(self.records), self.partitions.len());
        write!(
            f,
            "{}: {records} records done, {partitions} partitions",
            self.group
        )?;
        match self.lag {
            Some(lag) => write!(f, ", lag {}", thousands(lag.unsigned_abs()))?,
            None => f.write_str(", lag not known yet")?,
        }
        for stuck in &self.partitions {
            if let Some(offset) = stuck.stuck_at {
                write!(
                    f,
                    "; stuck at {}:{}:{offset}, tried {} times",
                    stuck.topic, stuck.partition, stuck.retries
                )?;
            }
        }
        Ok(())
    }
}

/// Readiness. Once ready, a member stays ready: a rebalance must not take a Pod out of service.
#[derive(Clone, Debug)]
pub(crate) enum Readiness {
    Ready,
    /// Not ready; the text says what it waits for.
    Waiting(String),
}

impl Readiness {
    /// Applies the current membership.
    pub(crate) fn update(&mut self, membership: Membership) {
        match (&self, membership) {
            (Self::Ready, _) => {}
            (_, Membership::Joined) => *self = Self::Ready,
            (_, Membership::Joining(what)) => *self = Self::Waiting(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consume::backlog::{Fetched, Place};
    use std::sync::Arc;
    use std::time::Instant;

    fn status() -> Status {
        let mut backlog = Backlog::default();
        for partition in 0..2 {
            let place = Place {
                topic: Arc::from("orders"),
                partition,
            };
            backlog.assign(place.clone());
            backlog.put(
                "orders",
                partition,
                Fetched {
                    offset: 41,
                    poison: false,
                },
            );
            backlog.done(&place);
        }
        let stuck = Place {
            topic: Arc::from("orders"),
            partition: 1,
        };
        backlog.put(
            "orders",
            1,
            Fetched {
                offset: 42,
                poison: true,
            },
        );
        backlog.failed(&stuck, Instant::now());
        let ends = br#"{"topics":{"orders":{"partitions":{"0":{"committed_offset":7,"lo_offset":0,"hi_offset":42},"1":{"committed_offset":7,"lo_offset":0,"hi_offset":1042}}}}}"#;
        let partitions = partitions(&backlog, &Statistics::parse(ends).unwrap());
        Status {
            group: "billing".to_owned(),
            client_id: "billing-0".to_owned(),
            ready: true,
            records: 12_345,
            rebalances: 1,
            commit_errors: 0,
            lag: lag(&partitions),
            partitions,
        }
    }

    #[test]
    fn line_for_people() {
        insta::assert_snapshot!(status(), @"billing: 12,345 records done, 2 partitions, lag 1,000; stuck at orders:1:42, tried 1 times");
    }

    #[test]
    fn line_for_programs() {
        insta::assert_snapshot!(serde_json::to_string(&status()).unwrap(), @r#"{"group":"billing","client_id":"billing-0","ready":true,"records":12345,"rebalances":1,"commit_errors":0,"lag":1000,"partitions":[{"topic":"orders","partition":0,"done":42,"committed":null,"end":42,"lag":0,"stuck_at":null,"retries":0},{"topic":"orders","partition":1,"done":42,"committed":null,"end":1042,"lag":1000,"stuck_at":42,"retries":1}]}"#);
    }

    #[test]
    fn lag_with_one_unknown_partition_is_unknown() {
        let mut partitions = status().partitions;
        assert_eq!(lag(&partitions), Some(1_000));
        partitions[0].lag = None;
        assert_eq!(lag(&partitions), None);
        assert_eq!(lag(&[]), Some(0));
    }

    #[test]
    fn ready_stays_ready() {
        let mut readiness = Readiness::Waiting("starting".to_owned());
        readiness.update(Membership::Joining("joining".to_owned()));
        assert!(matches!(&readiness, Readiness::Waiting(what) if what == "joining"));
        readiness.update(Membership::Joined);
        readiness.update(Membership::Joining("joining".to_owned()));
        assert!(matches!(readiness, Readiness::Ready));
    }
}
