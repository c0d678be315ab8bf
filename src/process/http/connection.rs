//! One connection: HTTP/1 by hyper, with a deadline for everything that it waits for.

use std::{
    convert::Infallible,
    future::{Future as _, poll_fn},
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::Request;
use hyper::{
    body::{Body as _, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;

use super::{
    connections::{Phase, Seat},
    exposition::Slot,
};

/// Longest request head. A scraper sends a few hundred bytes.
const HEAD: usize = 16 * 1024;

/// The address that a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(IpAddr);

impl Peer {
    pub(super) fn of<B>(request: &Request<B>) -> IpAddr {
        let peer = request.extensions().get::<Self>();
        peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0)
    }
}

/// Serves requests until the client closes, a deadline passes, or the place is needed for another
/// connection. After `stop` it finishes the request that is under way.
pub(super) async fn serve(stream: TcpStream, seat: Seat, router: Router, stop: CancellationToken) {
    let state = Arc::new(State {
        seat,
        writing: Mutex::default(),
    });
    let pages = TowerToHyperService::new(router);
    let service = service_fn({
        let state = state.clone();
        move |request| answer(pages.clone(), request, state.clone())
    });
    let io = TokioIo::new(Watched {
        stream,
        state: state.clone(),
    });
    let mut builder = http1::Builder::new();
    // hyper's timeout for heads also runs between two requests; the deadline of `Seat` does not.
    builder.header_read_timeout(None).max_buf_size(HEAD);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut closed = pin!(state.seat.close().cancelled());
    let mut stopped = pin!(stop.cancelled());
    let mut stopping = false;
    let mut overdue = pin!(sleep_until(state.seat.deadline()));
    poll_fn(|cx| {
        if closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !stopping && stopped.as_mut().poll(cx).is_ready() {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        // The connection ended; the cause does not matter here.
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if stopping && state.seat.phase() != Some(Phase::Answer) {
            return Poll::Ready(());
        }
        let deadline = state.seat.deadline();
        if overdue.deadline() != deadline {
            overdue.as_mut().reset(deadline);
        }
        overdue.as_mut().poll(cx)
    })
    .await;
}

async fn answer(
    pages: TowerToHyperService<Router>,
    mut request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Written>, Infallible> {
    state.begins();
    let mut response = if request.body().is_end_stream() {
        let peer = Peer(state.seat.peer());
        request.extensions_mut().insert(peer);
        pages.call(request).await?
    } else {
        without_body()
    };
    let slot = response.extensions_mut().remove::<Arc<Slot>>();
    state.has(slot);
    Ok(response.map(|body| Written { body, state }))
}

/// The response to a request with a body. No page takes one, and none is read.
fn without_body() -> Response {
    let text = "send the request without a body\n";
    let mut response = (StatusCode::PAYLOAD_TOO_LARGE, text).into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// State that the three parts of a connection share: requests, responses and bytes.
#[derive(Debug)]
struct State {
    seat: Seat,
    writing: Mutex<Writing>,
}

#[derive(Debug, Default)]
struct Writing {
    /// hyper has taken the whole response.
    taken: bool,
    slot: Option<Arc<Slot>>,
}

impl State {
    /// Bytes were received. While a request is being answered they belong to the next one, which
    /// waits.
    fn received(&self) {
        if self.seat.phase() == Some(Phase::Idle) {
            self.seat.enters(Phase::Head);
        }
    }

    /// A request head is complete.
    fn begins(&self) {
        *self.writing() = Writing::default();
        self.seat.enters(Phase::Answer);
    }

    /// Keeps the slot until the response is written.
    fn has(&self, slot: Option<Arc<Slot>>) {
        self.writing().slot = slot;
    }

    fn taken(&self) {
        self.writing().taken = true;
    }

    /// The kernel has taken everything that hyper wrote.
    fn flushed(&self) {
        let mut writing = self.writing();
        if std::mem::take(&mut writing.taken) {
            writing.slot = None;
            self.seat.enters(Phase::Idle);
        }
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a response. Reports when hyper has taken it.
struct Written {
    body: Body,
    state: Arc<State>,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.state.taken();
    }
}

impl hyper::body::Body for Written {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The byte stream of a connection. Reports when bytes arrive and when all are flushed.
struct Watched {
    stream: TcpStream,
    state: Arc<State>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.state.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    /// Without this hyper would copy the text of `/metrics` once more for each response.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.state.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
