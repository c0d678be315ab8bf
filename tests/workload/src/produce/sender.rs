//! The real producer: passes records to librdkafka and counts deliveries.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use crate::connection::{Connection, Reports};
use crate::failure::Failure;

use super::records::Record;

/// Outcome of the records so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Acknowledged by all in-sync replicas.
    pub(crate) acked: u64,
    /// The same, by partition.
    pub(crate) partitions: BTreeMap<i32, u64>,
    /// Failed.
    pub(crate) failed: u64,
    /// Reason of the last failure.
    pub(crate) reason: Option<String>,
}

/// A producer for one topic.
pub(crate) struct Sender {
    producer: BaseProducer<Deliveries>,
    topic: String,
}

impl Sender {
    /// Connects in the background; an unreachable broker causes warnings and late deliveries.
    pub(crate) fn new(connection: &Connection, topic: &str) -> Result<Self, Failure> {
        let own = [
            ("partitioner", "murmur2_random"),
            // Enough for the catch-up at about 10,000 per second, and little enough memory for a
            // small Pod.
            ("queue.buffering.max.messages", "100000"),
            ("queue.buffering.max.kbytes", "65536"),
            ("linger.ms", "5"),
            // A consumer gets whole batches: the default of 1 MB would not fit into its small
            // memory.
            ("batch.size", "65536"),
        ];
        let config = connection.config(own.map(|(name, value)| (name, value.to_owned())));
        let producer = BaseProducer::from_config_and_context(&config, Deliveries::default());
        Ok(Self {
            producer: producer.map_err(Failure::Settings)?,
            topic: topic.to_owned(),
        })
    }

    /// Sends one record. False if the buffer is full. Any other refusal counts as failed.
    pub(crate) fn send(&self, record: &Record<'_>) -> bool {
        let refused = self.producer.send(BaseRecord::<str, [u8]> {
            partition: record.partition,
            key: record.key,
            payload: Some(record.value),
            ..BaseRecord::to(&self.topic)
        });
        match refused {
            Ok(()) => true,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => false,
            Err((error, _)) => {
                self.producer.context().failed(&error);
                true
            }
        }
    }

    /// Serves deliveries and errors for `time`.
    pub(crate) fn serve(&self, time: Duration) {
        self.producer.poll(time);
    }

    /// Waits up to `time` for the records in flight; the rest counts as failed.
    pub(crate) fn finish(&self, time: Duration) {
        if self.producer.flush(time).is_err() {
            let left = u64::try_from(self.producer.in_flight_count()).unwrap_or_default();
            let mut tally = self.producer.context().tally();
            tally.failed += left;
            tally.reason = Some(format!(
                "no acknowledgement within {} s of the end",
                time.as_secs()
            ));
        }
    }

    /// Outcome of the records so far.
    pub(crate) fn tally(&self) -> Tally {
        self.producer.context().tally().clone()
    }

    /// Fails if a record was not accepted.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        match self.tally() {
            Tally { failed: 0, .. } => Ok(()),
            Tally { failed, reason, .. } => Err(Failure::NotDelivered {
                count: failed,
                topic: self.topic.clone(),
                reason: reason.unwrap_or_default(),
            }),
        }
    }
}

/// Counts deliveries.
#[derive(Default)]
struct Deliveries {
    reports: Reports,
    tally: Mutex<Tally>,
}

impl Deliveries {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &KafkaError) {
        let reason = error
            .rdkafka_error_code()
            .map_or_else(|| error.to_string(), |code| code.to_string());
        self.reports
            .warn(&format!("a record was not accepted: {reason}"));
        let mut tally = self.tally();
        tally.failed += 1;
        tally.reason = Some(reason);
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.reports.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reports.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivery: &DeliveryResult<'_>, (): ()) {
        match delivery {
            Ok(message) => {
                let mut tally = self.tally();
                tally.acked += 1;
                *tally.partitions.entry(message.partition()).or_default() += 1;
            }
            // Records that were left at the end; `finish` has counted them.
            Err((
                KafkaError::MessageProduction(
                    RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight,
                ),
                _,
            )) => {}
            Err((error, _)) => self.failed(error),
        }
    }
}
