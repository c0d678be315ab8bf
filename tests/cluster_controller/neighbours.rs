//! Groups that cannot work, and a Kafka that never answers, do not delay the other groups.

use std::net::TcpListener;
use std::time::Instant;

use lagrange_core::api::condition::{Type, find};
use lagrange_testing::until::{same, secs, until};
use serde_json::{Value, json};

use crate::stage::{APP, Stage};

/// A group that cannot work: its name, the fault in its spec, and its `Ready` condition.
struct Bad {
    name: &'static str,
    change: Value,
    says: &'static str,
}

/// One group for each fault. `mute`: a server that accepts connections and never answers. `closed`:
/// an address at which nothing listens.
fn bad_groups(mute: &str, closed: &str) -> [Bad; 7] {
    let bad = |name, change, says| Bad { name, change, says };
    let at = |server: &str| json!({ "kafka": { "bootstrapServers": [server] } });
    let behind_tls = json!({ "kafka": { "bootstrapServers": [mute], "tls": {} } });
    [
        bad("mute", at(mute), "False/KafkaUnreachable"),
        bad("mute-tls", behind_tls, "False/KafkaUnreachable"),
        bad("closed", at(closed), "False/KafkaUnreachable"),
        bad(
            "pattern",
            json!({ "topics": null, "topicPattern": "orders(" }),
            "False/InvalidSpec",
        ),
        bad(
            "cluster",
            json!({ "kafka": { "bootstrapServers": null, "clusterRef": { "name": "nowhere" } } }),
            "False/ClusterNotFound",
        ),
        bad(
            "target",
            json!({ "scaleTargetRef": { "name": "nowhere" } }),
            "False/TargetNotFound",
        ),
        bad(
            "topic",
            json!({ "topics": ["there.is.no.such.topic"] }),
            "False/TopicNotFound",
        ),
    ]
}

impl Stage<'_> {
    /// Creates the group with a target and a group id of its own, so that none contests another.
    async fn bad_group(&self, Bad { name, change, .. }: &Bad) {
        let mut spec = self.spec(json!({ "groupId": name, "scaleTargetRef": { "name": name } }));
        if *name != "target" {
            self.space.deployment(name, 1).await;
        }
        crate::stage::merge(&mut spec, change.clone());
        self.space.group(name, spec).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_groups_and_a_kafka_that_never_answers_do_not_delay_others() {
    let stage = Stage::new("apples").await;
    let _consumers = stage.set(6, 1).await;
    // Accepts connections and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = mute.local_addr().unwrap().to_string();
    // Nothing listens there any longer.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let all_bad = bad_groups(&mute, &closed);
    for bad in &all_bad {
        stage.bad_group(bad).await;
    }
    let operator = stage.operator().await;
    for Bad { name, says, .. } in &all_bad {
        stage.space.until_condition(name, "Ready", says).await;
    }
    for mute in ["mute", "mute-tls"] {
        let status = stage.space.status(mute).await;
        let message = &find(&status.conditions, Type::Ready).unwrap().message;
        assert!(message.contains("wrong protocol or port"), "{message}");
    }

    stage.group(json!({})).await;
    stage.until_members(1).await;
    let decisions = || {
        let of = format!("/{APP}.{}", stage.space.name);
        let log = operator.log();
        log.lines()
            .filter(|line| line.contains(&of) && line.contains("decided"))
            .count()
    };
    let (began, before) = (Instant::now(), decisions());
    tokio::time::sleep(secs(26)).await;
    let polls = decisions() - before;
    assert!(polls >= 5, "{polls} polls in {:?}", began.elapsed());

    let began = Instant::now();
    stage.kafka.produce(&stage.topic, 600).await;
    until(secs(20), "the healthy group is scaled", || async {
        same(&stage.space.replicas(APP).await, &6)
    })
    .await;
    // One poll and a second, and some time for a busy machine.
    assert!(began.elapsed() < secs(9), "{:?}", began.elapsed());
}
