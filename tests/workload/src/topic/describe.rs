//! Describes a topic, and the progress of a group in it. Only reads.

use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Serialize;

use crate::connection::{Connection, Reports};
use crate::failure::Failure;
use crate::output::thousands;

const REQUEST: Duration = Duration::from_secs(5);

/// Pause before the next request, for brokers to agree.
const PAUSE: Duration = Duration::from_millis(100);

/// A topic at one moment.
#[derive(Debug, Serialize)]
pub(crate) struct Description {
    topic: String,
    records: i64,
    group: Option<String>,
    /// The sum over the partitions; without a commit the lag counts from the first offset. `None`
    /// without a group.
    lag: Option<i64>,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Partition {
    #[serde(rename = "partition")]
    id: i32,
    leader: i32,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
    first: i64,
    next: i64,
    committed: Option<i64>,
    lag: Option<i64>,
}

/// Describes a topic; tries again for up to `wait` while a partition has no leader or a broker is
/// away.
pub(crate) fn describe(
    connection: &Connection,
    topic: &str,
    group: Option<&str>,
    wait: Duration,
) -> Result<Description, Failure> {
    // The group id is for reading its offsets. This client does not subscribe, so it does not
    // become a member.
    let own = group.map(|group| ("group.id", group.to_owned()));
    let client = BaseConsumer::from_config_and_context(&connection.config(own), Reports::default());
    let client = client.map_err(Failure::Settings)?;
    let deadline = Instant::now() + wait;
    loop {
        match once(&client, topic, group) {
            Ok(description) => return Ok(description),
            Err(error) if Instant::now() >= deadline => {
                return Err(Failure::Unreadable {
                    topic: topic.to_owned(),
                    error,
                });
            }
            Err(error) => tracing::debug!(%error, "not yet"),
        }
        std::thread::sleep(PAUSE);
    }
}

/// Reads the commits first and the log ends after, so that the order of reads does not make the lag
/// negative.
fn once(
    client: &BaseConsumer<Reports>,
    topic: &str,
    group: Option<&str>,
) -> KafkaResult<Description> {
    let metadata = client.fetch_metadata(Some(topic), REQUEST)?;
    let known = metadata
        .topics()
        .iter()
        .flat_map(rdkafka::metadata::MetadataTopic::partitions);
    let mut partitions: Vec<Partition> = known
        .map(|known| Partition {
            id: known.id(),
            leader: known.leader(),
            replicas: known.replicas().to_vec(),
            in_sync: known.isr().to_vec(),
            first: 0,
            next: 0,
            committed: None,
            lag: None,
        })
        .collect();
    partitions.sort_by_key(|partition| partition.id);
    if group.is_some() {
        let mut asked = TopicPartitionList::new();
        for partition in &partitions {
            asked.add_partition(topic, partition.id);
        }
        let answer = client.committed_offsets(asked, REQUEST)?;
        for partition in &mut partitions {
            let Some(element) = answer.find_partition(topic, partition.id) else {
                continue;
            };
            element.error()?;
            partition.committed = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
        }
    }
    for partition in &mut partitions {
        (partition.first, partition.next) =
            client.fetch_watermarks(topic, partition.id, REQUEST)?;
        partition.lag =
            group.map(|_| (partition.next - partition.committed.unwrap_or(partition.first)).max(0));
    }
    Ok(Description {
        topic: topic.to_owned(),
        records: partitions
            .iter()
            .map(|partition| partition.next - partition.first)
            .sum(),
        group: group.map(str::to_owned),
        lag: partitions.iter().map(|partition| partition.lag).sum(),
        partitions,
    })
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, count) = (
            thousands(self.records.unsigned_abs()),
            self.partitions.len(),
        );
        write!(
            f,
            "topic {}: {count} partitions, {records} records",
            self.topic
        )?;
        if let (Some(group), Some(lag)) = (&self.group, self.lag) {
            write!(f, "; group {group}: lag {}", thousands(lag.unsigned_abs()))?;
        }
        self.partitions
            .iter()
            .try_for_each(|partition| write!(f, "\n{partition}"))
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            leader,
            replicas,
            in_sync,
            first,
            next,
            committed,
            lag,
        } = self;
        write!(
            f,
            "{id:>5}  leader {leader}  replicas {replicas:?}  in sync {in_sync:?}  {first}..{next}"
        )?;
        match (committed, lag) {
            (Some(committed), Some(lag)) => write!(f, "  committed {committed}  lag {lag}"),
            (None, Some(lag)) => write!(f, "  never committed  lag {lag}"),
            (_, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(group: bool) -> Description {
        let partition = |id, committed: Option<i64>| Partition {
            id,
            leader: 1,
            replicas: vec![1, 2],
            in_sync: vec![1],
            first: 0,
            next: 1_000,
            committed: committed.filter(|_| group),
            lag: group.then_some(1_000 - committed.unwrap_or_default()),
        };
        Description {
            topic: "orders".to_owned(),
            records: 2_000,
            group: group.then(|| "billing".to_owned()),
            lag: group.then_some(1_100),
            partitions: vec![partition(0, Some(900)), partition(1, None)],
        }
    }

    #[test]
    fn description_for_people() {
        insta::assert_snapshot!(example(false), @r"
        topic orders: 2 partitions, 2,000 records
            0  leader 1  replicas [1, 2]  in sync [1]  0..1000
            1  leader 1  replicas [1, 2]  in sync [1]  0..1000
        ");
        insta::assert_snapshot!(example(true), @r"
        topic orders: 2 partitions, 2,000 records; group billing: lag 1,100
            0  leader 1  replicas [1, 2]  in sync [1]  0..1000  committed 900  lag 100
            1  leader 1  replicas [1, 2]  in sync [1]  0..1000  never committed  lag 1000
        ");
    }

    #[test]
    fn description_for_programs() {
        insta::assert_snapshot!(serde_json::to_string(&example(true)).unwrap(), @r#"{"topic":"orders","records":2000,"group":"billing","lag":1100,"partitions":[{"partition":0,"leader":1,"replicas":[1,2],"in_sync":[1],"first":0,"next":1000,"committed":900,"lag":100},{"partition":1,"leader":1,"replicas":[1,2],"in_sync":[1],"first":0,"next":1000,"committed":null,"lag":1000}]}"#);
    }
}
