//! What is done to brokers, connections, credentials and watches: at random, from a seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use lagrange::kafka::connection::Connection;
use lagrange::kafka::interest::Key;
use lagrange::kafka::pool::{Pool, Watch};
use lagrange::kafka::security::{PasswordMechanism, Security};

use super::cast::{Cast, MOST_PARTITIONS};
use super::process::cut_connections;
use super::scene::{connection, login, trusting};
use super::support::kafka::Kafka;
use super::truth::Truth;

/// Who watches, by group.
pub(crate) type Watches = Arc<Mutex<BTreeMap<String, Watch>>>;

/// What is read through, and by whom.
pub(crate) struct Eyes {
    pub(crate) pool: Pool,
    pub(crate) bootstrap: String,
    pub(crate) authorities: String,
    pub(crate) password: String,
    pub(crate) revision: u64,
    pub(crate) cast: Arc<Cast>,
    pub(crate) watches: Watches,
}

impl Eyes {
    fn connection(&self, password: &str) -> Connection {
        let security = Security {
            tls: trusting(&self.authorities),
            sasl: login(PasswordMechanism::ScramSha512, password),
        };
        connection(&self.bootstrap, security, self.revision)
    }

    /// Watches every group that is not watched yet.
    pub(crate) fn watch_all(&mut self) {
        let connection = self.connection(&self.password);
        let mut watches = self.watches.lock().unwrap();
        for id in self.cast.groups.keys() {
            if !watches.contains_key(id) {
                let key = Key::consumer_group("test", id);
                let interest = self.cast.interest(id);
                let watch = self.pool.watch(&connection, key, interest).unwrap();
                watches.insert(id.clone(), watch);
            }
        }
    }

    /// Hands over a password.
    pub(crate) fn renew(&mut self, password: &str) {
        self.revision += 1;
        let connection = self.connection(password);
        if let Some(watch) = self.watches.lock().unwrap().values().next() {
            watch.renew(&connection);
        }
    }

    /// Hands over the password that the brokers know.
    pub(crate) fn renew_rightly(&mut self) {
        let password = self.password.clone();
        self.renew(&password);
    }
}

/// A broker that something was done to.
struct Hurt {
    undo: &'static str,
    at: Instant,
}

pub(crate) struct Faults<'a> {
    pub(crate) kafka: &'a Kafka,
    pub(crate) truth: &'a Truth,
    pub(crate) eyes: Eyes,
    /// The brokers', at the listener that is read through.
    ports: Vec<u16>,
    rng: Rng,
    began: Instant,
    hurt: BTreeMap<u32, Hurt>,
    /// What was done how often.
    pub(crate) done: BTreeMap<&'static str, u32>,
}

