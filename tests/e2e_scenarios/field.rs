//! The environment of the scenarios: one node, one broker and one installed operator for the whole
//! test program, and a namespace, topics and groups for each test.

use std::path::Path;
use std::process::Command;

use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::{Kubernetes, Space};
use lagrange_testing::unique;
use serde_json::json;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

use crate::remains;

/// Two cores are enough for this many scenarios at the same time.
const AT_A_TIME: usize = 3;

/// The image of the consumers.
pub(crate) const IMAGE: &str = "localhost/workload:e2e";
const NAMESPACE: &str = "--namespace=lagrange";

static FIELD: OnceCell<Field> = OnceCell::const_new();
static PLACES: Semaphore = Semaphore::const_new(AT_A_TIME);

/// The node, the broker and the operator.
pub(crate) struct Field {
    pub(crate) kubernetes: Kubernetes,
    pub(crate) kafka: Kafka,
    bootstrap_for_pods: String,
}

/// The part of one scenario.
pub(crate) struct Scenario {
    pub(crate) field: &'static Field,
    pub(crate) space: Space,
    /// The topic of the test.
    pub(crate) topic: String,
    _place: SemaphorePermit<'static>,
}

impl Field {
    async fn start() -> Self {
        let kubernetes = Kubernetes::real().await;
        let address = kubernetes.host_address();
        let kafka = Kafka::for_pods(address).await;
        let bootstrap_for_pods = kafka.bootstrap_for_pods().await;
        let field = Self {
            kubernetes,
            kafka,
            bootstrap_for_pods,
        };
        tokio::task::spawn_blocking(move || {
            field.install();
            field
        })
        .await
        .unwrap()
    }

    fn install(&self) {
        let operator = Path::new(env!("CARGO_BIN_EXE_lagrange"));
        let workload = operator.with_file_name("workload");
        // Cargo does not build the programs of other packages for a test. Build it here, so that no
        // outdated one is used.
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--workspace",
                "--bins",
                "--features=lagrange/e2e",
                "--quiet",
            ])
            .status()
            .unwrap();
        assert!(
            built.success() && workload.exists(),
            "there is no {}",
            workload.display()
        );
        self.load("operator-image.sh", |tar| {
            ["localhost/lagrange:e2e", "--profile", "dev", "--out", tar].map(str::to_owned)
        });
        let workload = workload.to_str().unwrap();
        self.load("image.sh", |tar| [IMAGE, tar, workload].map(str::to_owned));
        self.kubernetes.helm(&[
            "install",
            "lagrange",
            concat!(env!("CARGO_MANIFEST_DIR"), "/charts/lagrange"),
            NAMESPACE,
            "--create-namespace",
            "--wait",
            "--timeout=2m",
            "--set=image.tag=e2e,log.format=human,log.filter=info\\,lagrange=debug",
        ]);
    }

    /// Loads the image that a script of `tests/env` makes.
    fn load<const N: usize>(&self, script: &str, arguments: impl Fn(&str) -> [String; N]) {
        let tar = tempfile::Builder::new().suffix(".tar").tempfile().unwrap();
        let tar = tar.path().to_str().unwrap();
        let script = format!("{}/tests/env/{script}", env!("CARGO_MANIFEST_DIR"));
        let made = Command::new(script).args(arguments(tar)).output().unwrap();
        let error = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{error}");
        self.kubernetes.load_image(tar);
    }

    /// The Pod of the operator that works. The name of a Lease's holder begins with it.
    fn leader(&self) -> String {
        let holder = "--output=jsonpath={.spec.holderIdentity}";
        let lease = ["get", "lease", "lagrange", NAMESPACE, holder];
        let holder = self.kubernetes.kubectl(&lease);
        holder.split_once('_').unwrap().0.to_owned()
    }

    /// Kills the process of the leader with `kill -9`; the kubelet restarts it in its Pod. If the
    /// process is not visible here (kind in its own machine, or without root), the Pod is deleted
    /// instead.
    pub(crate) fn kill_operator(&self) {
        let leader = self.leader();
        let uid = "--output=jsonpath={.metadata.uid}";
        let uid = self
            .kubernetes
            .kubectl(&["get", "pod", &leader, NAMESPACE, uid]);
        let killed = processes_of_pod(&uid, "lagrange").into_iter().any(|pid| {
            let kill = Command::new("kill").args(["-KILL", &pid]).status();
            kill.is_ok_and(|status| status.success())
        });
        if !killed {
            self.delete_operator();
        }
    }

    /// Deletes the leader's Pod at once, as if its node were lost.
    pub(crate) fn delete_operator(&self) {
        let now = ["--grace-period=0", "--force"];
        let leader = self.leader();
        let pod = ["delete", "pod", &leader, NAMESPACE];
        self.kubernetes.kubectl(&[&pod[..], &now].concat());
    }
}

/// The processes of this machine that run `program` in the Pod: the name of their control group
/// contains the Pod's uid.
fn processes_of_pod(uid: &str, program: &str) -> Vec<String> {
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let uids = [uid.to_owned(), uid.replace('-', "_")];
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|process| text(&process.join("comm")).trim() == program)
        .filter(|process| {
            let group = text(&process.join("cgroup"));
            uids.iter().any(|uid| group.contains(uid))
        })
        .filter_map(|process| Some(process.file_name()?.to_str()?.to_owned()))
        .collect()
}

