//! The ordered list of steps that led to a decision, with their numbers, and how each reads.

use std::fmt;
use std::mem;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::scaling::measure::limits::LimitedBy;

/// The steps of one decision, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trail(pub Vec<Step>);

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            step.fmt(f)?;
        }
        Ok(())
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The lag that the demand is computed from.
    Lag {
        /// Records.
        total: i64,
        /// Partitions whose lag is not known.
        unknown: i32,
    },
    /// The demand of the objective.
    Demand {
        /// Replicas.
        replicas: i32,
        /// `lagPerReplica`.
        lag_per_replica: i64,
    },
    /// The delay of records.
    Delay {
        /// Of the oldest record, now.
        delay: SignedDuration,
        /// Predicted for the time when an action could take effect.
        predicted: SignedDuration,
        /// Partitions with an unknown lag.
        unknown: i32,
    },
    /// The arrivals, the capacity of one consumer, and the replicas that follow.
    Load {
        /// Thousandths of a record per second.
        arrivals_milli: i64,
        /// Thousandths of a record per second.
        capacity_milli: i64,
        /// Measured under a backlog, or bounded; otherwise the present consumption.
        is_measured: bool,
        /// Replicas, without the partition limit.
        replicas: i32,
    },
    /// Stuck partitions, which are left out of the demand.
    Stuck {
        /// How many.
        count: i32,
    },
    /// The load history was replayed with fewer replicas and stayed calm.
    Replayed {
        /// Replicas.
        replicas: i32,
        /// How much of the history.
        window: SignedDuration,
    },
    /// More replicas than this did not raise the throughput.
    Bottleneck {
        /// The size.
        replicas: i32,
        /// When the bottleneck expires.
        until: Timestamp,
    },
    /// A size beyond this shortens no backlog.
    NoneShorter {
        /// The size.
        replicas: i32,
        /// The size that was asked for.
        asked: i32,
    },
    /// Moved partitions of this group pause for longer than usual.
    Pause {
        /// Until nine in ten had a new commit.
        lasts: SignedDuration,
    },
    /// The effect of the last scale-up, which was ineffective.
    Ineffective {
        /// Growth of the throughput, in percent.
        gained: i64,
        /// Growth of the members, in percent.
        grown: i64,
    },
    /// The count was moved to an aligned size.
    Useful {
        /// The count that was asked for.
        asked: i32,
        /// The count taken.
        taken: i32,
        /// Largest share of partitions of one consumer at the count asked for.
        share_asked: i32,
        /// Largest share of partitions of one consumer at the count taken.
        share_taken: i32,
    },
    /// A bound changed the count.
    Limited {
        /// Which.
        by: LimitedBy,
        /// Its value.
        at: i32,
    },
    /// Not before.
    NotBefore(Timestamp),
    /// When a wait that ends by itself times out.
    AtMostUntil(Timestamp),
    /// A wait that has timed out.
    Overdue {
        /// What is waited for.
        what: &'static str,
        /// For how long.
        waited: SignedDuration,
    },
    /// No capacity is known yet, so only one aligned size at a time.
    CapacityUnknown,
    /// How much of its window a scale-down has covered.
    Window {
        /// Covered so far.
        covered: SignedDuration,
        /// Needed.
        window: SignedDuration,
    },
    /// New partitions that have no owner yet (ACT-13).
    NewPartitions {
        /// How many.
        count: i32,
    },
    /// A partition whose commit is past its log end.
    CommitPastEnd {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
    /// Kafka has been unreadable since then.
    Unreadable(Timestamp),
    /// An annotation that is not understood.
    NotUnderstood {
        /// The annotation's key.
        annotation: String,
        /// Its value.
        value: String,
    },
    /// A sentence without numbers.
    Said(&'static str),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lag { total, unknown: 0 } => write!(f, "lag {total}"),
            Self::Lag { total, unknown } => {
                write!(f, "lag {total} and {} unknown", partitions(*unknown))
            }
            Self::Demand {
                replicas,
                lag_per_replica,
            } => {
                write!(f, "{lag_per_replica} a replica asks for {replicas}")
            }
            Self::Delay { .. }
            | Self::Load { .. }
            | Self::Stuck { .. }
            | Self::Replayed { .. }
            | Self::Bottleneck { .. }
            | Self::Ineffective { .. } => self.fmt_of_delay(f),
            Self::Useful { .. } | Self::Limited { .. } | Self::NoneShorter { .. } => {
                self.fmt_of_size(f)
            }
            Self::Pause { lasts } => write!(
                f,
                "moved partitions pause for {}s in this group",
                lasts.as_secs()
            ),
            Self::NotBefore(at) => write!(f, "next action not before {}", clock(*at)),
            Self::AtMostUntil(at) => write!(f, "waits until {} at most", clock(*at)),
            Self::Overdue { what, waited } => write!(
                f,
                "{what} for {}s, longer than settleTimeout",
                waited.as_secs()
            ),
            Self::CapacityUnknown => {
                f.write_str("no backlog has shown what a consumer can do, so one count at a time")
            }
            Self::Window { covered, window } => {
                write!(
                    f,
                    "quiet for {}s of {}s",
                    covered.as_secs(),
                    window.as_secs()
                )
            }
            Self::NewPartitions { count: 1 } => f.write_str("1 new partition has no owner yet"),
            Self::NewPartitions { count } => write!(f, "{count} new partitions have no owner yet"),
            Self::CommitPastEnd { topic, partition } => {
                write!(
                    f,
                    "the commit of {topic}/{partition} lies past its end: was the topic recreated?"
                )
            }
            Self::Unreadable(since) => write!(f, "Kafka not readable since {}", clock(*since)),
            Self::NotUnderstood { annotation, value } => {
                write!(
                    f,
                    "annotation {annotation}: \"{value}\" is not understood, so paused"
                )
            }
            Self::Said(words) => f.write_str(words),
        }
    }
}