impl<'a> Faults<'a> {
    pub(crate) fn new(kafka: &'a Kafka, truth: &'a Truth, eyes: Eyes, seed: u64) -> Self {
        let servers = eyes.bootstrap.split(',');
        let port = |server: &str| server.rsplit(':').next().unwrap().parse().unwrap();
        let ports = servers.map(port).collect();
        Self {
            kafka,
            truth,
            eyes,
            ports,
            rng: Rng::with_seed(seed),
            began: Instant::now(),
            hurt: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    /// One fault after the other for so long; then all is undone.
    pub(crate) async fn go_on_for(&mut self, lasting: Duration) {
        let until = Instant::now() + lasting;
        while Instant::now() < until {
            self.undo_what_is_due(Instant::now()).await;
            self.next().await;
            let pause = Duration::from_millis(self.rng.u64(200..3_000));
            tokio::time::sleep(pause).await;
        }
        let all = Instant::now() + Duration::from_mins(60);
        self.undo_what_is_due(all).await;
        self.say("all is undone", "");
        self.eyes.renew_rightly();
        self.eyes.watch_all();
    }

    async fn undo_what_is_due(&mut self, now: Instant) {
        while let Some((&node, hurt)) = self.hurt.iter().find(|(_, hurt)| hurt.at <= now) {
            let undo = hurt.undo;
            self.control(undo, node).await;
            self.hurt.remove(&node);
        }
    }

    async fn next(&mut self) {
        match self.rng.u32(..100) {
            0..40 => self.hurt_a_broker().await,
            40..60 => {
                let cut = cut_connections(&self.ports);
                self.say("cut", &format!("{cut} connections"));
            }
            60..72 => {
                let group = self.rng.usize(..self.eyes.cast.groups.len());
                let group = self.eyes.cast.groups.keys().nth(group).unwrap().clone();
                self.say("stop watching", &group);
                self.eyes.watches.lock().unwrap().remove(&group);
            }
            72..84 => {
                self.say("watch all", "");
                self.eyes.watch_all();
            }
            84..86 => {
                // Long enough, now and then, for the pool to let the cluster go.
                self.say("stop watching", "all");
                self.eyes.watches.lock().unwrap().clear();
                let pause = Duration::from_millis(self.rng.u64(500..4_000));
                tokio::time::sleep(pause).await;
                self.eyes.watch_all();
            }
            86..92 => {
                self.say("wrong password", "");
                self.eyes.renew("wrong");
                let pause = Duration::from_millis(self.rng.u64(500..8_000));
                tokio::time::sleep(pause).await;
                self.eyes.renew_rightly();
            }
            92..96 if self.hurt.is_empty() => self.change_the_password().await,
            _ if self.hurt.is_empty() => self.add_a_partition().await,
            _ => {}
        }
    }

    /// One at a time as a rule, for two of three are needed to choose leaders; at times two.
    async fn hurt_a_broker(&mut self) {
        let most = if self.rng.u32(..5) == 0 { 2 } else { 1 };
        let node = self.rng.u32(1..=3);
        if self.hurt.len() >= most || self.hurt.contains_key(&node) {
            return;
        }
        let (verb, undo) = match self.rng.u32(..5) {
            0 | 1 => ("kill", "start"),
            2 | 3 => ("pause", "cont"),
            // Handing over takes the others.
            _ if self.hurt.is_empty() => ("stop", "start"),
            _ => return,
        };
        self.control(verb, node).await;
        let at = Instant::now() + Duration::from_millis(self.rng.u64(500..12_000));
        self.hurt.insert(node, Hurt { undo, at });
    }

    async fn control(&mut self, verb: &'static str, node: u32) {
        self.say(verb, &format!("broker {node}"));
        let node = node.to_string();
        self.kafka.run(verb, &[&node]).await;
    }

    /// The brokers know a new password; a moment later so do we.
    async fn change_the_password(&mut self) {
        self.eyes.password = format!("password-{}", self.rng.u32(..));
        self.say("new password", "");
        self.kafka
            .set_password("lagrange", &self.eyes.password)
            .await;
        let pause = Duration::from_millis(self.rng.u64(..5_000));
        tokio::time::sleep(pause).await;
        self.eyes.renew_rightly();
    }

    async fn add_a_partition(&mut self) {
        let topic = self.rng.usize(..self.eyes.cast.topics.len());
        let count = self.truth.count(topic) + 1;
        if count > MOST_PARTITIONS {
            return;
        }
        let name = &self.eyes.cast.topics[topic].clone();
        self.say("add a partition", name);
        self.truth.grow(topic, count, false);
        self.kafka
            .add_partitions(name, usize::try_from(count).unwrap())
            .await;
        self.truth.grow(topic, count, true);
    }

    fn say(&mut self, what: &'static str, to: &str) {
        *self.done.entry(what).or_default() += 1;
        let at = jiff::Timestamp::now();
        println!(
            "{at} {:7.1} s: {what} {to}",
            self.began.elapsed().as_secs_f32()
        );
    }
}

impl Drop for Faults<'_> {
    /// A broker that is paused could not be ended.
    fn drop(&mut self) {
        for (node, hurt) in &self.hurt {
            if hurt.undo == "cont" {
                self.kafka.control("cont", *node);
            }
        }
    }
}
