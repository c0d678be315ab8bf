//! The one port of the process: `/healthz`, `/readyz`, `/metrics`. Serves what others have written
//! down; asks nobody.
//!
//! Whoever reaches the port may send anything, or nothing. Each connection has a deadline for what
//! it does now; connections are bounded in all and of one address; and a new one is never refused
//! while another can be closed for it, so that a probe always gets in.

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

/// What a stopping server gives to answers that are under way; a client that holds its connection
/// must not hold us.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a killed process may take to let go of the port. It took up to a fifth of a second on a
/// busy machine.
const LET_GO: Duration = Duration::from_secs(3);
/// Pause between two tries.
const BIND_RETRY: Duration = Duration::from_millis(50);

/// Connections that wait to be accepted. With std's 128 a burst would make a probe's first packet
/// be sent again a second later.
const BACKLOG: i32 = 1024;

/// What the kernel may keep of one connection in each direction; Linux doubles it. Left to itself
/// it would grow to megabytes for a client that does not read.
const SOCKET_BUFFER: usize = 64 * 1024;

/// Pause after an error of accept that is not the connection's own, such as too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for /healthz, /readyz and /metrics ({error}): give another --listen-address"
)]
pub struct ListenError {
    address: SocketAddr,
    error: io::Error,
}

/// Takes the port, so that a taken one is known before anything else begins. The process before
/// this one may have been killed a moment ago and hold it still, so it is tried for a few seconds.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let until = Instant::now() + LET_GO;
    let mut is_told = false;
    loop {
        match bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                if !is_told {
                    info!(%address, seconds = LET_GO.as_secs(), "waiting for the process that listens on our address to end");
                    is_told = true;
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
    // Accepted connections inherit both.
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    Ok(listener)
}

/// Serves until `stop`, then lets answers under way finish for at most two seconds.
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

/// The next connection, with room made for it. An error of accept never ends the server.
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
                if connections.may_tell() {
                    warn!(%error, "cannot accept connections for /healthz, /readyz and /metrics; trying again");
                }
                connections.make_room();
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// The client was gone before it was accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// The address that a person on this machine can open: `0.0.0.0` and `::` are none.
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
