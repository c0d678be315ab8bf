//! Checks whether each broker shows a change. Only reads.
//!
//! A change reaches the brokers one after the other, and they differ for up to 200 ms; the next
//! request of a client may go to any of them.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::MetadataTopic;

use crate::connection::{Connection, Reports};
use crate::failure::Failure;

const REQUEST: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until the metadata of `topic` from each broker (`None`: no such topic) satisfies `wanted`.
pub(crate) fn everywhere(
    connection: &Connection,
    topic: &str,
    wait: Duration,
    wanted: impl Fn(Option<&MetadataTopic>) -> bool,
) -> Result<(), Failure> {
    let deadline = Instant::now() + wait;
    let enquirer = connection.enquirer(None)?;
    for broker in brokers(connection, &enquirer, deadline, wait)? {
        // A client that has only this broker asks this one: it connects to others only when they
        // lead something.
        let enquirer = connection.enquirer(Some(&broker))?;
        while !shows(&enquirer, topic, &wanted) {
            if Instant::now() >= deadline {
                return Err(Failure::NotVisible {
                    topic: topic.to_owned(),
                    broker,
                    waited: wait,
                });
            }
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

fn brokers(
    connection: &Connection,
    enquirer: &BaseConsumer<Reports>,
    deadline: Instant,
    wait: Duration,
) -> Result<Vec<String>, Failure> {
    loop {
        if let Ok(metadata) = enquirer.fetch_metadata(None, REQUEST) {
            return Ok(metadata
                .brokers()
                .iter()
                .map(|broker| address(broker.host(), broker.port()))
                .collect());
        }
        if Instant::now() >= deadline {
            return Err(connection.unreachable(enquirer, wait));
        }
        std::thread::sleep(PAUSE);
    }
}

fn address(host: &str, port: i32) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn shows(
    enquirer: &BaseConsumer<Reports>,
    topic: &str,
    wanted: impl Fn(Option<&MetadataTopic>) -> bool,
) -> bool {
    let Ok(metadata) = enquirer.fetch_metadata(Some(topic), REQUEST) else {
        return false;
    };
    let known = metadata
        .topics()
        .iter()
        .find(|found| found.name() == topic && found.error().is_none());
    wanted(known.filter(|found| !found.partitions().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_ipv6_is_in_brackets() {
        assert_eq!(address("kafka.local", 9092), "kafka.local:9092");
        assert_eq!(address("::1", 9092), "[::1]:9092");
    }
}
