//! Which claim goes first, for how long, and what each one reports.

mod concerned;
mod properties;

use jiff::SignedDuration;
use rstest::rstest;
use serde_json::{Value, json};

use super::standing::{GRACE, Progress};
use super::*;

const FIRST: &str = "2026-11-24T12:00:00Z";
const SECOND: &str = "2026-11-24T12:00:01Z";

fn group(name: &str, created: &str, uid: &str, change: impl FnOnce(&mut Value)) -> ConsumerGroup {
    let mut group = json!({
        "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
        "metadata": { "name": name, "namespace": "shop", "uid": uid, "creationTimestamp": created, "generation": 1 },
        "spec": {
            "groupId": name,
            "scaleTargetRef": { "name": "app" },
            "kafka": { "bootstrapServers": ["kafka:9092"] },
            "objective": { "lagPerReplica": 1 },
        },
    });
    change(&mut group);
    serde_json::from_value(group).unwrap()
}

/// Shares a group id, with a target of its own.
fn sharing(target: &'static str) -> impl FnOnce(&mut Value) {
    move |group| {
        group["spec"]["groupId"] = json!("shared");
        group["spec"]["scaleTargetRef"]["name"] = json!(target);
    }
}

/// A status of the previous process.
fn said(group: &mut Value, status: &str, reason: &str, observed: i64) {
    group["status"] = json!({ "observedGeneration": observed, "conditions": [{
        "type": "Ready", "status": status, "reason": reason, "message": "",
        "lastTransitionTime": "2026-11-24T11:00:00Z" }] });
}

/// Claims, and a clock.
struct Bench {
    claims: Claims,
    now: Timestamp,
}

impl Bench {
    fn of(groups: impl IntoIterator<Item = ConsumerGroup>) -> Self {
        let mut claims = Claims::default();
        for group in groups {
            claims.apply(&group);
        }
        let now = "2026-11-24T13:00:00Z".parse().unwrap();
        Self { claims, now }
    }

    fn ask(&mut self, name: &str) -> Ruling {
        // Like `source::relation` within one namespace.
        self.claims.ask(&Name::new("shop", name), self.now, |a, b| {
            if a.source == b.source {
                Relation::Rivals
            } else {
                Relation::Strangers
            }
        })
    }

    /// Why it waits; empty: it has the turn.
    fn reason(&mut self, name: &str) -> &'static str {
        match self.ask(name) {
            Ruling::Turn { .. } => "",
            Ruling::Contested(contest) => contest.problem.reason.as_str(),
            Ruling::Soon { .. } => "Soon",
        }
    }

    fn message(&mut self, name: &str) -> String {
        match self.ask(name) {
            Ruling::Contested(contest) => contest.problem.message,
            other => panic!("{other:?}"),
        }
    }

    fn note(&mut self, name: &str, progress: Progress) -> Vec<String> {
        let concerned = self
            .claims
            .note(&Name::new("shop", name), progress, self.now);
        concerned.iter().map(|name| name.name.to_string()).collect()
    }

    /// Works on it, as a reconciliation does.
    fn work(&mut self, name: &str, progress: Progress) -> &'static str {
        let reason = self.reason(name);
        if reason.is_empty() {
            self.note(name, progress);
        }
        reason
    }

    fn pass(&mut self, time: SignedDuration) {
        self.now = self.now.checked_add(time).unwrap();
    }
}

fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

#[test]
fn the_older_manages_and_of_one_age_the_smaller_uid() {
    let mut bench = Bench::of([
        group("young", SECOND, "a", |_| {}),
        group("old", FIRST, "z", |_| {}),
        group("twin", SECOND, "b", |_| {}),
    ]);
    assert_eq!(bench.reason("young"), "Soon", "the older has not tried");
    assert_eq!(bench.reason("old"), "");
    assert_eq!(bench.reason("twin"), "TargetContested");
    assert_eq!(bench.reason("young"), "TargetContested");
    bench.claims.remove(&Name::new("shop", "old"));
    assert_eq!(bench.reason("twin"), "Soon");
    assert_eq!(bench.reason("young"), "");
    assert_eq!(bench.reason("twin"), "TargetContested");
}

#[test]
fn one_target_by_two_versions_of_its_api_is_one_target() {
    let mut bench = Bench::of([
        group("old", FIRST, "a", |_| {}),
        group("young", SECOND, "b", |group| {
            group["spec"]["scaleTargetRef"]["apiVersion"] = json!("apps/v1beta1");
        }),
    ]);
    assert_eq!(bench.reason("old"), "");
    assert_eq!(bench.reason("young"), "TargetContested");
}

