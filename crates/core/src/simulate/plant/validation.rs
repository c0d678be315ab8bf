//! Checks the parameters of the model; errors say what to write instead.

use thiserror::Error;

use super::parameters::Parameters;
use crate::simulate::number::real;

/// A parameter that is out of range. The text says what to write instead.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{field}: {value} is not possible; write {bounds}")]
pub struct InvalidParameter {
    field: &'static str,
    value: String,
    bounds: String,
}

/// Maximum of the partitions of all topics.
const MOST_PARTITIONS: u32 = 10_000;
/// Maximum of all times: a year, in seconds.
const YEAR: f64 = 366.0 * 86_400.0;

impl Parameters {
    /// Returns these parameters if all are valid.
    pub fn checked(self) -> Result<Self, InvalidParameter> {
        let numbers = self.shares().into_iter().chain(self.times());
        let factors = self.speed.iter().map(|s| ("speed", s.factor, 0.0, 100.0));
        let caps = self.downstream.iter().filter_map(|d| d.rate);
        let caps = caps.map(|rate| ("downstream", rate, 0.0, 1e12));
        for (field, value, least, most) in numbers.chain(factors).chain(caps) {
            if !(least..=most).contains(&value) {
                return Err(InvalidParameter {
                    field,
                    value: value.to_string(),
                    bounds: format!("{least} to {most}"),
                });
            }
        }
        let (least, mode, most) = self.start_seconds;
        if !(0.0 <= least && least <= mode && mode <= most && most <= 86_400.0) {
            return Err(InvalidParameter {
                field: "startSeconds",
                value: format!("{least},{mode},{most}"),
                bounds: "least, most likely and most, ascending: 20,30,60".to_owned(),
            });
        }
        self.check_topics()?;
        Ok(self)
    }

