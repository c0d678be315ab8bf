//! The server behind a real port, with many and hostile clients.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use tokio::runtime::Runtime;

use super::*;
use crate::process::http::exposition::Exposition;

/// Timeout for anything that takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Limits with deadlines that pass within a test, or never do.
fn limits(head: Duration, idle: Duration, answer: Duration) -> Limits {
    Limits {
        head,
        idle,
        answer,
        ..Limits::default()
    }
}

fn never() -> Duration {
    Duration::from_hours(1)
}

fn soon() -> Duration {
    Duration::from_millis(300)
}

/// A running server on threads of its own.
struct Server {
    address: SocketAddr,
    connections: Connections,
    stop: CancellationToken,
    runtime: Runtime,
    serving: tokio::task::JoinHandle<io::Result<()>>,
}

impl Server {
    fn start(limits: Limits) -> Self {
        Self::with(limits, 0)
    }

    /// A server whose `/metrics` is `length` bytes long.
    fn with(limits: Limits, length: usize) -> Self {
        let mut gates = ReadinessBuilder::default();
        gates.gate("Kubernetes API server").open();
        let exposition = Exposition::new(move |_| "x".repeat(length) + "# EOF\n");
        let router = pages::routes(Liveness::default(), gates.build(), exposition);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        let connections = Connections::new(limits);
        let serving = serve_among(connections.clone(), listener, router, stop.clone());
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            connections,
            stop,
            serving: runtime.spawn(serving),
            runtime,
        }
    }

    fn connect(&self) -> TcpStream {
        self.connect_from(Ipv4Addr::LOCALHOST)
    }

    fn connect_from(&self, source: Ipv4Addr) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Small, so that a client that does not read receives little.
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn says(&self, request: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The status line of the response to a new client.
    fn get(&self, path: &str) -> String {
        let mut stream = self.says(&format!(
            "GET {path} HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n"
        ));
        let text = rest(&mut stream);
        text.lines().next().unwrap_or_default().to_owned()
    }

    fn connected(&self) -> usize {
        self.connections.len()
    }

    fn until_connected(&self, wanted: usize) {
        let began = Instant::now();
        while self.connected() != wanted {
            assert!(
                began.elapsed() < PATIENCE,
                "{} are connected",
                self.connected()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops, and returns how long that took.
    fn stop(self) -> Duration {
        let began = Instant::now();
        self.stop.cancel();
        self.runtime.block_on(self.serving).unwrap().unwrap();
        began.elapsed()
    }
}

/// Everything received until the server closes, or resets, the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            panic!("still open: {}", String::from_utf8_lossy(&bytes))
        }
        _ => String::from_utf8(bytes).unwrap(),
    }
}

/// One whole response of a connection that stays open.
fn one(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

/// Bytes of `/metrics` for ten thousand groups.
const LARGE: usize = 20 * 1024 * 1024;

const HALF: &str = "GET /metrics HTTP/1.1\r\nHost: it\r\n";
const WHOLE: &str = "GET /healthz HTTP/1.1\r\nHost: it\r\n\r\n";

#[test]
fn half_requests_of_one_address_are_bounded_and_do_not_block_probes() {
    let server = Server::start(limits(never(), never(), never()));
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(server.says(HALF));
        assert!(server.connected() <= 33);
    }
    assert_eq!(server.get("/healthz"), "HTTP/1.1 200 OK");
    assert_eq!(server.get("/readyz"), "HTTP/1.1 200 OK");
    server.until_connected(31);
}

#[test]
fn half_requests_of_many_addresses_do_not_block_probes() {
    let server = Server::start(limits(never(), never(), never()));
    let mut held = Vec::new();
    for each in 0..300_u16 {
        let source = Ipv4Addr::new(127, 0, 1, u8::try_from(each % 200).unwrap());
        let mut stream = server.connect_from(source);
        stream.write_all(HALF.as_bytes()).unwrap();
        held.push(stream);
    }
    server.until_connected(128);
    for _ in 0..20 {
        assert_eq!(server.get("/healthz"), "HTTP/1.1 200 OK");
        assert_eq!(server.get("/readyz"), "HTTP/1.1 200 OK");
    }
}

