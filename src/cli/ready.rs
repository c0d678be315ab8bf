//! `lagrange ready`: asks a running operator for `/readyz`. For places without another HTTP client,
//! such as the operator's own image; `helm test` uses it.

use std::{fmt, time::Duration};

use clap::Args;
use http::{Request, StatusCode, header::HOST};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::run_values::between;

/// Longest time for one answer.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Time between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// Most bytes of an answer that are read.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Ask a running operator whether it is ready
///
/// Prints the answer of /readyz. The exit code is 0 if the operator is ready. The image has neither
/// a shell nor another HTTP client: kubectl exec deployment/lagrange -- lagrange ready
#[derive(Args, Clone, Debug)]
pub(super) struct Ready {
    /// Where the operator serves /readyz: its Service, its Pod, or this machine
    #[arg(default_value = "localhost:8080", value_name = "HOST:PORT", value_parser = address)]
    address: String,

    /// How long to wait for the operator to be ready; 1s to 10m. Default: ask once
    #[arg(long, value_name = "DURATION", value_parser = between("1s", "10m"))]
    timeout: Option<Duration>,
}

/// Why the operator is not known to be ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot start threads: {0}")]
    Runtime(std::io::Error),
    #[error(
        "no answer from http://{address}/readyz{}: {reason}; is a Pod of the operator ready there, and does a NetworkPolicy let this client in?",
        after(.waited)
    )]
    NoAnswer {
        address: String,
        waited: Duration,
        reason: String,
    },
    #[error("http://{address}/readyz answers {status}{}: {body}", after(.waited))]
    NotReady {
        address: String,
        waited: Duration,
        status: StatusCode,
        body: String,
    },
}

fn after(waited: &Duration) -> impl fmt::Display {
    fmt::from_fn(move |f| match waited.as_secs() {
        0 => Ok(()),
        seconds => write!(f, " for {seconds} s"),
    })
}

impl Ready {
    pub(super) fn run(&self) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let answer = runtime.block_on(self.until_ready())?;
        // A reader that closed the pipe needs no message.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), answer.as_bytes());
        Ok(())
    }

    /// Asks until the answer is that it is ready, or the time is over: then the last answer counts.
    async fn until_ready(&self) -> Result<String, Error> {
        let begun = Instant::now();
        let end = begun + self.timeout.unwrap_or_default();
        loop {
            let next = Instant::now() + PAUSE;
            let asked = timeout(ATTEMPT, self.ask());
            let failure = |reason| Error::NoAnswer {
                address: self.address.clone(),
                waited: begun.elapsed(),
                reason,
            };
            let error = match asked.await {
                Ok(Ok((StatusCode::OK, body))) => return Ok(body),
                Ok(Ok((status, body))) => Error::NotReady {
                    address: self.address.clone(),
                    waited: begun.elapsed(),
                    status,
                    body,
                },
                Ok(Err(reason)) => failure(reason),
                Err(_) => failure(format!("nothing within {} s", ATTEMPT.as_secs())),
            };
            if timeout_at(end, sleep_until(next)).await.is_err() {
                return Err(error);
            }
        }
    }

    async fn ask(&self) -> Result<(StatusCode, String), String> {
        let text = |error: &dyn fmt::Display| error.to_string();
        let stream = TcpStream::connect(&self.address);
        let stream = stream.await.map_err(|error| text(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| text(&error))?;
        tokio::spawn(connection);
        let request = Request::get("/readyz")
            .header(HOST, &self.address)
            .body(Empty::<Bytes>::new())
            .map_err(|error| text(&error))?;
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| text(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect();
        let body = body.await.map_err(|error| text(&error))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// A host and a port. Whether the host exists is asked each time.
fn address(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once(':');
    let known = |(host, port): (&str, &str)| {
        !host.is_empty()
            && !host.contains(['/', '@', ' '])
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if parts.is_some_and(known) {
        Ok(text.to_owned())
    } else {
        Err("write a host and a port, such as lagrange.lagrange:8080".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("localhost:8080", true)]
    #[case("lagrange.lagrange.svc:9090", true)]
    #[case("[::1]:8080", true)]
    #[case("localhost", false)]
    #[case(":8080", false)]
    #[case("localhost:0", false)]
    #[case("localhost:http", false)]
    #[case("http://localhost:8080", false)]
    #[case("localhost:8080/readyz", false)]
    fn an_address_is_a_host_and_a_port(#[case] text: &str, #[case] taken: bool) {
        assert_eq!(address(text).is_ok(), taken);
    }
}
