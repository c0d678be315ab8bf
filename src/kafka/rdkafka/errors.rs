//! Translates errors of Kafka and librdkafka to [`ReadError`]. Pure.

use std::sync::Arc;

use rdkafka_sys::rd_kafka_resp_err_t as kafka;

use super::bounds::LARGEST_ANSWER;
use super::native::{Code, Failure};
use crate::kafka::model::error::{ReadError, Resource};
use crate::kafka::model::snapshot::{GroupState, Known, Protocol, TopicPartition};
use crate::kafka::reader::DescribedGroup;

/// What a failed description says about a group.
pub(super) fn described(id: &str, failure: &Failure) -> Known<DescribedGroup> {
    if failure.code.0 == kafka::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND as i32 {
        return Ok(DescribedGroup {
            state: Some(GroupState::Dead),
            protocol: Protocol::Unknown,
            assignor: None,
            members: Vec::new(),
        });
    }
    // librdkafka's message for a group of Kafka Connect and the like: "GroupId x is not a consumer
    // group (connect)."
    if let Some((_, rest)) = failure.message.rsplit_once("is not a consumer group (") {
        let kind = rest.trim_end_matches([')', '.']).to_owned();
        return Err(ReadError::GroupType { kind });
    }
    Err(meaning(failure, &Resource::Group(id.into())))
}

pub(super) fn partition_meaning(code: Code, partition: &TopicPartition) -> ReadError {
    let failure = Failure::new(code);
    meaning(&failure, &Resource::Topic(Arc::clone(&partition.topic)))
}

/// What an error of Kafka or librdkafka means for a request about `resource`.
pub(super) fn meaning(failure: &Failure, resource: &Resource) -> ReadError {
    use kafka as e;
    if is_refused_certificate(&failure.message) {
        let detail = format!(
            "the broker requires a client certificate (tls.clientCertificate), or does not accept \
             the one that it got: {}",
            failure.message
        );
        return ReadError::Authentication { detail };
    }
    if let Some(error) = too_large(&failure.message) {
        return error;
    }
    let Ok(code) = e::try_from(failure.code.0) else {
        return ReadError::Other(failure.message.clone());
    };
    match code {
        e::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
        | e::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
        | e::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED => ReadError::Authorization {
            resource: resource.clone(),
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
        e::RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE => no_resources(&failure.message),
        // Only if its message is no more than its name.
        e::RD_KAFKA_RESP_ERR__BAD_MSG if failure.message == Failure::new(failure.code).message => {
            ReadError::Other(format!(
                "the answer cannot be read: it has more than {LARGEST_ANSWER} bytes, or is not \
                 Kafka's"
            ))
        }
        _ => ReadError::Other(failure.message.clone()),
    }
}

/// The system provides no thread for another broker.
pub(super) fn out_of_threads() -> ReadError {
    no_resources("no thread for another broker")
}

fn no_resources(what: &str) -> ReadError {
    ReadError::Unreachable {
        detail: format!(
            "the operator is out of threads, descriptors or memory ({what}): give its Pod more of \
             them (the kubelet's podPidsLimit, resources.limits), or lower \
             --max-brokers-per-cluster"
        ),
    }
}

/// What a frame larger than any answer means: a hostile broker, or no frame at all but the first
/// bytes of another protocol (then `None`).
fn too_large(message: &str) -> Option<ReadError> {
    let (server, rest) = message.split_once(": Receive failed: Invalid response size ")?;
    let (size, limit) = rest.split_once(" (0..")?;
    let (limit, _) = limit.split_once(')')?;
    let size: i32 = size.parse().ok()?;
    let bytes = u32::try_from(size).ok().filter(|bytes| {
        let first = bytes.to_be_bytes();
        // TLS answers (0x15, 0x03, version) that it does not understand; HTTP and others begin with
        // text.
        let is_alert = matches!(first, [0x15..=0x16, 0x03, ..]);
        let is_text = first
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        !is_alert && !is_text
    })?;
    Some(ReadError::AnswerTooLarge {
        server: server.to_owned(),
        bytes,
        limit: limit.parse().ok()?,
    })
}

/// The number of brokers, when it is more than librdkafka reads (10,000). librdkafka does not say
/// that the answer that it could not read lists brokers; they are the first thing in it.
fn unreadably_many_brokers(errors: &[Failure]) -> Option<usize> {
    let is_metadata = errors.iter().any(|failure| {
        let place = failure.message.split_once("parse failure for Metadata v");
        let place = place.and_then(|(_, place)| place.split_once(" at ")?.1.split_once('/'));
        place.is_some_and(|(at, _)| at.parse::<u32>().is_ok_and(|at| at < 32))
    });
    let mut counts = errors.iter().filter_map(|failure| {
        let (_, rest) = failure.message.split_once("ApiArrayCnt ")?;
        rest.strip_suffix(" out of range")?.parse::<usize>().ok()
    });
    counts.next().filter(|_| is_metadata)
}

/// Why nothing answers, from librdkafka's errors. A refused login explains more than a failed
/// connection.
pub(super) fn trouble(errors: &[Failure], limit: usize) -> ReadError {
    if let Some(brokers) = unreadably_many_brokers(errors) {
        return ReadError::TooManyBrokers { brokers, limit };
    }
    let meanings: Vec<_> = errors
        .iter()
        .map(|failure| meaning(failure, &Resource::Cluster))
        .collect();
    let first =
        |wanted: fn(&ReadError) -> bool| meanings.iter().find(|error| wanted(error)).cloned();
    let refused = |error: &ReadError| {
        matches!(
            error,
            ReadError::Authentication { .. }
                | ReadError::Authorization { .. }
                | ReadError::AnswerTooLarge { .. }
        )
    };
    let unreachable = |error: &ReadError| matches!(error, ReadError::Unreachable { .. });
    first(refused)
        .or_else(|| first(unreachable))
        .unwrap_or_else(|| ReadError::Unreachable {
            detail: match errors.first() {
                Some(failure) => advice(failure),
                // librdkafka reports nothing when a server accepts the connection and never
                // answers, as a server does that expects TLS or a login first.
                None => "no answer: wrong protocol or port?".to_owned(),
            },
        })
}

/// Whether a broker ended the handshake because of the client certificate, or because there was
/// none.
fn is_refused_certificate(message: &str) -> bool {
    // "ssl/tls alert bad certificate" and "tlsv13 alert certificate required"; in older releases of
    // OpenSSL "sslv3 alert bad certificate" and "tlsv1 alert unknown ca".
    let alert = [
        "tls alert ",
        "tlsv13 alert ",
        "sslv3 alert ",
        "tlsv1 alert ",
    ]
    .iter()
    .find_map(|protocol| message.split_once(protocol));
    alert.is_some_and(|(_, alert)| {
        ["bad certificate", "certificate", "unknown ca"]
            .iter()
            .any(|refusal| alert.starts_with(refusal))
    })
}

/// What a refusal means. It stands before librdkafka's message, which is long: messages are cut.
fn refusal(message: &str) -> &'static str {
    if message.contains("not valid in current SASL state") {
        "the listener accepts no login: "
    } else if message.contains("mechanism handshake failed") {
        "the listener does not offer the mechanism: "
    } else if message.contains("SASL authentication error") {
        "the brokers do not accept this user name and password (or token): "
    } else {
        ""
    }
}

