//! How a client reaches Kafka, and what it says on the way there.
//!
//! Makes configurations and forwards what librdkafka reports; decides nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::failure::Failure;
use crate::stop::Stop;
use crate::throttle::Throttle;
use crate::units;

/// One metadata request; a broker that hangs costs this much before the next is asked.
const REQUEST: Duration = Duration::from_secs(2);

/// How long to wait for the reason of a failed connection; there is none from a port that takes it
/// and never answers.
const REASON: Duration = Duration::from_millis(500);

/// How long to let librdkafka reconnect before metadata are asked for again.
const PAUSE: Duration = Duration::from_millis(100);

/// The flags that every command has.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// Brokers to begin with; the others are learnt from them
    #[arg(long, env = "WORKLOAD_BOOTSTRAP_SERVERS", value_name = "HOST:PORT,...")]
    pub(crate) bootstrap_servers: String,

    /// What the brokers call this client; give Pods their own names here
    #[arg(
        long,
        env = "WORKLOAD_CLIENT_ID",
        default_value = "workload",
        value_name = "NAME"
    )]
    pub(crate) client_id: String,

    /// A librdkafka property, set last so that it wins; repeatable, in the environment separated by
    /// semicolons
    #[arg(
        long = "property",
        env = "WORKLOAD_PROPERTY",
        value_name = "NAME=VALUE",
        value_delimiter = ';',
        value_parser = units::property
    )]
    pub(crate) properties: Vec<(String, String)>,
}

impl Connection {
    /// A client's configuration: what all have, what this one needs, and the user's word last.
    pub(crate) fn config<'a>(
        &self,
        own: impl IntoIterator<Item = (&'a str, String)>,
    ) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("enable.metrics.push", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        for (name, value) in own {
            config.set(name, value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    /// A client that only asks: no group, no subscription. `servers` instead of the bootstrap
    /// servers, if given.
    pub(crate) fn enquirer(&self, servers: Option<&str>) -> Result<BaseConsumer<Reports>, Failure> {
        let own = [("allow.auto.create.topics", "false".to_owned())];
        let mut config = self.config(own);
        if let Some(servers) = servers {
            config.set("bootstrap.servers", servers);
        }
        BaseConsumer::from_config_and_context(&config, Reports::default())
            .map_err(Failure::Settings)
    }

    /// Waits up to `wait` until `topic` is there, and tells its partitions. `None` if asked to stop
    /// meanwhile.
    pub(crate) fn await_topic(
        &self,
        topic: &str,
        wait: Duration,
        stop: &Stop,
    ) -> Result<Option<usize>, Failure> {
        let enquirer = self.enquirer(None)?;
        let deadline = Instant::now() + wait;
        loop {
            let found = partitions(&enquirer, topic);
            if let Ok(Some(count)) = found {
                return Ok(Some(count));
            }
            if Instant::now() >= deadline {
                return Err(match found {
                    Ok(_) => Failure::NoTopic {
                        topic: topic.to_owned(),
                        waited: wait,
                    },
                    Err(_) => self.unreachable(&enquirer, wait),
                });
            }
            if !stop.wait_until(Instant::now() + PAUSE, Duration::ZERO) {
                return Ok(None);
            }
        }
    }

    /// The failure of a client that got no answer within `waited`.
    pub(crate) fn unreachable(
        &self,
        enquirer: &BaseConsumer<Reports>,
        waited: Duration,
    ) -> Failure {
        // Why a connection failed comes as an event, and only to a client that polls.
        let until = Instant::now() + REASON;
        while enquirer.context().last().is_none() && Instant::now() < until {
            // Logged and kept by the context.
            let _ = enquirer.poll(PAUSE);
        }
        Failure::Unreachable {
            servers: self.bootstrap_servers.clone(),
            waited,
            reason: enquirer.context().last(),
        }
    }
}

/// The number of partitions of `topic`, `None` if there is no such topic.
pub(crate) fn partitions(
    enquirer: &BaseConsumer<Reports>,
    topic: &str,
) -> Result<Option<usize>, KafkaError> {
    let metadata = enquirer.fetch_metadata(Some(topic), REQUEST)?;
    let found = metadata
        .topics()
        .iter()
        .find(|found| found.name() == topic && found.error().is_none());
    Ok(found
        .map(|found| found.partitions().len())
        .filter(|count| *count > 0))
}

/// Forwards what librdkafka says to the log, repeated words left out.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    throttle: Throttle,
    last: Mutex<Option<String>>,
}

impl Reports {
    /// Logs `words` unless they were said lately.
    pub(crate) fn warn(&self, words: &str) {
        // The tail counts milliseconds and repetitions, and differs each time.
        let lasting = words.split(" (after ").next().unwrap_or(words);
        if self.throttle.is_news(Instant::now(), lasting) {
            tracing::warn!("{lasting}");
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(lasting.to_owned());
    }

    /// The last words.
    pub(crate) fn last(&self) -> Option<String> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters to a user comes as an error event too, all but this.
        if facility == "COMMITFAIL" {
            self.warn("commits failed, as in a rebalance; what they were for is committed again");
        }
        tracing::debug!(?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // This one only sums up those that came before it.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.warn(reason);
        }
    }
}

impl ConsumerContext for Reports {}
