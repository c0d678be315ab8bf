//! The real consumer: fetches into the backlog, does one record after the other, commits, and leaves in order.
//!
//! One thread does all of it, so a slow record holds up fetching, committing and rebalancing, as in most programs that
//! read Kafka.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};

use crate::failure::Failure;
use crate::stop::Stop;

use super::backlog::{Fetched, Place};
use super::callbacks::{Callbacks, commit, commit_now, list};
use super::group::Group;
use super::workbench::Workbench;
use super::{Assignor, ConsumeArgs, Protocol};

/// How long to wait for records when there is nothing to do; also how late a stop is noticed then.
const POLL: Duration = Duration::from_millis(100);

/// How many records to take over at once.
const FETCH: usize = 1_000;

/// How long to work before records are taken over again.
const SLICE: Duration = Duration::from_millis(10);

/// Records that are done so soon are not slept for; the workbench keeps the average.
const NAP: Duration = Duration::from_millis(1);

/// How long the record in hand may take after the word to stop.
const GRACE: Duration = Duration::from_secs(1);

/// The consumer's settings: small buffers, so that tens of members run on one machine.
pub(crate) fn config(args: &ConsumeArgs) -> Result<ClientConfig, Failure> {
    let mut own = vec![
        ("group.id", args.group.clone()),
        ("enable.auto.commit", "false".to_owned()),
        ("enable.auto.offset.store", "false".to_owned()),
        ("auto.offset.reset", "earliest".to_owned()),
        ("queued.min.messages", "200".to_owned()),
        ("queued.max.messages.kbytes", "512".to_owned()),
        ("fetch.message.max.bytes", "65536".to_owned()),
        // No less than message.max.bytes, says librdkafka.
        ("fetch.max.bytes", "1000000".to_owned()),
        // With the default, 1 s, so small a queue would run dry.
        ("fetch.queue.backoff.ms", "20".to_owned()),
        // A commit to a broker that hangs must not outlast the end of the process.
        ("socket.timeout.ms", "10000".to_owned()),
        ("statistics.interval.ms", "1000".to_owned()),
    ];
    own.extend(assignment(args.group_protocol, args.assignor)?);
    own.extend(
        args.static_instance_id
            .clone()
            .map(|name| ("group.instance.id", name)),
    );
    Ok(args.connection.config(own))
}

/// The settings for a protocol and an assignor that go together.
fn assignment(
    protocol: Protocol,
    assignor: Option<Assignor>,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let wrong = |protocol, known| Failure::Assignor { protocol, known };
    let classic = |name: &str| Ok(vec![("partition.assignment.strategy", name.to_owned())]);
    let consumer = ("group.protocol", "consumer".to_owned());
    match (protocol, assignor) {
        (Protocol::Classic, None | Some(Assignor::Range)) => classic("range"),
        (Protocol::Classic, Some(Assignor::Roundrobin)) => classic("roundrobin"),
        (Protocol::Classic, Some(Assignor::CooperativeSticky)) => classic("cooperative-sticky"),
        (Protocol::Classic, Some(Assignor::Uniform)) => {
            Err(wrong("classic", "range, roundrobin or cooperative-sticky"))
        }
        (Protocol::Consumer, None) => Ok(vec![consumer]),
        (Protocol::Consumer, Some(Assignor::Range)) => Ok(vec![
            consumer,
            ("group.remote.assignor", "range".to_owned()),
        ]),
        (Protocol::Consumer, Some(Assignor::Uniform)) => Ok(vec![
            consumer,
            ("group.remote.assignor", "uniform".to_owned()),
        ]),
        (Protocol::Consumer, Some(_)) => Err(wrong("consumer", "uniform or range")),
    }
}

/// Reads until told to stop, or until librdkafka gives up for good.
pub(crate) fn run(
    args: &ConsumeArgs,
    config: &ClientConfig,
    group: Arc<Group>,
    stop: &Stop,
) -> Result<(), Failure> {
    let callbacks = Callbacks::new(Arc::clone(&group), args.group_protocol);
    let consumer =
        BaseConsumer::from_config_and_context(config, callbacks).map_err(Failure::Settings)?;
    let topics: Vec<&str> = args.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).map_err(Failure::Settings)?;
    let mut member = Member {
        args,
        group,
        stop,
        consumer,
        bench: Workbench::new(args.millis_per_record),
    };
    let outcome = member.read();
    member.leave();
    outcome
}

struct Member<'a> {
    args: &'a ConsumeArgs,
    group: Arc<Group>,
    stop: &'a Stop,
    consumer: BaseConsumer<Callbacks>,
    bench: Workbench,
}