#[rstest]
#[case::nothing("")]
#[case::half_a_request(HALF)]
#[case::the_beginning_of_tls("\u{16}\u{3}\u{1}\u{2}")]
fn a_client_without_a_whole_request_is_disconnected(#[case] sent: &str) {
    let server = Server::start(limits(soon(), never(), never()));
    rest(&mut server.says(sent));
    server.until_connected(0);
}

#[test]
fn a_head_sent_byte_by_byte_has_the_same_deadline() {
    let server = Server::start(limits(soon(), never(), never()));
    let mut stream = server.connect();
    let began = Instant::now();
    // In the end the server resets the connection.
    while stream.write_all(b"x").is_ok() {
        assert!(began.elapsed() < PATIENCE, "still listening");
        thread::sleep(Duration::from_millis(10));
    }
    server.until_connected(0);
}

#[test]
fn a_second_head_sent_byte_by_byte_has_the_same_deadline() {
    let server = Server::start(limits(soon(), never(), never()));
    let mut stream = server.says(WHOLE);
    assert!(one(&mut stream).ends_with("alive\n"));
    let began = Instant::now();
    while stream.write_all(b"x").is_ok() {
        assert!(began.elapsed() < PATIENCE, "still listening");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_connection_is_reused_and_closed_when_idle() {
    let server = Server::start(limits(never(), soon(), never()));
    let mut stream = server.says(WHOLE);
    assert!(one(&mut stream).ends_with("alive\n"));
    stream.write_all(WHOLE.as_bytes()).unwrap();
    assert!(one(&mut stream).ends_with("alive\n"));
    assert_eq!(rest(&mut stream), "");
}

#[test]
fn an_idle_connection_outlives_the_deadline_of_heads() {
    let server = Server::start(limits(soon(), never(), never()));
    let mut stream = server.says(WHOLE);
    one(&mut stream);
    thread::sleep(soon() * 2);
    stream.write_all(WHOLE.as_bytes()).unwrap();
    assert!(one(&mut stream).ends_with("alive\n"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(limits(never(), never(), never()));
    let mut stream = server.says(&WHOLE.repeat(50));
    for _ in 0..50 {
        assert!(one(&mut stream).ends_with("alive\n"));
    }
}

#[test]
fn pipelined_requests_with_unread_responses_are_disconnected() {
    let server = Server::start(limits(never(), never(), soon()));
    let mut stream = server.connect();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // Far more than the kernel buffers on both sides.
    while stream.write_all(WHOLE.repeat(100).as_bytes()).is_ok() {}
    server.until_connected(0);
}

#[test]
fn a_client_that_does_not_read_is_disconnected_and_blocks_no_other() {
    // Enough time for a client that does read.
    let server = Server::with(limits(never(), never(), Duration::from_secs(5)), LARGE);
    let mut slow = server.says("GET /metrics HTTP/1.1\r\nHost: it\r\n\r\n");
    assert_eq!(server.get("/metrics"), "HTTP/1.1 200 OK");
    server.until_connected(0);
    let mut read = Vec::new();
    let _ = slow.read_to_end(&mut read);
    assert!(read.len() < 1024 * 1024, "{} bytes were sent", read.len());
}

#[test]
fn clients_that_do_not_read_are_bounded_and_further_ones_get_503() {
    let server = Server::with(limits(never(), never(), never()), LARGE);
    let request = "GET /metrics HTTP/1.1\r\nHost: it\r\n\r\n";
    let slow: Vec<_> = (0..20).map(|_| server.says(request)).collect();
    let answer = |mut stream: &TcpStream| {
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        String::from_utf8(start.to_vec()).unwrap()
    };
    let answers: Vec<_> = slow.iter().map(answer).collect();
    let good = answers
        .iter()
        .filter(|each| **each == "HTTP/1.1 200")
        .count();
    assert_eq!(good, 2, "{answers:?}");
    assert_eq!(server.get("/metrics"), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(server.get("/healthz"), "HTTP/1.1 200 OK");
    // Another address is not affected.
    let mut other = server.connect_from(Ipv4Addr::new(127, 0, 0, 2));
    other
        .write_all(
            request
                .replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )
        .unwrap();
    let text = rest(&mut other);
    assert!(text.len() > LARGE, "{} bytes", text.len());
    assert!(text.ends_with("# EOF\n"));
    // Closed clients free their places.
    drop(slow);
    server.until_connected(0);
    assert_eq!(server.get("/metrics"), "HTTP/1.1 200 OK");
}

#[test]
fn http_1_0_and_head_requests_are_served() {
    let server = Server::start(limits(never(), never(), never()));
    let old = rest(&mut server.says("GET /healthz HTTP/1.0\r\n\r\n"));
    assert!(
        old.starts_with("HTTP/1.0 200 OK") && old.ends_with("alive\n"),
        "{old}"
    );
    let head =
        rest(&mut server.says("HEAD /metrics HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n"));
    assert!(
        head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert!(head.contains("content-length: "), "{head}");
}

#[rstest]
#[case::garbage("\u{0}\u{1}\u{2}garbage\r\n\r\n", "400")]
#[case::tls("\u{16}\u{3}\u{1}\u{0}\u{5}hello\r\n\r\n", "400")]
#[case::http2("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "")]
#[case::a_body(
    "POST /metrics HTTP/1.1\r\nHost: it\r\nContent-Length: 99999999999\r\n\r\nabc",
    "413"
)]
#[case::chunks(
    "GET /healthz HTTP/1.1\r\nHost: it\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
    "413"
)]
#[case::another_method(
    "DELETE /metrics HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n",
    "405"
)]
fn an_unsupported_request_is_refused_and_the_connection_closed(
    #[case] sent: &str,
    #[case] code: &str,
) {
    let server = Server::start(limits(never(), never(), never()));
    let answer = rest(&mut server.says(sent));
    let line = answer.lines().next().unwrap_or_default();
    assert!(line.contains(code), "{answer}");
    server.until_connected(0);
}

