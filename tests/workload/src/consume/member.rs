//! The real consumer: fetches into the backlog, handles one record after the other, commits, and
//! leaves the group cleanly.
//!
//! One thread does all of it, so a slow record delays fetching, committing and rebalancing, as in
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

/// How long to wait for records when there is nothing to do; a stop is noticed after this time.
const POLL: Duration = Duration::from_millis(100);

/// Most events to serve before the work continues; librdkafka delivers one at a time.
const EVENTS: usize = 8;

/// How long to work before fetched records are taken again.
const SLICE: Duration = Duration::from_millis(10);

/// No sleep for records that are done within this time; the workbench keeps the average.
const NAP: Duration = Duration::from_millis(1);

/// How long the current record may take after a stop.
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
        // librdkafka requires at least message.max.bytes.
        ("fetch.max.bytes", "1000000".to_owned()),
        // With the defaults of 1 s and 500 ms, small queues run empty: a broker gets one request at
        // a time, and empty partitions delay it.
        ("fetch.wait.max.ms", "100".to_owned()),
        ("fetch.queue.backoff.ms", "20".to_owned()),
        // A commit to a broker that hangs must not delay the end of the process.
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

/// The settings of a protocol and an assignor; fails if they do not match.
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

/// Reads until stopped, or until a fatal error of librdkafka.
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

/// The callback for new items in a queue. It never waits; several calls ring the bell once.
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
    /// A queue for each assigned partition. Dropped before the consumer.
    queues: Vec<(Place, PartitionQueue<Callbacks>)>,
    rebalances: u64,
    /// Whether a queue may have more records than its lane had room for.
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

    /// Serves events of librdkafka and takes fetched records; waits only if there is nothing else
    /// to do.
    fn fetch(&mut self) -> Result<(), Failure> {
        let wait = if std::mem::take(&mut self.more) {
            Duration::ZERO
        } else {
            self.pause()
        };
        if !wait.is_zero() {
            // The bell may ring for events that are already served; then this wait was short.
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
            // A queue rings for its first record, not for records that are left in it.
            self.more |= room > 0 && taken == room;
        }
        Ok(())
    }

    /// Time until the next known work.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let ready_at = self.group.state().backlog.ready_at(now);
        ready_at
            .map_or(POLL, |at| at.saturating_duration_since(now))
            .min(POLL)
    }

    /// Puts a polled record into its lane. False if there was none.
    fn take(&self, polled: Option<KafkaResult<BorrowedMessage<'_>>>) -> Result<bool, Failure> {
        let message = match polled {
            Some(Ok(message)) => message,
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                return Err(Failure::Consumer(code));
            }
            Some(Err(error)) => {
                // The callback logged the reason.
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

    /// After a rebalance, gives each partition its own queue: in the shared queue, all fetched
    /// records of one partition come before those of the next.
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
        // Records that came before the callback was set did not ring the bell.
        let _ = self.ring.try_send(());
    }

    /// Handles records for a moment, or one record if that takes longer.
    fn work(&mut self) {
        let until = Instant::now() + SLICE;
        let mut now = Instant::now();
        while now < until && self.stop.requested().is_none() {
            let turn = self.group.state().backlog.next(now);
            let Some((place, record)) = turn else { break };
            let done = self.bench.take(now);
            if done > now + NAP && !self.stop.wait_until(done, GRACE) {
                tracing::info!(
                    "record {}:{}:{} is not done",
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

    /// Requests a commit of what is done, without waiting for the confirmation.
    fn commit(&self) {
        let offsets = self.group.state().backlog.ask_commits();
        commit(&self.consumer, &offsets);
    }

    /// Leaves the group. Closing a consumer revokes its partitions, which commits what is done.
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
