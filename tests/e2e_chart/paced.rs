//! A group that always wants to grow, one step after each minute: its lag asks for a replica per
//! partition, and `maxReplicas` is raised just after an action, while the next one has to wait.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use lagrange_testing::{
    consumers::Consumers,
    kafka::Kafka,
    until::{secs, until},
};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::node::{IDLER, Node};

/// The name of the target, of the group and of its topic.
const NAME: &str = "orders";
/// `pacing.minInterval`. Long enough for an upgrade and the first polls of a new leader.
const MIN_INTERVAL: SignedDuration = SignedDuration::from_secs(60);
/// The poll interval of groups without a KafkaCluster.
pub(crate) const QUICK_POLLS: &str = "--set=kafka.inlinePollInterval=5s";

/// The group in its namespace, and the broker.
pub(crate) struct Paced<'a> {
    node: &'a Node,
    namespace: &'a str,
    // In this order: consumers leave before their broker ends.
    _consumers: Consumers,
    _kafka: Kafka,
    _runtime: Runtime,
}

/// A write of an operator to the group or to the scale of its target.
struct Write {
    at: Timestamp,
    pod: String,
    /// The replicas of a scale.
    to: Option<i64>,
}

impl<'a> Paced<'a> {
    /// Creates namespace, target and group; needs the definitions. The first size that it can have
    /// is 2.
    pub(crate) fn open(node: &'a Node, namespace: &'a str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let kafka = runtime.block_on(Kafka::for_pods(node.host_address()));
        let bootstrap = runtime.block_on(async {
            kafka.create_topic(NAME, 12).await;
            kafka.produce(NAME, 20_000).await;
            kafka.bootstrap_for_pods().await
        });
        node.apply(&format!(
            "
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {NAME}, namespace: {namespace}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: {NAME}}}}}
  template:
    metadata: {{labels: {{app: {NAME}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: idler, image: {IDLER}, args: [infinity]}}]
"
        ));
        let consumers = runtime.block_on(consumers(node, &kafka, namespace));
        node.apply(&format!(
            "
apiVersion: lagrange.dev/v1alpha1
kind: ConsumerGroup
metadata: {{name: {NAME}, namespace: {namespace}}}
spec:
  scaleTargetRef: {{name: {NAME}}}
  kafka: {{bootstrapServers: [\"{bootstrap}\"]}}
  topics: [{NAME}]
  autoOffsetReset: Earliest
  maxReplicas: 2
  objective: {{lagPerReplica: 100}}
  pacing: {{minInterval: 60s}}
"
        ));
        Self {
            node,
            namespace,
            _consumers: consumers,
            _kafka: kafka,
            _runtime: runtime,
        }
    }

    fn object(&self, kind: &str) -> Value {
        let object = self.node.get(&[kind, NAME, "--namespace", self.namespace]);
        object.unwrap_or_else(|| panic!("the {kind} is gone"))
    }

    /// The replicas of the target, and the last action and the memory in the group's status.
    pub(crate) fn state(&self) -> (Value, Value, Value) {
        let status = self.object("consumergroup")["status"].clone();
        let replicas = self.object("deployment")["spec"]["replicas"].clone();
        (
            replicas,
            status["lastScale"].clone(),
            status["memory"].clone(),
        )
    }

    /// Waits until the operator has scaled the target to this size.
    pub(crate) fn acts(&self, replicas: i64) {
        self.node.wait(&format!("{replicas} replicas"), || {
            let group = self.object("consumergroup");
            let last = &group["status"]["lastScale"];
            if self.object("deployment")["spec"]["replicas"] == replicas && last["to"] == replicas {
                Ok(())
            } else {
                Err(format!("{last} {}", able_to_scale(&group)))
            }
        });
    }

    /// From now on the next size is allowed and wanted.
    pub(crate) fn allows(&self, replicas: i64) {
        let patch = format!("--patch={{\"spec\":{{\"maxReplicas\":{replicas}}}}}");
        let group = ["consumergroup", NAME, "--namespace", self.namespace];
        self.node
            .kubectl(&[&["patch"], &group[..], &["--type=merge", &patch]].concat());
    }

    /// Waits until a Pod of the release that now runs has written the status, and says that the
    /// next action has to wait for the last one.
    pub(crate) fn cools_down_under(&self, release_namespace: &str) {
        self.node.wait("a new Pod to keep the spacing", || {
            let running = self.node.list(&[
                "pods",
                "--namespace",
                release_namespace,
                crate::node::OPERATOR,
            ]);
            let running: Vec<_> = running
                .iter()
                .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
                .map(|pod| pod["metadata"]["name"].as_str().unwrap())
                .collect();
            let writer = self.writes().pop().map(|write| write.pod);
            let writes = writer.as_deref().is_some_and(|pod| running.contains(&pod));
            let able = able_to_scale(&self.object("consumergroup"));
            if writes && able == "CoolingDown" {
                Ok(())
            } else {
                Err(format!("{able}, written by {writer:?} of {running:?}"))
            }
        });
    }

    /// The writes of operators to the group and its target, oldest first.
    fn writes(&self) -> Vec<Write> {
        let written = |entry: &Value, resource: &str, subresource: &str| {
            let object = &entry["objectRef"];
            object["resource"] == resource && object["subresource"] == subresource
        };
        let is_ours = |entry: &&Value| {
            let account = entry["user"]["username"].as_str().unwrap_or_default();
            entry["objectRef"]["namespace"] == self.namespace
                && entry["responseStatus"]["code"] == 200
                && account.ends_with(":lagrange")
                && (written(entry, "consumergroups", "status")
                    || written(entry, "deployments", "scale"))
                && entry["verb"] == "patch"
        };
        let read = |entry: &Value| Write {
            at: entry["requestReceivedTimestamp"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap(),
            pod: entry["user"]["extra"]["authentication.kubernetes.io/pod-name"][0]
                .as_str()
                .unwrap()
                .to_owned(),
            to: entry["requestObject"]["spec"]["replicas"].as_i64(),
        };
        let log = self.node.audit();
        let mut writes: Vec<_> = log.iter().filter(is_ours).map(read).collect();
        writes.sort_by_key(|write| write.at);
        writes
    }

    /// Fails unless these were all actions, each after its time, nobody took one for a change from
    /// outside, and no two Pods worked at the same time. Returns how many Pods worked.
    pub(crate) fn assert_one_writer_after_another(&self, sizes: &[i64]) -> usize {
        let writes = self.writes();
        let actions: Vec<_> = writes
            .iter()
            .filter_map(|write| Some((write.at, write.to?)))
            .collect();
        let to: Vec<_> = actions.iter().map(|(_, to)| *to).collect();
        assert_eq!(to, sizes);
        for pair in actions.windows(2) {
            // The action was recorded a moment before it was sent.
            let apart = pair[1].0.duration_since(pair[0].0) + SignedDuration::from_secs(1);
            assert!(apart >= MIN_INTERVAL, "{pair:?}");
        }
        let mut pods: Vec<_> = writes.iter().map(|write| write.pod.as_str()).collect();
        pods.dedup();
        let different: BTreeSet<_> = pods.iter().collect();
        assert_eq!(different.len(), pods.len(), "{pods:?}");
        let events = self
            .node
            .list(&["events.events.k8s.io", "--namespace", self.namespace]);
        let external: Vec<_> = events
            .iter()
            .filter(|event| event["reason"] == "ScaledExternally")
            .collect();
        assert_eq!(external, [] as [&Value; 0]);
        different.len()
    }
}

/// A member for each ready Pod, which reads five records a second.
async fn consumers(node: &Node, kafka: &Kafka, namespace: &str) -> Consumers {
    let kubeconfig = Kubeconfig::read_from(node.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    let deployments = Api::<Deployment>::namespaced(client, namespace);
    let consumers = Consumers::follow(kafka, deployments, NAME, NAME, NAME);
    consumers.micros_per_record(200_000);
    until(secs(60), "a member", || async {
        let members = kafka.members(NAME).await;
        if members.is_empty() {
            Err("none".to_owned())
        } else {
            Ok(())
        }
    })
    .await;
    consumers
}

fn able_to_scale(group: &Value) -> String {
    let conditions = group["status"]["conditions"].as_array();
    let able = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "AbleToScale");
    able.map_or("unknown", |able| able["reason"].as_str().unwrap())
        .to_owned()
}
