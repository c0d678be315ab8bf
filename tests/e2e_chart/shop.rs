//! The set-up to scale: one target of each kind, a KafkaCluster, and members that never commit.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use lagrange_testing::kafka::consumer_config;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::node::{IDLER, Node};

/// The namespace.
pub(crate) const SHOP: &str = "audited-shop";

/// A target. Its topic and its group have its name.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) version: &'static str,
    pub(crate) resource: &'static str,
}

/// One of each kind.
pub(crate) const TARGETS: [Target; 3] = [
    Target {
        name: "deployment",
        kind: "Deployment",
        version: "apps/v1",
        resource: "deployments.apps",
    },
    Target {
        name: "statefulset",
        kind: "StatefulSet",
        version: "apps/v1",
        resource: "statefulsets.apps",
    },
    Target {
        name: "worker",
        kind: "Worker",
        version: "example.com/v1",
        resource: "workers.example.com",
    },
];

/// A KafkaCluster with TLS and a login, which the shop may use because of its label. The password
/// and the CA certificate are where Strimzi puts them.
pub(crate) fn cluster(namespace: &str, bootstrap: &str, authority: &str, password: &str) -> String {
    let authority = authority.replace('\n', "\n    ");
    format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: lagrange, namespace: {namespace}}}
stringData: {{password: \"{password}\"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: main-cluster-ca-cert, namespace: {namespace}}}
data:
  ca.crt: |
    {authority}
---
apiVersion: lagrange.dev/v1alpha1
kind: KafkaCluster
metadata: {{name: main, namespace: {namespace}}}
spec:
  bootstrapServers: [\"{bootstrap}\"]
  tls: {{trustedCertificates: [{{configMapName: main-cluster-ca-cert}}]}}
  sasl: {{mechanism: SCRAM-SHA-512, username: lagrange, passwordSecret: {{secretName: lagrange}}}}
  pollInterval: 5s
  allowedNamespaces: {{from: Selector, selector: {{matchLabels: {{team: shop}}}}}}
"
    )
}

/// A ConsumerGroup whose lag asks for one replica per partition.
pub(crate) fn group(target: &Target, cluster_namespace: &str) -> String {
    let Target {
        name,
        kind,
        version,
        ..
    } = target;
    format!(
        "
apiVersion: lagrange.dev/v1alpha1
kind: ConsumerGroup
metadata: {{name: {name}, namespace: {SHOP}}}
spec:
  scaleTargetRef: {{apiVersion: {version}, kind: {kind}, name: {name}}}
  kafka: {{clusterRef: {{name: main, namespace: {cluster_namespace}}}}}
  topics: [{name}]
  autoOffsetReset: Earliest
  objective: {{lagPerReplica: 100}}
"
    )
}

/// Creates a namespace with one target of each kind, each with a ready Pod. No controller manages
/// the Worker.
pub(crate) fn open(node: &Node) {
    let pod = format!("{{containers: [{{name: idler, image: {IDLER}, args: [infinity]}}]}}");
    let mut manifest = format!("
apiVersion: v1
kind: Namespace
metadata: {{name: {SHOP}, labels: {{team: shop}}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: workers.example.com}}
spec:
  group: example.com
  names: {{kind: Worker, plural: workers}}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {{}}
      scale: {{specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}}
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: worker-1, namespace: {SHOP}, labels: {{app: worker}}}}
spec: {pod}
");
    for kind in ["Deployment", "StatefulSet"] {
        let name = kind.to_lowercase();
        write!(
            manifest,
            "
---
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}, namespace: {SHOP}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: {name}}}}}
  template: {{metadata: {{labels: {{app: {name}}}}}, spec: {pod}}}
"
        )
        .unwrap();
    }
    node.apply(&manifest);
    node.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/workers.example.com",
        "--timeout=30s",
    ]);
    node.apply(&format!("{{apiVersion: example.com/v1, kind: Worker, metadata: {{name: worker, namespace: {SHOP}}}, spec: {{replicas: 1}}}}"));
    let status = "--patch={\"status\":{\"replicas\":1,\"selector\":\"app=worker\"}}";
    node.kubectl(&[
        "patch",
        "worker",
        "worker",
        "--namespace",
        SHOP,
        "--subresource=status",
        "--type=merge",
        status,
    ]);
}

/// A group member that reads and never commits, so the lag stays.
pub(crate) struct Member {
    leave: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    pub(crate) fn join(bootstrap: &str, name: &str) -> Self {
        let consumer: BaseConsumer = consumer_config(bootstrap, name).create().unwrap();
        consumer.subscribe(&[name]).unwrap();
        let leave = Arc::new(AtomicBool::new(false));
        let left = Arc::clone(&leave);
        let thread = std::thread::spawn(move || {
            while !left.load(Ordering::Relaxed) {
                consumer.poll(Duration::from_millis(100));
            }
        });
        Self {
            leave,
            thread: Some(thread),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}
