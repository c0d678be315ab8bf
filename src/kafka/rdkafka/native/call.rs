//! The calls. Each is sent before its future is first awaited, frees what it allocated for that,
//! and may be dropped while it waits.

use std::collections::BTreeSet;
use std::ffi::{CString, c_char};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka_sys as sys;
use tokio::sync::oneshot;

use super::options::Options;
use super::reply::{Found, GroupFailure, Reply};
use super::values::{PartitionList, c_string};
use super::{Code, Core, Failure, Handle, off_thread};
use crate::kafka::model::snapshot::{NodeId, TopicPartition};
use crate::kafka::reader::{
    Cluster, DescribedGroup, LeaderedPartitions, ListedGroup, Position, TopicLayout,
};

/// Partitions in one call for offsets: its cost is quadratic, and it holds the lock of the handle
/// (2.9 s for 30,000 partitions).
const OFFSETS_AT_ONCE: usize = 2_000;

/// librdkafka's numbers for "latest", "earliest" and "none" in place of an offset.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const NONE: i64 = -1001;

/// How long a request to any server blocks before it checks whether the result is still awaited and
/// still possible: the first slice, which doubles each time, and the longest. While blocked,
/// librdkafka keeps retrying brokers that rejected the login.
const SLICES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// How long other servers may still answer after one has refused a login.
const OTHERS: Duration = Duration::from_millis(1_500);

/// Which offsets to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) enum Wanted {
    At(Position),
    /// The first record with this timestamp or a later one.
    FirstSince(Timestamp),
}

/// The pending answer to a call.
type Answer = oneshot::Receiver<Result<Reply, Failure>>;

impl Core {
    /// Sends a call. librdkafka copies whatever `begin` passes to it.
    fn begin(&self, options: &Options, begin: impl FnOnce()) -> Answer {
        let (ticket, answer) = self.pending.ticket();
        options.ticket(ticket);
        begin();
        answer
    }

    fn options(
        &self,
        call: sys::rd_kafka_admin_op_t,
        timeout: Duration,
    ) -> Result<Options, Failure> {
        Options::new(&self.client, call, timeout)
    }
}

async fn answered(answer: Answer) -> Result<Reply, Failure> {
    answer.await.unwrap_or_else(|_| Err(Failure::closed()))
}

/// An answer of the wrong kind, which would be a bug of ours.
fn unexpected<T>(_: Reply) -> Result<T, Failure> {
    Err(Failure::invalid("the answer is to another request"))
}

impl Handle {
    /// The brokers, from whichever of this many servers answers first within `timeout`.
    ///
    /// Only for a handle that has described no topic yet. `rd_kafka_metadata` also asks for every
    /// topic that the cache waits for, and that request, whatever `allow.auto.create.topics` says,
    /// allows the broker to create them (librdkafka 2.12, `rdkafka_metadata.c` line 127): a reader
    /// that bootstrapped again during an outage could bring back a deleted topic.
    pub(in crate::kafka) async fn bootstrap(
        &self,
        servers: usize,
        timeout: Duration,
    ) -> Result<Cluster, Failure> {
        self.metadata(servers, timeout, |core, slice| {
            let metadata = core.client.metadata(false, slice)?;
            let mut brokers = metadata.brokers();
            brokers.sort_unstable();
            let id = core.client.cluster_id();
            Ok(Cluster { id, brokers })
        })
        .await
    }

    /// The names of all topics, from the broker that answers first within `timeout`.
    pub(in crate::kafka) async fn topic_names(
        &self,
        timeout: Duration,
    ) -> Result<BTreeSet<Arc<str>>, Failure> {
        self.metadata(1, timeout, move |core, _| {
            let metadata = core.client.metadata(true, timeout)?;
            Ok(metadata.topic_names().collect())
        })
        .await
    }