    /// Field, value, minimum, maximum.
    fn shares(&self) -> [(&'static str, f64, f64, f64); 12] {
        [
            ("consumerRate", self.consumer_rate, 1e-3, 1e12),
            ("skew", self.skew, 0.0, 5.0),
            ("noise", self.noise, 0.0, 1.0),
            ("consumerSpread", self.consumer_spread, 0.0, 1.0),
            ("consumerNoise", self.consumer_noise, 0.0, 1.0),
            ("warmupFactor", self.warmup_factor, 0.0, 1.0),
            ("contention", self.contention, 0.0, 1.0),
            ("cpuAtCapacity", self.cpu_at_capacity, 0.0, 10.0),
            ("cpuIdle", self.cpu_idle, 0.0, 1.0),
            ("slowRecordShare", self.slow_record_share, 0.0, 1.0),
            ("failedPolls", self.failed_polls, 0.0, 1.0),
            ("missingPartitions", self.missing_partitions, 0.0, 1.0),
        ]
    }

    fn times(&self) -> [(&'static str, f64, f64, f64); 25] {
        let member = self.cooperative_per_member_seconds;
        let replicas = f64::from(self.initial_replicas.unwrap_or(0));
        let metadata = real(self.metadata_max_age_seconds);
        let from = real(self.consumers_from_seconds);
        let session = real(self.session_timeout_seconds);
        let commit = real(self.commit_interval_seconds);
        [
            ("offsetsPerRecord", self.offsets_per_record, 1.0, 10.0),
            ("residualLag", real(self.residual_lag), 0.0, 1e12),
            ("initialReplicas", replicas, 0.0, 10_000.0),
            ("warmupSeconds", real(self.warmup_seconds), 0.0, YEAR),
            ("newNodeSeconds", real(self.new_node_seconds), 0.0, YEAR),
            ("sessionTimeoutSeconds", session, 1.0, 3600.0),
            ("commitIntervalSeconds", commit, 1.0, 3600.0),
            ("eagerSeconds", self.eager_seconds, 0.0, 3600.0),
            (
                "eagerPerMemberSeconds",
                self.eager_per_member_seconds,
                0.0,
                60.0,
            ),
            ("cooperativeSeconds", self.cooperative_seconds, 0.0, 3600.0),
            ("cooperativePerMemberSeconds", member, 0.0, 60.0),
            ("revokeSeconds", self.revoke_seconds, 0.0, 3600.0),
            ("takeOverSeconds", self.take_over_seconds, 0.0, 3600.0),
            ("heartbeatSeconds", self.heartbeat_seconds, 0.5, 60.0),
            (
                "consumerHeartbeatSeconds",
                self.consumer_heartbeat_seconds,
                0.5,
                60.0,
            ),
            (
                "commitStallSeconds",
                real(self.commit_stall_seconds),
                0.0,
                3600.0,
            ),
            ("recordSeconds", self.record_seconds, 0.0, 3600.0),
            ("slowRecordSeconds", self.slow_record_seconds, 0.0, 3600.0),
            ("metadataMaxAgeSeconds", metadata, 0.0, YEAR),
            ("consumersFromSeconds", from, 0.0, YEAR),
            (
                "foreignMembers",
                f64::from(self.foreign_members),
                0.0,
                10_000.0,
            ),
            (
                "rebalanceEverySeconds",
                real(self.rebalance_every_seconds),
                0.0,
                YEAR,
            ),
            ("restoreSeconds", real(self.restore_seconds), 0.0, 86_400.0),
            ("graceSeconds", real(self.grace_seconds), 0.0, 86_400.0),
            (
                "unreadyFromLag",
                self.unready_from_lag.unwrap_or(1.0),
                1.0,
                1e12,
            ),
        ]
    }

    fn check_topics(&self) -> Result<(), InvalidParameter> {
        let names = self.topics.keys().map(String::as_str);
        let all = names.fold(0_u32, |sum, name| {
            sum.saturating_add(self.partitions_of(name))
        });
        let is_each = self.topics.values().all(|partitions| *partitions >= 1);
        if !is_each || !(1..=MOST_PARTITIONS).contains(&all) {
            return Err(InvalidParameter {
                field: "topics",
                value: format!("{all} partitions"),
                bounds: "at least one partition for each topic, and at most 10000 for all of them"
                    .to_owned(),
            });
        }
        let unknown = |field, name: &str| InvalidParameter {
            field,
            value: format!("topic {name}"),
            bounds: "a topic and a partition that there are".to_owned(),
        };
        for expansion in &self.expansions {
            if !self.topics.contains_key(&expansion.topic) {
                return Err(unknown("expansions", &expansion.topic));
            }
        }
        for (topic, weights) in &self.weights {
            let partitions = self.partitions_of(topic);
            let is_each = usize::try_from(partitions).is_ok_and(|n| n == weights.len());
            let are_weights = weights.iter().all(|weight| (0.0..=1e12).contains(weight));
            if !is_each || !are_weights || weights.iter().sum::<f64>() <= 0.0 {
                return Err(InvalidParameter {
                    field: "weights",
                    value: format!("{topic}: {weights:?}"),
                    bounds: format!("a number from 0 for each of its {partitions} partitions"),
                });
            }
        }
        for (topic, seconds) in &self.waits {
            if !self.topics.contains_key(topic) {
                return Err(unknown("waits", topic));
            }
            if !(0..=86_400).contains(seconds) {
                return Err(InvalidParameter {
                    field: "waits",
                    value: format!("{topic}: {seconds}"),
                    bounds: "0 to 86400 seconds".to_owned(),
                });
            }
        }
        for stuck in &self.stuck {
            if stuck.partition >= self.partitions_of(&stuck.topic) {
                return Err(unknown("stuck", &stuck.topic));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::parameters::Assignor;
    use super::*;

    fn checked(change: Value) -> Result<Parameters, String> {
        let mut all = json!({ "topics": { "orders": 6 }, "consumerRate": 200 });
        let (Value::Object(into), Value::Object(from)) = (&mut all, change) else {
            unreachable!("both are objects");
        };
        into.extend(from);
        let parameters: Parameters =
            serde_json::from_value(all).map_err(|error| error.to_string())?;
        parameters.checked().map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_names_what_differs_from_the_defaults() {
        let parameters =
            checked(json!({ "startSeconds": [5, 6, 7], "assignor": "roundrobin" })).unwrap();
        assert_eq!(parameters.assignor, Assignor::RoundRobin);
        assert_eq!(parameters.commit_interval_seconds, 5);
        let back = serde_json::to_value(&parameters).unwrap();
        assert_eq!(
            serde_json::from_value::<Parameters>(back).unwrap(),
            parameters
        );
    }

    #[rstest]
    #[case(json!({ "consumerRate": 0 }), "consumerRate: 0 is not possible; write 0.001 to")]
    #[case(json!({ "failedPolls": 5 }), "failedPolls: 5 is not possible; write 0 to 1")]
    #[case(json!({ "startSeconds": [30, 20, 60] }), "startSeconds: 30,20,60 is not possible; write least")]
    #[case(json!({ "topics": { "orders": 0 } }), "topics: 0 partitions is not possible")]
    #[case(json!({ "stuck": [{ "topic": "orders", "partition": 6, "from": 0, "to": 9 }] }), "stuck: topic orders")]
    #[case(json!({ "expansions": [{ "at": 9, "topic": "other", "partitions": 9 }] }), "expansions: topic other")]
    #[case(json!({ "weights": { "orders": [1, 2] } }), "weights: orders: [1.0, 2.0] is not possible; write a number from 0 for each of its 6 partitions")]
    #[case(json!({ "commitSeconds": 5 }), "unknown field `commitSeconds`")]
    fn what_makes_no_sense_says_what_to_write(#[case] change: Value, #[case] says: &str) {
        let error = checked(change).unwrap_err();
        assert!(error.starts_with(says), "{error}");
    }
}