#[test]
fn what_changes_nothing_or_cannot_be_managed_contests_nothing() {
    let mut bench = Bench::of([
        group("dry", FIRST, "a", |group| {
            group["spec"]["mode"] = json!("DryRun");
        }),
        group("invalid", FIRST, "b", |group| {
            group["spec"]["objective"] = json!({});
        }),
        group("young", SECOND, "c", |_| {}),
    ]);
    assert_eq!(bench.reason("dry"), "");
    assert_eq!(bench.reason("young"), "");
    assert_eq!(bench.reason("dry"), "", "and waits for nobody");
}

#[test]
fn one_group_id_on_two_clusters_is_two_groups() {
    let mut bench = Bench::of([
        group("old", FIRST, "a", sharing("one")),
        group("young", SECOND, "b", sharing("two")),
        group("elsewhere", SECOND, "c", |group| {
            sharing("three")(group);
            group["spec"]["kafka"]["bootstrapServers"] = json!(["other:9092"]);
        }),
    ]);
    assert_eq!(bench.reason("old"), "");
    assert_eq!(bench.reason("young"), "GroupContested");
    assert_eq!(bench.reason("elsewhere"), "");
}

#[test]
fn one_that_never_could_be_managed_goes_before_nobody() {
    let mut bench = Bench::of([
        group("squatter", FIRST, "a", sharing("nowhere")),
        group("young", SECOND, "b", sharing("app")),
    ]);
    assert_eq!(bench.work("young", Progress::Managed), "Soon");
    assert_eq!(bench.reason("squatter"), "");
    assert_eq!(bench.note("squatter", Progress::Failing), ["young"]);
    assert_eq!(bench.work("young", Progress::Managed), "");
    assert_eq!(bench.reason("squatter"), "GroupContested");
    assert!(
        bench
            .message("squatter")
            .contains("shop/young already manages"),
        "{}",
        bench.message("squatter")
    );
}

#[test]
fn one_that_was_managed_keeps_its_claim_for_a_while_and_then_loses_it() {
    let mut bench = Bench::of([
        group("old", FIRST, "a", sharing("one")),
        group("young", SECOND, "b", sharing("two")),
    ]);
    bench.work("old", Progress::Managed);
    assert_eq!(bench.reason("young"), "GroupContested");
    assert_eq!(bench.note("old", Progress::Failing), ["young"]);
    let ends = bench.now + GRACE;
    let Ruling::Contested(contest) = bench.ask("young") else {
        panic!("at once");
    };
    assert_eq!(contest.until, Some(ends));
    assert!(contest.problem.message.contains("takes over at 13:01:00Z"));
    bench.pass(seconds(59));
    assert_eq!(bench.work("old", Progress::Failing), "");
    assert_eq!(bench.reason("young"), "GroupContested");
    bench.pass(seconds(1));
    assert_eq!(bench.work("young", Progress::Managed), "");
    assert_eq!(bench.reason("old"), "GroupContested");

    // It does not get the turn back by recovering, nor by a short failure of the other.
    for progress in [
        Progress::Managed,
        Progress::Failing,
        Progress::Managed,
        Progress::Unknown,
    ] {
        bench.pass(seconds(30));
        assert_eq!(bench.work("old", Progress::Managed), "GroupContested");
        assert_eq!(bench.work("young", progress), "");
    }
}

#[test]
fn what_is_not_known_takes_nothing_from_anybody() {
    let mut bench = Bench::of([
        group("old", FIRST, "a", sharing("one")),
        group("young", SECOND, "b", sharing("two")),
    ]);
    for _ in 0..100 {
        assert_eq!(bench.work("old", Progress::Unknown), "");
        assert_eq!(bench.reason("young"), "GroupContested");
        bench.pass(seconds(30));
    }
    bench.work("old", Progress::Managed);
    bench.pass(seconds(3600));
    bench.work("old", Progress::Unknown);
    assert_eq!(bench.reason("young"), "GroupContested");
}

#[test]
fn a_turn_that_has_ended_is_not_had_again_by_work_that_was_under_way() {
    let mut bench = Bench::of([
        group("old", FIRST, "a", |_| {}),
        group("young", SECOND, "b", |_| {}),
    ]);
    let old = Name::new("shop", "old");
    bench.work("old", Progress::Managed);
    bench.work("old", Progress::Failing);
    bench.pass(GRACE - seconds(1));
    bench.work("old", Progress::Failing);
    assert!(bench.claims.has_turn(&old, bench.now));
    bench.pass(seconds(1));
    assert_eq!(bench.reason("young"), "");
    bench.note("old", Progress::Managed);
    assert!(!bench.claims.has_turn(&old, bench.now));
    assert_eq!(bench.reason("old"), "Soon");
}