    /// Asks on its own thread, in slices, until `timeout`, until none of this many servers is left
    /// that could answer, or until the result is no longer awaited. A single request would block
    /// the end of the handle for the whole timeout.
    async fn metadata<T: Send + 'static>(
        &self,
        servers: usize,
        timeout: Duration,
        ask: impl Fn(&Core, Duration) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let core = self.core()?;
        let waiting = Waiting::default();
        let wanted = Arc::clone(&waiting.0);
        let answer = off_thread("kafka-metadata", move || {
            let deadline = Instant::now() + timeout;
            let (mut slice, longest) = SLICES;
            let mut refused = None;
            loop {
                let reading = core.client.reading();
                let answer = ask(&core, slice);
                drop(reading);
                let now = Instant::now();
                slice = (slice * 2).min(longest);
                if refused.is_none() && core.events.login_refused(1) {
                    refused = Some(now);
                }
                let hopeless = core.events.all_brokers_down()
                    || core.events.login_refused(servers)
                    || refused.is_some_and(|refused| now >= refused + OTHERS)
                    || now >= deadline;
                if answer.is_ok() {
                    core.events.all_well();
                }
                if answer.is_ok() || hopeless || !wanted.load(Ordering::Relaxed) {
                    return answer;
                }
            }
        })?;
        answer.await.unwrap_or_else(|_| Err(Failure::closed()))
    }

    /// DescribeCluster.
    pub(in crate::kafka) async fn cluster(
        &self,
        on: NodeId,
        timeout: Duration,
    ) -> Result<Cluster, Failure> {
        let answer = {
            let core = self.core()?;
            let call = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
            let options = core.options(call, timeout)?.to(on)?;
            let (client, queue) = (core.client.pointer(), core.queue.pointer());
            // SAFETY: handle, options and queue are alive during the call.
            core.begin(&options, || unsafe {
                sys::rd_kafka_DescribeCluster(client, options.pointer(), queue);
            })
        };
        match answered(answer).await? {
            Reply::Cluster(cluster) => Ok(cluster),
            other => unexpected(other),
        }
    }

    /// ListConsumerGroups: the groups that the broker lists, and the errors that kept it from
    /// listing more.
    pub(in crate::kafka) async fn groups(
        &self,
        on: NodeId,
        timeout: Duration,
    ) -> Result<(Vec<ListedGroup>, Vec<Failure>), Failure> {
        let answer = {
            let core = self.core()?;
            let call = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS;
            let options = core.options(call, timeout)?.to(on)?;
            let (client, queue) = (core.client.pointer(), core.queue.pointer());
            // SAFETY: handle, options and queue are alive during the call.
            core.begin(&options, || unsafe {
                sys::rd_kafka_ListConsumerGroups(client, options.pointer(), queue);
            })
        };
        match answered(answer).await? {
            Reply::Groups(groups, errors) => Ok((groups, errors)),
            other => unexpected(other),
        }
    }

    /// DescribeConsumerGroups.
    pub(in crate::kafka) async fn describe(
        &self,
        on: NodeId,
        groups: &[Arc<str>],
        timeout: Duration,
    ) -> Result<Vec<(Arc<str>, Result<DescribedGroup, GroupFailure>)>, Failure> {
        let answer = {
            let core = self.core()?;
            let call = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
            let options = core.options(call, timeout)?.to(on)?;
            let (client, queue) = (core.client.pointer(), core.queue.pointer());
            let names = c_strings(groups)?;
            let mut names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
            // SAFETY: handle, options and queue are alive during the call; so are the names, which
            // are copied.
            core.begin(&options, || unsafe {
                sys::rd_kafka_DescribeConsumerGroups(
                    client,
                    names.as_mut_ptr(),
                    names.len(),
                    options.pointer(),
                    queue,
                );
            })
        };
        match answered(answer).await? {
            Reply::Described(groups) => Ok(groups),
            other => unexpected(other),
        }
    }

    /// DescribeTopics. After this, librdkafka knows the partitions and leaders of these topics.
    pub(in crate::kafka) async fn topics(
        &self,
        on: NodeId,
        names: &[Arc<str>],
        timeout: Duration,
    ) -> Result<Vec<(Arc<str>, Result<TopicLayout, Failure>)>, Failure> {
        let answer = {
            let core = self.core()?;
            let call = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
            let options = core.options(call, timeout)?.to(on)?;
            let (client, queue) = (core.client.pointer(), core.queue.pointer());
            let topics = Topics::new(names)?;
            // SAFETY: handle, options and queue are alive during the call; so are the names, which
            // are copied.
            core.begin(&options, || unsafe {
                sys::rd_kafka_DescribeTopics(client, topics.0.as_ptr(), options.pointer(), queue);
            })
        };
        match answered(answer).await? {
            Reply::Topics(topics) => Ok(topics),
            other => unexpected(other),
        }
    }

    /// ListConsumerGroupOffsets of one group: for these partitions, or with `None` for all that it
    /// has committed and that may be described.
    pub(in crate::kafka) async fn committed(
        &self,
        on: NodeId,
        group: &str,
        partitions: Option<&[TopicPartition]>,
        timeout: Duration,
    ) -> Result<Result<Vec<(TopicPartition, Result<i64, Code>)>, GroupFailure>, Failure> {
        let answer = {
            let core = self.core()?;
            let call = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
            let options = core.options(call, timeout)?.to(on)?;
            let (client, queue) = (core.client.pointer(), core.queue.pointer());
            let request = GroupOffsets::new(group, partitions)?;
            let mut requests = [request.0.as_ptr()];
            // SAFETY: handle, options and queue are alive during the call; so is the request, which
            // is copied.
            core.begin(&options, || unsafe {
                sys::rd_kafka_ListConsumerGroupOffsets(
                    client,
                    requests.as_mut_ptr(),
                    requests.len(),
                    options.pointer(),
                    queue,
                );
            })
        };
        match answered(answer).await? {
            Reply::Committed(offsets) => Ok(offsets),
            other => unexpected(other),
        }
    }

    /// ListOffsets, from the leader of each partition. One answer for each chunk of partitions.
    pub(in crate::kafka) async fn offsets(
        &self,
        partitions: &LeaderedPartitions,
        wanted: Wanted,
        timeout: Duration,
    ) -> Vec<Result<Found, Failure>> {
        let chunks = partitions.as_slice().chunks(OFFSETS_AT_ONCE);
        let chunks = chunks.map(|chunk| self.offsets_of(chunk, wanted, timeout));
        // All are sent at once, so that a dead leader costs one timeout only.
        futures::future::join_all(chunks).await
    }

    async fn offsets_of(
        &self,
        partitions: &[TopicPartition],
        wanted: Wanted,
        timeout: Duration,
    ) -> Result<Found, Failure> {
        let answer = {
            let core = self.core()?;
            let call = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
            let mut options = core.options(call, timeout)?;
            if wanted == Wanted::At(Position::StableEnd) {
                options = options.read_committed()?;
            }
            let (client, queue) = (core.client.pointer(), core.queue.pointer());
            let wanted = match wanted {
                Wanted::At(Position::Start) => EARLIEST,
                Wanted::At(Position::End | Position::StableEnd) => LATEST,
                // A negative number would be one of the special values above.
                Wanted::FirstSince(time) => time.as_millisecond().max(0),
            };
            let list = PartitionList::new(partitions, wanted)?;
            // SAFETY: handle, options and queue are alive during the call; so is the list, which is
            // copied.
            core.begin(&options, || unsafe {
                sys::rd_kafka_ListOffsets(client, list.pointer(), options.pointer(), queue);
            })
        };
        match answered(answer).await? {
            Reply::Offsets(offsets) => Ok(offsets),
            other => unexpected(other),
        }
    }
}

