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
    /// What the objective asks for.
    Demand {
        /// Replicas.
        replicas: i32,
        /// `lagPerReplica`.
        lag_per_replica: i64,
    },
    /// How long records wait.
    Delay {
        /// The oldest one, now.
        delay: SignedDuration,
        /// When an action could take effect.
        predicted: SignedDuration,
        /// Partitions that are not known.
        unknown: i32,
    },
    /// What arrives, what one consumer can do, and the replicas that follow.
    Load {
        /// Thousandths of a record per second.
        arrivals_milli: i64,
        /// Thousandths of a record per second.
        capacity_milli: i64,
        /// Seen under a backlog, or bracketed; else what it does at present.
        is_measured: bool,
        /// Replicas, if partitions did not limit them.
        replicas: i32,
    },
    /// Partitions that do not move, and are left out of the demand.
    Stuck {
        /// How many.
        count: i32,
    },
    /// The past was replayed with fewer replicas and stayed calm.
    Replayed {
        /// Replicas.
        replicas: i32,
        /// How much of the past.
        window: SignedDuration,
    },
    /// More replicas have brought nothing.
    Bottleneck {
        /// Than so many.
        replicas: i32,
        /// How long that is believed.
        until: Timestamp,
    },
    /// Beyond a size nobody's backlog is shorter.
    NoneShorter {
        /// That size.
        replicas: i32,
        /// The size that was asked for.
        asked: i32,
    },
    /// Moved partitions stand still for longer than elsewhere.
    Pause {
        /// Until nine in ten were committed for again.
        lasts: SignedDuration,
    },
    /// What the last scale-up brought.
    InVain {
        /// Throughput, in percent.
        gained: i64,
        /// Members, in percent.
        grown: i64,
    },
    /// A count was moved to one worth having.
    Useful {
        /// The count that was asked for.
        asked: i32,
        /// The count taken.
        taken: i32,
        /// Most partitions that one consumer would have at the count asked for.
        share_asked: i32,
        /// Most partitions that one consumer has at the count taken.
        share_taken: i32,
    },
    /// A bound cut it.
    Limited {
        /// Which.
        by: LimitedBy,
        /// Its value.
        at: i32,
    },
    /// Not before.
    NotBefore(Timestamp),
    /// When a wait that ends by itself is given up.
    AtMostUntil(Timestamp),
    /// A wait that its timeout has ended.
    Overdue {
        /// What is waited for.
        what: &'static str,
        /// For how long.
        waited: SignedDuration,
    },
    /// No capacity is known yet, so only one useful count at a time.
    CapacityUnknown,
    /// Evidence that a scale-down needs.
    Evidence {
        /// Covered so far.
        covered: SignedDuration,
        /// Wanted.
        window: SignedDuration,
    },
    /// Partitions that are new and belong to nobody yet (ACT-13).
    NewPartitions {
        /// How many.
        count: i32,
    },
    /// A partition whose commit lies past its end.
    CommitPastEnd {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
    /// Kafka has not been readable since then.
    Unreadable(Timestamp),
    /// An annotation that is not understood.
    NotUnderstood {
        /// The annotation's key.
        annotation: String,
        /// Its value.
        value: String,
    },
    /// Something in words.
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
            | Self::InVain { .. } => self.fmt_of_delay(f),
            Self::Useful { .. } | Self::Limited { .. } | Self::NoneShorter { .. } => {
                self.fmt_of_size(f)
            }
            Self::Pause { lasts } => write!(
                f,
                "what moves stands still for {}s in this group",
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
            Self::Evidence { covered, window } => {
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
    /// The replicas that the load asks for, if this step has them.
    pub(in crate::scaling) fn asked(&self) -> Option<i32> {
        match self {
            Self::Demand { replicas, .. } | Self::Load { replicas, .. } => Some(*replicas),
            _ => None,
        }
    }

    /// Whether two steps are the same but for numbers and times.
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

    /// Why another size than the one that was asked for.
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
            Self::InVain { gained, grown } => write!(
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
