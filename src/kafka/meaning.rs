//! What the errors of Kafka and librdkafka mean, in this room's words. Pure.

use rdkafka_sys::rd_kafka_resp_err_t as kafka;

use super::error::ReadError;
use super::native::{Code, Failure};
use super::reader::DescribedGroup;
use super::snapshot::{GroupState, Known, Protocol, TopicPartition};

/// What a failed description says of a group.
pub(super) fn described(id: &str, failure: &Failure) -> Known<DescribedGroup> {
    if failure.code.0 == kafka::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND as i32 {
        return Ok(DescribedGroup {
            state: Some(GroupState::Dead),
            protocol: Protocol::Unknown,
            assignor: None,
            members: Vec::new(),
        });
    }
    // librdkafka's words for a group of Kafka Connect and the like: "GroupId x is not a consumer group (connect)."
    if let Some((_, rest)) = failure.message.rsplit_once("is not a consumer group (") {
        let kind = rest.trim_end_matches([')', '.']).to_owned();
        return Err(ReadError::GroupType { kind });
    }
    Err(meaning(failure, &format!("group {id}")))
}

pub(super) fn partition_meaning(code: Code, partition: &TopicPartition) -> ReadError {
    let failure = Failure::new(code);
    meaning(&failure, &format!("topic {}", partition.topic))
}

/// What an error of Kafka or librdkafka means, when `resource` was asked about.
pub(super) fn meaning(failure: &Failure, resource: &str) -> ReadError {
    use kafka as e;
    if is_refused_certificate(&failure.message) {
        let detail = format!(
            "the broker wants a client certificate (tls.clientCertificate), or does not accept the one it was shown: {}",
            failure.message
        );
        return ReadError::Authentication { detail };
    }
    let Ok(code) = e::try_from(failure.code.0) else {
        return ReadError::Other(failure.message.clone());
    };
    match code {
        e::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
        | e::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
        | e::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED => ReadError::Authorization {
            resource: resource.to_owned(),
        },
        e::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
        | e::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID
        | e::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
        | e::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
        | e::RD_KAFKA_RESP_ERR__NOENT => ReadError::UnknownTopic,
        e::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
        | e::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION
        | e::RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE
        | e::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH
        | e::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH
        | e::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE
        | e::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR => ReadError::LeaderUnavailable,
        e::RD_KAFKA_RESP_ERR_NOT_COORDINATOR => ReadError::NotCoordinator,
        e::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS
        | e::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE => ReadError::CoordinatorUnavailable,
        e::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT
        | e::RD_KAFKA_RESP_ERR__TIMED_OUT
        | e::RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE => ReadError::TimedOut,
        e::RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION
        | e::RD_KAFKA_RESP_ERR__TRANSPORT
        | e::RD_KAFKA_RESP_ERR__RESOLVE
        | e::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
        | e::RD_KAFKA_RESP_ERR__DESTROY
        | e::RD_KAFKA_RESP_ERR__DESTROY_BROKER => ReadError::Unreachable {
            detail: advice(failure),
        },
        e::RD_KAFKA_RESP_ERR__AUTHENTICATION
        | e::RD_KAFKA_RESP_ERR__SSL
        | e::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED => ReadError::Authentication {
            detail: without_ticket(&failure.message)
                .unwrap_or_else(|| format!("{}{}", refusal(&failure.message), failure.message)),
        },
        _ => ReadError::Other(failure.message.clone()),
    }
}

/// Why nothing answers, by what librdkafka told meanwhile: a refused login says more than a connection that failed.
pub(super) fn trouble(errors: &[Failure]) -> ReadError {
    let meanings: Vec<_> = errors
        .iter()
        .map(|failure| meaning(failure, "the cluster"))
        .collect();
    let first =
        |wanted: fn(&ReadError) -> bool| meanings.iter().find(|error| wanted(error)).cloned();
    let refused = |error: &ReadError| {
        matches!(
            error,
            ReadError::Authentication { .. } | ReadError::Authorization { .. }
        )
    };
    let unreachable = |error: &ReadError| matches!(error, ReadError::Unreachable { .. });
    first(refused)
        .or_else(|| first(unreachable))
        .unwrap_or_else(|| ReadError::Unreachable {
            detail: match errors.first() {
                Some(failure) => advice(failure),
                // librdkafka says nothing when a server takes the connection and never answers, as one does that expects
                // TLS or a login first.
                None => "no answer: wrong protocol or port?".to_owned(),
            },
        })
}

/// Whether a broker ended the handshake because of the certificate that it was shown, or was not.
fn is_refused_certificate(message: &str) -> bool {
    let alert = message
        .split_once("tls alert ")
        .or_else(|| message.split_once("tlsv13 alert "));
    alert.is_some_and(|(_, alert)| {
        ["bad certificate", "certificate", "unknown ca"]
            .iter()
            .any(|refusal| alert.starts_with(refusal))
    })
}

/// What a refusal means. It stands before librdkafka's words, which are long: messages are cut.
fn refusal(message: &str) -> &'static str {
    if message.contains("not valid in current SASL state") {
        "the listener wants no login: "
    } else if message.contains("mechanism handshake failed") {
        "the listener does not offer the mechanism: "
    } else if message.contains("SASL authentication error") {
        "the brokers do not know this user name and password (or token): "
    } else {
        ""
    }
}

