//! Why what a user wrote cannot be managed, and what to write instead.

use thiserror::Error;

use super::servers::InvalidConnection;
use crate::api::condition::Reason;
use crate::text;

/// Why a ConsumerGroup cannot be managed as it is written. The text says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSpec {
    /// No objective that this operator knows.
    #[error(
        "objective: set exactly one of maxDelay, how long a record may wait, and lagPerReplica, how many messages behind one replica may be (1 or more)"
    )]
    Objective,
    /// Neither or both ways to reach Kafka.
    #[error("kafka: set exactly one of clusterRef and bootstrapServers")]
    Kafka,
    /// A name or text has characters that none has.
    #[error("{field} has control characters: write it without them")]
    ControlCharacters {
        /// Which.
        field: &'static str,
    },
    /// A topic cannot be called so.
    #[error(
        "topics: \"{topic}\" is no name of a topic: write letters, digits, '.', '_' and '-'; for a pattern use topicPattern"
    )]
    TopicName {
        /// What was written.
        topic: String,
    },
    /// The servers are not usable.
    #[error("kafka.bootstrapServers: {0}")]
    Connection(#[from] InvalidConnection),
    /// A login lacks something.
    #[error("kafka.sasl: this mechanism needs {needs}")]
    Sasl {
        /// What.
        needs: &'static str,
    },
    /// This build has no Kerberos.
    #[error(
        "kafka.sasl: mechanism GSSAPI needs an operator that is built with Kerberos (cargo feature gssapi, docs/connections/kerberos.md); this one is not"
    )]
    NoKerberos,
    /// A password or token would be shown to the network (SAFE-37).
    #[error(
        "kafka.sasl: this login shows a password or token to the network: add tls and an https token endpoint, or set allowInsecure: true"
    )]
    Insecure,
    /// A count is out of its bounds.
    #[error("{field}: {value} is not possible; write {bounds}")]
    Count {
        /// Which.
        field: &'static str,
        /// What was written.
        value: i32,
        /// What may be written.
        bounds: &'static str,
    },
    /// The bounds contradict each other.
    #[error("minReplicas {min} is above maxReplicas {max}: lower minReplicas or raise maxReplicas")]
    Bounds {
        /// `minReplicas`.
        min: i32,
        /// `maxReplicas`.
        max: i32,
    },
    /// Two ways to say which topics count.
    #[error(
        "topics and topicPattern exclude each other: list the topics, or give a pattern for their names"
    )]
    Topics,
    /// Nothing says what would wake the group (ACT-12).
    #[error(
        "minReplicas: 0 needs topics or topicPattern, so that a record for a sleeping group is noticed"
    )]
    NothingToWake,
    /// No topic is left to scale by.
    #[error(
        "delayedTopicPattern matches all of topics, so that nothing is left to scale by: add a topic, or write a narrower pattern"
    )]
    AllDelayed,
    /// The pattern is no regular expression.
    #[error(
        "{field} is no valid regular expression ({problem}): see https://docs.rs/regex/latest/regex/#syntax"
    )]
    Pattern {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The pattern would need too much memory.
    #[error("{field} is too large once compiled: write one with fewer and smaller repetitions")]
    PatternTooLarge {
        /// Which.
        field: &'static str,
    },
}

impl InvalidSpec {
    /// The reason that conditions and events give.
    pub const fn reason(&self) -> Reason {
        Reason::InvalidSpec
    }
}

/// Refuses a text with characters that change how the text around it is shown.
pub(super) fn without_control_characters(
    field: &'static str,
    value: &str,
) -> Result<(), InvalidSpec> {
    if value.contains(text::is_disruptive) {
        return Err(InvalidSpec::ControlCharacters { field });
    }
    Ok(())
}
