//! The reports of a watch that does not work, and of objects that cannot be read.

use std::sync::Mutex;

use crate::process::readiness::{Readiness, ReadinessBuilder};

use super::*;

type Changes = Arc<Mutex<Vec<String>>>;

/// This number of scopes of one watch, with what they report and the state of `/readyz`.
fn scopes(count: usize, optional: bool) -> (Vec<Scope<usize>>, Changes, Readiness, Metrics) {
    let mut gates = ReadinessBuilder::default();
    let gate = gates.gate("watch of Deployments");
    let metrics = Metrics::new();
    let mut watch = Watch::new("Deployments", gate, count, metrics.clone());
    if optional {
        watch = watch.without("nobody says anything");
    }
    let changes = Changes::default();
    let scope = |number| {
        let changes = Arc::clone(&changes);
        let handler: ChangeHandler<usize> = Arc::new(move |change| {
            changes.lock().unwrap().push(match change {
                Change::Applied(name, value) => format!("{name} {value}"),
                Change::Unreadable(name, _) => format!("{name} unreadable"),
                Change::Deleted(name) => format!("{name} gone"),
                Change::Listed => "listed".to_owned(),
                Change::Forbidden => "forbidden".to_owned(),
            });
        });
        Scope {
            number,
            watch: watch.clone(),
            read: |text| text.parse().map_err(|_| format!("{text} is no number")),
            handler,
            known: BTreeSet::new(),
            listed: None,
            unreadable: BTreeSet::new(),
            synced: false,
            trouble: None,
        }
    };
    (
        (0..count).map(scope).collect(),
        changes,
        gates.build(),
        metrics,
    )
}

fn missing(readiness: &Readiness) -> String {
    readiness
        .check()
        .map_or_else(|missing| missing.to_string(), |()| "ready".to_owned())
}

fn status(code: u16) -> kube::Error {
    let status = kube::core::Status {
        code,
        message: "etcd is away".to_owned(),
        ..kube::core::Status::default()
    };
    kube::Error::Api(status.boxed())
}

fn item<'a>(name: &str, text: &'a str) -> Item<'a> {
    Item {
        name: Some(Name::new("shop", name)),
        version: None,
        text: Ok(text),
    }
}

#[tokio::test(start_paused = true)]
async fn a_trouble_is_said_after_five_seconds_with_its_cause_until_it_heals() {
    let (mut scopes, _reported, readiness, _) = scopes(1, false);
    let scope = &mut scopes[0];
    scope.begins();
    scope.fails(&status(503));
    assert_eq!(missing(&readiness), "waiting for: watch of Deployments");
    let again = scope.still_fails().unwrap();
    tokio::time::sleep_until(again).await;
    assert_eq!(scope.still_fails(), None);
    assert_eq!(
        missing(&readiness),
        "waiting for: watch of Deployments (failing for 5 s: HTTP 503 etcd is away)"
    );
    scope.begins();
    assert!(
        missing(&readiness).contains("503"),
        "a list that only begins heals nothing"
    );
    scope.heals();
    scope.listed();
    assert_eq!(missing(&readiness), "ready");
    scope.fails(&status(404));
    assert!(
        missing(&readiness).contains("serves no Deployments (HTTP 404)"),
        "at once: {}",
        missing(&readiness)
    );
    scope.heals();
    assert_eq!(missing(&readiness), "ready");
}

#[tokio::test(start_paused = true)]
async fn one_namespace_that_works_does_not_speak_for_another_that_does_not() {
    let (mut scopes, _reported, readiness, _) = scopes(2, false);
    for scope in &mut scopes {
        scope.begins();
        scope.listed();
    }
    assert_eq!(missing(&readiness), "ready");
    scopes[0].fails(&status(404));
    scopes[1].fails(&status(404));
    scopes[0].heals();
    assert!(
        missing(&readiness).contains("404"),
        "{}",
        missing(&readiness)
    );
    scopes[1].heals();
    assert_eq!(missing(&readiness), "ready");
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_watched_and_can_be_done_without_holds_nobody_up() {
    let (mut all, changes, readiness, _) = scopes(1, true);
    all[0].fails(&status(403));
    assert_eq!(missing(&readiness), "ready");
    assert_eq!(*changes.lock().unwrap(), ["forbidden"]);
    let (mut all, _reported, readiness, _) = scopes(1, false);
    all[0].fails(&status(403));
    assert!(missing(&readiness).contains("grant list and watch on Deployments"));
}

#[test]
fn an_object_that_cannot_be_read_is_counted_once_and_is_not_gone() {
    let (mut scopes, changes, readiness, metrics) = scopes(1, false);
    let scope = &mut scopes[0];
    let number = || {
        let text = metrics.encode();
        let series = r#"lagrange_unreadable_objects{kind="Deployments"} "#;
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        value.unwrap_or("0").to_owned()
    };
    for _ in 0..3 {
        scope.begins();
        scope.sees(item("odd", "x"));
        scope.sees(item("good", "7"));
        scope.sees(Item {
            name: None,
            version: None,
            text: Err("it is no text".to_owned()),
        });
        scope.listed();
    }
    assert_eq!(number(), "1");
    assert_eq!(missing(&readiness), "ready");
    assert_eq!(
        changes.lock().unwrap()[..3],
        ["shop/odd unreadable", "shop/good 7", "listed"]
    );
    scope.sees(item("odd", "8"));
    assert_eq!(number(), "0");
    scope.sees(item("odd", "x"));
    scope.begins();
    scope.listed();
    assert_eq!(number(), "0");
    assert!(changes.lock().unwrap().ends_with(&[
        "shop/good gone".to_owned(),
        "shop/odd gone".to_owned(),
        "listed".to_owned()
    ]));
}
