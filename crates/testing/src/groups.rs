//! Operations of tests on consumer groups of real brokers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::Kafka;
use crate::until::{secs, until};

impl Kafka {
    /// The broker that coordinates a group: the leader of its partition of `__consumer_offsets`.
    pub async fn coordinator(&self, group: &str) -> i32 {
        let leaders = self.leaders("__consumer_offsets").await;
        let count = i32::try_from(leaders.len()).unwrap();
        assert!(count > 0, "there are no offsets yet");
        // String.hashCode of Java, as the broker computes it.
        let hash = group.encode_utf16().fold(0i32, |hash, unit| {
            hash.wrapping_mul(31).wrapping_add(i32::from(unit))
        });
        leaders[&((hash & i32::MAX) % count)]
    }

    /// Deletes a group that has no members.
    pub async fn delete_group(&self, group: &str) {
        // Keep the client until the response arrives; without the client it is lost.
        let admin = self.admin();
        let result = admin.delete_groups(&[group], &AdminOptions::new());
        let result = result.await.unwrap();
        assert!(result.iter().all(Result::is_ok), "{result:?}");
    }

    /// Commits for a group that has no members. A new cluster may lose its first commits without an
    /// error, so they are read back.
    pub async fn commit(&self, group: &str, topic: &str, offsets: &BTreeMap<i32, i64>) {
        let mut config = self.config();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false");
        until(secs(30), "the commits can be read", || {
            let (config, topic, offsets) = (config.clone(), topic.to_owned(), offsets.clone());
            async move {
                let write = move || {
                    let client: BaseConsumer = config.create().map_err(|e| e.to_string())?;
                    let mut list = TopicPartitionList::new();
                    for (partition, offset) in &offsets {
                        list.add_partition_offset(&topic, *partition, Offset::Offset(*offset))
                            .unwrap();
                    }
                    client
                        .commit(&list, CommitMode::Sync)
                        .map_err(|e| e.to_string())?;
                    let read = client
                        .committed_offsets(list.clone(), secs(10))
                        .map_err(|e| e.to_string())?;
                    if read == list {
                        Ok(())
                    } else {
                        Err(format!("{read:?}"))
                    }
                };
                tokio::task::spawn_blocking(write).await.unwrap()
            }
        })
        .await;
    }

    /// The commits of a group, without partitions that have none.
    pub async fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let partitions: Vec<i32> = self.leaders(topic).await.into_keys().collect();
        let mut config = self.config();
        config.set("group.id", group);
        let topic = topic.to_owned();
        let read = move || {
            let client: BaseConsumer = config.create().unwrap();
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                list.add_partition(&topic, partition);
            }
            let committed = client.committed_offsets(list, secs(10)).unwrap();
            let offset =
                |e: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match e.offset() {
                    Offset::Offset(offset) => Some((e.partition(), offset)),
                    _ => None,
                };
            committed
                .elements()
                .into_iter()
                .filter_map(offset)
                .collect()
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    /// State, protocol and members of a group, for people. For a KIP-848 group Kafka returns here
    /// only its type.
    pub async fn describe(&self, group: &str) -> String {
        let (config, group) = (self.config(), group.to_owned());
        let read = move || -> Result<String, rdkafka::error::KafkaError> {
            let client: BaseConsumer = config.create()?;
            let list = client.fetch_group_list(Some(&group), secs(10))?;
            let mut said = String::new();
            for found in list.groups() {
                let members = found.members();
                let heads = [found.name(), found.state(), found.protocol()];
                writeln!(said, "{}: {} members", heads.join(" "), members.len()).unwrap();
                for member in members {
                    writeln!(said, "  {} {}", member.id(), member.client_host()).unwrap();
                }
            }
            Ok(said)
        };
        let said = tokio::task::spawn_blocking(read).await.unwrap();
        said.unwrap_or_else(|error| error.to_string())
    }

    /// The ids of a group's members, sorted.
    pub async fn members(&self, group: &str) -> Vec<String> {
        let (config, group) = (self.config(), group.to_owned());
        let read = move || {
            let client: BaseConsumer = config.create().unwrap();
            let list = client.fetch_group_list(Some(&group), secs(10)).unwrap();
            let mut ids: Vec<String> = list
                .groups()
                .iter()
                .flat_map(rdkafka::groups::GroupInfo::members)
                .map(|m| m.id().to_owned())
                .collect();
            ids.sort();
            ids
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    /// Commits at the log ends, so that the group has no lag.
    pub async fn commit_at_ends(&self, group: &str, topic: &str) {
        let ends = self.ends(topic).await;
        self.commit(group, topic, &ends).await;
    }
}
