//! Log lines for people or for machines, on standard error; standard output is for what a command
//! prints. This module does not redact: the caller must not log credentials.

use std::fmt::Debug;
use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use lagrange_core::text;
use tracing::{Level, Metadata, Subscriber, error, field::Field};
use tracing_subscriber::{
    EnvFilter, Registry,
    field::MakeExt as _,
    filter::FilterFn,
    fmt::{
        FormatFields, Layer,
        format::{DefaultFields, Format, Writer, debug_fn},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// Format of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Time, level, module, message and fields, in colour on a terminal
    Human,
    /// One JSON object a line with timestamp, level, target, message and the fields beside them
    Json,
}

/// Which lines are written: a level, or `module=level` pairs, separated by commas.
#[derive(Clone, Debug)]
pub struct LogFilter(String);

impl std::str::FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Validate with the parser that is used later; a typo would otherwise silently disable
        // logging.
        let known = |directive: &str| {
            let level = directive
                .rsplit_once('=')
                .map_or(directive, |(_, level)| level);
            ["trace", "debug", "info", "warn", "error", "off"]
                .iter()
                .any(|word| word.eq_ignore_ascii_case(level))
        };
        match EnvFilter::try_new(text) {
            Ok(_) if text.split(',').all(known) => Ok(Self(text.to_owned())),
            _ => Err("write a level (trace, debug, info, warn, error, off) or pairs such as info,lagrange=debug".to_owned()),
        }
    }
}

impl std::fmt::Display for LogFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Directives that go before the user's filter. The first module logs an error for each failed
/// connection without address or cause; the caller logs both. The second logs whole responses that
/// it cannot parse, which may be Secrets.
const NOISE: &str = "kube_client::client::builder=off,kube_client::client=error";

/// Whether a line may be written at all, whatever the filter allows. The AWS signer logs what it
/// signs, with the key id; the Kubernetes client logs responses, which may be Secrets. A filter
/// that names their modules would let both through.
fn is_harmless(line: &Metadata<'_>) -> bool {
    match line.target() {
        "kube_client::client" => *line.level() == Level::ERROR,
        target => !target.starts_with("aws_sigv4"),
    }
}

/// A subscriber for the lines that the filter and [`is_harmless`] allow.
fn filtered(filter: &LogFilter) -> impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync {
    Registry::default()
        .with(EnvFilter::new(format!("{NOISE},{filter}")))
        .with(FilterFn::new(is_harmless))
}

/// Installs the subscriber of the process and turns panics into log lines. Does nothing if one is
/// already installed.
pub fn init(format: LogFormat, filter: &LogFilter) {
    let registry = filtered(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Human => registry
            .with(human(layer).with_ansi(std::io::stderr().is_terminal()))
            .try_init(),
        LogFormat::Json => registry
            .with(layer.json().flatten_event(true).with_span_list(false))
            .try_init(),
    };
    if installed.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic
                .location()
                .map(ToString::to_string)
                .unwrap_or_default();
            let text = panic.payload_as_str().unwrap_or("no message");
            if tracing::enabled!(tracing::Level::ERROR) {
                error!(place, "panic: {text}");
            } else {
                // Print the panic even when logging is off. A closed standard error is ignored.
                let _ = writeln!(std::io::stderr(), "lagrange: panic at {place}: {text}");
            }
        }));
    }
}

/// Lines for people. Each stays one line whatever its values are: this is the last place where
/// foreign text is escaped before it reaches a terminal.
fn human<S, W>(
    layer: Layer<S, DefaultFields, Format, W>,
) -> Layer<S, impl for<'a> FormatFields<'a> + 'static, Format, W> {
    layer.fmt_fields(debug_fn(field).delimited(" "))
}

