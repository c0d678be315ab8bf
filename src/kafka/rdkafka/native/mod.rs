//! The admin calls of librdkafka that rust-rdkafka's safe layer lacks or routes by itself, and all
//! unsafe code. There is no policy here: a call goes to the broker that it names, its answer is
//! copied, and others interpret it.
//!
//! What holds everywhere here, by construction (`kafka.md`, the seven rules):
//!
//! * The handle is of type CONSUMER, has its own `group.id` and never subscribes. Without a
//!   group id, the first NOT_COORDINATOR answer to an OffsetFetch is a segmentation fault
//!   (librdkafka #5040). The group is closed at once: for an open one librdkafka keeps asking,
//!   which takes a right that readers do not have.
//! * Every call but the one for offsets, which goes to leaders, names its broker. Routing by
//!   librdkafka uses freed memory when connections flap (librdkafka #5397).
//! * One event queue takes results, errors, statistics and logs. It wakes an eventfd. The
//!   [`event_loop`] reads the fd and *then* drains the queue until it is empty, so that no wake-up
//!   is lost.
//! * A token that librdkafka asks for is fetched by the event loop itself, so that nothing else
//!   holds the handle in the meantime.
//! * The opaque of a call is a ticket number, never a pointer: a future that is dropped only leaves
//!   a ticket that is never redeemed.
//! * Answers are copied into owned values before their event is destroyed, and every event is
//!   destroyed before the handle.
//! * The handle ends in this order, on a thread that may block: the event loop has ended, io events
//!   are switched off, the queue is destroyed, the handle is destroyed, the fd is closed.
//!   librdkafka can never write into a descriptor that was closed and reused.
//! * librdkafka starts no thread for a broker, and fills no large buffer, that [`interpose`] has
//!   not admitted. That relies on functions of librdkafka without a promised interface
//!   (docs/decisions/0011), which `interpose.c` wraps: our only C code.
//! * No error number of a broker becomes a Rust enum: a broker newer than the bindings may send one
//!   that they lack.

#![allow(unsafe_code)]

mod call;
mod client;
mod config;
mod event_loop;
mod interpose;
mod options;
mod queue;
mod reply;
mod values;

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::bounds::Bounds;
use crate::kafka::connection::secret::Secret;
use crate::kafka::token::TokenSource;
use crate::sync::lock;
use client::Client;
use config::Config;
use event_loop::{ClientEvents, EventLoop, PendingCalls};
use interpose::Bounded;
use queue::{Queue, Wake};

pub(super) use call::Wanted;
pub(super) use interpose::{Refused, Why};

/// How long the thread that closes a handle waits for its event loop to end. The loop ends at its
/// next wait; only a runtime that no longer runs anything delays it.
const LOOP_ENDS: Duration = Duration::from_secs(5);

/// The failure of a call: the number and message of librdkafka or of the broker.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
}

/// An error number as it came over the wire or from librdkafka (negative).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(pub(super) i32);

impl Failure {
    /// A failure of which only the number is known.
    pub(super) fn new(code: Code) -> Self {
        Self {
            code,
            message: values::name_of(code.0),
        }
    }

    fn closed() -> Self {
        Self {
            code: Code(values::DESTROYED),
            message: "the client is closed".to_owned(),
        }
    }

    /// The system provides no thread, descriptor or memory.
    fn out_of_resources(message: &str) -> Self {
        Self {
            code: Code(values::NO_RESOURCES),
            message: message.to_owned(),
        }
    }

    fn invalid(message: &str) -> Self {
        Self {
            code: Code(values::INVALID_ARGUMENT),
            message: message.to_owned(),
        }
    }
}

/// A librdkafka client. Dropping or closing it ends it on its own thread.
#[derive(Debug)]
pub(super) struct Handle {
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    core: Arc<Core>,
    event_loop: JoinHandle<()>,
    loop_gone: Receiver<()>,
}

/// What calls and the event loop share. Fields are dropped in this order.
#[derive(Debug)]
struct Core {
    queue: Queue,
    client: Client,
    wake: Wake,
    pending: PendingCalls,
    events: ClientEvents,
}

/// Runs `work` on its own thread. Not with `spawn_blocking`: a runtime that ends waits for those,
/// and librdkafka may hang.
fn off_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, Failure> {
    let (done, result) = oneshot::channel();
    let run = move || {
        // The receiver may be gone.
        let _ = done.send(work());
    };
    match std::thread::Builder::new().name(name.to_owned()).spawn(run) {
        Ok(_) => Ok(result),
        Err(error) => Err(Failure::out_of_resources(&format!(
            "cannot start a thread: {error}"
        ))),
    }
}

