//! A user who may edit in one namespace, and what such a user can do to an operator. Each attack is
//! of a kind that once stopped the operator or took over another user's group. The attacks are
//! counted, so the test fails when one no longer happens.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use http::Request;
use kafka_protocol::messages::ApiKey;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lagrange_fakes::broker::{Brokers, Mischief};
use lagrange_testing::kubernetes::{Kubernetes, Space};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::task::JoinSet;

use crate::shop::until_reason;

/// ConsumerGroups with an annotation of 250 KiB each. The limit of an object is 256 KiB.
const ANNOTATED: usize = 330;
/// Requests to the port that are never finished.
const HALF_REQUESTS: u16 = 1_100;
/// Brokers that one cluster advertises.
const ADVERTISED: i32 = 3_000;
/// Topics of a cluster that are all matched by a pattern: more than the operator can hold, and no
/// more than the fake broker can list in time.
const TOPICS: usize = 2_500;
const PARTITIONS: usize = 4;
/// Connections that send the beginning of an answer of 99 MB each.
const HUGE: usize = 12;

/// A secret that must never be in a log.
pub(crate) const PASSWORD: &str = "correct-horse-battery";

pub(crate) struct Mallory {
    space: Space,
    brokers: Vec<Brokers>,
}

impl Mallory {
    /// A user with permission to edit in one namespace, and no other permission.
    pub(crate) async fn new(kubernetes: &Kubernetes) -> Self {
        let space = kubernetes.namespace("mallory").await;
        let account = "mallory";
        let resources = |groups: &[&str], resources: &[&str]| {
            json!({ "apiGroups": groups, "resources": resources,
                "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"] })
        };
        let rules = json!([
            resources(
                &["lagrange.dev"],
                &["consumergroups", "consumergroups/status", "kafkaclusters"]
            ),
            resources(&["apps"], &["deployments"]),
            resources(&["test.lagrange.dev"], &["blanks", "blanks/status"]),
            resources(&[""], &["secrets", "configmaps"]),
        ]);
        let of = |name: &str| json!({ "name": name, "namespace": space.name });
        let objects = [
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": of(account) }),
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": of(account), "rules": rules }),
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": of(account),
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account },
                "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": space.name }] }),
            blanks(),
        ];
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        let file = kubernetes.file("mallory.json", &list.to_string());
        kubernetes.kubectl(&["apply", "-f", file.to_str().unwrap()]);
        let text = kubernetes.kubeconfig_of(&space.name, account);
        let config = Kubeconfig::from_yaml(&text).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(config, &options)
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        Self {
            space: Space { client, ..space },
            brokers: Vec::new(),
        }
    }

    /// Claims the group ids of other users before they do: with a target that does not exist, and
    /// with one that does.
    pub(crate) async fn squat(&self, servers: &str, groups: &[String]) {
        self.space.deployment("squatter", 0).await;
        for (number, id) in groups.iter().enumerate() {
            let target = if number % 2 == 0 {
                "nowhere"
            } else {
                "squatter"
            };
            let spec = json!({ "groupId": id, "scaleTargetRef": { "name": target },
                "kafka": { "bootstrapServers": [servers] }, "topics": [id],
                "objective": { "lagPerReplica": 100 } });
            self.space.group(&format!("squat-{number}"), spec).await;
        }
    }

    /// Writes objects that once made a whole list unreadable, or filled the memory of the operator.
    pub(crate) async fn write_what_keeps_others_from_being_read(&self) {
        self.space.deployment("strange", 0).await;
        let deep = format!(
            r#"{{"metadata":{{"managedFields":[{{"manager":"m","operation":"Update","apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{}}}]}}}}"#,
            nested(125)
        );
        self.send("PATCH", "apis/apps/v1", "deployments/strange", deep)
            .await
            .unwrap();
        self.group("deep", json!({})).await;
        let deep = format!(
            r#"{{"status":{{"memory":{{"version":1,"deep":{}}}}}}}"#,
            nested(120)
        );
        self.send("PATCH", OURS, "consumergroups/deep/status", deep)
            .await
            .unwrap();
        let large = "x".repeat(250 << 10);
        let annotated = (0..ANNOTATED).map(|number| {
            let group = json!({ "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
                "metadata": { "name": format!("large-{number}"), "annotations": { "note": large } },
                "spec": spec(json!({ "scaleTargetRef": { "name": "nowhere" } })) });
            self.send("POST", OURS, "consumergroups", group.to_string())
        });
        let mut sent = futures::stream::iter(annotated).buffer_unordered(4);
        while let Some(sent) = sent.next().await {
            sent.unwrap();
        }
        let blank = json!({ "apiVersion": "test.lagrange.dev/v1", "kind": "Blank", "metadata": { "name": "blank" }, "spec": {} });
        self.send(
            "POST",
            "apis/test.lagrange.dev/v1",
            "blanks",
            blank.to_string(),
        )
        .await
        .unwrap();
        let target =
            json!({ "apiVersion": "test.lagrange.dev/v1", "kind": "Blank", "name": "blank" });
        self.group("blank", json!({ "scaleTargetRef": target }))
            .await;
    }

    /// Starts brokers and creates groups on them.
    pub(crate) async fn run_brokers(&mut self) {
        self.space.deployment("app", 1).await;
        let crowd = Brokers::start(2).await;
        {
            let mut world = crowd.world();
            world.named = 10..10 + ADVERTISED;
            world.is_restless = true;
        }
        let all = Brokers::start(2).await;
        for number in 0..TOPICS {
            all.topic(&format!("topic-{number}"), PARTITIONS);
        }
        let huge = Brokers::start(i32::try_from(HUGE).unwrap()).await;
        let begin = Mischief::Begin {
            unsolicited: true,
            size: 99_000_000,
            sent: 98_000_000,
            at_once: 1 << 20,
            pause: Duration::from_millis(20),
        };
        huge.world()
            .mischief
            .insert(ApiKey::ListGroups as i16, begin);
        let forger = Brokers::start(1).await;
        forger.topic("orders\n2026-01-01T00:00:00Z  INFO forged", 3);
        for (name, brokers, topics) in [
            ("crowd", &crowd, json!({ "topics": ["t"] })),
            ("all", &all, json!({ "topics": null, "topicPattern": ".*" })),
            ("huge", &huge, json!({ "topics": ["t"] })),
            (
                "forger",
                &forger,
                json!({ "topics": null, "topicPattern": ".*" }),
            ),
        ] {
            brokers.topic("t", 6);
            brokers.group(name, 1);
            let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
                "stringData": { "password": PASSWORD } });
            self.send("POST", "api/v1", "secrets", secret.to_string())
                .await
                .unwrap();
            let mut of_group = spec(json!({ "groupId": name,
                "kafka": { "bootstrapServers": [brokers.bootstrap] },
                "scaleTargetRef": { "name": name } }));
            lagrange_testing::merge(&mut of_group, topics);
            self.space.deployment(name, 1).await;
            self.space.group(name, of_group).await;
        }
        self.brokers = vec![crowd, all, huge, forger];
    }

    /// Waits until the operator has reached its limits and reports them. Otherwise the test would
    /// measure attacks that do not happen.
    pub(crate) async fn until_reported(&self) {
        for (name, reason) in [
            ("crowd", "TooManyBrokers"),
            ("all", "TooManyPartitions"),
            ("blank", "TargetUnreadable"),
            ("large-7", "TargetNotFound"),
        ] {
            until_reason(&self.space, name, reason).await;
        }
    }

    /// Starts the attacks that go on until they are stopped.
    pub(crate) fn storm(&self, port: SocketAddr) -> Storm {
        let mut storm = Storm::default();
        storm.half_requests(port);
        storm.churn(self.space.clone());
        storm.changes(self.space.clone());
        storm
    }

    async fn group(&self, name: &str, change: Value) {
        self.space.group(name, spec(change)).await;
    }

    /// Sends a request with a body as text, because the test cannot parse the body either.
    async fn send(
        &self,
        method: &str,
        api: &str,
        what: &str,
        body: String,
    ) -> kube::Result<String> {
        send(&self.space, method, api, what, body).await
    }
}