/// Why Kerberos does not let the operator log in: the message of its library, without those of the
/// three layers around it, which are longer than a message may be.
fn without_ticket(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("GSSAPI Error: ")?;
    let reason = rest
        .split_once(" (")
        .map_or(rest, |(_, why)| why.strip_suffix(')').unwrap_or(why));
    Some(format!(
        "Kerberos issues no ticket to the operator ({reason}): check its keytab, its krb5.conf and \
         sasl.kerberos.serviceName"
    ))
}

/// librdkafka's message, and what to check.
fn advice(failure: &Failure) -> String {
    let message = &failure.message;
    let hint = if failure.code.0 == kafka::RD_KAFKA_RESP_ERR__RESOLVE as i32 {
        "; is the name right, and known where the operator runs?"
    } else if message.contains("Connection refused") {
        "; is Kafka listening there?"
    } else if message.contains("SSL connection closed by peer") {
        "; that port seems to be without tls"
    } else if message.contains("Unsolicited answer") {
        "; is it a Kafka broker?"
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

    /// OpenSSL's releases name the same alert differently.
    #[rstest]
    #[case(
        "error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42",
        true
    )]
    #[case(
        "error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42",
        true
    )]
    #[case("error:0A00045C:SSL routines::tlsv13 alert certificate required", true)]
    #[case(
        "error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48",
        true
    )]
    #[case("error:0A000410:SSL routines::sslv3 alert handshake failure", false)]
    fn a_refused_client_certificate_is_recognized(#[case] message: &str, #[case] refused: bool) {
        assert_eq!(is_refused_certificate(message), refused);
    }

    #[rstest]
    #[case::refused(
        kafka::RD_KAFKA_RESP_ERR__TRANSPORT,
        "k:1/1: Connect to ipv4#10.0.0.1:1 failed: Connection refused",
        "no broker answered: k:1/1: Connect to ipv4#10.0.0.1:1 failed: Connection refused; \
         is Kafka listening there?"
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
        "cannot log in: the brokers do not accept this user name and password (or token): \
         k:1/1: SASL authentication error: Authentication failed"
    )]
    #[case::no_ticket(
        kafka::RD_KAFKA_RESP_ERR__AUTHENTICATION,
        "k:1/1: Failed to initialize SASL authentication: SASL handshake failed (start (-1)): \
         SASL(-1): generic failure: GSSAPI Error: Unspecified GSS failure.  Minor code may provide \
         more information (Server kafka/k@R not found in Kerberos database)",
        "cannot log in: Kerberos issues no ticket to the operator (Server kafka/k@R not found in \
         Kerberos database): check its keytab, its krb5.conf and sasl.kerberos.serviceName"
    )]
    fn trouble_says_what_to_check(#[case] code: kafka, #[case] message: &str, #[case] text: &str) {
        assert_eq!(trouble(&[failure(code, message)], 300).to_string(), text);
    }

    #[test]
    fn a_silent_server_gives_a_guess_at_the_cause() {
        let text = "no broker answered: no answer: wrong protocol or port?";
        assert_eq!(trouble(&[], 300).to_string(), text);
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
        let meaning = meaning(&failure(code, "x"), &Resource::Group("g".into()));
        assert_eq!(meaning.category().as_str(), category);
    }

    #[test]
    fn an_error_unknown_to_the_bindings_is_kept_by_number() {
        let new = Failure::new(Code(9_999));
        assert_eq!(
            meaning(&new, &Resource::Group("g".into())),
            ReadError::Other("error 9999".to_owned())
        );
    }

    #[test]
    fn the_type_of_an_unsupported_group_is_reported() {
        let other = failure(
            kafka::RD_KAFKA_RESP_ERR__INVALID_ARG,
            "GroupId c is not a consumer group (connect).",
        );
        let kind = "connect".to_owned();
        assert_eq!(described("c", &other), Err(ReadError::GroupType { kind }));
    }

    #[rstest]
    #[case::large(
        99_000_000,
        "k:1/1 answers with 99000000 bytes, more than the 10485760 that are read"
    )]
    #[case::negative(-5, "Invalid response size -5")]
    // "HTTP", and a TLS alert that the request was not TLS.
    #[case::http(0x4854_5450, "wrong protocol or port (tls, sasl)?")]
    #[case::tls(0x1503_0300, "wrong protocol or port (tls, sasl)?")]
    fn a_too_large_frame_is_an_answer_or_another_protocol(
        #[case] size: i32,
        #[case] expected: &str,
    ) {
        let message = format!(
            "k:1/1: Receive failed: Invalid response size {size} (0..10485760): increase \
             receive.message.max.bytes"
        );
        let errors = [failure(kafka::RD_KAFKA_RESP_ERR__BAD_MSG, &message)];
        let text = trouble(&errors, 300).to_string();
        assert!(text.contains(expected), "{text}");
    }

    #[rstest]
    #[case::brokers("Metadata v12(flex)", "13/600123", true)]
    #[case::topics("Metadata v12(flex)", "81234/600123", false)]
    #[case::groups("ListGroups v4(flex)", "13/600123", false)]
    fn more_brokers_than_librdkafka_reads_are_too_many(
        #[case] api: &str,
        #[case] at: &str,
        #[case] brokers: bool,
    ) {
        let lines = [
            format!(
                "k:1/1: Protocol parse failure for {api} at {at} (f:1) (incorrect \
                 broker.version.fallback?)"
            ),
            "k:1/1: ApiArrayCnt 12000 out of range".to_owned(),
        ];
        let errors = lines.map(|line| failure(kafka::RD_KAFKA_RESP_ERR__BAD_MSG, &line));
        let expected = ReadError::TooManyBrokers {
            brokers: 12_000,
            limit: 300,
        };
        assert_eq!(trouble(&errors, 300) == expected, brokers);
    }

    #[test]
    fn every_message_is_short_enough_for_a_condition() {
        let longest = [
            out_of_threads(),
            ReadError::TooManyBrokers {
                brokers: 10_000,
                limit: 10_000,
            },
            ReadError::NoRoomForBrokers {
                brokers: 10_000,
                limit: 10_000,
            },
            ReadError::AnswerTooLarge {
                server: "kafka-0.kafka.shop.svc:9092/100".to_owned(),
                bytes: u32::MAX,
                limit: u32::MAX,
            },
        ];
        for error in longest {
            let text = error.to_string();
            assert!(
                text.len() <= lagrange_core::api::condition::MAX_MESSAGE,
                "{text}"
            );
        }
    }
}