/// Why Kerberos does not let us come as far as a broker: what its library says, without the words of the three layers around
/// it, which are longer than a message may be.
fn without_ticket(message: &str) -> Option<String> {
    let (_, told) = message.split_once("GSSAPI Error: ")?;
    let reason = told
        .split_once(" (")
        .map_or(told, |(_, why)| why.strip_suffix(')').unwrap_or(why));
    Some(format!(
        "Kerberos gives the operator no ticket ({reason}): check its keytab, its krb5.conf and sasl.kerberos.serviceName"
    ))
}

/// librdkafka's reason, and what to check.
fn advice(failure: &Failure) -> String {
    let message = &failure.message;
    let hint = if failure.code.0 == kafka::RD_KAFKA_RESP_ERR__RESOLVE as i32 {
        "; is the name right, and known where the operator runs?"
    } else if message.contains("Connection refused") {
        "; is Kafka listening there?"
    } else if message.contains("SSL connection closed by peer") {
        "; that port seems to be one without tls"
    } else if ["Send failed", "Receive failed", "Disconnected"]
        .iter()
        .any(|lost| message.contains(lost))
    {
        "; wrong protocol or port (tls, sasl)?"
    } else if message.contains("Permission denied") {
        "; loopback and link-local addresses are refused without --allow-local-addresses"
    } else {
        ""
    };
    format!("{message}{hint}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn failure(code: kafka, message: &str) -> Failure {
        Failure {
            code: Code(code as i32),
            message: message.to_owned(),
        }
    }

    #[rstest]
    #[case::refused(
        kafka::RD_KAFKA_RESP_ERR__TRANSPORT,
        "k:1/1: Connect to ipv4#10.0.0.1:1 failed: Connection refused",
        "no broker answered: k:1/1: Connect to ipv4#10.0.0.1:1 failed: Connection refused; is Kafka listening there?"
    )]
    #[case::local(
        kafka::RD_KAFKA_RESP_ERR__TRANSPORT,
        "k:1/1: Failed to connect to broker at k:1: Permission denied",
        "no broker answered: k:1/1: Failed to connect to broker at k:1: Permission denied; \
         loopback and link-local addresses are refused without --allow-local-addresses"
    )]
    #[case::unknown_name(
        kafka::RD_KAFKA_RESP_ERR__RESOLVE,
        "k:1/bootstrap: Failed to resolve 'k:1': Name or service not known",
        "no broker answered: k:1/bootstrap: Failed to resolve 'k:1': Name or service not known; \
         is the name right, and known where the operator runs?"
    )]
    #[case::login(
        kafka::RD_KAFKA_RESP_ERR__AUTHENTICATION,
        "k:1/1: SASL authentication error: Authentication failed",
        "cannot log in: the brokers do not know this user name and password (or token): \
         k:1/1: SASL authentication error: Authentication failed"
    )]
    #[case::no_ticket(
        kafka::RD_KAFKA_RESP_ERR__AUTHENTICATION,
        "k:1/1: Failed to initialize SASL authentication: SASL handshake failed (start (-1)): SASL(-1): generic failure: \
         GSSAPI Error: Unspecified GSS failure.  Minor code may provide more information (Server kafka/k@R not found in \
         Kerberos database)",
        "cannot log in: Kerberos gives the operator no ticket (Server kafka/k@R not found in Kerberos database): check its \
         keytab, its krb5.conf and sasl.kerberos.serviceName"
    )]
    fn trouble_says_what_to_check(#[case] code: kafka, #[case] message: &str, #[case] text: &str) {
        assert_eq!(trouble(&[failure(code, message)]).to_string(), text);
    }

    #[test]
    fn trouble_that_librdkafka_does_not_tell_is_guessed() {
        let text = "no broker answered: no answer: wrong protocol or port?";
        assert_eq!(trouble(&[]).to_string(), text);
    }

    #[rstest]
    #[case(
        kafka::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        "AuthorizationFailed"
    )]
    #[case(kafka::RD_KAFKA_RESP_ERR_NOT_COORDINATOR, "GroupUnreadable")]
    #[case(kafka::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "TopicNotFound")]
    #[case(kafka::RD_KAFKA_RESP_ERR__NOENT, "TopicNotFound")]
    #[case(kafka::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, "PartitionsUnreadable")]
    #[case(kafka::RD_KAFKA_RESP_ERR__TIMED_OUT, "KafkaUnreachable")]
    #[case(kafka::RD_KAFKA_RESP_ERR__RESOLVE, "KafkaUnreachable")]
    #[case(kafka::RD_KAFKA_RESP_ERR__AUTHENTICATION, "AuthenticationFailed")]
    #[case(kafka::RD_KAFKA_RESP_ERR_POLICY_VIOLATION, "PartitionsUnreadable")]
    fn errors_have_a_category(#[case] code: kafka, #[case] category: &str) {
        assert_eq!(meaning(&failure(code, "x"), "group g").category(), category);
    }

    #[test]
    fn an_error_that_the_bindings_do_not_know_is_an_error() {
        let new = Failure::new(Code(9_999));
        assert_eq!(
            meaning(&new, "group g"),
            ReadError::Other("error 9999".to_owned())
        );
    }

    #[test]
    fn a_group_of_another_kind_is_named() {
        let other = failure(
            kafka::RD_KAFKA_RESP_ERR__INVALID_ARG,
            "GroupId c is not a consumer group (connect).",
        );
        let kind = "connect".to_owned();
        assert_eq!(described("c", &other), Err(ReadError::GroupType { kind }));
    }
}