fn spec(change: Value) -> Value {
    let mut spec = json!({ "scaleTargetRef": { "name": "app" },
        "kafka": { "bootstrapServers": ["127.0.0.1:1"] }, "topics": ["t"],
        "objective": { "lagPerReplica": 100 } });
    lagrange_testing::merge(&mut spec, change);
    spec
}

const OURS: &str = "apis/lagrange.dev/v1alpha1";

async fn send(
    space: &Space,
    method: &str,
    api: &str,
    what: &str,
    body: String,
) -> kube::Result<String> {
    let kind = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("/{api}/namespaces/{}/{what}", space.name))
        .header("content-type", kind)
        .body(body.into_bytes())
        .unwrap();
    space.client.request_text(request).await
}

/// An empty object nested this deep, as text.
fn nested(levels: usize) -> String {
    format!("{}{{}}{}", r#"{"f:a":"#.repeat(levels), "}".repeat(levels))
}

/// A kind whose objects may lack replicas. The API server then answers 500 to a read of the scale.
fn blanks() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "blanks.test.lagrange.dev" },
        "spec": {
            "group": "test.lagrange.dev", "scope": "Namespaced",
            "names": { "kind": "Blank", "plural": "blanks" },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                "subresources": { "status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas" } } }],
        },
    })
}

