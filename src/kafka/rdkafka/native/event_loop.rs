//! Drains a client's queue: answers go to the calls that wait for them, everything else to the
//! news. Waits for nothing but the eventfd.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use futures::FutureExt;
use futures::future::{BoxFuture, Fuse, FusedFuture};
use rdkafka_sys as sys;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::queue::{Event, clear};
use super::reply::{Reply, reply};
use super::{Code, Core, Failure};
use crate::kafka::token::{Token, TokenError, TokenSource};
use crate::sync::lock;

/// Events to take before other tasks get their turn.
const AT_ONCE: usize = 256;

/// librdkafka's numbers for a refused login, no connection, and a failed TLS handshake.
const LOGIN_REFUSED: i32 = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__AUTHENTICATION as i32;
const NOT_CONNECTED: i32 = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TRANSPORT as i32;
const NOT_TRUSTED: i32 = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__SSL as i32;

const OUT_OF_RESOURCES: i32 = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE as i32;
const UNREADABLE: i32 = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG as i32;

/// The facilities under which librdkafka logs why a certificate is not trusted, and which part of
/// an answer it cannot read.
const DISTRUST: &str = "SSLCERTVRFY";
const PROTOCOL: &str = "PROTOERR";

/// How many servers have to refuse a login before it counts as refused, if there are that many. A
/// broker that starts refuses known users for a moment, because the users are in the log that it
/// still reads. Asking more servers would only add failed attempts.
const REFUSALS: usize = 2;

/// Different errors that are kept: a handful for each of a few brokers.
const ERRORS: usize = 32;

/// The calls that wait, and for which answer.
#[derive(Debug, Default)]
pub(super) struct PendingCalls {
    waiting: Mutex<HashMap<usize, oneshot::Sender<Result<Reply, Failure>>>>,
    next: AtomicUsize,
}

impl PendingCalls {
    /// A ticket, and the receiver of its answer.
    pub(super) fn ticket(&self) -> (usize, oneshot::Receiver<Result<Reply, Failure>>) {
        let (sender, receiver) = oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.waiting).insert(number, sender);
        (number, receiver)
    }

    fn deliver(&self, ticket: usize, reply: Result<Reply, Failure>) {
        if let Some(waiting) = lock(&self.waiting).remove(&ticket) {
            // The receiver may be gone.
            let _ = waiting.send(reply);
        }
    }
}

/// What librdkafka reports without a request.
#[derive(Debug, Default)]
pub(super) struct ClientEvents {
    /// The only place where it reports why a login fails or a server cannot be reached: the calls
    /// just time out. Kept until a call succeeds, each text once.
    errors: Mutex<BTreeMap<String, Code>>,
    /// The servers that have refused the login, or that are not trusted, since then.
    refusing: Mutex<BTreeSet<String>>,
    /// Whether there is no token to log in with.
    no_token: AtomicBool,
    all_down: AtomicBool,
    fatal: AtomicBool,
    statistics: Mutex<Option<String>>,
}

impl ClientEvents {
    /// All errors since a call succeeded, in the order of their texts.
    pub(super) fn errors(&self) -> Vec<Failure> {
        let errors = lock(&self.errors);
        let errors = errors.iter().map(|(message, code)| Failure {
            code: *code,
            message: message.clone(),
        });
        errors.collect()
    }

    pub(super) fn all_brokers_down(&self) -> bool {
        self.all_down.load(Ordering::Relaxed)
    }

    /// Whether enough of the servers refuse the login that more attempts are useless.
    pub(super) fn login_refused(&self, servers: usize) -> bool {
        self.no_token.load(Ordering::Relaxed)
            || lock(&self.refusing).len() >= servers.clamp(1, REFUSALS)
    }

    pub(super) fn is_fatal(&self) -> bool {
        self.fatal.load(Ordering::Relaxed)
    }

    pub(super) fn take_statistics(&self) -> Option<String> {
        lock(&self.statistics).take()
    }

    /// A broker has answered: earlier errors are obsolete.
    pub(super) fn all_well(&self) {
        lock(&self.errors).clear();
        lock(&self.refusing).clear();
        self.no_token.store(false, Ordering::Relaxed);
        self.all_down.store(false, Ordering::Relaxed);
    }

