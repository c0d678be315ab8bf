//! The life of a release, and the objects that stay after it.

use serde_json::{Value, json};

use crate::node::{CHART, IDLER, Node, OPERATOR, ROOT, copy_of_chart};

const DEFINITIONS: [&str; 2] = ["consumergroups.lagrange.dev", "kafkaclusters.lagrange.dev"];

impl Node {
    fn install(&self, release: &str, namespace: &str, more: &[&str]) -> Result<String, String> {
        let common = [
            "install",
            release,
            CHART,
            "--namespace",
            namespace,
            "--wait",
            "--timeout=90s",
        ];
        self.try_helm(&[&common, more].concat())
    }

    fn installed(&self, release: &str, namespace: &str, more: &[&str]) {
        self.install(release, namespace, more)
            .unwrap_or_else(|said| panic!("{said}"));
        let selector = format!("--selector=app.kubernetes.io/instance={release}");
        let deployments = self.list(&["deployments", "--namespace", namespace, &selector]);
        assert_eq!(deployments.len(), 1);
        let deployment = &deployments[0];
        let (wanted, status) = (&deployment["spec"]["replicas"], &deployment["status"]);
        assert_eq!(&status["readyReplicas"], wanted, "{deployment}");
    }

    /// Creates a group with a target. Nothing listens at the address of its broker.
    fn group(&self, namespace: &str) {
        self.apply(&format!(
            "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: fulfillment, namespace: {namespace}}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: fulfillment}}}}
  template:
    metadata: {{labels: {{app: fulfillment}}}}
    spec: {{containers: [{{name: consumer, image: {IDLER}, args: [infinity]}}]}}
---
apiVersion: lagrange.dev/v1alpha1
kind: ConsumerGroup
metadata: {{name: fulfillment, namespace: {namespace}}}
spec:
  scaleTargetRef: {{name: fulfillment}}
  kafka: {{bootstrapServers: [\"kafka.{namespace}:9092\"]}}
  topics: [order-events]
  objective: {{lagPerReplica: 1000}}
"
        ));
    }

    fn uid(&self, what: &[&str]) -> String {
        let object = self.get(what).unwrap_or_else(|| panic!("{what:?} is gone"));
        object["metadata"]["uid"].as_str().unwrap().to_owned()
    }
}

#[test]
fn default_values_install_into_a_namespace_that_allows_only_hardened_pods() {
    let node = Node::take();
    node.namespace("plain");
    node.installed("lagrange", "plain", &[]);

    let pods = node.list(&["pods", "--namespace=plain"]);
    assert_eq!(pods.len(), 2);
    for pod in &pods {
        assert_eq!(pod["spec"]["serviceAccountName"], "lagrange");
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        assert_eq!(*restarts, 0, "{pod}");
    }
    node.wait("one of the two to hold the Lease", || {
        let lease = node.get(&["lease", "lagrange", "--namespace=plain"]);
        let lease = lease.ok_or("there is no Lease")?;
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        let holds = |pod: &Value| {
            let name = pod["metadata"]["name"].as_str().unwrap();
            holder.starts_with(&format!("{name}_"))
        };
        (pods.iter().filter(|pod| holds(pod)).count() == 1)
            .then_some(())
            .ok_or_else(|| lease.to_string())
    });
    let page = |path: &str| {
        node.kubectl(&[
            "get",
            "--raw",
            &format!("/api/v1/namespaces/plain/services/lagrange:metrics/proxy/{path}"),
        ])
    };
    assert_eq!(page("readyz").trim(), "ready");
    assert!(page("metrics").contains("lagrange_build_info"));
}

/// Monitoring objects need definitions of other projects; tests/chart checks them.
#[test]
fn the_api_server_knows_every_field_of_every_object() {
    let node = Node::take();
    node.namespace("strict");
    node.namespace("shop");
    let values = format!("{ROOT}/tests/chart/everything.yaml");
    let rendered = node.helm(&[
        "template",
        "lagrange",
        CHART,
        "--namespace=strict",
        "--values",
        &values,
        "--set=metrics.serviceMonitor.enabled=false",
        "--set=metrics.prometheusRule.enabled=false",
    ]);
    let taken = node
        .dry_run(&rendered)
        .unwrap_or_else(|said| panic!("{said}"));
    let known = [
        "deployment.apps/sizer",
        "networkpolicy.networking.k8s.io/sizer",
        "customresourcedefinition",
    ];
    for name in known {
        assert!(taken.contains(name), "{taken}");
    }
    let refused =
        node.dry_run(&rendered.replace("terminationGracePeriodSeconds", "terminationGracePeriod"));
    assert!(refused.unwrap_err().contains("unknown field"));
}

#[test]
fn an_upgrade_changes_the_operator_and_the_definitions_and_keeps_the_groups() {
    let node = Node::take();
    node.namespace("upgraded");
    node.installed("lagrange", "upgraded", &[]);
    node.group("upgraded");
    let group = ["consumergroup", "fulfillment", "--namespace=upgraded"];
    let before = node.uid(&group);

    let directory = tempfile::tempdir().unwrap();
    let chart = copy_of_chart(directory.path());
    let definition = chart.join("files/crds/consumergroups.yaml");
    let text = std::fs::read_to_string(&definition).unwrap();
    std::fs::write(
        &definition,
        text.replacen("    shortNames:\n", "    shortNames:\n    - cgroup\n", 1),
    )
    .unwrap();
    let chart = chart.to_str().unwrap();
    node.helm(&[
        "upgrade",
        "lagrange",
        chart,
        "--namespace=upgraded",
        "--set=log.filter=debug",
        "--wait",
        "--timeout=90s",
    ]);

    let deployment = node
        .get(&["deployment", "lagrange", "--namespace=upgraded"])
        .unwrap();
    assert_eq!(deployment["status"]["updatedReplicas"], 2);
    assert_eq!(deployment["status"]["readyReplicas"], 2);
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(
        arguments
            .as_array()
            .unwrap()
            .contains(&json!("--log-filter=debug")),
        "{arguments}"
    );
    let definition = node.get(&["crd", DEFINITIONS[0]]).unwrap();
    assert!(
        definition["spec"]["names"]["shortNames"]
            .as_array()
            .unwrap()
            .contains(&json!("cgroup"))
    );
    assert_eq!(node.uid(&group), before);
}

#[test]
fn uninstall_keeps_definitions_groups_and_workloads_for_another_release() {
    let node = Node::take();
    node.namespace("first");
    node.namespace("second");
    node.namespace("shop");
    node.installed("lagrange", "first", &[]);
    node.group("shop");
    let group = ["consumergroup", "fulfillment", "--namespace=shop"];
    let target = ["deployment", "fulfillment", "--namespace=shop"];
    let (group_before, target_before) = (node.uid(&group), node.uid(&target));

    node.uninstall("lagrange", "first");
    for kind in [
        "deployments",
        "services",
        "serviceaccounts",
        "roles",
        "rolebindings",
        "clusterroles",
        "clusterrolebindings",
    ] {
        let selector = "--selector=app.kubernetes.io/instance=lagrange";
        let left = node.list(&[kind, "--all-namespaces", selector]);
        assert_eq!(left, [] as [Value; 0]);
    }
    for definition in DEFINITIONS {
        assert!(node.get(&["crd", definition]).is_some());
    }
    assert_eq!(
        (node.uid(&group), node.uid(&target)),
        (group_before.clone(), target_before)
    );

    // The same name in the same namespace needs no flag.
    node.installed("lagrange", "first", &[]);
    assert_eq!(node.uid(&group), group_before);
    node.uninstall("lagrange", "first");

    let refused = node.install("sizer", "second", &[]).unwrap_err();
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    // Helm keeps a record of the failed release.
    node.uninstall("sizer", "second");
    node.installed("sizer", "second", &["--take-ownership"]);
    assert_eq!(node.uid(&group), group_before);
    let definition = node.get(&["crd", DEFINITIONS[0]]).unwrap();
    assert_eq!(
        definition["metadata"]["annotations"]["meta.helm.sh/release-name"],
        "sizer"
    );

    // From now on an upgrade needs no flag.
    node.helm(&[
        "upgrade",
        "sizer",
        CHART,
        "--namespace=second",
        "--wait",
        "--timeout=90s",
    ]);
}

#[test]
fn without_keep_the_definitions_and_groups_are_deleted_with_the_release() {
    let node = Node::take();
    node.namespace("gone");
    node.installed("lagrange", "gone", &["--set=crds.keep=false"]);
    node.group("gone");
    let target = ["deployment", "fulfillment", "--namespace=gone"];
    let before = node.uid(&target);
    node.uninstall("lagrange", "gone");
    node.wait("the definitions to be deleted", || {
        let left = DEFINITIONS
            .iter()
            .filter(|name| node.get(&["crd", name]).is_some());
        let left: Vec<_> = left.collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
    assert_eq!(node.uid(&target), before);
}

#[test]
fn definitions_that_kubectl_applied_are_taken_over() {
    let node = Node::take();
    node.namespace("late");
    let definitions = format!("{ROOT}/crds");
    node.kubectl(&["apply", "--server-side", "--filename", &definitions]);
    let refused = node.install("lagrange", "late", &[]).unwrap_err();
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    node.uninstall("lagrange", "late");
    node.installed("lagrange", "late", &["--take-ownership"]);
}

#[test]
fn a_second_release_runs_next_to_the_first_without_definitions() {
    let node = Node::take();
    for namespace in ["one", "two", "shop-one", "shop-two"] {
        node.namespace(namespace);
    }
    node.installed("lagrange", "one", &["--set=watchNamespaces={shop-one}"]);
    let refused = node
        .install("lagrange", "two", &["--set=watchNamespaces={shop-two}"])
        .unwrap_err();
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    node.uninstall("lagrange", "two");
    node.installed(
        "lagrange",
        "two",
        &[
            "--set=watchNamespaces={shop-two}",
            "--set=crds.install=false",
        ],
    );

    node.uninstall("lagrange", "two");
    assert!(node.get(&["crd", DEFINITIONS[0]]).is_some());
    let first = node
        .get(&["deployment", "lagrange", "--namespace=one"])
        .unwrap();
    assert_eq!(first["status"]["readyReplicas"], 2);
}

#[test]
fn a_release_without_definitions_waits_for_them_and_reports_it() {
    let node = Node::take();
    node.namespace("waiting");
    node.helm(&[
        "install",
        "lagrange",
        CHART,
        "--namespace=waiting",
        "--set=crds.install=false",
    ]);
    node.wait("the operator to report what it waits for", || {
        let logs = ["logs", "--namespace=waiting", OPERATOR, "--tail=-1"];
        let said = node.try_kubectl(&logs).unwrap_or_else(|said| said);
        if said.contains("consumergroups.lagrange.dev and kafkaclusters.lagrange.dev not installed")
        {
            Ok(())
        } else {
            Err(said)
        }
    });
    let pod =
        || node.list(&["pods", "--namespace=waiting"])[0]["status"]["containerStatuses"][0].clone();
    assert_eq!(pod()["ready"], false);

    node.kubectl(&[
        "apply",
        "--server-side",
        "--filename",
        &format!("{ROOT}/crds"),
    ]);
    node.kubectl(&[
        "rollout",
        "status",
        "deployment/lagrange",
        "--namespace=waiting",
        "--timeout=60s",
    ]);
    // The Pod has not restarted while it waited.
    assert_eq!(
        (&pod()["ready"], &pod()["restartCount"]),
        (&json!(true), &json!(0))
    );
}

#[test]
fn a_release_for_chosen_namespaces_has_no_permission_outside_of_them() {
    let node = Node::take();
    for namespace in ["chosen", "shop-in", "shop-out"] {
        node.namespace(namespace);
    }
    node.installed("lagrange", "chosen", &["--set=watchNamespaces={shop-in}"]);
    let may = |right: &[&str], namespace: &str| {
        let account = [
            "--as=system:serviceaccount:chosen:lagrange",
            "--namespace",
            namespace,
        ];
        let said = node.try_kubectl(&[&["auth", "can-i"], right, &account].concat());
        said.is_ok_and(|said| said.trim() == "yes")
    };
    for right in [
        &["list", "consumergroups.lagrange.dev"][..],
        &["patch", "deployments.apps", "--subresource=scale"],
        &["create", "events.events.k8s.io"],
        &["list", "secrets"],
    ] {
        assert!(may(right, "shop-in"), "{right:?}");
        assert!(!may(right, "shop-out"), "{right:?}");
        assert!(!may(right, "chosen"), "{right:?}");
    }
    for right in [
        &["list", "pods"][..],
        &["list", "leases.coordination.k8s.io"],
        &["update", "secrets"],
    ] {
        assert!(!may(right, "shop-in"), "{right:?}");
    }

    // The group outside is older: an operator that watched it would have seen it first.
    node.group("shop-out");
    node.group("shop-in");
    let status = |namespace: &str| {
        let group = node.get(&["consumergroup", "fulfillment", "--namespace", namespace]);
        group.unwrap()["status"].clone()
    };
    node.wait("a status of the group inside", || {
        let status = status("shop-in");
        if status["conditions"].is_array() {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    assert_eq!(status("shop-out"), Value::Null);
    let log = node.kubectl(&["logs", "--namespace=chosen", OPERATOR, "--tail=-1"]);
    assert!(!log.to_lowercase().contains("forbidden"), "{log}");
}