/// Records on drop that the result is no longer awaited.
struct Waiting(Arc<AtomicBool>);

impl Default for Waiting {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn c_strings(names: &[Arc<str>]) -> Result<Vec<CString>, Failure> {
    names.iter().map(|name| c_string(name)).collect()
}

/// Names of topics, in the form that DescribeTopics takes.
struct Topics(NonNull<sys::rd_kafka_TopicCollection_t>);

impl Topics {
    fn new(names: &[Arc<str>]) -> Result<Self, Failure> {
        let names = c_strings(names)?;
        let mut names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the names are alive during the call, which copies them.
        let topics = unsafe {
            sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len())
        };
        NonNull::new(topics).map(Self).ok_or_else(Failure::closed)
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        // SAFETY: ours, not used after this.
        unsafe { sys::rd_kafka_TopicCollection_destroy(self.0.as_ptr()) };
    }
}

/// A group and the partitions to ask offsets for.
struct GroupOffsets(NonNull<sys::rd_kafka_ListConsumerGroupOffsets_t>);

impl GroupOffsets {
    fn new(group: &str, partitions: Option<&[TopicPartition]>) -> Result<Self, Failure> {
        let group = c_string(group)?;
        let list = partitions
            .map(|list| PartitionList::new(list, NONE))
            .transpose()?;
        let list = list
            .as_ref()
            .map_or(std::ptr::null(), |list| list.pointer().cast_const());
        // SAFETY: the name and the list are alive during the call, which copies them; null means
        // all.
        let request = unsafe { sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), list) };
        NonNull::new(request).map(Self).ok_or_else(Failure::closed)
    }
}

impl Drop for GroupOffsets {
    fn drop(&mut self) {
        // SAFETY: ours, not used after this.
        unsafe { sys::rd_kafka_ListConsumerGroupOffsets_destroy(self.0.as_ptr()) };
    }
}
