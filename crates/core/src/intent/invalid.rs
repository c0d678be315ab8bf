//! Why a resource cannot be managed, and what to write instead.

use thiserror::Error;

use super::servers::InvalidConnection;
use crate::api::condition::Reason;
use crate::text;

/// Why a ConsumerGroup cannot be managed as it is written. The message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSpec {
    /// No objective that this operator supports.
    #[error(
        "objective: set exactly one of maxDelay, how long a record may wait, and lagPerReplica, \
         how many messages behind one replica may be (1 or more)"
    )]
    Objective,
    /// None or both of the ways to reach Kafka.
    #[error("kafka: set exactly one of clusterRef and bootstrapServers")]
    Kafka,
    /// A name or text has control characters.
    #[error("{field} has control characters: write it without them")]
    ControlCharacters {
        /// The field.
        field: &'static str,
    },
    /// A text that cannot be the name of a topic.
    #[error(
        "topics: \"{topic}\" is not a topic name: write letters, digits, '.', '_' and '-'; for a \
         pattern use topicPattern"
    )]
    TopicName {
        /// What was written.
        topic: String,
    },
    /// The servers cannot be used.
    #[error("kafka.bootstrapServers: {0}")]
    Connection(#[from] InvalidConnection),
    /// A login is incomplete.
    #[error("kafka.sasl: this mechanism needs {needs}")]
    Sasl {
        /// The missing fields.
        needs: &'static str,
    },
    /// This build has no Kerberos.
    #[error(
        "kafka.sasl: mechanism GSSAPI needs an operator that is built with Kerberos (cargo feature \
         gssapi, docs/connections/kerberos.md); this one is not"
    )]
    NoKerberos,
    /// A password or token would cross the network unencrypted (SAFE-37).
    #[error(
        "kafka.sasl: this login shows a password or token to the network: add tls and an https \
         token endpoint, or set allowInsecure: true"
    )]
    Insecure,
    /// A number is out of its bounds.
    #[error("{field}: {value} is not possible; write {bounds}")]
    Count {
        /// The field.
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
    /// Both ways to select topics.
    #[error(
        "topics and topicPattern exclude each other: list the topics, or give a pattern for their \
         names"
    )]
    Topics,
    /// There is no topic whose records could start the group (ACT-12).
    #[error(
        "minReplicas: 0 needs topics or topicPattern, so that a record for a sleeping group is \
         noticed"
    )]
    NothingToWake,
    /// No topic is left that could ask for replicas.
    #[error(
        "delayedTopicPattern matches all of topics, so that nothing is left to scale by: add a \
         topic, or write a narrower pattern"
    )]
    AllDelayed,
    /// The pattern is not a regular expression.
    #[error(
        "{field} is not a valid regular expression ({problem}): see \
         https://docs.rs/regex/latest/regex/#syntax"
    )]
    Pattern {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The pattern would need too much memory.
    #[error("{field} is too large once compiled: write one with fewer and smaller repetitions")]
    PatternTooLarge {
        /// The field.
        field: &'static str,
    },
}

impl InvalidSpec {
    /// The reason in conditions and events.
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
