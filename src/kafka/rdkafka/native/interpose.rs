//! Decides which brokers and which answers librdkafka may accept. `interpose.c` asks here from
//! librdkafka's own threads. A client is identified by its opaque, which is a number. Clients that
//! were not opened by `native` are not limited.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use super::Failure;
use crate::kafka::rdkafka::bounds::Bounds;
use crate::sync::lock;

/// A cluster with up to this many brokers may use the reserved quarter of the threads.
const FEW_BROKERS: usize = 16;

/// An answer of up to this many bytes is received without a check. Each connection may hold one.
const UNBOUNDED_FRAME: usize = 16 << 10;

/// Kinds of answers, for `interpose.c`: the API key of the request, or one of these.
const UNSOLICITED: c_int = -1;
const ALL_TOPICS: c_int = -2;

/// The most memory that an answer takes, as a multiple of its size: the answer, what librdkafka
/// makes of it, and our copy. Only a hostile answer needs that much.
fn unfolded(kind: c_int) -> usize {
    match kind {
        // `rd_kafka_parse_Metadata` allocates four times the answer's size, and fails beyond that.
        // The names are copied from it.
        ALL_TOPICS => 5,
        // DescribeGroups and ConsumerGroupDescribe: four bytes for each partition of a member.
        // librdkafka makes two entries of 64 bytes from it, and a copy of the topic's name.
        15 | 69 => 64,
        // Lists of groups, offsets, and the replicas of partitions, each with the name of its
        // broker.
        _ => 24,
    }
}

/// An answer of up to this many bytes may use the reserved quarter of the memory.
const SMALL_FRAME: usize = 1 << 20;

/// How long the values made from an answer count after the answer itself is freed: as long as its
/// client reads metadata, and at least this long.
const LINGER: Duration = Duration::from_millis(200);

/// Refused brokers that are counted. A cluster is closed long before it has named this many.
const COUNTED: usize = 20_000;

/// An allocation of more bytes gets a mapping of its own, which is returned when it is freed. By
/// default glibc raises this with each large allocation that is freed, up to 32 MiB, and then keeps
/// the memory of large answers for each thread that received one.
const OWN_MAPPING: libc::c_int = 256 << 10;

static GIVE_BACK: Once = Once::new();

static TABLE: Mutex<Table> = Mutex::new(Table::new());

struct Table {
    last: usize,
    /// Threads that librdkafka runs, for all clients.
    threads: usize,
    /// Bytes of the frames that were admitted.
    held: usize,
    clients: BTreeMap<usize, Client>,
    /// By the address of the buffer, which lives as long as its entry here.
    frames: BTreeMap<usize, Frame>,
    /// Frames that are freed, and still count.
    lingering: Vec<Lingering>,
}

struct Client {
    bounds: Bounds,
    /// The brokers that it knows and that have a thread, including those that are ending.
    brokers: usize,
    refused: BTreeSet<i32>,
    why: Option<Why>,
    /// The number of the metadata read that is under way: [`Reading`].
    reading: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) enum Why {
    /// The cluster has more brokers than one cluster may have.
    Cluster,
    /// All clusters together have as many as they may have.
    Process,
    /// The system provides no thread.
    NoThread,
}

/// Brokers that a client may not connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct Refused {
    pub(in crate::kafka) why: Why,
    /// How many brokers the cluster has named, including those that were admitted.
    pub(in crate::kafka) brokers: usize,
}

struct Frame {
    client: usize,
    cost: usize,
    is_admitted: bool,
}

/// A frame that is freed, while values made from it may still exist.
struct Lingering {
    frame: Frame,
    since: Instant,
    /// The metadata read of its client at that time.
    reading: Option<usize>,
}

impl Table {
    const fn new() -> Self {
        Self {
            last: 0,
            threads: 0,
            held: 0,
            clients: BTreeMap::new(),
            frames: BTreeMap::new(),
            lingering: Vec::new(),
        }
    }

