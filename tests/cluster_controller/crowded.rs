//! Clients that occupy the metrics port as much as they can, while the operator has work to do.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::stage::{APP, Stage};

/// A common limit of open files of a process. Here the hard limit as well.
const FILES: u64 = 1024;

/// Sends half a request, from one of this machine's addresses.
fn half_a_request(address: SocketAddr, source: u8) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), 0));
    socket.bind(&source.into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: it\r\n")
        .unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_scaled_and_reported_while_1100_half_requests_are_held_open() {
    lagrange::process::descriptors::raise_limit();
    let stage = Stage::new("crowded").await;
    let _consumers = stage.set(6, 1).await;
    stage.group(json!({})).await;
    let operator = stage.operator().await;
    stage.until_members(1).await;
    let pid = i32::try_from(operator.pid()).unwrap();
    rlimit::prlimit(pid, rlimit::Resource::NOFILE, Some((FILES, FILES)), None).unwrap();

    let address = operator.address();
    let held: Vec<_> = (0..1_100_u16)
        .map(|number| half_a_request(address, u8::try_from(1 + number % 8).unwrap()))
        .collect();
    for path in ["/healthz", "/readyz", "/metrics"] {
        let seen = operator.get(path);
        assert!(seen.starts_with("HTTP/1.1 200"), "{path}: {seen}");
    }
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    assert!(open < 300, "{open} files are open");

    // The operator still gets descriptors for new connections.
    stage.kafka.produce(&stage.topic, 1_000).await;
    stage.space.until_replicas(APP, 6, 60).await;
    stage.space.until_event(APP, "ScaledUp").await;
    let seen = operator.get("/healthz");
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
    drop(held);
}