#[test]
fn of_two_that_fail_for_one_reason_the_one_that_managed_does_so_again() {
    let mut bench = Bench::of([
        group("old", FIRST, "a", sharing("one")),
        group("young", SECOND, "b", sharing("two")),
    ]);
    bench.work("old", Progress::Failing);
    bench.work("young", Progress::Managed);
    // For example, the password of the cluster has expired.
    for _ in 0..10 {
        assert_eq!(bench.work("young", Progress::Failing), "");
        bench.work("old", Progress::Failing);
        bench.pass(seconds(30));
    }
    assert_eq!(bench.reason("old"), "Soon", "the other is tried first");
    assert_eq!(bench.work("young", Progress::Managed), "");
    assert_eq!(bench.reason("old"), "GroupContested");
}

#[test]
fn two_that_both_fail_each_say_their_own_trouble_and_wake_nobody() {
    let mut bench = Bench::of([
        group("old", FIRST, "a", sharing("one")),
        group("young", SECOND, "b", sharing("two")),
    ]);
    bench.work("old", Progress::Failing);
    bench.work("young", Progress::Failing);
    for _ in 0..5 {
        for name in ["old", "young"] {
            assert_eq!(bench.reason(name), "");
            assert!(bench.note(name, Progress::Failing).is_empty());
        }
        bench.pass(seconds(60));
    }
    assert_eq!(bench.work("young", Progress::Managed), "");
    assert_eq!(bench.reason("old"), "GroupContested");
}

#[test]
fn one_that_waits_for_a_third_goes_before_nobody() {
    let mut bench = Bench::of([
        group("first", FIRST, "a", |group| {
            group["spec"]["scaleTargetRef"]["name"] = json!("one");
        }),
        // Waits for the first one's target, and shares its group with the last.
        group("second", SECOND, "b", sharing("one")),
        group("third", SECOND, "c", sharing("two")),
    ]);
    assert_eq!(bench.work("first", Progress::Managed), "");
    assert_eq!(bench.reason("third"), "Soon", "not yet known");
    assert_eq!(bench.reason("second"), "TargetContested");
    assert_eq!(bench.reason("third"), "");
    bench.claims.remove(&Name::new("shop", "first"));
    assert_eq!(bench.reason("second"), "GroupContested", "the third has it");
}

#[test]
fn one_whose_target_an_autoscaler_has_is_not_managed() {
    let mut bench = Bench::of([group("old", FIRST, "a", sharing("one"))]);
    let hpa = json!({
        "metadata": { "name": "hpa", "namespace": "shop" },
        "spec": { "maxReplicas": 2, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "one" } },
    });
    bench
        .claims
        .apply_autoscaler(&serde_json::from_value(hpa).unwrap());
    assert_eq!(bench.reason("old"), "TargetContested");
    bench.note("old", Progress::Failing);
    bench
        .claims
        .apply(&group("young", SECOND, "b", sharing("two")));
    assert_eq!(bench.work("young", Progress::Managed), "");
}

#[rstest]
#[case::managed("True", "Managed", 1, true)]
#[case::kafka_down("False", "KafkaUnreachable", 1, true)]
#[case::no_target("False", "TargetNotFound", 1, false)]
#[case::waited("False", "GroupContested", 1, false)]
// The specification has changed since.
#[case::edited("True", "Managed", 0, false)]
fn a_restart_does_not_let_an_older_one_overtake_one_that_was_managed(
    #[case] status: &str,
    #[case] reason: &str,
    #[case] observed: i64,
    #[case] keeps: bool,
) {
    let mut bench = Bench::of([
        group("old", FIRST, "a", |group| {
            sharing("one")(group);
            said(group, "False", "GroupContested", 1);
        }),
        group("young", SECOND, "b", |group| {
            sharing("two")(group);
            said(group, status, reason, observed);
        }),
    ]);
    assert_eq!(bench.reason("young").is_empty(), keeps);
    assert_eq!(bench.reason("old").is_empty(), !keeps);
}

#[test]
fn an_older_one_that_is_edited_does_not_overtake_one_that_is_managed() {
    let mut bench = Bench::of([
        group("old", FIRST, "a", |group| {
            said(group, "True", "Managed", 1);
        }),
        group("young", SECOND, "b", sharing("two")),
    ]);
    bench.work("old", Progress::Managed);
    bench.work("young", Progress::Managed);
    bench.claims.apply(&group("old", FIRST, "a", |group| {
        sharing("one")(group);
        said(group, "True", "Managed", 1);
        group["metadata"]["generation"] = json!(2);
    }));
    assert_eq!(bench.reason("old"), "GroupContested");
    assert_eq!(bench.reason("young"), "");
}