impl Member<'_> {
    fn read(&mut self) -> Result<(), Failure> {
        let start = Instant::now();
        let (mut commit_at, mut report_at) = (
            start + self.args.commit_interval,
            start + self.args.report_interval,
        );
        while self.stop.requested().is_none() {
            self.fetch()?;
            self.work();
            let now = Instant::now();
            if now >= commit_at {
                self.commit();
                commit_at = now + self.args.commit_interval;
            }
            if now >= report_at {
                self.args.output.line(&self.group.status());
                report_at = now + self.args.report_interval;
            }
        }
        Ok(())
    }

    /// Takes over what librdkafka has fetched; waits for it only if there is nothing else to do.
    fn fetch(&self) -> Result<(), Failure> {
        let now = Instant::now();
        let ready_at = self.group.state().backlog.ready_at(now);
        let mut wait = ready_at
            .map_or(POLL, |at| at.saturating_duration_since(now))
            .min(POLL);
        for _ in 0..FETCH {
            match self.consumer.poll(std::mem::take(&mut wait)) {
                Some(Ok(message)) => self.put(&message),
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    return Err(Failure::Consumer(code));
                }
                // Its reason was logged by the callback.
                Some(Err(error)) => tracing::debug!(%error, "fetching"),
                None => break,
            }
        }
        Ok(())
    }

    fn put(&self, message: &BorrowedMessage<'_>) {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        let poison = self
            .args
            .poison
            .iter()
            .any(|poison| poison.hits(topic, partition, offset, message.key()));
        let full = self
            .group
            .state()
            .backlog
            .put(topic, partition, Fetched { offset, poison });
        if let Some(place) = full {
            let paused = list([(&place, None)]).and_then(|list| self.consumer.pause(&list));
            paused.unwrap_or_else(|error| self.consumer.context().warn(&error));
        }
    }

    /// Does records for a moment, or one record if that takes longer.
    fn work(&mut self) {
        let until = Instant::now() + SLICE;
        let mut now = Instant::now();
        while now < until && self.stop.requested().is_none() {
            let turn = self.group.state().backlog.next(now);
            let Some((place, record)) = turn else { break };
            let done = self.bench.take(now);
            if done > now + NAP && !self.stop.wait_until(done, GRACE) {
                tracing::info!(
                    "record {}:{}:{} is left undone",
                    place.topic,
                    place.partition,
                    record.offset
                );
                return;
            }
            now = Instant::now();
            self.finish(&place, record, now);
        }
        self.resume();
    }

    fn finish(&self, place: &Place, record: Fetched, now: Instant) {
        let mut state = self.group.state();
        if record.poison {
            state.backlog.failed(place, now);
            return;
        }
        state.backlog.done(place);
        state.records += 1;
    }

    fn resume(&self) {
        let empty = self.group.state().backlog.resume();
        if !empty.is_empty() {
            let resumed = list(empty.iter().map(|place| (place, None)))
                .and_then(|list| self.consumer.resume(&list));
            resumed.unwrap_or_else(|error| self.consumer.context().warn(&error));
        }
    }

    /// Asks for what is done to be committed, without waiting for the answer.
    fn commit(&self) {
        let offsets = self.group.state().backlog.ask_commits();
        commit(&self.consumer, &offsets);
    }

    /// Commits what is done and leaves the group.
    fn leave(self) {
        let offsets = self.group.state().backlog.unconfirmed(|_| true);
        commit_now(&self.consumer, &offsets);
        self.args.output.line(&self.group.status());
        // Closes the consumer, which leaves the group.
        drop(self.consumer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Protocol::Classic, None, Some("partition.assignment.strategy=range"))]
    #[case(
        Protocol::Classic,
        Some(Assignor::CooperativeSticky),
        Some("partition.assignment.strategy=cooperative-sticky")
    )]
    #[case(Protocol::Classic, Some(Assignor::Uniform), None)]
    #[case(Protocol::Consumer, None, Some("group.protocol=consumer"))]
    #[case(
        Protocol::Consumer,
        Some(Assignor::Uniform),
        Some("group.protocol=consumer group.remote.assignor=uniform")
    )]
    #[case(
        Protocol::Consumer,
        Some(Assignor::Range),
        Some("group.protocol=consumer group.remote.assignor=range")
    )]
    #[case(Protocol::Consumer, Some(Assignor::Roundrobin), None)]
    #[case(Protocol::Consumer, Some(Assignor::CooperativeSticky), None)]
    fn assignor_must_belong_to_the_protocol(
        #[case] protocol: Protocol,
        #[case] assignor: Option<Assignor>,
        #[case] wanted: Option<&str>,
    ) {
        let settings = assignment(protocol, assignor).ok();
        let text = settings.map(|pairs| {
            pairs
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join(" ")
        });
        assert_eq!(text.as_deref(), wanted);
    }
}
