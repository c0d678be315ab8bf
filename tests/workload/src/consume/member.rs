//! The real consumer: fetches into the backlog, does one record after the other, commits, and
//! leaves in order.
//!
//! One thread does all of it, so a slow record holds up fetching, committing and rebalancing, as in
//! most programs that read Kafka.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};

use crate::failure::Failure;
use crate::stop::Stop;

use super::backlog::{Fetched, Place};
use super::callbacks::{Callbacks, commit};
use super::group::Group;
use super::workbench::Workbench;
use super::{Assignor, ConsumeArgs, Protocol};

/// How long to wait for records when there is nothing to do; also how late a stop is noticed then.
const POLL: Duration = Duration::from_millis(100);

/// How many events to serve before the work goes on: librdkafka tells one at a time.
const EVENTS: usize = 8;

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
        ("fetch.message.max.bytes", "16384".to_owned()),
        // No less than message.max.bytes, says librdkafka.
        ("fetch.max.bytes", "1000000".to_owned()),
        // With the defaults, 1 s and 500 ms, so small queues run dry: partitions that have nothing
        // hold up the one request that a broker gets at a time.
        ("fetch.wait.max.ms", "100".to_owned()),
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
    let consumer = BaseConsumer::from_config_and_context(config, callbacks);
    let mut consumer = consumer.map_err(Failure::Settings)?;
    let (ring, bell) = mpsc::sync_channel(1);
    consumer.set_nonempty_callback(ringer(&ring));
    let topics: Vec<&str> = args.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).map_err(Failure::Settings)?;
    let mut member = Member {
        args,
        group,
        stop,
        queues: Vec::new(),
        rebalances: 0,
        more: false,
        consumer: Arc::new(consumer),
        ring,
        bell,
        bench: Workbench::new(args.millis_per_record),
    };
    let outcome = member.read();
    member.leave();
    outcome
}

/// What librdkafka calls when a queue gets something: never waits, and rings once for many.
fn ringer(ring: &SyncSender<()>) -> impl Fn() + Send + Sync + 'static {
    let ring = ring.clone();
    move || {
        let _ = ring.try_send(());
    }
}

struct Member<'a> {
    args: &'a ConsumeArgs,
    group: Arc<Group>,
    stop: &'a Stop,
    /// A queue for each assigned partition, as of this many rebalances. Dropped before the
    /// consumer.
    queues: Vec<(Place, PartitionQueue<Callbacks>)>,
    rebalances: u64,
    /// Whether more may be in a queue than its lane had room for.
    more: bool,
    consumer: Arc<BaseConsumer<Callbacks>>,
    ring: SyncSender<()>,
    bell: Receiver<()>,
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

    /// Serves librdkafka's events and takes over what it has fetched; waits only if there is
    /// nothing else to do.
    fn fetch(&mut self) -> Result<(), Failure> {
        let wait = if std::mem::take(&mut self.more) {
            Duration::ZERO
        } else {
            self.pause()
        };
        if !wait.is_zero() {
            // It rings also for what was served already; then this was for nothing once.
            let _ = self.bell.recv_timeout(wait);
        }
        for _ in 0..EVENTS {
            self.take(self.consumer.poll(Duration::ZERO))?;
        }
        self.split();
        for (place, queue) in &self.queues {
            let room = self.group.state().backlog.room(place);
            let mut taken = 0;
            while taken < room && self.take(queue.poll(Duration::ZERO))? {
                taken += 1;
            }
            // A queue rings when it gets its first record, not when some are left in it.
            self.more |= room > 0 && taken == room;
        }
        Ok(())
    }

    /// How long there is nothing to do, as far as is known.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let ready_at = self.group.state().backlog.ready_at(now);
        ready_at
            .map_or(POLL, |at| at.saturating_duration_since(now))
            .min(POLL)
    }

    /// Puts what was polled into its lane. False: there was no record.
    fn take(&self, polled: Option<KafkaResult<BorrowedMessage<'_>>>) -> Result<bool, Failure> {
        let message = match polled {
            Some(Ok(message)) => message,
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                return Err(Failure::Consumer(code));
            }
            Some(Err(error)) => {
                // Its reason was logged by the callback.
                tracing::debug!(%error, "fetching");
                return Ok(false);
            }
            None => return Ok(false),
        };
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        let mut poison = self.args.poison.iter();
        let poison = poison.any(|poison| poison.hits(topic, partition, offset, message.key()));
        self.group
            .state()
            .backlog
            .put(topic, partition, Fetched { offset, poison });
        Ok(true)
    }

    /// After a rebalance, gives each partition a queue of its own: in the one that all share, the
    /// records of one partition stand before those of the next.
    fn split(&mut self) {
        let state = self.group.state();
        if std::mem::replace(&mut self.rebalances, state.rebalances) == state.rebalances {
            return;
        }
        let places: Vec<Place> = state
            .backlog
            .lanes()
            .iter()
            .map(|lane| lane.place.clone())
            .collect();
        drop(state);
        self.queues.clear();
        for place in places {
            if let Some(mut queue) = self
                .consumer
                .split_partition_queue(&place.topic, place.partition)
            {
                queue.set_nonempty_callback(ringer(&self.ring));
                self.queues.push((place, queue));
            }
        }
        // What came before the callback was there did not ring.
        let _ = self.ring.try_send(());
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

    /// Asks for what is done to be committed, without waiting for the answer.
    fn commit(&self) {
        let offsets = self.group.state().backlog.ask_commits();
        commit(&self.consumer, &offsets);
    }

    /// Leaves the group. Closing a consumer takes its partitions away, and that commits what is
    /// done.
    fn leave(self) {
        self.args.output.line(&self.group.status());
        drop(self.queues);
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