#[test]
fn since_when_is_what_the_status_says() {
    let mut bench = Bench::of([
        group("old", FIRST, "a", |group| said(group, "True", "Managed", 1)),
        group("young", SECOND, "b", |_| {}),
    ]);
    assert_eq!(bench.reason("old"), "");
    let message = bench.message("young");
    assert!(
        message.contains("manages Deployment/app since 2026-11-24T11:00:00Z"),
        "{message}"
    );
}

/// A group of namespace `vault`, with a KafkaCluster that both may use.
fn abroad(name: &str, created: &str) -> ConsumerGroup {
    group(name, created, "v", |group| {
        group["metadata"]["namespace"] = json!("vault");
        group["spec"]["groupId"] = json!("shared");
        group["spec"]["kafka"] = json!({ "clusterRef": { "name": "main", "namespace": "kafka" } });
    })
}

#[test]
fn a_group_of_another_namespace_is_not_named_and_the_way_out_is() {
    let mut claims = Claims::default();
    claims.apply(&abroad("secret", FIRST));
    claims.apply(&group("young", SECOND, "b", |group| {
        sharing("two")(group);
        group["spec"]["groupId"] = json!("shared");
        group["spec"]["kafka"] = json!({ "clusterRef": { "name": "main", "namespace": "kafka" } });
    }));
    let now = SECOND.parse().unwrap();
    claims.ask(&Name::new("vault", "secret"), now, |_, _| Relation::Rivals);
    let ruling = claims.ask(&Name::new("shop", "young"), now, |_, _| Relation::Rivals);
    let Ruling::Contested(Contest { problem, rival, .. }) = ruling else {
        panic!("{ruling:?}");
    };
    let message = problem.message;
    assert!(
        !message.contains("vault") && !message.contains("secret"),
        "{message}"
    );
    assert!(
        message.contains("group shared of KafkaCluster kafka/main"),
        "{message}"
    );
    assert!(message.contains("ask the cluster's owner"), "{message}");
    assert!(message.contains("groupIdPrefixes"), "{message}");
    assert_eq!(rival, Some(Name::new("vault", "secret")), "for the log");
}

#[test]
fn a_neighbour_blocks_nothing_and_is_reported_while_it_manages() {
    let mut claims = Claims::default();
    claims.apply(&abroad("secret", FIRST));
    claims.apply(&group("young", SECOND, "b", sharing("two")));
    let (young, secret) = (Name::new("shop", "young"), Name::new("vault", "secret"));
    let now = SECOND.parse().unwrap();
    let ask = |claims: &mut Claims, name| claims.ask(name, now, |_, _| Relation::Neighbours);
    let nobody = Ruling::Turn { neighbour: None };
    assert_eq!(ask(&mut claims, &young), nobody);
    assert_eq!(ask(&mut claims, &secret), nobody);
    claims.note(&secret, Progress::Managed, now);
    let neighbour = Some(secret.clone());
    assert_eq!(ask(&mut claims, &young), Ruling::Turn { neighbour });
    claims.note(&secret, Progress::Failing, now);
    assert_eq!(ask(&mut claims, &young), nobody);
}

#[test]
fn messages_fit_with_the_longest_group_id() {
    let long = "ü".repeat(255);
    let mut claims = Claims::default();
    for (name, namespace, created) in [("a", "vault", FIRST), ("b", "shop", SECOND)] {
        claims.apply(&group(name, created, name, |group| {
            group["metadata"]["namespace"] = json!(namespace);
            group["spec"]["groupId"] = json!(long);
            group["spec"]["kafka"] =
                json!({ "clusterRef": { "name": "main", "namespace": "kafka" } });
        }));
    }
    let now = SECOND.parse().unwrap();
    let first = Name::new("vault", "a");
    claims.ask(&first, now, |_, _| Relation::Rivals);
    claims.note(&first, Progress::Managed, now);
    let ruling = claims.ask(&Name::new("shop", "b"), now, |_, _| Relation::Rivals);
    let Ruling::Contested(contest) = ruling else {
        panic!("{ruling:?}");
    };
    let message = contest.problem.message;
    assert!(message.ends_with("groupIdPrefixes"), "{message}");
    assert!(message.contains(" since 2026"), "{message}");
    assert!(message.chars().count() <= 256, "{message}");
    assert!(beside(&long).chars().count() <= 256);
}