/// Formats a field as the library does, but escapes line breaks and control sequences, which the
/// library leaves in.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let value = format!("{value:?}");
    let value = text::one_line(&value);
    match field.name() {
        "message" => write!(writer, "{value}"),
        name if writer.has_ansi_escapes() => {
            write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}")
        }
        name => write!(writer, "{name}={value}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("info")]
    #[case("WARN")]
    #[case("info,lagrange=debug")]
    #[case("off,lagrange::kafka=trace")]
    fn a_filter_is_a_level_or_pairs(#[case] text: &str) {
        assert_eq!(text.parse::<LogFilter>().unwrap().to_string(), text);
    }

    #[rstest]
    #[case("loud")]
    #[case("")]
    #[case("lagrange")]
    #[case("lagrange=loud")]
    #[case("info,")]
    fn a_filter_that_would_log_nothing_by_mistake_is_refused(#[case] text: &str) {
        let error = text.parse::<LogFilter>().unwrap_err();
        assert!(error.starts_with("write a level"), "{error}");
    }

    /// Collects what a subscriber writes.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[rstest]
    #[case::file(false)]
    #[case::terminal(true)]
    fn a_human_log_line_stays_one_line_whatever_its_values(#[case] ansi: bool) {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let subscriber = Registry::default().with(human(layer).with_ansi(ansi));
        let foreign =
            "gone\n2026-11-30T00:00:00Z  INFO lagrange: forged\u{1b}[2J\u{9b}1m\r\u{202e}\u{2028}";
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("poll", cluster = %foreign).entered();
            tracing::info!(group = %foreign, other = foreign, error = ?foreign, count = 3, "says {foreign}");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        let own = [
            "\u{1b}[0m",
            "\u{1b}[1m",
            "\u{1b}[2m",
            "\u{1b}[3m",
            "\u{1b}[32m",
        ];
        let bare = own
            .iter()
            .fold(line.to_owned(), |line, own| line.replace(own, ""));
        assert!(!bare.contains(text::is_disruptive), "{bare:?}");
        assert!(
            bare.contains(r"says gone\n2026") && bare.contains("count=3"),
            "{bare}"
        );
        assert!(
            bare.contains(r"group=gone\n2026") && bare.contains(r"{cluster=gone\n"),
            "{bare}"
        );
        assert_eq!(ansi, line.contains('\u{1b}'), "{line:?}");
    }

    /// What `work` logs under this filter.
    fn written(filter: &str, work: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let subscriber = filtered(&filter.parse().unwrap()).with(layer);
        tracing::subscriber::with_default(subscriber, work);
        let lines = written.0.lock().unwrap().clone();
        String::from_utf8(lines).unwrap()
    }

    #[rstest]
    #[case("trace")]
    #[case("trace,aws_sigv4=trace,aws_sigv4::http_request::sign=trace")]
    fn aws_signing_logs_no_key_at_any_level(#[case] filter: &str) {
        use crate::kafka::connection::secret::Secret;
        use crate::kafka::token::TokenSource;
        use crate::kafka::token::aws::MskIam;
        use crate::kafka::token::credentials::AwsCredentials;

        let credentials = AwsCredentials {
            access_key_id: "AKIAMARKEROFTHEKEYID".to_owned(),
            secret_access_key: Secret::new("marker-of-the-secret-key"),
            session_token: Some(Secret::new("marker-of-the-session-token")),
        };
        let source = MskIam::new("eu-west-1", &credentials).unwrap();
        let lines = written(filter, || {
            tracing::trace!("signing");
            let token = futures::FutureExt::now_or_never(source.token());
            assert!(token.unwrap().is_ok());
        });
        assert!(lines.contains("signing"), "{lines}");
        for marker in ["MARKER", "marker"] {
            assert!(!lines.contains(marker), "{lines}");
        }
    }

    #[test]
    fn kubernetes_responses_are_not_logged_whatever_the_filter() {
        let lines = written("trace,kube_client::client=trace", || {
            tracing::warn!(target: "kube_client::client", "an answer with a secret");
            tracing::debug!(target: "kube_client::client", "an answer with a secret");
            tracing::error!(target: "kube_client::client", "an error");
        });
        assert!(
            lines.contains("an error") && !lines.contains("secret"),
            "{lines}"
        );
    }
}