    fn tell(&self, event: &Event) {
        let Some(failure) = event.failure() else {
            return;
        };
        tracing::debug!(code = failure.code.0, message = %failure.message, "Kafka client error");
        // A client that could not start all its threads leaks something each time that it tries to
        // start one again.
        if event.is_fatal() || failure.code.0 == OUT_OF_RESOURCES {
            self.fatal.store(true, Ordering::Relaxed);
        }
        self.note_refusal(&failure);
        self.report_failure(&failure);
    }

    fn note_refusal(&self, failure: &Failure) {
        if [LOGIN_REFUSED, NOT_TRUSTED].contains(&failure.code.0)
            && let Some(server) = server(&failure.message)
        {
            lock(&self.refusing).insert(server.to_owned());
        }
    }

    fn report_no_token(&self, failure: &Failure) {
        if failure.code.0 == LOGIN_REFUSED {
            self.no_token.store(true, Ordering::Relaxed);
        }
        self.report_failure(failure);
    }

    fn report_failure(&self, failure: &Failure) {
        // The reason was reported before.
        let is_echo = failure.code.0 == NOT_TRUSTED
            && failure.message.contains("certificate verify failed")
            || failure
                .message
                .contains("Failed to acquire SASL OAUTHBEARER token");
        if is_echo {
            return;
        }
        let all_down = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
        if failure.code.0 == all_down as i32 {
            // This error only counts them; the reason was reported before.
            self.all_down.store(true, Ordering::Relaxed);
        } else {
            let mut errors = lock(&self.errors);
            if errors.len() < ERRORS {
                errors.insert(plain(&failure.message).to_owned(), failure.code);
            }
        }
    }
}

/// A message without the parts that change, "(after 2ms in state CONNECT, 1 identical error(s)
/// suppressed)", and without the name of the connection, which only librdkafka knows. Otherwise a
/// status would change each time.
fn plain(message: &str) -> &str {
    let message = message
        .strip_prefix("GroupCoordinator: ")
        .unwrap_or(message);
    match message.rfind(" (after ") {
        Some(end) if message.ends_with(')') => message.get(..end).unwrap_or(message),
        _ => message,
    }
}

/// The bootstrap server that a message is about: "sasl_ssl://kafka-0:9093/bootstrap: SASL
/// authentication error". Brokers with a number are the same servers again, and are unknown before
/// a server has accepted the login.
fn server(message: &str) -> Option<&str> {
    let (name, _) = plain(message).split_once(": ")?;
    name.strip_suffix("/bootstrap")
}

/// The task that drains the queue. Fields are dropped in this order: the core before the notice
/// that it is gone.
pub(super) struct EventLoop {
    fd: AsyncFd<OwnedFd>,
    core: Arc<Core>,
    tokens: Option<Arc<dyn TokenSource>>,
    _gone: Sender<()>,
}

/// A token that is being fetched.
type Fetching = Fuse<BoxFuture<'static, Result<Token, TokenError>>>;

impl EventLoop {
    pub(super) fn new(
        core: Arc<Core>,
        tokens: Option<Arc<dyn TokenSource>>,
        gone: Sender<()>,
    ) -> std::io::Result<Self> {
        let fd = core.wake.reader()?;
        // SAFETY: an owned descriptor: it stays the same and open until the registration has
        // dropped it.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? };
        Ok(Self {
            fd,
            core,
            tokens,
            _gone: gone,
        })
    }

    /// Drains until it is aborted or the descriptor fails.
    pub(super) async fn run(self) {
        let mut fetching = Fetching::terminated();
        loop {
            self.drain(&mut fetching).await;
            tokio::select! {
                token = &mut fetching => self.hand_over(token),
                ready = self.fd.readable() => {
                    let Ok(mut ready) = ready else {
                        return;
                    };
                    // Read before the queue is drained: what arrives in between wakes again. If the
                    // read would block, nothing is lost.
                    let _ = ready.try_io(|fd| clear(fd.get_ref()));
                }
            }
        }
    }

