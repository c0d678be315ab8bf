//! The loop against an API server that is a function, in virtual time.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use kube::{Client, client::Body};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A call of the [`WatchHandler`].
#[derive(Debug, Clone, PartialEq)]
enum Heard {
    Begins,
    Seen(String),
    Unreadable(Option<String>),
    Gone(String),
    Listed,
    Fails(u16),
    Heals,
}

#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<Heard>>>);

impl Witness {
    fn note(&self, heard: Heard) {
        self.0.lock().unwrap().push(heard);
    }

    fn heard(&self) -> Vec<Heard> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, like: impl Fn(&Heard) -> bool) -> usize {
        self.heard().iter().filter(|heard| like(heard)).count()
    }
}

impl WatchHandler for Witness {
    fn begins(&mut self) {
        self.note(Heard::Begins);
    }

    fn sees(&mut self, item: Item<'_>) {
        let name = item.name.map(|name| name.name.to_string());
        self.note(match (name, item.text) {
            (Some(name), Ok(_)) => Heard::Seen(name),
            (name, _) => Heard::Unreadable(name),
        });
    }

    fn gone(&mut self, name: Name) {
        self.note(Heard::Gone(name.name.to_string()));
    }

    fn listed(&mut self) {
        self.note(Heard::Listed);
    }

    fn fails(&mut self, error: &kube::Error) {
        self.note(Heard::Fails(match error {
            kube::Error::Api(status) => status.code,
            _ => 0,
        }));
    }

    fn still_fails(&mut self) -> Option<Instant> {
        None
    }

    fn heals(&mut self) {
        self.note(Heard::Heals);
    }
}

/// An answer of the API server.
enum Answer {
    Says(u16, String),
    /// Sends this and then nothing more.
    Hangs(String),
}

/// The time of each request, and whether it was a watch.
type Asked = Arc<Mutex<Vec<(Instant, bool)>>>;

/// Follows while `answer` answers the n-th list or watch.
fn followed(
    answer: impl Fn(bool, usize, &str) -> Answer + Clone + Send + 'static,
) -> (Witness, Asked, tokio::task::JoinHandle<()>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let calls = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let watches = query.contains("watch=true");
        let number = {
            let mut calls = calls.lock().unwrap();
            calls.push((Instant::now(), watches));
            calls.iter().filter(|(_, watch)| *watch == watches).count() - 1
        };
        let response = match answer(watches, number, &query) {
            Answer::Says(code, text) => Response::builder()
                .status(code)
                .body(axum::body::Body::from(text)),
            Answer::Hangs(text) => {
                use futures::{StreamExt as _, stream};
                let said = stream::iter([Ok::<_, Infallible>(text)]).chain(stream::pending());
                Response::builder().body(axum::body::Body::from_stream(said))
            }
        };
        async { Ok::<_, Infallible>(response.unwrap()) }
    });
    let source = Source {
        api: ApiServer::new(Client::new(service, "default")),
        path: "/apis/x".to_owned(),
        fields: None,
    };
    let witness = Witness::default();
    let following = tokio::spawn(follow(source, witness.clone()));
    (witness, asked, following)
}

fn list(items: &[Value]) -> Answer {
    let list = json!({ "kind": "L", "metadata": { "resourceVersion": "5" }, "items": items });
    Answer::Says(200, list.to_string())
}

fn object(name: &str) -> Value {
    json!({ "metadata": { "name": name, "resourceVersion": "6" } })
}

fn refusal(code: u16) -> Answer {
    Answer::Says(
        code,
        json!({ "kind": "Status", "message": "no", "code": code }).to_string(),
    )
}

