//! Reads the answers of the API server within limits: only one object is held at a time, no object
//! hides another, and the text of a refusal is cleaned before it is shown. Handles requests and
//! bytes; the content of objects is read in [`object`].

pub(in crate::controller) mod bounded;
pub(in crate::controller) mod cutter;
pub(in crate::controller) mod object;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::BoxStream};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use kube::{
    Client,
    api::{ListParams, Request, WatchParams},
    client::Body,
    core::Status,
};
use lagrange_core::text;
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use cutter::{Cut, Cutter};

/// The largest object that is read. etcd accepts 1.5 MiB; `<` and control characters take six times
/// as much in JSON.
pub(in crate::controller) const LARGEST: usize = 10 << 20;
/// An object up to this size is read without a permit.
const SMALL: usize = 256 << 10;
/// The bytes that are kept of an object that is too large: they may contain its name.
const BEGINNING: usize = 4 << 10;
/// The number of larger objects that are read at the same time.
const LARGER_AT_ONCE: usize = 2;
/// The bytes that are read of a refusal.
const LONGEST_REFUSAL: usize = 64 << 10;
/// The longest wait for the next piece of an answer that has begun.
const GOES_ON_WITHIN: Duration = Duration::from_secs(30);

/// A request that is ready to be sent.
pub(in crate::controller) type Ready = http::Request<Vec<u8>>;

type Chunk = Result<Bytes, kube::Error>;

/// The API server. Clones share the permits for large objects.
#[derive(Clone)]
pub(in crate::controller) struct ApiServer {
    pub(in crate::controller) client: Client,
    larger: Arc<Semaphore>,
}

impl ApiServer {
    pub(in crate::controller) fn new(client: Client) -> Self {
        Self {
            client,
            larger: Arc::new(Semaphore::new(LARGER_AT_ONCE)),
        }
    }

    /// A permit to hold a large object. The semaphore is never closed, so it is always granted.
    async fn leave(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.larger).acquire_owned().await.ok()
    }
}