impl Scenario {
    /// Creates a namespace, a KafkaCluster `kafka` in it that is polled every 5 s, and a topic.
    pub(crate) async fn new(stem: &str, partitions: i32) -> Self {
        let place = PLACES.acquire().await.unwrap();
        let field = FIELD.get_or_init(Field::start).await;
        let space = field.kubernetes.namespace(stem).await;
        let topic = unique(stem);
        field.kafka.create_topic(&topic, partitions).await;
        space.cluster("kafka", &field.bootstrap_for_pods).await;
        Self {
            field,
            space,
            topic,
            _place: place,
        }
    }

    /// Creates a Deployment of consumers of the topic, and waits until it is ready.
    pub(crate) async fn consumers(&self, consumers: Consumers<'_>) {
        let Consumers {
            name,
            replicas,
            millis,
            extra,
            min_ready_seconds,
            host_port,
        } = consumers;
        let mut env = vec![
            json!({ "name": "WORKLOAD_BOOTSTRAP_SERVERS", "value": self.field.bootstrap_for_pods }),
            json!({ "name": "WORKLOAD_GROUP", "value": self.group_id(name) }),
            json!({ "name": "WORKLOAD_TOPIC", "value": self.topic }),
            json!({ "name": "WORKLOAD_MILLIS_PER_RECORD", "value": millis }),
            json!({ "name": "WORKLOAD_LISTEN", "value": "0.0.0.0:8080" }),
        ];
        env.extend(
            extra
                .iter()
                .map(|(name, value)| json!({ "name": name, "value": value })),
        );
        let ports = host_port.map(|port| json!([{ "containerPort": 8080, "hostPort": port }]));
        let mut arguments = vec![
            "consume",
            "--property",
            "topic.metadata.refresh.interval.ms=1000",
        ];
        // With KIP-848 the broker sets the session timeout.
        if !extra.iter().any(|(_, value)| *value == "consumer") {
            arguments.extend(["--property", "session.timeout.ms=10000"]);
        }
        let labels = json!({ "app": name });
        self.space
            .apply(json!({
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": { "name": name },
                "spec": {
                    "replicas": replicas,
                    "minReadySeconds": min_ready_seconds,
                    "selector": { "matchLabels": labels },
                    "template": {
                        "metadata": { "labels": labels },
                        "spec": {
                            "terminationGracePeriodSeconds": 10,
                            "containers": [{
                                "name": "consumer",
                                "image": IMAGE,
                                "imagePullPolicy": "IfNotPresent",
                                "args": arguments,
                                "env": env,
                                "ports": ports,
                                "readinessProbe": { "httpGet": { "path": "/readyz", "port": 8080 }, "periodSeconds": 1 },
                                "resources": { "requests": { "cpu": "1m", "memory": "8Mi" } },
                            }],
                        },
                    },
                },
            }))
            .await;
        self.space.until_ready(name, replicas).await;
    }

    /// The group id of a Deployment's consumers.
    pub(crate) fn group_id(&self, name: &str) -> String {
        format!("{}-{name}", self.topic)
    }

    /// Creates a ConsumerGroup for such a Deployment, with short pacing and the fields of `more`.
    pub(crate) async fn sized(&self, name: &str, more: serde_json::Value) {
        let mut spec = json!({
            "groupId": self.group_id(name),
            "scaleTargetRef": { "name": name },
            "kafka": { "clusterRef": { "name": "kafka" } },
            "topics": [self.topic],
            "autoOffsetReset": "Earliest",
            "objective": { "lagPerReplica": 200 },
            "pacing": { "minInterval": "5s", "minScaleDownInterval": "15s", "settleTimeout": "1m", "scaleToZeroDelay": "10s" },
        });
        let base = spec.as_object_mut().unwrap();
        for (key, value) in more.as_object().unwrap() {
            base.insert(key.clone(), value.clone());
        }
        self.space.group(name, spec).await;
    }

    /// Starts a steady load, which goes on until the returned value is dropped.
    pub(crate) fn load(&self, records_a_second: usize) -> Load {
        let (kafka, topic) = (&self.field.kafka, self.topic.clone());
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(500));
            loop {
                tick.tick().await;
                kafka.produce(&topic, records_a_second / 2).await;
            }
        });
        Load(task)
    }

    /// The logs of the consumers of a Deployment.
    pub(crate) fn logs(&self, name: &str) -> String {
        let selector = format!("--selector=app={name}");
        let namespace = format!("--namespace={}", self.space.name);
        self.field.kubernetes.kubectl(&[
            "logs",
            &namespace,
            &selector,
            "--tail=-1",
            "--max-log-requests=50",
        ])
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if std::thread::panicking() {
            remains::print(self);
        }
        // Without waiting. Deleted now, so that the Pods do not slow down the next test.
        self.field
            .kubernetes
            .ask(&["delete", "namespace", &self.space.name, "--wait=false"]);
    }
}

/// A Deployment of consumers.
#[derive(Clone, Copy)]
pub(crate) struct Consumers<'a> {
    pub(crate) name: &'a str,
    pub(crate) replicas: i32,
    /// Milliseconds per record.
    pub(crate) millis: &'a str,
    /// Additional environment variables.
    pub(crate) extra: &'a [(&'a str, &'a str)],
    pub(crate) min_ready_seconds: i32,
    /// A port of the node. Only one Pod can have it, so a second Pod cannot be scheduled.
    pub(crate) host_port: Option<i32>,
}

impl<'a> Consumers<'a> {
    pub(crate) fn new(name: &'a str, replicas: i32, millis: &'a str) -> Self {
        Self {
            name,
            replicas,
            millis,
            extra: &[],
            min_ready_seconds: 0,
            host_port: None,
        }
    }
}

/// A load. Dropping this stops it.
pub(crate) struct Load(JoinHandle<()>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}
