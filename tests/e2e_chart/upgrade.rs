//! What an operator knows is kept when another one follows it: upgrade from the chart without
//! leader election, rollback to it and back, uninstall and reinstall, each while an action has to
//! wait.

use serde_json::{Value, json};

use crate::{
    node::{CHART, Node, ROOT},
    paced::{Paced, QUICK_POLLS},
};

const NAMESPACE: &str = "lagrange-life";
const SHOP: &str = "life-shop";

/// The Deployment of the operator.
fn deployment(node: &Node) -> Value {
    node.get(&["deployment", "lagrange", "--namespace", NAMESPACE])
        .unwrap()
}

fn helm(node: &Node, arguments: &[&str]) {
    let common = ["--namespace", NAMESPACE, "--wait", "--timeout=90s"];
    node.helm(&[arguments, &common].concat());
}

fn strategy(node: &Node) -> Value {
    deployment(node)["spec"]["strategy"].clone()
}

/// The Lease names one of the Pods that run.
fn is_led(node: &Node) {
    node.wait("a Pod that runs to hold the Lease", || {
        let lease = node.get(&["lease", "lagrange", "--namespace", NAMESPACE]);
        let lease = lease.ok_or("there is no Lease")?;
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        let pod = holder.split('_').next().unwrap_or_default();
        match node.get(&["pod", pod, "--namespace", NAMESPACE]) {
            Some(_) if !pod.is_empty() => Ok(()),
            _ => Err(lease.to_string()),
        }
    });
}

#[test]
fn upgrade_rollback_and_reinstall_keep_the_spacing_of_actions() {
    let node = Node::take();
    node.namespace(NAMESPACE);
    // The old chart with an operator that does without a Lease, as the old one did.
    let old = format!("{ROOT}/tests/e2e_chart/before_leases/lagrange.tgz");
    let image = format!("--set=image.tag={}", env!("CARGO_PKG_VERSION"));
    let alone = "--set-json=extraArgs=[\"--leader-elect=false\"]";
    helm(
        &node,
        &["install", "lagrange", &old, &image, alone, QUICK_POLLS],
    );
    assert_eq!(deployment(&node)["spec"]["replicas"], 1);
    let group = Paced::open(&node, SHOP);
    group.acts(2);

    group.allows(3);
    let reuse = ["--reset-then-reuse-values", "--set-json=extraArgs=[]"];
    helm(
        &node,
        &[&["upgrade", "lagrange", CHART], &reuse[..]].concat(),
    );
    assert_eq!(deployment(&node)["status"]["readyReplicas"], 2);
    assert_eq!(strategy(&node), json!({ "type": "Recreate" }));
    is_led(&node);
    group.cools_down_under(NAMESPACE);
    group.acts(3);

    group.allows(4);
    helm(&node, &["rollback", "lagrange", "1"]);
    assert_eq!(deployment(&node)["spec"]["replicas"], 1);
    group.cools_down_under(NAMESPACE);
    group.acts(4);

    group.allows(6);
    helm(&node, &["rollback", "lagrange", "2"]);
    is_led(&node);
    group.cools_down_under(NAMESPACE);
    // From now on one Pod follows the other.
    helm(&node, &["upgrade", "lagrange", CHART, "--reuse-values"]);
    assert_eq!(strategy(&node)["type"], "RollingUpdate");
    group.acts(6);

    group.allows(12);
    node.uninstall("lagrange", NAMESPACE);
    let (replicas, last, memory) = group.state();
    assert_eq!((&replicas, &last["to"]), (&json!(6), &json!(6)));
    assert!(memory.is_object(), "{memory}");
    // In this namespace alone, which its rights do not leave either.
    let there = format!("--set=watchNamespaces={{{SHOP}}}");
    helm(&node, &["install", "lagrange", CHART, &there, QUICK_POLLS]);
    let wide = node.list(&[
        "clusterroles",
        "--selector=app.kubernetes.io/instance=lagrange",
    ]);
    assert_eq!(wide, [] as [Value; 0]);
    group.cools_down_under(NAMESPACE);
    assert_eq!(group.state().1, last);
    group.acts(12);

    let pods = group.assert_one_writer_after_another(&[2, 3, 4, 6, 12]);
    assert!(pods >= 5, "{pods}");
}
