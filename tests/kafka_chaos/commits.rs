//! Whether a committed offset can have been read. None may be above what was committed. It may be
//! below what was acknowledged for a moment: a broker that has just become coordinator reports what
//! it had as a follower, and that may lack the last commits that the previous coordinator
//! acknowledged. A reader cannot know of those, but it does know what it has read before.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lagrange::kafka::model::snapshot::{Snapshot, TopicPartition};

/// How long a new coordinator may take to have everything. It takes about a second; these brokers
/// share a busy machine.
const LATE: SignedDuration = SignedDuration::from_secs(15);

/// The offsets that were read, by group and partition.
#[derive(Debug, Default)]
pub(crate) struct Commits(BTreeMap<(Arc<str>, TopicPartition), Read>);

#[derive(Debug, Clone, Copy)]
struct Read {
    offset: Option<i64>,
    /// Since when less is read than was acknowledged.
    late_since: Option<Timestamp>,
}

/// Bounds for the committed offset of a group in a partition.
pub(crate) type Bounds = (Option<i64>, Option<i64>);

/// The verdict on a committed offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Right,
    Late,
    Wrong(String),
}

impl Commits {
    /// Forgets what the poller forgets: groups without a watch, and with a new poller everything.
    pub(crate) fn forget(&mut self, snapshot: &Snapshot) {
        if snapshot.poll == 1 {
            self.0.clear();
        }
        if snapshot.error.is_none() {
            let groups = &snapshot.groups;
            self.0.retain(|(group, _), _| groups.contains_key(group));
        }
    }

    /// Checks an offset against its bounds at the time it was read, and since when it cannot be
    /// lower (`LATE` before).
    pub(crate) fn judge(
        &mut self,
        key: (Arc<str>, TopicPartition),
        offset: Option<i64>,
        at: Timestamp,
        bounds: impl Fn(Timestamp) -> Bounds,
    ) -> Finding {
        let before = self.0.get(&key).copied();
        let (low, high) = bounds(at);
        let late_since = before.and_then(|before| before.late_since).unwrap_or(at);
        let late_since = (offset < low).then_some(late_since);
        self.0.insert(key, Read { offset, late_since });
        if offset > high {
            return Finding::Wrong(format!("{offset:?}, above {high:?}"));
        }
        let Some(since) = late_since else {
            return Finding::Right;
        };
        match before {
            Some(before) if offset < before.offset => {
                Finding::Wrong(format!("{offset:?}, after {before:?}, not {low:?}"))
            }
            None if offset < bounds(at - LATE).0 => {
                Finding::Wrong(format!("{offset:?} at first, not {low:?}"))
            }
            _ if at.duration_since(since) > LATE => {
                Finding::Wrong(format!("{offset:?} since {since}, not {low:?}"))
            }
            _ => Finding::Late,
        }
    }
}
