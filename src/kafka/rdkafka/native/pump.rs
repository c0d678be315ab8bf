//! Drains a client's queue: answers to those who wait for them, everything else into the news.
//! Waits for nothing but the eventfd.

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

/// Events taken before other tasks get their turn.
const AT_ONCE: usize = 256;

/// librdkafka's numbers for a login that was refused, for no connection, and for TLS that did not
/// come about.
const LOGIN_REFUSED: i32 = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__AUTHENTICATION as i32;
const NOT_CONNECTED: i32 = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TRANSPORT as i32;
const NOT_TRUSTED: i32 = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__SSL as i32;

const OUT_OF_RESOURCES: i32 = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE as i32;
const UNREADABLE: i32 = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG as i32;

/// The facilities under which librdkafka logs why a certificate is not trusted, and what of an
/// answer it cannot read.
const DISTRUST: &str = "SSLCERTVRFY";
const PROTOCOL: &str = "PROTOERR";

/// Servers that have to refuse a login before it counts as refused, where there are so many: one
/// that starts refuses for a moment whom it knows, since users stand in the log that it is still
/// reading. More would only be knocked at in vain.
const REFUSALS: usize = 2;

/// Different errors that are kept: a handful a broker, of a few brokers.
const ERRORS: usize = 32;

/// Who waits for which answer.
#[derive(Debug, Default)]
pub(super) struct Mail {
    waiting: Mutex<HashMap<usize, oneshot::Sender<Result<Reply, Failure>>>>,
    next: AtomicUsize,
}

impl Mail {
    /// A ticket, and what will be told to its holder.
    pub(super) fn ticket(&self) -> (usize, oneshot::Receiver<Result<Reply, Failure>>) {
        let (sender, receiver) = oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.waiting).insert(number, sender);
        (number, receiver)
    }

    fn deliver(&self, ticket: usize, reply: Result<Reply, Failure>) {
        if let Some(waiting) = lock(&self.waiting).remove(&ticket) {
            // Whoever waited may have gone.
            let _ = waiting.send(reply);
        }
    }
}

/// What librdkafka tells without being asked.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Why a login fails or a server cannot be reached is told only here: the calls just time out.
    /// Kept until a call succeeds, each text once.
    errors: Mutex<BTreeMap<String, Code>>,
    /// The servers that did not let us in, or that we do not trust, since then.
    refusing: Mutex<BTreeSet<String>>,
    /// There is nothing to log in with.
    no_token: AtomicBool,
    all_down: AtomicBool,
    fatal: AtomicBool,
    statistics: Mutex<Option<String>>,
}

impl News {
    /// All errors that were told since a call succeeded, in the order of their texts.
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

    /// Nobody of so many servers lets us in, so that to go on asking is of no use.
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

    /// A broker has answered: whatever was wrong before is over.
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
        // A client that could not start all of its threads leaves something behind with each that
        // it tries to start again.
        if event.is_fatal() || failure.code.0 == OUT_OF_RESOURCES {
            self.fatal.store(true, Ordering::Relaxed);
        }
        self.note_refusal(&failure);
        self.tell_failure(&failure);
    }

    fn note_refusal(&self, failure: &Failure) {
        if [LOGIN_REFUSED, NOT_TRUSTED].contains(&failure.code.0)
            && let Some(server) = server(&failure.message)
        {
            lock(&self.refusing).insert(server.to_owned());
        }
    }

    fn tell_no_token(&self, failure: &Failure) {
        if failure.code.0 == LOGIN_REFUSED {
            self.no_token.store(true, Ordering::Relaxed);
        }
        self.tell_failure(failure);
    }

    fn tell_failure(&self, failure: &Failure) {
        // Why is what was told before.
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
            // It only counts them; the reason came before.
            self.all_down.store(true, Ordering::Relaxed);
        } else {
            let mut errors = lock(&self.errors);
            if errors.len() < ERRORS {
                errors.insert(plain(&failure.message).to_owned(), failure.code);
            }
        }
    }
}

/// A message without what changes from one time to the next, "(after 2ms in state CONNECT, 1
/// identical error(s) suppressed)", and without the name of the connection that only librdkafka
/// knows: whoever shows it would otherwise have news each time.
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
/// authentication error". Brokers that are known by their numbers are the same ones again, and
/// nobody knows of them before a server has let us in.
fn server(message: &str) -> Option<&str> {
    let (name, _) = plain(message).split_once(": ")?;
    name.strip_suffix("/bootstrap")
}

/// The task that drains. Fields are dropped in this order: the core before the news that it is
/// gone.
pub(super) struct Pump {
    fd: AsyncFd<OwnedFd>,
    core: Arc<Core>,
    tokens: Option<Arc<dyn TokenSource>>,
    _gone: Sender<()>,
}

/// A token that is being fetched.
type Fetching = Fuse<BoxFuture<'static, Result<Token, TokenError>>>;

impl Pump {
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

    /// Drains until it is aborted, or the descriptor fails.
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
                    // Read before the queue is drained: what comes in between wakes again. A read
                    // that would block is no loss.
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
        let Core { client, news, .. } = &*self.core;
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
            news.tell_no_token(&failure);
        }
    }

    fn take(&self, event: Event) {
        let Core { mail, news, .. } = &*self.core;
        match event.kind() {
            sys::RD_KAFKA_EVENT_LOG => {
                if let Some(failure) = log(&event) {
                    news.tell_failure(&failure);
                }
            }
            sys::RD_KAFKA_EVENT_ERROR => news.tell(&event),
            sys::RD_KAFKA_EVENT_STATS => {
                *lock(&news.statistics) = Some(event.statistics());
            }
            _ => {
                let reply = match event.failure() {
                    Some(failure) => Err(failure),
                    None => reply(&event),
                };
                if reply.as_ref().is_ok_and(Reply::is_from_a_broker) {
                    news.all_well();
                }
                mail.deliver(event.ticket(), reply);
            }
        }
        drop(event);
    }
}

/// What librdkafka logs is for those who look for a fault in it: what matters to a user arrives as
/// an error. But for two things: why a certificate is not trusted, and why an answer cannot be
/// read, are only logged.
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
        "kafka-0:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 3ms in state CONNECT, 2 identical error(s) suppressed)"
    )]
    #[case(
        "GroupCoordinator: kafka-0:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 12ms in state CONNECT)"
    )]
    #[case("kafka-0:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused")]
    fn the_same_error_reads_the_same_each_time(#[case] message: &str) {
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
        let news = News::default();
        let of = |server: &str| {
            refused(&format!(
                "sasl_ssl://{server}: SASL authentication error: no"
            ))
        };
        assert!(!news.login_refused(1));
        news.note_refusal(&of("kafka-0:9093/bootstrap"));
        news.note_refusal(&of("kafka-0:9093/bootstrap"));
        news.note_refusal(&of("kafka-0:9093/7"));
        assert!(news.login_refused(1));
        assert!(!news.login_refused(2));
        news.note_refusal(&of("kafka-1:9093/bootstrap"));
        assert!(news.login_refused(2));
        assert!(news.login_refused(30), "of many, two will do");
        news.all_well();
        assert!(!news.login_refused(1));
    }

    #[test]
    fn without_a_token_no_server_has_to_be_asked() {
        let news = News::default();
        news.tell_no_token(&Failure {
            code: Code(NOT_CONNECTED),
            message: "no connection to the token endpoint".to_owned(),
        });
        assert!(!news.login_refused(1), "it may come back");
        news.tell_no_token(&refused("the token endpoint refused"));
        assert!(news.login_refused(3));
    }
}
