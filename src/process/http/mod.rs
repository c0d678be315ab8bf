//! The one port of the process: `/healthz`, `/readyz`, `/metrics`. It serves state that other parts
//! have recorded and calls nothing.
//!
//! Clients are not trusted: they may send anything, or nothing. Each phase of a connection has a
//! deadline, and connections are bounded in total and per address. A new connection is never
//! refused while another can be closed for it, so that a probe always succeeds.

mod connection;
mod connections;
mod exposition;
mod pages;

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    time::Duration,
};

use axum::Router;
use socket2::SockRef;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use self::connections::{Connections, Limits};
pub use self::pages::{Numbers, Pages};

/// Time for responses that are under way when the server stops. A client that keeps its connection
/// open must not delay the end.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a killed process may take to release the port. On a busy machine it took up to a fifth
/// of a second.
const LET_GO: Duration = Duration::from_secs(3);
/// Pause between two attempts.
const BIND_RETRY: Duration = Duration::from_millis(50);

/// Connections that wait to be accepted. With std's 128 a burst would delay a probe by the second
/// after which its first packet is sent again.
const BACKLOG: i32 = 1024;

/// Kernel buffer of one connection in each direction; Linux doubles it. Without a limit it would
/// grow to megabytes for a client that does not read.
const SOCKET_BUFFER: usize = 64 * 1024;

/// Pause after an error of `accept` that no single connection caused, such as too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for /healthz, /readyz and /metrics ({error}): give another --listen-address"
)]
pub struct ListenError {
    address: SocketAddr,
    error: io::Error,
}

/// Opens the port, so that a port in use is reported before anything else starts. A previous
/// process that was killed a moment ago may still hold it, so this retries for a few seconds.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let until = Instant::now() + LET_GO;
    let mut is_logged = false;
    loop {
        match bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                if !is_logged {
                    info!(
                        %address,
                        seconds = LET_GO.as_secs(),
                        "the address is in use, waiting for the other process to end"
                    );
                    is_logged = true;
                }
                sleep(BIND_RETRY).await;
            }
            bound => return bound.map_err(|error| ListenError { address, error }),
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    let socket = SockRef::from(&listener);
    socket.listen(BACKLOG)?;
    // Accepted connections inherit both sizes.
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    Ok(listener)
}

/// Serves until `stop`. Responses that are under way then have at most two seconds to finish.
pub async fn serve(listener: TcpListener, pages: Pages, stop: CancellationToken) -> io::Result<()> {
    let connections = Connections::new(Limits::default());
    serve_among(connections, listener, pages::router(pages), stop).await
}

async fn serve_among(
    connections: Connections,
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let tasks = TaskTracker::new();
    while let Some((stream, seat)) = stop
        .run_until_cancelled(accept(&listener, &connections))
        .await
    {
        tasks.spawn(connection::serve(
            stream,
            seat,
            router.clone(),
            stop.clone(),
        ));
    }
    drop(listener);
    tasks.close();
    if timeout(DRAIN, tasks.wait()).await.is_err() {
        connections.close_all();
    }
    Ok(())
}

/// Accepts the next connection and makes room for it. An error of `accept` never ends the server.
async fn accept(
    listener: &tokio::net::TcpListener,
    connections: &Connections,
) -> (tokio::net::TcpStream, connections::Seat) {
    loop {
        let permit = connections.permit().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                return (stream, connections.enter(peer.ip().to_canonical(), permit));
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                if connections.may_log() {
                    warn!(%error, "cannot accept connections for /healthz, /readyz and /metrics; trying again");
                }
                connections.make_room();
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Whether only this connection failed: the client was gone before it was accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// An address that can be opened on this machine: loopback in place of `0.0.0.0` and `::`.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests;
