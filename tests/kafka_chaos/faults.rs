//! Faults of brokers, connections, credentials, groups and watches. Every kind of fault comes from
//! a deck that is shuffled by a seed. What a fault does depends on the seed and on the faults
//! before it, never on time: a seed always gives the same faults in the same order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::proxy::Proxy;

use super::cast::MOST_PARTITIONS;
use super::ephemeral_groups::EphemeralGroups;
use super::eyes::Eyes;
use super::truth::Truth;

pub(crate) const BROKERS: u32 = 3;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    /// A broker is killed, paused or stopped, and comes back a while later.
    Hurt,
    /// One broker after the other is stopped and started.
    Roll,
    /// The proxy ends connections.
    Cut,
    /// The proxy passes on half of an answer, and ends the connection.
    Halve,
    /// The proxy delays answers for longer than a request or a poll may take.
    Hold,
    /// The proxy accepts connections and never answers.
    Silence,
    Unwatch,
    WatchAll,
    UnwatchAll,
    AddGroup,
    RemoveGroup,
    WrongPassword,
    NewPassword,
    AddPartition,
}

/// How often each is in the deck.
const DECK: [(Card, usize); 14] = [
    (Card::Hurt, 8),
    (Card::Roll, 1),
    (Card::Cut, 4),
    (Card::Halve, 3),
    (Card::Hold, 4),
    (Card::Silence, 2),
    (Card::Unwatch, 4),
    (Card::WatchAll, 3),
    (Card::UnwatchAll, 1),
    (Card::AddGroup, 3),
    (Card::RemoveGroup, 3),
    (Card::WrongPassword, 1),
    (Card::NewPassword, 2),
    (Card::AddPartition, 1),
];

/// A broker with a fault.
struct Hurt {
    undo: &'static str,
    at: Instant,
}

pub(crate) struct Faults<'a> {
    kafka: &'a Kafka,
    truth: &'a Truth,
    pub(crate) proxy: &'a Proxy,
    pub(crate) eyes: Eyes,
    guests: EphemeralGroups<'a>,
    rng: Rng,
    deck: Vec<Card>,
    /// Complete decks so far.
    decks: u32,
    began: Instant,
    hurt: BTreeMap<u32, Hurt>,
    /// How often each fault was injected.
    pub(crate) done: BTreeMap<&'static str, u32>,
}

