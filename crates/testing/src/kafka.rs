//! Real brokers, and operations of tests on them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use crate::until::{secs, until};
use crate::{evidence, me, script, state_directory, try_script};

const SCRIPT: &str = "kafka/kafka.sh";

/// A cluster of brokers.
#[derive(Debug)]
pub struct Kafka {
    pub(crate) state: PathBuf,
    /// Bootstrap servers of the plaintext listener, separated by commas.
    pub bootstrap: String,
    /// Number of brokers; they are numbered from 1.
    pub nodes: u32,
}

impl Kafka {
    /// One broker, shared by the whole test program.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        tokio::task::spawn_blocking(|| SHARED.get_or_init(|| Self::start_now(1, &[])))
            .await
            .unwrap()
    }

    /// Brokers for this test only, which it may stop and kill. They end when this is dropped.
    pub async fn start(nodes: u32) -> Self {
        tokio::task::spawn_blocking(move || Self::start_now(nodes, &[]))
            .await
            .unwrap()
    }

    /// Brokers that Pods of a real node reach at `address`.
    pub async fn for_pods(address: String) -> Self {
        tokio::task::spawn_blocking(move || Self::start_now(1, &["--pod-address", &address]))
            .await
            .unwrap()
    }

    pub(crate) fn start_now(nodes: u32, more: &[&str]) -> Self {
        let state = state_directory();
        let at = state.to_str().unwrap().to_owned();
        let (count, owner) = (nodes.to_string(), me());
        let mut arguments = vec![
            "up",
            &at,
            "--nodes",
            &count,
            "--quick-failover",
            "--owner",
            &owner,
        ];
        arguments.extend(more);
        let bootstrap = script(SCRIPT, &arguments);
        evidence::of_brokers(&bootstrap);
        Self {
            state,
            bootstrap,
            nodes,
        }
    }

    /// Runs a verb of the script on these brokers.
    pub async fn run(&self, verb: &'static str, rest: &[&str]) -> String {
        let done = self.try_run(verb, rest).await;
        done.unwrap_or_else(|said| panic!("{verb} {rest:?}: {said}"))
    }

    /// The same; the error is the output of a failed run.
    pub(crate) async fn try_run(
        &self,
        verb: &'static str,
        rest: &[&str],
    ) -> Result<String, String> {
        let at = self.state.to_str().unwrap().to_owned();
        let rest: Vec<String> = rest.iter().map(|s| (*s).to_owned()).collect();
        let run = move || {
            let mut arguments = vec![verb, &at];
            arguments.extend(rest.iter().map(String::as_str));
            try_script(SCRIPT, &arguments)
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// The port of the first broker.
    pub fn port(&self) -> u16 {
        let first = self.bootstrap.split(',').next().unwrap();
        first.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Bootstrap servers for Pods.
    pub async fn bootstrap_for_pods(&self) -> String {
        self.run("bootstrap", &["pods"]).await
    }

    /// Runs `verb` (stop, kill, start, pause, cont) on a broker. Blocks, so that code that is not
    /// async can call it.
    pub fn control(&self, verb: &str, node: u32) {
        script(
            SCRIPT,
            &[verb, self.state.to_str().unwrap(), &node.to_string()],
        );
    }

    /// `kill -9` of a broker.
    pub async fn kill(&self, node: u32) {
        self.run("kill", &[&node.to_string()]).await;
    }

    /// SIGTERM to a broker. Its leaders move first; returns when it has ended.
    pub async fn stop(&self, node: u32) {
        self.run("stop", &[&node.to_string()]).await;
    }

    /// Starts a broker that was killed or stopped, on its old data and ports.
    pub async fn start_node(&self, node: u32) {
        self.run("start", &[&node.to_string()]).await;
    }

    /// SIGSTOP to a broker: it accepts connections and never responds.
    pub async fn pause(&self, node: u32) {
        self.run("pause", &[&node.to_string()]).await;
    }

    /// Resumes a paused broker.
    pub async fn resume(&self, node: u32) {
        self.run("cont", &[&node.to_string()]).await;
    }

    /// Settings of a client of these brokers.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("enable.metrics.push", "false")
            .set("topic.metadata.refresh.interval.ms", "1000")
            .set("log_level", "0");
        config
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    /// Creates a topic with at most three replicas of each partition, and waits for its leaders.
    pub async fn create_topic(&self, name: &str, partitions: i32) {
        let replicas = i32::try_from(self.nodes.min(3)).unwrap();
        self.create_replicated(name, partitions, replicas).await;
    }

    /// Creates a topic with `replicas` replicas of each partition. Waits for a topic of that name
    /// that is still being deleted.
    pub async fn create_replicated(&self, name: &str, partitions: i32, replicas: i32) {
        self.create_set(name, partitions, replicas, &[]).await;
    }

    /// The same, with settings of the topic.
    pub async fn create_set(
        &self,
        name: &str,
        partitions: i32,
        replicas: i32,
        settings: &[(&str, &str)],
    ) {
        let admin = self.admin();
        let options = AdminOptions::new().operation_timeout(Some(secs(10)));
        until(secs(30), "the topic is created", || async {
            let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
            for (key, value) in settings {
                topic = topic.set(key, value);
            }
            match admin
                .create_topics(&[topic], &options)
                .await
                .map_err(|e| e.to_string())?
                .pop()
            {
                Some(Ok(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        self.until_led(name, partitions).await;
    }

    async fn until_led(&self, name: &str, partitions: i32) {
        until(secs(30), "every partition has a leader", || async {
            let leaders = self.leaders(name).await;
            let led = leaders.values().filter(|leader| **leader >= 0).count();
            if i32::try_from(led).unwrap() == partitions {
                Ok(())
            } else {
                Err(format!("{leaders:?}"))
            }
        })
        .await;
    }

    /// Adds partitions to a topic, up to `total`; returns when all have leaders.
    pub async fn add_partitions(&self, name: &str, total: usize) {
        let admin = self.admin();
        let more = NewPartitions::new(name, total);
        let result = admin
            .create_partitions(&[more], &AdminOptions::new())
            .await
            .unwrap();
        assert!(result.iter().all(Result::is_ok), "{result:?}");
        self.until_led(name, i32::try_from(total).unwrap()).await;
    }

    /// Deletes a topic; returns when no broker reports it any more.
    pub async fn delete_topic(&self, name: &str) {
        let result = self
            .admin()
            .delete_topics(&[name], &AdminOptions::new())
            .await
            .unwrap();
        assert!(result.iter().all(Result::is_ok), "{result:?}");
        until(secs(30), "the topic is gone", || async {
            let leaders = self.leaders(name).await;
            if leaders.is_empty() {
                Ok(())
            } else {
                Err(format!("{leaders:?}"))
            }
        })
        .await;
    }

    /// The leader of each partition, from the metadata.
    pub async fn leaders(&self, topic: &str) -> BTreeMap<i32, i32> {
        let config = self.config();
        let topic = topic.to_owned();
        let read = move || {
            let client: BaseConsumer = config.create().unwrap();
            let Ok(metadata) = client.fetch_metadata(Some(&topic), secs(5)) else {
                return BTreeMap::new();
            };
            let partitions = metadata
                .topics()
                .first()
                .map_or(&[][..], |t| t.partitions());
            partitions.iter().map(|p| (p.id(), p.leader())).collect()
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    /// Sends `records` records, spread evenly over the partitions, and waits until all are
    /// acknowledged.
    pub async fn produce(&self, topic: &str, records: usize) {
        let partitions: Vec<i32> = self.leaders(topic).await.into_keys().collect();
        let mut config = self.config();
        let producer: FutureProducer = config.set("linger.ms", "5").create().unwrap();
        let sent = (0..records).map(|i| {
            let record = FutureRecord::<(), str>::to(topic)
                .payload("record")
                .partition(partitions[i % partitions.len()]);
            producer.send(record, Timeout::After(secs(30)))
        });
        for delivery in futures::future::join_all(sent).await {
            delivery.unwrap();
        }
    }

    /// Sends a record for each of these timestamps, in milliseconds, to a partition, in order.
    pub async fn produce_at(&self, topic: &str, partition: i32, timestamps: &[i64]) {
        let mut config = self.config();
        let producer: FutureProducer = config.set("linger.ms", "5").create().unwrap();
        let sent = timestamps.iter().map(|timestamp| {
            let record = FutureRecord::<(), str>::to(topic)
                .payload("record")
                .partition(partition)
                .timestamp(*timestamp);
            producer.send(record, Timeout::After(secs(30)))
        });
        for delivery in futures::future::join_all(sent).await {
            delivery.unwrap();
        }
    }

    /// Deletes the records of a partition before `offset`, as retention does.
    pub async fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        let (admin, options) = (self.admin(), AdminOptions::new());
        admin.delete_records(&before, &options).await.unwrap();
    }

    /// Number of connections of this process to the brokers, of all clients.
    pub fn connections(&self) -> usize {
        Self::connections_to(&self.bootstrap)
    }

    /// Number of connections of this process to these servers.
    pub fn connections_to(bootstrap: &str) -> usize {
        let servers = bootstrap.split(',');
        let ports: Vec<&str> = servers.map(|s| s.rsplit(':').next().unwrap()).collect();
        let sockets = std::fs::read_dir("/proc/self/fd").unwrap();
        let own: Vec<String> = sockets
            .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
            .filter_map(|link| {
                let socket = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
                Some(socket.to_owned())
            })
            .collect();
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let established = table.lines().skip(1).filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port = u16::from_str_radix(fields[2].rsplit(':').next().unwrap(), 16).unwrap();
            let to_broker = ports.contains(&port.to_string().as_str());
            fields[3] == "01" && to_broker && own.iter().any(|inode| inode == fields[9])
        });
        established.count()
    }

    /// Log end of each partition. Retries, because a new leader may not serve it at once.
    pub async fn ends(&self, topic: &str) -> BTreeMap<i32, i64> {
        let partitions: Vec<i32> = self.leaders(topic).await.into_keys().collect();
        until(secs(30), "the log ends can be read", || {
            let (config, topic) = (self.config(), topic.to_owned());
            let partitions = partitions.clone();
            async move {
                let read = move || {
                    let client: BaseConsumer = config.create().map_err(|e| e.to_string())?;
                    let end = |p: i32| match client.fetch_watermarks(&topic, p, secs(10)) {
                        Ok((_, end)) => Ok((p, end)),
                        Err(error) => Err(error.to_string()),
                    };
                    partitions.into_iter().map(end).collect()
                };
                tokio::task::spawn_blocking(read).await.unwrap()
            }
        })
        .await
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        script(SCRIPT, &["down", self.state.to_str().unwrap()]);
    }
}

/// Settings of a consumer of a test.
pub fn consumer_config(bootstrap: &str, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "500")
        .set("topic.metadata.refresh.interval.ms", "1000")
        .set("queued.max.messages.kbytes", "256")
        .set("enable.metrics.push", "false")
        .set("log_level", "0");
    config
}

/// How long a consumer of a test waits for a record before it continues.
pub const POLL: Duration = Duration::from_millis(100);
