//! Who wins, and who is told.

use serde_json::{Value, json};

use super::*;

fn group(name: &str, created: &str, uid: &str, change: impl FnOnce(&mut Value)) -> ConsumerGroup {
    let mut group = json!({
        "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
        "metadata": { "name": name, "namespace": "shop", "uid": uid, "creationTimestamp": created },
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

const FIRST: &str = "2026-11-24T12:00:00Z";
const SECOND: &str = "2026-11-24T12:00:01Z";

fn loser(claims: &Claims, name: &str) -> Option<&'static str> {
    let problem = claims.verdict(&Name::new("shop", name), |a, b| a.source == b.source);
    problem.map(|problem| problem.reason)
}

#[test]
fn the_older_manages_and_of_one_age_the_smaller_uid() {
    let mut claims = Claims::default();
    claims.apply(&group("young", SECOND, "a", |_| {}));
    claims.apply(&group("old", FIRST, "z", |_| {}));
    claims.apply(&group("twin", SECOND, "b", |_| {}));
    assert_eq!(loser(&claims, "old"), None);
    assert_eq!(loser(&claims, "young"), Some("TargetContested"));
    assert_eq!(loser(&claims, "twin"), Some("TargetContested"));
    claims.remove(&Name::new("shop", "old"));
    assert_eq!(loser(&claims, "young"), None);
    assert_eq!(loser(&claims, "twin"), Some("TargetContested"));
}

#[test]
fn one_target_by_two_versions_of_its_api_is_one_target() {
    let mut claims = Claims::default();
    claims.apply(&group("old", FIRST, "a", |_| {}));
    claims.apply(&group("young", SECOND, "b", |group| {
        group["spec"]["scaleTargetRef"]["apiVersion"] = json!("apps/v1beta1");
    }));
    assert_eq!(loser(&claims, "young"), Some("TargetContested"));
}

#[test]
fn what_changes_nothing_or_cannot_be_managed_contests_nothing() {
    let mut claims = Claims::default();
    claims.apply(&group("dry", FIRST, "a", |group| {
        group["spec"]["mode"] = json!("DryRun");
    }));
    claims.apply(&group("invalid", FIRST, "b", |group| {
        group["spec"]["objective"] = json!({});
    }));
    claims.apply(&group("young", SECOND, "c", |_| {}));
    assert_eq!(loser(&claims, "young"), None);
    assert_eq!(loser(&claims, "dry"), None, "and waits for nobody");
}

#[test]
fn one_group_id_on_two_clusters_is_two_groups() {
    let other = |id: &'static str, servers: &'static str| {
        move |group: &mut Value| {
            group["spec"]["groupId"] = json!("shared");
            group["spec"]["scaleTargetRef"]["name"] = json!(id);
            group["spec"]["kafka"]["bootstrapServers"] = json!([servers]);
        }
    };
    let mut claims = Claims::default();
    claims.apply(&group("old", FIRST, "a", other("one", "kafka:9092")));
    claims.apply(&group("young", SECOND, "b", other("two", "kafka:9092")));
    claims.apply(&group(
        "elsewhere",
        SECOND,
        "c",
        other("three", "other:9092"),
    ));
    assert_eq!(loser(&claims, "young"), Some("GroupContested"));
    assert_eq!(loser(&claims, "elsewhere"), None);
}

#[test]
fn whoever_is_concerned_by_a_change_is_named() {
    let mut claims = Claims::default();
    assert!(claims.apply(&group("old", FIRST, "a", |_| {})).is_empty());
    let young = group("young", SECOND, "b", |_| {});
    let old = BTreeSet::from([Name::new("shop", "old")]);
    assert_eq!(claims.apply(&young), old);
    assert!(claims.apply(&young).is_empty(), "nothing has changed");
    let moved = group("young", SECOND, "b", |group| {
        group["spec"]["scaleTargetRef"]["name"] = json!("other");
    });
    assert_eq!(claims.apply(&moved), old);
    assert!(claims.remove(&Name::new("shop", "young")).is_empty());
}

#[test]
fn a_group_of_another_namespace_is_not_named() {
    let mut claims = Claims::default();
    claims.apply(&group("shared", SECOND, "b", |_| {}));
    claims.apply(&group("secret", FIRST, "a", |group| {
        group["metadata"]["namespace"] = json!("vault");
        group["spec"]["groupId"] = json!("shared");
    }));
    let problem = claims
        .verdict(&Name::new("shop", "shared"), |_, _| true)
        .unwrap();
    assert!(
        !problem.message.contains("vault") && !problem.message.contains("secret"),
        "{problem:?}"
    );
}