impl Step {
    /// The replicas that the load needs, if this step has them.
    pub(in crate::scaling) fn asked(&self) -> Option<i32> {
        match self {
            Self::Demand { replicas, .. } | Self::Load { replicas, .. } => Some(*replicas),
            _ => None,
        }
    }

    /// Whether two steps differ only in numbers and times.
    pub fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Said(_) | Self::CommitPastEnd { .. } | Self::NotUnderstood { .. }, _) => {
                self == other
            }
            (Self::Limited { by, .. }, Self::Limited { by: other, .. }) => by == other,
            (Self::Overdue { what, .. }, Self::Overdue { what: other, .. }) => what == other,
            (
                Self::Load { is_measured, .. },
                Self::Load {
                    is_measured: other, ..
                },
            ) => is_measured == other,
            _ => mem::discriminant(self) == mem::discriminant(other),
        }
    }

    /// The steps that explain why the size is not the one asked for.
    fn fmt_of_size(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Useful {
                asked,
                taken,
                share_asked,
                share_taken,
            } => write!(
                f,
                "{taken}: with {asked} the largest share would be {share_asked} partitions, with {taken} it is {share_taken}"
            ),
            Self::Limited { by, at } => match by {
                LimitedBy::PartitionLimit => write!(f, "partitions allow {at}"),
                LimitedBy::MaxReplicas => write!(f, "maxReplicas allows {at}"),
                LimitedBy::MinReplicas => write!(f, "minReplicas asks for {at}"),
            },
            Self::NoneShorter { replicas, asked } => write!(
                f,
                "{replicas}: with {asked} no consumer would have fewer records waiting"
            ),
            _ => Ok(()),
        }
    }

    /// The steps of the time objective.
    fn fmt_of_delay(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay {
                delay,
                predicted,
                unknown,
            } => {
                write!(
                    f,
                    "delay {}s, {}s predicted",
                    delay.as_secs(),
                    predicted.as_secs().max(0)
                )?;
                match unknown {
                    0 => Ok(()),
                    unknown => write!(f, ", {} unknown", partitions(*unknown)),
                }
            }
            Self::Load {
                arrivals_milli,
                capacity_milli,
                is_measured,
                replicas,
            } => {
                let (arrive, each) = (per_second(*arrivals_milli), per_second(*capacity_milli));
                if *is_measured {
                    write!(
                        f,
                        "{arrive} records/s arrive, one consumer can do {each}: {replicas}"
                    )
                } else {
                    write!(f, "{arrive} records/s arrive, one consumer does {each} now")
                }
            }
            Self::Stuck { count: 1 } => f.write_str("1 partition does not move"),
            Self::Stuck { count } => write!(f, "{count} partitions do not move"),
            Self::Replayed { replicas, window } => write!(
                f,
                "the last {}s with {replicas} would have stayed calm",
                window.as_secs()
            ),
            Self::Bottleneck { replicas, until } => write!(
                f,
                "more than {replicas} brought nothing; not tried again before {}",
                clock(*until)
            ),
            Self::Ineffective { gained, grown } => write!(
                f,
                "{grown}% more consumers brought {gained}% more throughput"
            ),
            _ => Ok(()),
        }
    }
}

/// A number of partitions.
fn partitions(n: i32) -> String {
    match n {
        1 => "1 partition".to_owned(),
        n => format!("{n} partitions"),
    }
}

/// Time of day, UTC, to the second.
fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// Thousandths of a record per second as records per second.
fn per_second(milli: i64) -> String {
    match milli {
        0..10_000 => format!("{}.{}", milli / 1000, milli % 1000 / 100),
        _ => format!("{}", milli / 1000),
    }
}