impl Handle {
    /// Opens a client with these properties. It connects when the first call needs it.
    ///
    /// `tokens`: the source of tokens for an OAUTHBEARER login.
    pub(super) async fn open(
        properties: Vec<(&'static str, Secret)>,
        tokens: Option<Arc<dyn TokenSource>>,
        local_addresses: bool,
        bounds: Bounds,
    ) -> Result<Self, Failure> {
        let logs_in_by_token = tokens.is_some();
        let opened = off_thread("kafka-open", move || {
            Core::new(&properties, logs_in_by_token, local_addresses, bounds)
        })?;
        let core = Arc::new(opened.await.map_err(|_| Failure::closed())??);
        let (loop_gone, gone) = channel();
        let event_loop = EventLoop::new(Arc::clone(&core), tokens, loop_gone).map_err(|error| {
            Failure::out_of_resources(&format!("cannot watch an eventfd: {error}"))
        })?;
        Ok(Self {
            running: Mutex::new(Some(Running {
                core,
                event_loop: tokio::spawn(event_loop.run()),
                loop_gone: gone,
            })),
        })
    }

    /// Whether it can never answer again: it is closed, its event loop has ended, or librdkafka
    /// reported a fatal error.
    pub(super) fn is_broken(&self) -> bool {
        match &*lock(&self.running) {
            Some(running) => running.event_loop.is_finished() || running.core.events.is_fatal(),
            None => true,
        }
    }

    /// The errors that librdkafka reported since a call succeeded, in a stable order.
    pub(super) fn errors(&self) -> Vec<Failure> {
        self.core()
            .map(|core| core.events.errors())
            .unwrap_or_default()
    }

    /// The brokers that it may not connect to, if there are any.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.core().ok()?.client.refused()
    }

    /// The newest statistics, unless they were taken already, as librdkafka's JSON.
    pub(super) fn take_statistics(&self) -> Option<String> {
        self.core().ok()?.events.take_statistics()
    }

    /// Ends the client. Returns when it has ended.
    pub(super) async fn close(&self) {
        let running = lock(&self.running).take();
        if let Some(ended) = running.and_then(Running::end) {
            // An error means that the thread panicked: the client has ended all the same.
            let _ = ended.await;
        }
    }

    fn core(&self) -> Result<Arc<Core>, Failure> {
        match &*lock(&self.running) {
            Some(running) => Ok(Arc::clone(&running.core)),
            None => Err(Failure::closed()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.running).take() {
            running.end();
        }
    }
}

impl Running {
    /// Starts to end the client. The receiver is notified when it has ended.
    fn end(self) -> Option<oneshot::Receiver<()>> {
        let Self {
            core,
            event_loop,
            loop_gone,
        } = self;
        event_loop.abort();
        let close = move || {
            // The event loop has to give up its share of the core first. Otherwise it would destroy
            // the core, on a thread of the runtime.
            if loop_gone.recv_timeout(LOOP_ENDS) == Err(RecvTimeoutError::Timeout) {
                tracing::warn!("the event loop of a Kafka client did not end in time");
            }
            drop(core);
        };
        match off_thread("kafka-close", close) {
            Ok(ended) => Some(ended),
            Err(error) => {
                // The core was dropped with the closure, on this thread.
                tracing::warn!(%error, "closed a Kafka client on a thread that should not block");
                None
            }
        }
    }
}

impl Core {
    fn new(
        properties: &[(&'static str, Secret)],
        logs_in_by_token: bool,
        local_addresses: bool,
        bounds: Bounds,
    ) -> Result<Self, Failure> {
        let bounded = Bounded::new(bounds)?;
        let mut config = Config::new(logs_in_by_token)?;
        config.set_opaque(&bounded);
        for (name, value) in properties {
            config.set(name, value)?;
        }
        config.explain_distrust();
        if !local_addresses {
            config.refuse_local_addresses();
        }
        let client = Client::new(config, bounded)?;
        let wake = Wake::new().map_err(|error| {
            Failure::out_of_resources(&format!("cannot make an eventfd: {error}"))
        })?;
        let queue = Queue::of(&client, &wake)?;
        Ok(Self {
            queue,
            client,
            wake,
            pending: PendingCalls::default(),
            events: ClientEvents::default(),
        })
    }
}