    fn admit_broker(&mut self, client: usize, id: i32) -> bool {
        let Some(client) = self.clients.get_mut(&client) else {
            return true;
        };
        if id < 0 {
            // No broker has such a number, and librdkafka would not find it again.
            return false;
        }
        let all = client.bounds.threads;
        let room = if client.brokers < FEW_BROKERS {
            all
        } else {
            all - all / 4
        };
        let why = if client.brokers >= client.bounds.brokers_per_cluster {
            Why::Cluster
        } else if self.threads >= room {
            Why::Process
        } else {
            client.brokers += 1;
            // It may have been refused before.
            client.refused.remove(&id);
            return true;
        };
        client.refuse(id, why);
        false
    }

    fn broker_not_added(&mut self, client: usize, for_want_of_a_thread: bool) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.brokers = client.brokers.saturating_sub(1);
            if for_want_of_a_thread {
                client.why = Some(Why::NoThread);
            }
        }
    }

    fn thread_ended(&mut self, client_of_broker: usize) {
        self.threads = self.threads.saturating_sub(1);
        if let Some(client) = self.clients.get_mut(&client_of_broker) {
            client.brokers = client.brokers.saturating_sub(1);
        }
    }

    /// The largest answer of a kind that is received.
    fn largest_frame(&self, client: usize, kind: c_int) -> usize {
        match self.clients.get(&client) {
            None => usize::MAX,
            Some(_) if kind == UNSOLICITED => 0,
            Some(client) => client.bounds.for_large() / unfolded(kind),
        }
    }

    fn admit_frame(
        &mut self,
        client: usize,
        key: usize,
        size: usize,
        kind: c_int,
        now: Instant,
    ) -> bool {
        if self.frames.get(&key).is_some_and(|frame| frame.is_admitted) {
            return true;
        }
        self.forget(now);
        let Some(Client { bounds, .. }) = self.clients.get(&client) else {
            return true;
        };
        let admitted = self.frames.values().filter(|frame| frame.is_admitted);
        let own = |frame: &&Frame| frame.client == client;
        let receiving: usize = admitted.filter(own).map(|frame| frame.cost).sum();
        // Values made from a client's earlier answers count against other clients, but not against
        // itself: it asks again when a request times out, and then each answer would have to wait
        // for the one before.
        let lingering = self.lingering.iter().map(|one| &one.frame);
        let lingering: usize = lingering.filter(own).map(|frame| frame.cost).sum();
        let held = self.held.saturating_sub(lingering);
        let room = if size <= SMALL_FRAME {
            bounds.answer_bytes
        } else {
            bounds.for_large()
        };
        let cost = size.saturating_mul(unfolded(kind));
        // One answer for each client, however large, or several within its quarter.
        let is_fair = receiving == 0 || receiving.saturating_add(cost) <= bounds.answer_bytes / 4;
        let is_admitted = is_fair && held.saturating_add(cost) <= room;
        let frame = self.frames.entry(key).or_insert(Frame {
            client,
            cost,
            is_admitted: false,
        });
        if is_admitted {
            frame.is_admitted = true;
            self.held += cost;
        }
        is_admitted
    }

    fn frame_freed(&mut self, key: usize, now: Instant) {
        if let Some(frame) = self.frames.remove(&key)
            && frame.is_admitted
        {
            let reading = (self.clients.get(&frame.client)).and_then(|client| client.reading);
            self.lingering.push(Lingering {
                frame,
                since: now,
                reading,
            });
        }
    }

    /// Stops counting frames that were freed a while ago.
    fn forget(&mut self, now: Instant) {
        let Self {
            clients,
            lingering,
            held,
            ..
        } = self;
        lingering.retain(|one| {
            let client = clients.get(&one.frame.client);
            let is_read =
                one.reading.is_some() && one.reading == client.and_then(|client| client.reading);
            let is_there = is_read || now.saturating_duration_since(one.since) < LINGER;
            if !is_there {
                *held = held.saturating_sub(one.frame.cost);
            }
            is_there
        });
    }
}

impl Client {
    fn refuse(&mut self, id: i32, why: Why) {
        if self.refused.len() < COUNTED {
            self.refused.insert(id);
        }
        // Keep the first reason: it is the one to act upon.
        self.why.get_or_insert(why);
    }
}

