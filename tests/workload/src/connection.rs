//! Client configurations, and logging of what librdkafka reports.

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

/// Timeout of a metadata request: a broker that hangs delays the next request by this time.
const REQUEST: Duration = Duration::from_secs(2);

/// How long to wait for the reason of a failed connection. A port that accepts the connection and
/// never responds gives none.
const REASON: Duration = Duration::from_millis(500);

/// Time for librdkafka to reconnect before metadata are requested again.
const PAUSE: Duration = Duration::from_millis(100);

/// The flags of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// Bootstrap servers
    #[arg(long, env = "WORKLOAD_BOOTSTRAP_SERVERS", value_name = "HOST:PORT,...")]
    pub(crate) bootstrap_servers: String,

    /// client.id of this client; use the name of the Pod
    #[arg(
        long,
        env = "WORKLOAD_CLIENT_ID",
        default_value = "workload",
        value_name = "NAME"
    )]
    pub(crate) client_id: String,

    /// A librdkafka property, which overrides others; repeatable, in the environment separated by
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
    /// Configuration of a client: common properties, then its own, then those of the user.
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

    /// A client for requests, without group and subscription. `servers` replaces the bootstrap
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

    /// Waits up to `wait` until `topic` exists, and returns its number of partitions. `None` if the
    /// program is stopped first.
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

    /// The failure of a client without a response within `waited`.
    pub(crate) fn unreachable(
        &self,
        enquirer: &BaseConsumer<Reports>,
        waited: Duration,
    ) -> Failure {
        // The reason of a failed connection is an event, and only a client that polls gets it.
        let until = Instant::now() + REASON;
        while enquirer.context().last().is_none() && Instant::now() < until {
            // The context logs and keeps the error.
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

/// Forwards messages of librdkafka to the log, without repetitions.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    throttle: Throttle,
    last: Mutex<Option<String>>,
}

impl Reports {
    /// Logs `words` unless they were logged recently.
    pub(crate) fn warn(&self, words: &str) {
        // The end of the message has milliseconds and repetitions, and differs each time.
        let lasting = words.split(" (after ").next().unwrap_or(words);
        if self.throttle.is_news(Instant::now(), lasting) {
            tracing::warn!("{lasting}");
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(lasting.to_owned());
    }

    /// The last message.
    pub(crate) fn last(&self) -> Option<String> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Everything else that matters to a user also comes as an error event.
        if facility == "COMMITFAIL" {
            self.warn("commits failed, as during a rebalance; they will be retried");
        }
        tracing::debug!(?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // This error only sums up earlier ones.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.warn(reason);
        }
    }
}

impl ConsumerContext for Reports {}
