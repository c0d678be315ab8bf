//! The sources: three kubectl commands whose output becomes news.

use std::{io::Read, process::Command, sync::mpsc::Sender, time::Duration};

use jiff::Timestamp;
use lagrange_core::api::ConsumerGroup;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{Args, feed::Feed};

/// Pause before a watch that ended is started again.
const AGAIN: Duration = Duration::from_secs(1);
/// Interval at which the metrics page is read; polls are 5 s apart.
const METRICS: Duration = Duration::from_millis(2500);

/// News from a source.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The current state of a group.
    Group(Box<ConsumerGroup>),
    /// An event about a group.
    Event(Event),
    /// The exact lag of each group. The status rounds it to two digits, and a change of the lag
    /// alone updates it once a minute.
    Lags(Vec<(String, i64)>),
}

/// The part of an `events.k8s.io` event that is shown.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) metadata: Metadata,
    #[serde(rename = "eventTime")]
    pub(crate) time: Option<Timestamp>,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) note: String,
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    pub(crate) regarding: Regarding,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) name: String,
}

/// The object of an event.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Regarding {
    #[serde(default)]
    pub(crate) api_version: String,
    #[serde(default)]
    pub(crate) name: String,
}

/// An item of the output of `--output-watch-events`.
#[derive(Debug, Deserialize)]
struct Watched<T> {
    #[serde(rename = "type")]
    kind: String,
    object: T,
}

/// The running commands.
pub(crate) struct Sources {
    _feeds: [Feed; 3],
}

impl Sources {
    /// Starts the commands; their news goes to `sender`.
    pub(crate) fn start(args: &Args, sender: &Sender<Heard>) -> Self {
        let groups = sender.clone();
        let events = sender.clone();
        let lags = sender.clone();
        Self {
            _feeds: [
                Feed::start(
                    watch(args, "consumergroups.lagrange.dev"),
                    AGAIN,
                    move |output| {
                        watched(output, |group: ConsumerGroup| {
                            let _ = groups.send(Heard::Group(Box::new(group)));
                        });
                    },
                ),
                Feed::start(watch(args, "events.events.k8s.io"), AGAIN, move |output| {
                    watched(output, |event: Event| {
                        let _ = events.send(Heard::Event(event));
                    });
                }),
                Feed::start(
                    kubectl(args, &["get", "--raw", &args.metrics]),
                    METRICS,
                    move |output| {
                        let mut page = String::new();
                        if output.read_to_string(&mut page).is_ok() {
                            let _ = lags.send(Heard::Lags(lags_of(&page)));
                        }
                    },
                ),
            ],
        }
    }
}

fn kubectl(args: &Args, arguments: &[&str]) -> Command {
    let mut command = Command::new(&args.kubectl);
    if let Some(kubeconfig) = &args.kubeconfig {
        command.arg("--kubeconfig").arg(kubeconfig);
    }
    command.args(arguments);
    command
}

fn watch(args: &Args, what: &str) -> Command {
    kubectl(
        args,
        &[
            "get",
            what,
            "--all-namespaces",
            "--watch",
            "--output-watch-events",
            "--output=json",
        ],
    )
}

/// Passes each object that a watch prints to `hand_on`, until the watch ends or its output cannot
/// be parsed.
pub(crate) fn watched<T: DeserializeOwned>(output: &mut dyn Read, mut hand_on: impl FnMut(T)) {
    let documents = serde_json::Deserializer::from_reader(output).into_iter::<Watched<T>>();
    for document in documents.map_while(Result::ok) {
        if document.kind != "DELETED" {
            hand_on(document.object);
        }
    }
}

/// `lagrange_consumergroup_lag` of each group on a metrics page.
pub(crate) fn lags_of(page: &str) -> Vec<(String, i64)> {
    let of_line = |line: &str| {
        let (labels, value) = line
            .strip_prefix("lagrange_consumergroup_lag{")?
            .split_once("} ")?;
        let name = labels.split(',').find_map(|label| {
            label
                .strip_prefix("name=\"")?
                .strip_suffix('"')
                .map(ToOwned::to_owned)
        })?;
        Some((name, value.trim().parse().ok()?))
    };
    page.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_of_each_group_is_read_from_the_page() {
        let page = "# TYPE lagrange_consumergroup_lag gauge\n\
            lagrange_consumergroup_lag{namespace=\"shop\",name=\"analytics\"} 17\n\
            lagrange_consumergroup_lag_max{namespace=\"shop\",name=\"analytics\"} 9\n\
            lagrange_consumergroup_lag{namespace=\"shop\",name=\"fulfillment\"} 12437\n";
        let expected = [
            ("analytics".to_owned(), 17),
            ("fulfillment".to_owned(), 12_437),
        ];
        assert_eq!(lags_of(page), expected);
    }

    #[test]
    fn a_watch_that_breaks_off_passes_on_complete_objects() {
        let printed = r#"{"type":"ADDED","object":1} {"type":"DELETED","object":2}
            {"type":"MODIFIED","object":3} {"type":"MOD"#;
        let mut seen = Vec::new();
        watched(&mut printed.as_bytes(), |n: i32| seen.push(n));
        assert_eq!(seen, [1, 3]);
    }
}