/// A client's entry in the table. It must be dropped after the client has ended.
#[derive(Debug)]
pub(super) struct Bounded(usize);

impl Bounded {
    pub(super) fn new(bounds: Bounds) -> Result<Self, Failure> {
        // SAFETY: compares addresses; has no precondition.
        if !unsafe { lagrange_is_bounded() } {
            return Err(Failure::invalid(
                "this program was linked without the limits for Kafka clients (build.rs of \
                 lagrange)",
            ));
        }
        GIVE_BACK.call_once(|| {
            // SAFETY: has no precondition. If it fails, it only costs memory.
            unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING) };
        });
        let mut table = lock(&TABLE);
        table.last += 1;
        let number = table.last;
        let client = Client {
            bounds,
            brokers: 0,
            refused: BTreeSet::new(),
            why: None,
            reading: None,
        };
        table.clients.insert(number, client);
        Ok(Self(number))
    }

    /// The opaque for the client's configuration: not a pointer.
    pub(super) fn opaque(&self) -> *mut c_void {
        ptr::without_provenance_mut(self.0)
    }

    /// Marks metadata as being read until the result is dropped. What librdkafka made of it exists
    /// for that time.
    pub(super) fn reading(&self) -> Reading {
        let mut table = lock(&TABLE);
        table.last += 1;
        let number = table.last;
        if let Some(client) = table.clients.get_mut(&self.0) {
            client.reading = Some(number);
        }
        Reading {
            client: self.0,
            number,
        }
    }

    /// Whether the client was refused some of its brokers.
    pub(super) fn refused(&self) -> Option<Refused> {
        let table = lock(&TABLE);
        let client = table.clients.get(&self.0)?;
        Some(Refused {
            why: client.why?,
            brokers: client.brokers + client.refused.len(),
        })
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        lock(&TABLE).clients.remove(&self.0);
    }
}

/// A read of metadata that is under way.
pub(super) struct Reading {
    client: usize,
    number: usize,
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(client) = lock(&TABLE).clients.get_mut(&self.client) {
            // If another read has begun since, its number stays.
            client.reading = client.reading.filter(|number| *number != self.number);
        }
    }
}

unsafe extern "C" {
    /// Whether librdkafka's calls go through `interpose.c`.
    fn lagrange_is_bounded() -> bool;
}

// The functions that `interpose.c` calls. Pointers are numbers here and are never followed. Nothing
// here can panic while it holds the lock.

#[unsafe(no_mangle)]
extern "C" fn lagrange_admit_broker(client: *mut c_void, id: i32) -> bool {
    lock(&TABLE).admit_broker(client.addr(), id)
}

#[unsafe(no_mangle)]
extern "C" fn lagrange_broker_not_added(client: *mut c_void, for_want_of_a_thread: bool) {
    lock(&TABLE).broker_not_added(client.addr(), for_want_of_a_thread);
}

#[unsafe(no_mangle)]
extern "C" fn lagrange_thread_begins() {
    lock(&TABLE).threads += 1;
}

#[unsafe(no_mangle)]
extern "C" fn lagrange_thread_ended(client_of_broker: *mut c_void) {
    lock(&TABLE).thread_ended(client_of_broker.addr());
}

#[unsafe(no_mangle)]
extern "C" fn lagrange_unbounded_frame() -> usize {
    UNBOUNDED_FRAME
}

#[unsafe(no_mangle)]
extern "C" fn lagrange_largest_frame(client: *mut c_void, kind: c_int) -> usize {
    lock(&TABLE).largest_frame(client.addr(), kind)
}

#[unsafe(no_mangle)]
extern "C" fn lagrange_admit_frame(
    client: *mut c_void,
    frame: *const c_void,
    size: usize,
    kind: c_int,
) -> bool {
    lock(&TABLE).admit_frame(client.addr(), frame.addr(), size, kind, Instant::now())
}

#[unsafe(no_mangle)]
extern "C" fn lagrange_frame_freed(frame: *const c_void) {
    lock(&TABLE).frame_freed(frame.addr(), Instant::now());
}
