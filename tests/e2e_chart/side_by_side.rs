//! Two releases in one cluster: each has its Lease and its namespaces, and the definitions outlive
//! the release that installed them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::node::{CHART, Node};

/// Release and namespace, twice: the first two differ by namespace only, the last by name only.
const RELEASES: [(&str, &str, &str); 3] = [
    ("lagrange", "side-one", "side-shop-one"),
    ("lagrange", "side-two", "side-shop-two"),
    ("sizer", "side-two", "side-shop-three"),
];

fn install(node: &Node, (release, namespace, shop): (&str, &str, &str), more: &[&str]) {
    let shops = format!("--set=watchNamespaces={{{shop}}}");
    let common = [
        "install",
        release,
        CHART,
        "--namespace",
        namespace,
        "--wait",
        "--timeout=90s",
        "--set=admissionPolicy.enabled=true",
        "--set=rbac.aggregate=true",
        &shops,
    ];
    node.helm(&[&common[..], more].concat());
}

/// A group of which nothing exists: its status says so.
fn group(node: &Node, namespace: &str) {
    node.apply(&format!(
        "
apiVersion: lagrange.dev/v1alpha1
kind: ConsumerGroup
metadata: {{name: orders, namespace: {namespace}}}
spec:
  scaleTargetRef: {{name: orders}}
  kafka: {{bootstrapServers: [\"kafka.{namespace}:9092\"]}}
  topics: [orders]
  objective: {{lagPerReplica: 1000}}
"
    ));
}

fn has_status(node: &Node, namespace: &str) {
    node.wait(&format!("a status of the group in {namespace}"), || {
        let group = node.get(&["consumergroup", "orders", "--namespace", namespace]);
        let status = group.unwrap()["status"].clone();
        match &status["conditions"] {
            Value::Array(_) => Ok(()),
            _ => Err(status.to_string()),
        }
    });
}

/// The Pod that holds the Lease of a release.
fn leader(node: &Node, namespace: &str, lease: &str) -> String {
    node.wait(&format!("a leader by {namespace}/{lease}"), || {
        let found = node.get(&["lease", lease, "--namespace", namespace]);
        let found = found.ok_or("there is no Lease")?;
        let holder = found["spec"]["holderIdentity"].as_str().unwrap_or_default();
        let (pod, _) = holder.split_once('_').ok_or_else(|| found.to_string())?;
        Ok(pod.to_owned())
    })
}

#[test]
fn releases_side_by_side_have_their_own_lease_and_leave_each_others_groups_alone() {
    let node = Node::take();
    for (_, namespace, shop) in RELEASES {
        node.namespace(namespace);
        node.namespace(shop);
    }
    let [first, others @ ..] = RELEASES;
    install(&node, first, &[]);
    for release in others {
        install(&node, release, &["--set=crds.install=false"]);
    }
    let leaders = [
        leader(&node, "side-one", "lagrange"),
        leader(&node, "side-two", "lagrange"),
        leader(&node, "side-two", "sizer-lagrange"),
    ];
    assert_eq!(
        leaders.iter().collect::<BTreeSet<_>>().len(),
        3,
        "{leaders:?}"
    );
    for (_, _, shop) in RELEASES {
        group(&node, shop);
    }
    for (_, _, shop) in RELEASES {
        has_status(&node, shop);
    }
    let writers = |shop: &str| -> BTreeSet<String> {
        let log = node.audit();
        let status = log.iter().filter(|entry| {
            let object = &entry["objectRef"];
            object["resource"] == "consumergroups"
                && object["subresource"] == "status"
                && object["namespace"] == shop
        });
        let pod = |entry: &Value| {
            let extra = &entry["user"]["extra"]["authentication.kubernetes.io/pod-name"];
            extra[0].as_str().unwrap().to_owned()
        };
        status.map(pod).collect()
    };
    for ((_, _, shop), leader) in RELEASES.iter().zip(&leaders) {
        assert_eq!(writers(shop), BTreeSet::from([leader.clone()]));
    }

    // The release with the definitions goes. They stay, and the others work on.
    node.uninstall("lagrange", "side-one");
    node.kubectl(&[
        "delete",
        "consumergroup",
        "orders",
        "--namespace=side-shop-two",
    ]);
    group(&node, "side-shop-two");
    has_status(&node, "side-shop-two");
    assert_eq!(
        writers("side-shop-two"),
        BTreeSet::from([leaders[1].clone()])
    );

    // Another one takes the definitions over.
    let upgrade = [
        "upgrade",
        "lagrange",
        CHART,
        "--namespace=side-two",
        "--wait",
        "--timeout=90s",
    ];
    let take = ["--reuse-values", "--set=crds.install=true"];
    let refused = node.try_helm(&[&upgrade[..], &take].concat()).unwrap_err();
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    node.helm(&[&upgrade[..], &take, &["--take-ownership"]].concat());
    let definition = node.get(&["crd", "consumergroups.lagrange.dev"]).unwrap();
    let owner = &definition["metadata"]["annotations"]["meta.helm.sh/release-namespace"];
    assert_eq!(owner, "side-two");
}