    async fn drain(&self, fetching: &mut Fetching) {
        loop {
            for _ in 0..AT_ONCE {
                let Some(event) = self.core.queue.poll() else {
                    return;
                };
                if event.kind() == sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH {
                    if let Some(tokens) = self.tokens.clone().filter(|_| fetching.is_terminated()) {
                        *fetching = async move { tokens.token().await }.boxed().fuse();
                    }
                } else {
                    self.take(event);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn hand_over(&self, token: Result<Token, TokenError>) {
        let Core { client, events, .. } = &*self.core;
        let failure = match token {
            Ok(token) => client.set_token(&token).err(),
            Err(error) => Some(Failure {
                code: Code(if error.is_refusal() {
                    LOGIN_REFUSED
                } else {
                    NOT_CONNECTED
                }),
                message: error.to_string(),
            }),
        };
        if let Some(failure) = failure {
            client.no_token(&failure.message);
            events.report_no_token(&failure);
        }
    }

    fn take(&self, event: Event) {
        let Core {
            pending, events, ..
        } = &*self.core;
        match event.kind() {
            sys::RD_KAFKA_EVENT_LOG => {
                if let Some(failure) = log(&event) {
                    events.report_failure(&failure);
                }
            }
            sys::RD_KAFKA_EVENT_ERROR => events.tell(&event),
            sys::RD_KAFKA_EVENT_STATS => {
                *lock(&events.statistics) = Some(event.statistics());
            }
            _ => {
                let reply = match event.failure() {
                    Some(failure) => Err(failure),
                    None => reply(&event),
                };
                if reply.as_ref().is_ok_and(Reply::is_from_a_broker) {
                    events.all_well();
                }
                pending.deliver(event.ticket(), reply);
            }
        }
        drop(event);
    }
}

/// librdkafka's log is for debugging: what matters to a user arrives as an error. There are two
/// exceptions, which are only logged: why a certificate is not trusted, and why an answer cannot be
/// read.
fn log(event: &Event) -> Option<Failure> {
    let (level, facility, line) = event.log()?;
    tracing::debug!(level, facility, "librdkafka: {line}");
    let (_, line) = line.split_once("]: ").unwrap_or(("", &line));
    if facility == PROTOCOL {
        return Some(Failure {
            code: Code(UNREADABLE),
            message: line.to_owned(),
        });
    }
    if facility != DISTRUST {
        return None;
    }
    let (certificate, why) = line.split_once("verification callback failed: ")?;
    Some(Failure {
        code: Code(NOT_TRUSTED),
        message: format!("{certificate}is not trusted: {why}"),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "kafka-0:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 3ms in \
         state CONNECT, 2 identical error(s) suppressed)"
    )]
    #[case(
        "GroupCoordinator: kafka-0:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection \
         refused (after 12ms in state CONNECT)"
    )]
    #[case("kafka-0:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused")]
    fn the_same_error_always_has_the_same_text(#[case] message: &str) {
        let same = "kafka-0:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused";
        assert_eq!(plain(message), same);
    }
    fn refused(message: &str) -> Failure {
        Failure {
            code: Code(LOGIN_REFUSED),
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_login_is_refused_when_two_servers_refuse_or_the_only_one() {
        let events = ClientEvents::default();
        let of = |server: &str| {
            refused(&format!(
                "sasl_ssl://{server}: SASL authentication error: no"
            ))
        };
        assert!(!events.login_refused(1));
        events.note_refusal(&of("kafka-0:9093/bootstrap"));
        events.note_refusal(&of("kafka-0:9093/bootstrap"));
        events.note_refusal(&of("kafka-0:9093/7"));
        assert!(events.login_refused(1));
        assert!(!events.login_refused(2));
        events.note_refusal(&of("kafka-1:9093/bootstrap"));
        assert!(events.login_refused(2));
        assert!(events.login_refused(30), "of many, two are enough");
        events.all_well();
        assert!(!events.login_refused(1));
    }

    #[test]
    fn a_refused_token_counts_as_a_refused_login() {
        let events = ClientEvents::default();
        events.report_no_token(&Failure {
            code: Code(NOT_CONNECTED),
            message: "no connection to the token endpoint".to_owned(),
        });
        assert!(!events.login_refused(1), "the endpoint may come back");
        events.report_no_token(&refused("the token endpoint refused"));
        assert!(events.login_refused(3));
    }
}