impl<'a> Faults<'a> {
    pub(crate) fn new(
        kafka: &'a Kafka,
        proxy: &'a Proxy,
        truth: &'a Truth,
        guests: EphemeralGroups<'a>,
        eyes: Eyes,
        seed: u64,
    ) -> Self {
        Self {
            kafka,
            truth,
            proxy,
            eyes,
            guests,
            rng: Rng::with_seed(seed),
            deck: Vec::new(),
            decks: 0,
            began: Instant::now(),
            hurt: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    /// Injects one fault after the other for this time, and until each kind was injected. Then
    /// everything is undone.
    pub(crate) async fn go_on_for(&mut self, lasting: Duration) {
        let until = Instant::now() + lasting;
        while Instant::now() < until || self.decks == 0 {
            self.undo_until(Instant::now()).await;
            let card = self.draw();
            // A random generator of its own: how much one fault uses of it does not change the
            // next.
            let mut rng = self.rng.fork();
            self.play(card, &mut rng).await;
            let pause = Duration::from_millis(rng.u64(200..2_500));
            tokio::time::sleep(pause).await;
        }
        self.undo_all().await;
        self.proxy.release();
        self.guests.rest().await;
        self.say("everything is undone", "");
        self.eyes.renew_rightly();
        self.eyes.watch_all();
    }

    fn draw(&mut self) -> Card {
        if self.deck.is_empty() {
            let cards = DECK.iter();
            self.deck = cards
                .flat_map(|(card, count)| std::iter::repeat_n(*card, *count))
                .collect();
            self.rng.shuffle(&mut self.deck);
        }
        let card = self.deck.pop().unwrap();
        self.decks += u32::from(self.deck.is_empty());
        card
    }

    async fn play(&mut self, card: Card, rng: &mut Rng) {
        match card {
            Card::Hurt => self.hurt_a_broker(rng).await,
            Card::Roll => self.roll(rng).await,
            Card::Cut => {
                for broker in some(rng, 2) {
                    let reset = rng.bool();
                    self.say("cut connections", &format!("to {broker}, reset: {reset}"));
                    self.proxy.cut(broker, reset);
                }
            }
            Card::Halve => {
                for broker in some(rng, 4) {
                    self.say("halve answers", &format!("of {broker}"));
                    self.proxy.halve(broker);
                }
            }
            Card::Hold => {
                // Longer than a request may take, or longer than a poll may take.
                let millis = if rng.bool() {
                    rng.u64(1_600..4_000)
                } else {
                    rng.u64(10_500..13_000)
                };
                for broker in some(rng, 2) {
                    self.say("hold answers back", &format!("of {broker}, {millis} ms"));
                    self.proxy.hold(broker, Duration::from_millis(millis));
                }
            }
            Card::Silence => {
                let millis = rng.u64(2_000..8_000);
                for broker in some(rng, 4) {
                    self.say("never answer", &format!("as {broker}, {millis} ms"));
                    self.proxy.silence(broker, Duration::from_millis(millis));
                }
            }
            Card::Unwatch => {
                let group = rng.usize(..self.eyes.cast.groups.len());
                let group = self.eyes.cast.groups.keys().nth(group).unwrap().clone();
                self.say("stop watching", &group);
                self.eyes.stop_watching(&group);
            }
            Card::WatchAll => {
                self.say("watch all", "");
                self.eyes.watch_all();
            }
            Card::UnwatchAll => {
                // Sometimes long enough for the pool to drop the cluster.
                self.say("stop watching all", "");
                self.eyes.watches.lock().unwrap().clear();
                tokio::time::sleep(Duration::from_millis(rng.u64(500..4_000))).await;
                self.eyes.watch_all();
            }
            Card::AddGroup if self.guests.all_are_here() => self.remove_a_group(rng).await,
            Card::RemoveGroup if !self.guests.any_is_here() => self.add_a_group(rng),
            Card::AddGroup => self.add_a_group(rng),
            Card::RemoveGroup => self.remove_a_group(rng).await,
            Card::WrongPassword => {
                self.say("wrong password", "");
                self.eyes.renew("wrong");
                tokio::time::sleep(Duration::from_millis(rng.u64(500..8_000))).await;
                self.eyes.renew_rightly();
            }
            Card::NewPassword => self.change_the_password(rng).await,
            Card::AddPartition => self.add_a_partition(rng).await,
        }
    }

    async fn undo_until(&mut self, then: Instant) {
        while let Some((&node, hurt)) = self.hurt.iter().find(|(_, hurt)| hurt.at <= then) {
            let undo = hurt.undo;
            self.control(undo, node).await;
            self.hurt.remove(&node);
        }
    }

    async fn undo_all(&mut self) {
        self.undo_until(Instant::now() + Duration::from_mins(60))
            .await;
    }

    /// Usually one at a time, because two of three are needed to elect leaders; sometimes two.
    async fn hurt_a_broker(&mut self, rng: &mut Rng) {
        let both = rng.u32(..5) == 0;
        let node = rng.u32(1..=BROKERS);
        let (verb, undo) = match rng.u32(..5) {
            0 | 1 => ("kill", "start"),
            2 | 3 => ("pause", "cont"),
            _ => ("stop", "start"),
        };
        // Handing over needs the others.
        let alone = !both || verb == "stop" || self.hurt.contains_key(&node);
        if alone || self.hurt.len() > 1 {
            self.undo_all().await;
        }
        self.control(verb, node).await;
        let at = Instant::now() + Duration::from_millis(rng.u64(500..12_000));
        self.hurt.insert(node, Hurt { undo, at });
    }

    async fn roll(&mut self, rng: &mut Rng) {
        self.undo_all().await;
        self.say("roll", "");
        let mut nodes: Vec<u32> = (1..=BROKERS).collect();
        rng.shuffle(&mut nodes);
        for node in nodes {
            self.control("stop", node).await;
            self.control("start", node).await;
        }
    }

    async fn control(&mut self, verb: &'static str, node: u32) {
        self.say(verb, &format!("broker {node}"));
        let node = node.to_string();
        self.kafka.run(verb, &[&node]).await;
    }

    fn add_a_group(&mut self, rng: &mut Rng) {
        let group = self.guests.add(rng);
        self.say("add a group", &group);
        self.eyes.watch_all();
    }

    /// It is watched until after its deletion, or sometimes not even until then.
    async fn remove_a_group(&mut self, rng: &mut Rng) {
        let watched = rng.bool();
        let group = self.guests.pick(rng);
        self.say("remove a group", &format!("{group}, watched: {watched}"));
        if !watched {
            self.eyes.stop_watching(&group);
        }
        self.guests.remove(&group).await;
    }

    /// The brokers get a new password, and the readers get it a moment later.
    async fn change_the_password(&mut self, rng: &mut Rng) {
        self.undo_all().await;
        self.eyes.password = format!("password-{}", rng.u32(..));
        self.say("new password", "");
        self.kafka
            .set_password("lagrange", &self.eyes.password)
            .await;
        tokio::time::sleep(Duration::from_millis(rng.u64(..5_000))).await;
        self.eyes.renew_rightly();
    }

    async fn add_a_partition(&mut self, rng: &mut Rng) {
        let topic = rng.usize(..self.eyes.cast.topics.len());
        let count = self.truth.count(topic) + 1;
        if count > MOST_PARTITIONS {
            return;
        }
        self.undo_all().await;
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

/// One broker; once in `one_in` times all of them.
fn some(rng: &mut Rng, one_in: u32) -> Vec<u32> {
    let one = rng.u32(1..=BROKERS);
    if rng.u32(..one_in) == 0 {
        (1..=BROKERS).collect()
    } else {
        vec![one]
    }
}

impl Drop for Faults<'_> {
    /// A paused broker could not be ended.
    fn drop(&mut self) {
        for (node, hurt) in &self.hurt {
            if hurt.undo == "cont" {
                self.kafka.control("cont", *node);
            }
        }
    }
}