#[tokio::test(start_paused = true)]
async fn lists_that_fail_are_a_handful_in_forty_seconds_and_one_that_works_heals() {
    let (witness, asked, _following) = followed(|watches, number, _| match (watches, number) {
        (false, 0..20) => refusal(503),
        (false, _) => list(&[]),
        (true, _) => Answer::Hangs(String::new()),
    });
    sleep(Duration::from_secs(40)).await;
    let lists = asked.lock().unwrap().len();
    assert!((4..=10).contains(&lists), "{lists} lists");
    assert_eq!(witness.count(|heard| *heard == Heard::Heals), 0);
    sleep(Duration::from_mins(15)).await;
    let heard = witness.heard();
    let fails = witness.count(|heard| *heard == Heard::Fails(503));
    assert_eq!(fails, 20);
    assert!(
        heard.ends_with(&[Heard::Begins, Heard::Heals, Heard::Listed])
            || heard.contains(&Heard::Listed),
        "{heard:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_is_not_opened_over_and_over() {
    let (witness, asked, _following) = followed(|watches, _, _| {
        if watches {
            Answer::Says(200, String::new())
        } else {
            list(&[])
        }
    });
    sleep(Duration::from_secs(40)).await;
    let calls = asked.lock().unwrap().len();
    assert!((4..=10).contains(&calls), "{calls} calls");
    assert_eq!(witness.count(|heard| matches!(heard, Heard::Fails(_))), 0);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_too_old_is_answered_by_a_list_and_not_by_a_storm_of_them() {
    for gone in ["HTTP", "event"] {
        let (witness, asked, following) = followed(move |watches, _, _| match (watches, gone) {
            (false, _) => list(&[object("a")]),
            (true, "HTTP") => refusal(410),
            (true, _) => Answer::Says(
                200,
                "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n".to_owned(),
            ),
        });
        sleep(Duration::from_secs(40)).await;
        following.abort();
        let lists = witness.count(|heard| *heard == Heard::Listed);
        assert!((4..=10).contains(&lists), "{lists} lists after {gone}");
        assert!(asked.lock().unwrap().len() <= 20);
    }
}

#[tokio::test(start_paused = true)]
async fn objects_missing_from_a_page_are_in_the_next_and_removed_ones_are_reported() {
    let (witness, _asked, _following) = followed(|watches, number, query| {
        match (watches, number) {
        (false, 0) => Answer::Says(
            200,
            json!({ "items": [object("a")], "metadata": { "continue": "next", "resourceVersion": "5" } }).to_string(),
        ),
        (false, 1) => {
            assert!(query.contains("continue=next"), "{query}");
            list(&[object("b")])
        }
        (false, _) => list(&[]),
        (true, 0) => {
            assert!(query.contains("resourceVersion=5"), "{query}");
            let events = [
                json!({ "type": "ADDED", "object": object("c") }),
                json!({ "type": "DELETED", "object": object("a") }),
                json!({ "type": "BOOKMARK", "object": { "metadata": { "resourceVersion": "90" } } }),
            ];
            let lines: Vec<String> = events.iter().map(|event| format!("{event}\n")).collect();
            Answer::Says(200, lines.concat())
        }
        (true, _) => {
            assert!(query.contains("resourceVersion=90"), "{query}");
            Answer::Hangs(String::new())
        }
    }
    });
    sleep(Duration::from_secs(5)).await;
    let seen = |name: &str| Heard::Seen(name.to_owned());
    let expected = [
        Heard::Begins,
        seen("a"),
        seen("b"),
        Heard::Listed,
        Heard::Heals,
        seen("c"),
        Heard::Gone("a".to_owned()),
    ];
    assert_eq!(witness.heard(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_no_event_or_has_no_end_hides_no_other() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let large = "x".repeat(answers::LARGEST);
    let (witness, _asked, _following) = followed(move |watches, number, _| {
        match (watches, number) {
            (false, _) => list(&[]),
            (true, 0) => {
                let lines = [
                    "nonsense".to_owned(),
                    format!(
                        r#"{{"type":"ADDED","object":{{"metadata":{{"name":"deep","managedFields":{deep}}}}}}}"#
                    ),
                    format!(
                        r#"{{"type":"ADDED","object":{{"metadata":{{"name":"large","x":"{large}"}}}}}}"#
                    ),
                    r#"{"type":"ADDED","object":[]}"#.to_owned(),
                    json!({ "type": "MODIFIED", "object": object("good") }).to_string(),
                ];
                Answer::Hangs(lines.join("\n") + "\n" + r#"{"type":"ADDED","obj"#)
            }
            (true, _) => Answer::Hangs(String::new()),
        }
    });
    sleep(Duration::from_secs(20)).await;
    let named = |name: &str| Heard::Unreadable(Some(name.to_owned()));
    let expected = [
        Heard::Begins,
        Heard::Listed,
        Heard::Heals,
        Heard::Unreadable(None),
        Heard::Seen("deep".to_owned()),
        named("large"),
        Heard::Unreadable(None),
        Heard::Seen("good".to_owned()),
    ];
    assert_eq!(witness.heard(), expected);
    // The unfinished line is dropped, and the watch opened again.
    sleep(Duration::from_secs(30)).await;
    assert_eq!(witness.heard(), [&expected[..], &[Heard::Heals]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_says_what_is_wrong_for_minutes_begins_anew_with_a_list() {
    let (witness, _asked, _following) =
        followed(|watches, _, _| if watches { refusal(500) } else { list(&[]) });
    sleep(Duration::from_mins(3)).await;
    assert_eq!(witness.count(|heard| *heard == Heard::Listed), 1);
    assert_eq!(
        witness.count(|heard| *heard == Heard::Heals),
        0,
        "a list heals no watch"
    );
    sleep(Duration::from_mins(2)).await;
    assert_eq!(witness.count(|heard| *heard == Heard::Listed), 2);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[\\[\\]{}\",:\\\\\n]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("(metadata|name|items|\\PC{0,6})", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn garbage_among_good_objects_never_hides_one(garbage in prop::collection::vec(any_json(), 0..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let mut items = Vec::new();
        let mut lines = String::new();
        for (number, odd) in garbage.iter().enumerate() {
            items.extend([odd.clone(), object(&format!("listed-{number}"))]);
            for event in [odd.clone(), json!({ "type": "ADDED", "object": odd }), json!({ "type": "ADDED", "object": object(&format!("told-{number}")) })] {
                lines.extend([event.to_string(), "\n".to_owned()]);
            }
        }
        let witness = runtime.block_on(async {
            let (witness, _asked, _following) = followed(move |watches, _, _| {
                if watches { Answer::Hangs(lines.clone()) } else { list(&items) }
            });
            sleep(Duration::from_secs(1)).await;
            witness
        });
        for number in 0..garbage.len() {
            for name in [format!("listed-{number}"), format!("told-{number}")] {
                prop_assert!(witness.heard().contains(&Heard::Seen(name)));
            }
        }
    }
}
