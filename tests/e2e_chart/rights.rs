//! The operator at work with the chart's role, against a real broker with TLS and a login: no call
//! is refused, and every permission is used.

use std::collections::BTreeSet;

use lagrange_testing::{kafka::Kafka, secure::Listener};
use serde_json::Value;

use crate::{
    node::{self, CHART, Node},
    shop::{self, Member, SHOP, TARGETS, Target},
};

/// The audit policy of `tests/env` also records the reads of accounts in this namespace.
const OPERATOR: &str = "lagrange-audited";
/// Permissions that are used only after a failure. tests/cluster_controller causes these failures.
const BY_ACCIDENT: [&str; 1] = ["get consumergroups.lagrange.dev"];

#[test]
fn every_call_is_granted_and_every_grant_is_needed() {
    let node = Node::take();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let kafka = runtime.block_on(Kafka::secure_for_pods(node.host_address()));
    let bootstrap = runtime.block_on(kafka.listener(Listener::SaslSsl));
    node.namespace(OPERATOR);
    shop::open(&node);
    let release = [
        "install",
        "lagrange",
        CHART,
        "--namespace",
        OPERATOR,
        "--wait",
        "--timeout=90s",
    ];
    let targets = "--set-json=scaleTargets=[{\"group\":\"example.com\",\"resource\":\"workers\"}]";
    node.helm(&[&release[..], &[targets]].concat());
    let (authority, password) = (kafka.tls("ca.crt"), kafka.password("lagrange"));
    node.apply(&shop::cluster(OPERATOR, &bootstrap, &authority, &password));

    let members: Vec<_> = TARGETS
        .iter()
        .map(|target| {
            runtime.block_on(async {
                kafka.create_topic(target.name, 6).await;
                kafka.produce(target.name, 3000).await;
                for kind in ["topic", "group"] {
                    kafka
                        .allow("User:lagrange", kind, target.name, "Describe")
                        .await;
                }
            });
            Member::join(&kafka.bootstrap, target.name)
        })
        .collect();
    for target in &TARGETS {
        node.apply(&shop::group(target, OPERATOR));
    }
    for target in &TARGETS {
        is_scaled_by_us_and_by_hand(&node, target);
    }
    drop(members);

    let log = node.kubectl(&["logs", "--namespace", OPERATOR, node::OPERATOR, "--tail=-1"]);
    assert!(!log.to_lowercase().contains("forbidden"), "{log}");
    let (used, refused) = rights_of(&node.audit());
    assert_eq!(refused, BTreeSet::new());
    let granted = granted(&node.helm(&["get", "manifest", "lagrange", "--namespace", OPERATOR]));
    let unused: Vec<_> = granted
        .difference(&used)
        .filter(|right| !BY_ACCIDENT.contains(&right.as_str()))
        .collect();
    assert_eq!(unused, [] as [&String; 0], "used: {used:#?}");
}

fn is_scaled_by_us_and_by_hand(node: &Node, target: &Target) {
    let Target { resource, name, .. } = *target;
    let object = [resource, name, "--namespace", SHOP];
    node.wait(&format!("{name} to be scaled to its partitions"), || {
        let replicas = node.get(&object).unwrap()["spec"]["replicas"].clone();
        if replicas == 6 {
            Ok(())
        } else {
            Err(format!("{replicas} replicas"))
        }
    });
    let patch = ["--type=merge", "--patch={\"spec\":{\"replicas\":5}}"];
    node.kubectl(&[&["patch"], &object[..], &patch].concat());
    // The operator has to look up who changed the replicas.
    node.wait(
        &format!("the external change of {name} to be reported"),
        || {
            let events = node.list(&["events.events.k8s.io", "--namespace", SHOP]);
            let reported = |event: &Value| {
                event["reason"] == "ScaledExternally" && event["regarding"]["name"] == name
            };
            if events.iter().any(reported) {
                Ok(())
            } else {
                Err(format!("{} events", events.len()))
            }
        },
    );
}

/// The permissions that the operator has used, and those that were refused.
fn rights_of(calls: &[Value]) -> (BTreeSet<String>, BTreeSet<String>) {
    let account = format!("system:serviceaccount:{OPERATOR}:lagrange");
    let (mut used, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for call in calls
        .iter()
        .filter(|call| call["user"]["username"] == *account)
    {
        // Discovery has no object, and every account may do it.
        if let Some(right) = right_of(call) {
            if call["responseStatus"]["code"] == 403 {
                refused.insert(right);
            } else {
                used.insert(right);
            }
        }
    }
    (used, refused)
}

/// `VERB RESOURCE.GROUP` or `VERB RESOURCE.GROUP/SUBRESOURCE`.
fn right(verb: &str, resource: &str, group: &str) -> String {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let mut right = format!("{verb} {resource}.{group}");
    if !subresource.is_empty() {
        right = format!("{right}/{subresource}");
    }
    right
}

fn right_of(call: &Value) -> Option<String> {
    let text = |key: &str| call["objectRef"][key].as_str().unwrap_or_default();
    let resource = match (text("resource"), text("subresource")) {
        ("", _) => return None,
        (resource, "") => resource.to_owned(),
        (resource, subresource) => format!("{resource}/{subresource}"),
    };
    Some(right(
        call["verb"].as_str().unwrap(),
        &resource,
        text("apiGroup"),
    ))
}

fn granted(manifest: &str) -> BTreeSet<String> {
    let words = |rule: &Value, key: &str| -> Vec<String> {
        rule[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let mut rights = BTreeSet::new();
    for document in manifest.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document).unwrap_or_default();
        if !["ClusterRole", "Role"]
            .iter()
            .any(|kind| object["kind"] == *kind)
        {
            continue;
        }
        for rule in object["rules"].as_array().unwrap() {
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    for verb in words(rule, "verbs") {
                        rights.insert(right(&verb, &resource, &group));
                    }
                }
            }
        }
    }
    assert!(!rights.is_empty());
    rights
}