/// Attacks that go on in the background.
#[derive(Default)]
pub(crate) struct Storm {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    counts: Vec<(&'static str, Arc<AtomicU64>)>,
}

impl Storm {
    fn count(&mut self, deed: &'static str) -> Arc<AtomicU64> {
        let count = Arc::new(AtomicU64::new(0));
        self.counts.push((deed, Arc::clone(&count)));
        count
    }

    /// Begins requests from several addresses without finishing them, and replaces those that the
    /// operator closes.
    fn half_requests(&mut self, port: SocketAddr) {
        let (stop, count) = (Arc::clone(&self.stop), self.count("half requests"));
        self.tasks.spawn_blocking(move || {
            let mut held: Vec<TcpStream> = Vec::new();
            let mut number = 0_u16;
            while !stop.load(Ordering::Relaxed) {
                number = number.wrapping_add(1);
                let source = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + number % 8).unwrap());
                if let Ok(stream) = half_a_request(port, source) {
                    count.fetch_add(1, Ordering::Relaxed);
                    held.push(stream);
                }
                if held.len() > usize::from(HALF_REQUESTS) {
                    held.drain(..100);
                    // All of them stay open for a while.
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        });
    }

    /// Creates and deletes resources as fast as the API server accepts it.
    fn churn(&mut self, space: Space) {
        let (stop, count) = (
            Arc::clone(&self.stop),
            self.count("resources created and deleted"),
        );
        self.tasks.spawn(async move {
            let spec = json!({ "scaleTargetRef": { "name": "nowhere" }, "topics": ["t"],
                "kafka": { "bootstrapServers": ["127.0.0.1:1"] }, "objective": { "maxDelay": "60s" } });
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let name = format!("churn-{}", number % 50);
                number += 1;
                let group = json!({ "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
                    "metadata": { "name": name }, "spec": spec });
                let made = send(&space, "POST", OURS, "consumergroups", group.to_string()).await;
                let path = format!("consumergroups/{name}");
                let gone = send(&space, "DELETE", OURS, &path, String::new()).await;
                count.fetch_add(u64::from(made.is_ok() && gone.is_ok()), Ordering::Relaxed);
            }
        });
    }

    /// Changes the objects that are hard to read all the time, so they come through the watches as
    /// well.
    fn changes(&mut self, space: Space) {
        let (stop, count) = (
            Arc::clone(&self.stop),
            self.count("changes of large and deep objects"),
        );
        self.tasks.spawn(async move {
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let label =
                    json!({ "metadata": { "labels": { "n": number.to_string() } } }).to_string();
                let large = format!("consumergroups/large-{}", number % 330);
                for (api, what) in [
                    ("apis/apps/v1", "deployments/strange"),
                    (OURS, "consumergroups/deep"),
                    (OURS, &large),
                ] {
                    let sent = send(&space, "PATCH", api, what, label.clone()).await;
                    count.fetch_add(u64::from(sent.is_ok()), Ordering::Relaxed);
                }
            }
        });
    }

    /// How often each attack happened.
    pub(crate) fn done(&self) -> String {
        let of = |(deed, count): &(&str, Arc<AtomicU64>)| {
            let count = count.load(Ordering::Relaxed);
            assert!(count > 0, "no {deed}");
            format!("{count} {deed}")
        };
        self.counts.iter().map(of).collect::<Vec<_>>().join(", ")
    }

    pub(crate) async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Lets a failed test end: the runtime waits for tasks that it cannot abort.
impl Drop for Storm {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn half_a_request(address: SocketAddr, source: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect_timeout(&address.into(), Duration::from_secs(2))?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: it\r\n")?;
    Ok(stream)
}