/// The body of an answer, piece by piece.
struct Pieces(BoxStream<'static, Chunk>);

impl Pieces {
    /// The next piece that is not empty; `None`: the end.
    async fn next(&mut self, within: Duration) -> kube::Result<Option<Bytes>> {
        loop {
            match timeout(within, self.0.next()).await {
                Err(_) => {
                    let seconds = within.as_secs();
                    return Err(broken(format!("nothing came for {seconds} s")));
                }
                Ok(None) => return Ok(None),
                Ok(Some(piece)) => {
                    let piece = piece?;
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }
}

/// An error of this module.
fn broken(what: String) -> kube::Error {
    kube::Error::Service(what.into())
}

async fn send(api: &ApiServer, request: Ready) -> kube::Result<Pieces> {
    let response = api.client.send(request.map(Body::from)).await?;
    if response.status().is_success() {
        return Ok(pieces(response));
    }
    let code = response.status();
    let mut said = Vec::new();
    let mut body = pieces(response);
    // The text is read if it arrives: an error here only ends it.
    while let Ok(Some(piece)) = body.next(GOES_ON_WITHIN).await {
        let room = LONGEST_REFUSAL.saturating_sub(said.len());
        if room == 0 {
            break;
        }
        said.extend(piece.iter().take(room));
    }
    Err(kube::Error::Api(refusal(code, &said).boxed()))
}

fn pieces(response: Response<Body>) -> Pieces {
    Pieces(response.into_body().into_data_stream().boxed())
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Refusal {
    message: Option<String>,
    reason: Option<String>,
    code: Option<u16>,
}

fn refusal(code: StatusCode, said: &[u8]) -> Status {
    let status = status(&String::from_utf8_lossy(said));
    Status {
        code: code.as_u16(),
        ..status
    }
}

/// Reads a refusal. If it is not a status, its beginning becomes the message.
pub(in crate::controller) fn status(said: &str) -> Status {
    let read: Refusal = serde_json::from_str(said).unwrap_or_default();
    Status {
        code: read.code.unwrap_or_default(),
        message: text::clean(read.message.as_deref().unwrap_or(said).trim()),
        reason: text::clean(&read.reason.unwrap_or_default()),
        ..Status::default()
    }
}

/// The text of an error of the API server or of the connection, for a person.
pub(in crate::controller) fn words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        // Not all of them were read here: kube reads its own discovery.
        return text::clean(&format!("HTTP {} {}", status.code, status.message));
    }
    // The innermost error names the cause; the outer ones only add where it occurred.
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    text::clean(&innermost.to_string())
}

/// Whether the API server answered with this status.
pub(in crate::controller) fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// The received part of one object. Large ones wait for each other.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    is_too_large: bool,
    large: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// Adds a piece; of an object that is too large, only the beginning is kept.
    async fn add(&mut self, api: &ApiServer, piece: &[u8]) {
        if self.is_too_large {
            return;
        }
        if self.bytes.len() + piece.len() > LARGEST {
            self.is_too_large = true;
            self.bytes.truncate(BEGINNING);
            let room = BEGINNING - self.bytes.len();
            self.bytes.extend(piece.iter().take(room));
            self.bytes.shrink_to_fit();
            self.large = None;
            return;
        }
        if self.bytes.len() + piece.len() > SMALL && self.large.is_none() {
            self.large = api.leave().await;
        }
        self.bytes.extend_from_slice(piece);
    }

    fn cut(&self) -> Cut<'_> {
        if self.is_too_large {
            Cut::TooLarge(&self.bytes)
        } else {
            Cut::Whole(&self.bytes)
        }
    }
}

/// One object, or another answer.
pub(in crate::controller) struct Answer(Buffer);

impl Answer {
    /// Its text.
    pub(in crate::controller) fn text(&self) -> kube::Result<&str> {
        if self.0.is_too_large {
            return Err(broken(format!("the answer has more than {LARGEST} bytes")));
        }
        std::str::from_utf8(&self.0.bytes).map_err(|_| broken("the answer is no text".to_owned()))
    }
}

/// Requests one object.
pub(in crate::controller) async fn one(api: &ApiServer, request: Ready) -> kube::Result<Answer> {
    let mut pieces = send(api, request).await?;
    let mut buffer = Buffer::default();
    while let Some(piece) = pieces.next(GOES_ON_WITHIN).await? {
        buffer.add(api, &piece).await;
    }
    Ok(Answer(buffer))
}

/// Requests one object and reads it.
pub(in crate::controller) async fn read<T>(
    api: &ApiServer,
    request: Result<Ready, kube::core::request::Error>,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> kube::Result<T> {
    let answer = one(api, request.map_err(kube::Error::BuildRequest)?).await?;
    read(answer.text()?).map_err(broken)
}

/// Makes a request whose answer is not needed.
pub(in crate::controller) async fn nothing(api: &ApiServer, request: Ready) -> kube::Result<()> {
    let mut pieces = send(api, request).await?;
    while pieces.next(GOES_ON_WITHIN).await?.is_some() {}
    Ok(())
}

/// The end of a page of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::controller) struct End {
    /// The token for the next page.
    #[serde(rename = "continue")]
    pub(in crate::controller) token: Option<String>,
    /// The version from which a watch continues.
    pub(in crate::controller) resource_version: Option<String>,
}

/// Requests one page of a list; `each` gets every item as it arrives.
pub(in crate::controller) async fn page(
    api: &ApiServer,
    path: &str,
    parameters: &ListParams,
    mut each: impl FnMut(Cut<'_>) + Send,
) -> kube::Result<End> {
    let request = Request::new(path).list(parameters);
    let request = request.map_err(kube::Error::BuildRequest)?;
    let mut pieces = timeout(GOES_ON_WITHIN, send(api, request))
        .await
        .unwrap_or_else(|_| Err(broken("the request timed out".to_owned())))?;
    let mut cutter = Cutter::new(LARGEST);
    let mut large = None;
    while let Some(piece) = pieces.next(GOES_ON_WITHIN).await? {
        if cutter.held() > SMALL {
            if large.is_none() {
                large = api.leave().await;
            }
        } else {
            large = None;
        }
        cutter.push(&piece, &mut each);
    }
    drop(large);
    let Some(metadata) = cutter.end() else {
        return Err(broken("the answer ended before its end".to_owned()));
    };
    let mut end: End = serde_json::from_slice(metadata).unwrap_or_default();
    let filled = |text: &String| !text.is_empty();
    end.token = end.token.filter(filled);
    end.resource_version = end.resource_version.filter(filled);
    Ok(end)
}

/// Reads all items of a list, page by page.
pub(in crate::controller) async fn all(
    api: &ApiServer,
    path: &str,
    mut parameters: ListParams,
    mut each: impl FnMut(Cut<'_>) + Send,
) -> kube::Result<()> {
    loop {
        let end = page(api, path, &parameters, &mut each).await?;
        if end.token.is_none() {
            return Ok(());
        }
        parameters.continue_token = end.token;
    }
}

/// An open watch.
pub(in crate::controller) struct Lines {
    api: ApiServer,
    pieces: Pieces,
    /// Received bytes that have not been processed.
    rest: Bytes,
    line: Buffer,
    is_reported: bool,
    silence: Duration,
}

/// Opens a watch that must send something, or end, within `silence`.
pub(in crate::controller) async fn watch(
    api: &ApiServer,
    path: &str,
    parameters: &WatchParams,
    version: &str,
    silence: Duration,
) -> kube::Result<Lines> {
    let request = Request::new(path).watch(parameters, version);
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    // Kubernetes 1.37 compresses watches, event by event.
    request.headers_mut().insert(
        http::header::ACCEPT_ENCODING,
        http::HeaderValue::from_static("identity"),
    );
    let pieces = timeout(silence, send(api, request))
        .await
        .unwrap_or_else(|_| Err(broken("the request timed out".to_owned())))?;
    Ok(Lines {
        api: api.clone(),
        pieces,
        rest: Bytes::new(),
        line: Buffer::default(),
        is_reported: false,
        silence,
    })
}

impl Lines {
    /// The next event; `None`: the watch has ended. Nothing is lost when this future is dropped
    /// before it completes.
    pub(in crate::controller) async fn next(&mut self) -> kube::Result<Option<Cut<'_>>> {
        if std::mem::take(&mut self.is_reported) {
            self.line = Buffer::default();
        }
        loop {
            if self.rest.is_empty() {
                let within = if self.line.bytes.is_empty() {
                    self.silence
                } else {
                    GOES_ON_WITHIN
                };
                match self.pieces.next(within).await? {
                    // A line without an end is not an event.
                    None => return Ok(None),
                    Some(piece) => self.rest = piece,
                }
            }
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(self.rest.len());
            // Removed only once it is in the buffer: the future may be dropped while it waits for a
            // permit.
            let piece = self.rest.slice(..length);
            self.line.add(&self.api, &piece).await;
            let _ = self.rest.split_to(length + usize::from(end.is_some()));
            if end.is_some() && !self.line.bytes.is_empty() {
                self.is_reported = true;
                return Ok(Some(self.line.cut()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
