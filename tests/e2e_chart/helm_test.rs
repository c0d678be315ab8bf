//! `helm test`: passes for a release that works, and fails for one that does not, with the reason.

use crate::node::{CHART, Node};

const TEST: [&str; 5] = [
    "test",
    "lagrange",
    "--namespace=tested",
    "--logs",
    "--timeout=90s",
];
const POD: [&str; 3] = ["pod", "lagrange-test", "--namespace=tested"];

#[test]
fn helm_test_passes_for_a_release_that_works_and_leaves_nothing() {
    let node = Node::take();
    node.namespace("tested");
    let install = ["install", "lagrange", CHART, "--namespace=tested"];
    // Right after the install: the test waits for the first Pod to be ready.
    node.helm(&install);
    let said = node.helm(&TEST);
    assert!(said.contains("Phase:          Succeeded"), "{said}");
    assert_eq!(node.get(&POD), None);
    // People can ask too, from within the image.
    let ready = ["exec", "deployment/lagrange", "--namespace=tested", "--"];
    let said = node.kubectl(&[&ready[..], &["lagrange", "ready"]].concat());
    assert_eq!(said, "ready\n");
}

#[test]
fn helm_test_fails_for_a_release_that_waits_and_says_why() {
    let node = Node::take();
    node.namespace("tested");
    node.helm(&[
        "install",
        "lagrange",
        CHART,
        "--namespace=tested",
        "--set=crds.install=false",
    ]);
    let said = node.try_helm(&TEST).unwrap_err();
    let reason = "lagrange: no answer from http://lagrange.tested:8080/readyz for ";
    assert!(said.contains(reason), "{said}");
    assert!(node.get(&POD).is_some());
    // The next test replaces the Pod.
    let said = node.try_helm(&TEST).unwrap_err();
    assert!(said.contains(reason), "{said}");
    // The Pod that waits says for what.
    let ready = ["exec", "deployment/lagrange", "--namespace=tested", "--"];
    let said = node.try_kubectl(&[&ready[..], &["lagrange", "ready"]].concat());
    let said = said.unwrap_err();
    assert!(said.contains("waiting for: resource definitions"), "{said}");
}
