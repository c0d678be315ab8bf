//! The part of librdkafka's statistics that shows whether this member has joined, and the log ends
//! of its partitions. Pure.

use std::collections::HashMap;

use serde::Deserialize;

use super::Protocol;

/// With KIP-848, librdkafka reports a member as steady only when it has a partition. A member that
/// has been connected to its coordinator for longer than the heartbeat interval (5 s) has joined,
/// without a partition.
const SETTLED: u64 = 6_000;

/// The fields of a statistics report that are used.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Statistics {
    cgrp: Option<Coordinated>,
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

#[derive(Debug, Deserialize)]
struct Coordinated {
    state: String,
    /// Time in this state, in milliseconds.
    stateage: u64,
    join_state: String,
}

#[derive(Debug, Deserialize)]
struct Topic {
    partitions: HashMap<String, Partition>,
}

#[derive(Debug, Deserialize)]
struct Partition {
    /// Each of these is below zero while it is unknown.
    #[serde(rename = "committed_offset")]
    committed: i64,
    #[serde(rename = "lo_offset")]
    low: i64,
    #[serde(rename = "hi_offset")]
    high: i64,
}

/// Progress of a member in joining the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// The member has joined, with or without partitions.
    Joined,
    /// The member is still in this step.
    Joining(String),
}

impl Statistics {
    /// Parses a report.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Whether this member has joined its group.
    pub(crate) fn membership(&self, protocol: Protocol) -> Membership {
        let Some(Coordinated {
            state,
            stateage,
            join_state,
        }) = &self.cgrp
        else {
            return Membership::Joining("starting".to_owned());
        };
        let settled = protocol == Protocol::Consumer && *stateage > SETTLED;
        match (state.as_str(), join_state.as_str()) {
            ("up", "steady") => Membership::Joined,
            ("up", "init") if settled => Membership::Joined,
            ("up", _) => Membership::Joining(format!("joining the group ({join_state})")),
            _ => Membership::Joining(format!("finding the group's coordinator ({state})")),
        }
    }

    /// The log end of a partition at the last fetch.
    pub(crate) fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        known(self.partition(topic, partition)?.high)
    }

    /// The last commit, by this member or an earlier one.
    pub(crate) fn committed(&self, topic: &str, partition: i32) -> Option<i64> {
        known(self.partition(topic, partition)?.committed)
    }

    /// Where reading began: at the commit, else at the log start.
    pub(crate) fn begin(&self, topic: &str, partition: i32) -> Option<i64> {
        let found = self.partition(topic, partition)?;
        known(found.committed).or(known(found.low))
    }

    fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics
            .get(topic)?
            .partitions
            .get(&partition.to_string())
    }
}

fn known(offset: i64) -> Option<i64> {
    (offset >= 0).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn report(state: &str, join_state: &str, stateage: u64) -> Statistics {
        let json = format!(
            r#"{{"name":"rdkafka#consumer-1","topics":{{"orders":{{"topic":"orders","partitions":{{
                "0":{{"partition":0,"committed_offset":7,"lo_offset":2,"hi_offset":120}},"1":{{"partition":1,"committed_offset":-1001,"lo_offset":2,"hi_offset":-1001}},"-1":{{"partition":-1,"committed_offset":-1001,"lo_offset":-1001,"hi_offset":-1001}}}}}}}},
                "cgrp":{{"state":"{state}","stateage":{stateage},"join_state":"{join_state}","assignment_size":0}}}}"#
        );
        Statistics::parse(json.as_bytes()).unwrap()
    }

    #[rstest]
    #[case::steady(Protocol::Classic, "up", "steady", 0, "")]
    #[case::not_yet(
        Protocol::Classic,
        "up",
        "wait-sync",
        9_999,
        "joining the group (wait-sync)"
    )]
    #[case::no_topic(Protocol::Classic, "up", "init", 9_999, "joining the group (init)")]
    #[case::no_coordinator(
        Protocol::Classic,
        "wait-coord",
        "init",
        9_999,
        "finding the group's coordinator (wait-coord)"
    )]
    #[case::lost_coordinator(
        Protocol::Consumer,
        "wait-coord",
        "steady",
        9_999,
        "finding the group's coordinator (wait-coord)"
    )]
    #[case::just_begun(Protocol::Consumer, "up", "init", 5_999, "joining the group (init)")]
    #[case::no_partition_for_it(Protocol::Consumer, "up", "init", 6_001, "")]
    fn membership_does_not_need_a_partition(
        #[case] protocol: Protocol,
        #[case] state: &str,
        #[case] join_state: &str,
        #[case] stateage: u64,
        #[case] joining: &str,
    ) {
        let wanted = match joining {
            "" => Membership::Joined,
            what => Membership::Joining(what.to_owned()),
        };
        assert_eq!(
            report(state, join_state, stateage).membership(protocol),
            wanted
        );
    }

    #[test]
    fn without_a_group_it_is_starting() {
        assert_eq!(
            Statistics::parse(b"{}")
                .unwrap()
                .membership(Protocol::Consumer),
            Membership::Joining("starting".to_owned())
        );
    }

    #[test]
    fn offset_that_is_not_known_is_not_a_number() {
        let report = report("up", "steady", 0);
        assert_eq!(report.begin("orders", 0), Some(7));
        assert_eq!(report.begin("orders", 1), Some(2));
        assert_eq!(report.begin("orders", -1), None);
        assert_eq!(report.end("orders", 0), Some(120));
        assert_eq!(report.end("orders", 1), None);
        assert_eq!(report.end("orders", 2), None);
        assert_eq!(report.end("payments", 0), None);
    }
}