#[rstest]
#[case::a_long_path(format!("GET /{} HTTP/1.1\r\n", "x".repeat(100_000)))]
#[case::a_long_header(format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(100_000)))]
#[case::many_headers(format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1_000)))]
fn a_long_head_is_refused_before_it_ends(#[case] sent: String) {
    let server = Server::start(limits(never(), never(), never()));
    let mut stream = server.connect();
    // The server may close before it has received everything.
    let _ = stream.write_all(sent.as_bytes());
    rest(&mut stream);
    server.until_connected(0);
}

#[test]
fn it_stops_in_time_with_idle_clients_and_clients_that_do_not_read() {
    let server = Server::with(limits(never(), never(), never()), LARGE);
    let _half = server.says(HALF);
    let mut idle = server.says(WHOLE);
    one(&mut idle);
    let mut slow = server.says("GET /metrics HTTP/1.1\r\nHost: it\r\n\r\n");
    slow.read_exact(&mut [0; 12]).unwrap();
    let took = server.stop();
    assert!(took < DRAIN * 2, "{took:?}");
    // The idle connection was closed at once, the slow one at the end.
    rest(&mut idle);
    rest(&mut slow);
}

#[test]
fn probes_succeed_during_a_flood_of_connections() {
    let server = Server::start(Limits::default());
    let made = AtomicUsize::new(0);
    let over = CancellationToken::new();
    thread::scope(|scope| {
        for each in 1..=4 {
            let (server, made, over) = (&server, &made, over.clone());
            scope.spawn(move || {
                let mut held = std::collections::VecDeque::new();
                while !over.is_cancelled() {
                    let mut stream = server.connect_from(Ipv4Addr::new(127, 0, 2, each));
                    let _ = stream.write_all(HALF.as_bytes());
                    held.push_back(stream);
                    if held.len() > 200 {
                        held.pop_front();
                    }
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let began = Instant::now();
        let _over = over.drop_guard();
        while made.load(Ordering::Relaxed) < 2_000 {
            assert_eq!(server.get("/healthz"), "HTTP/1.1 200 OK");
            assert!(began.elapsed() < PATIENCE, "{made:?}");
        }
    });
}
