//! The program against a real broker: what it writes, reads, commits and prints.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests panic with the expectation"
)]

mod support;

use std::io::Write as _;
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::Value;

use support::{Running, complaint, describe, fill, json, last_line, topic, unique};

/// How long a member may take to end on SIGTERM: a second for the current record, and leaving the
/// group.
const ORDERLY: Duration = Duration::from_secs(3);

fn number(value: &Value) -> i64 {
    value
        .as_i64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// The sum of a field over the partitions; null counts as 0.
fn sum(description: &Value, field: &str) -> i64 {
    let partitions = description["partitions"].as_array().unwrap();
    partitions
        .iter()
        .map(|partition| partition[field].as_i64().unwrap_or_default())
        .sum()
}

#[test]
fn producer_keeps_its_rate_and_counts_what_was_acknowledged() {
    let topic = topic(3);
    let begun = Instant::now();
    let done = json(&[
        "produce",
        "--topic",
        &topic,
        "--rate",
        "500/s",
        "--duration",
        "2s",
        "--output",
        "json",
    ]);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(done["kind"], "summary");
    assert_eq!(
        (
            number(&done["acked_total"]),
            number(&done["failed_total"]),
            number(&done["missed_total"])
        ),
        (1_000, 0, 0)
    );
    assert_eq!(number(&describe(&topic, "nobody")["records"]), 1_000);
}

#[test]
fn producer_follows_a_file_of_rates() {
    let topic = topic(1);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"seconds,rate\n0,0\n1,400\n2,0\n").unwrap();
    let path = file.path().to_str().unwrap();
    let done = json(&[
        "produce", "--topic", &topic, "--rates", path, "--output", "json",
    ]);
    assert_eq!(number(&done["acked_total"]), 400);
    let done = json(&[
        "produce", "--topic", &topic, "--rates", path, "--shape", "step", "--output", "json",
    ]);
    assert_eq!(number(&done["acked_total"]), 400);
}

#[test]
fn partition_weights_skew_the_load() {
    let topic = topic(3);
    let weights = [
        "--partition-weights",
        "1,0,9",
        "--rate",
        "20000",
        "--records",
        "1000",
        "--output",
        "json",
    ];
    let done = json(&[&["produce", "--topic", &topic], &weights[..]].concat());
    let partitions = &done["partitions"];
    assert!(partitions["1"].is_null(), "{partitions}");
    assert!(
        (80..120).contains(&number(&partitions["0"])),
        "{partitions}"
    );
}

#[test]
fn a_stopped_producer_delivers_its_records_and_succeeds() {
    let topic = topic(2);
    let running = Running::start(&[
        "produce",
        "--topic",
        &topic,
        "--rate",
        "300",
        "--report-interval",
        "100ms",
        "--output",
        "json",
    ]);
    running.wait_for("an interval", |running| {
        running.log().contains("interval").then_some(())
    });
    let (code, took, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < ORDERLY, "{took:?}");
    let done: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(done["acked_total"], describe(&topic, "nobody")["records"]);
}

#[test]
fn rate_of_zero_sends_nothing() {
    let topic = topic(1);
    let done = json(&[
        "produce",
        "--topic",
        &topic,
        "--rate",
        "0",
        "--duration",
        "300ms",
        "--output",
        "json",
    ]);
    assert_eq!(number(&done["acked_total"]), 0);
}

#[rstest]
#[case::range(&["--assignor", "range"])]
#[case::roundrobin(&["--assignor", "roundrobin"])]
#[case::cooperative(&["--assignor", "cooperative-sticky"])]
#[case::kip_848(&["--group-protocol", "consumer"])]
#[case::kip_848_range(&["--group-protocol", "consumer", "--assignor", "range"])]
#[case::each_record(&["--commit-interval", "0"])]
fn a_restart_continues_where_it_stopped(#[case] settings: &[&str]) {
    let (topic, group) = (topic(3), unique("group"));
    fill(&topic, 600);
    let first = Running::consumer(&topic, &group, settings);
    first.wait_for_stats("all done", |stats| number(&stats["records"]) == 600);
    first.wait_for_stats("all committed", |stats| sum(stats, "committed") == 600);
    let (code, took, log) = first.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < ORDERLY, "{took:?}");
    assert_eq!(number(&describe(&topic, &group)["lag"]), 0);

    fill(&topic, 50);
    let second = Running::consumer(&topic, &group, settings);
    second.wait_for_stats("the rest done", |stats| {
        stats["lag"] == 0 && number(&stats["records"]) >= 50
    });
    assert_eq!(
        number(&second.stats().unwrap()["records"]),
        50,
        "each record once"
    );
}

#[test]
fn a_stop_commits_exactly_what_is_done() {
    let (topic, group) = (topic(2), unique("group"));
    fill(&topic, 1_000);
    let member = Running::consumer(
        &topic,
        &group,
        &[
            "--millis-per-record",
            "20",
            "--commit-interval",
            "1h",
            "--output",
            "json",
        ],
    );
    member.wait_for_stats("some done", |stats| number(&stats["records"]) >= 10);
    assert_eq!(sum(&describe(&topic, &group), "committed"), 0);
    let (code, took, log) = member.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < ORDERLY, "{took:?}");
    let last = log.lines().rfind(|line| line.starts_with('{')).unwrap();
    let done = number(&serde_json::from_str::<Value>(last).unwrap()["records"]);
    assert!((10..500).contains(&done), "{done}");
    assert_eq!(sum(&describe(&topic, &group), "committed"), done);
}

#[test]
fn a_stop_leaves_a_long_record_undone() {
    let (topic, group) = (topic(1), unique("group"));
    fill(&topic, 3);
    let member = Running::consumer(&topic, &group, &["--millis-per-record", "600000"]);
    member.wait_for("the assignment", |member| {
        member.log().contains("assigned").then_some(())
    });
    let (code, took, log) = member.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < ORDERLY, "{took:?}");
    assert_eq!(number(&describe(&topic, &group)["lag"]), 3);
}

#[test]
fn a_poison_record_blocks_only_its_partition() {
    let (topic, group) = (topic(2), unique("group"));
    fill(&topic, 400);
    let member = Running::consumer(
        &topic,
        &group,
        &["--poison", "1:42", "--commit-interval", "0"],
    );
    let lag = |stats: &Value, partition: usize| stats["partitions"][partition]["lag"].as_i64();
    let stuck = member.wait_for_stats("it is stuck", |stats| {
        stats["partitions"][1]["retries"].as_u64() > Some(1) && lag(stats, 0) == Some(0)
    });
    assert_eq!(number(&stuck["partitions"][1]["stuck_at"]), 42);
    assert!(stuck["partitions"][0]["stuck_at"].is_null());
    member.stop();
    let left = describe(&topic, &group);
    assert_eq!(number(&left["partitions"][1]["committed"]), 42);
    assert_eq!(number(&left["partitions"][0]["lag"]), 0);

    let cured = Running::consumer(&topic, &group, &[]);
    cured.wait_for_stats("the rest done", |stats| {
        stats["lag"] == 0 && stats["records"] == left["lag"]
    });
}

#[test]
fn slow_member_takes_its_partitions_in_turn_and_reads_no_record_twice() {
    let (topic, group) = (topic(4), unique("group"));
    // A broker sends many records of one partition in a row.
    fill(&topic, 6_000);
    let member = Running::consumer(&topic, &group, &["--millis-per-record", "0.5"]);
    let early = member.wait_for_stats("a part done", |stats| number(&stats["records"]) > 2_000);
    for partition in early["partitions"].as_array().unwrap() {
        let done = partition["done"].as_i64().unwrap_or_default();
        assert!(done > 400, "each of the 4 has its share: {early}");
    }
    member.wait_for_stats("all done", |stats| {
        stats["lag"] == 0 && sum(stats, "committed") == 6_000
    });
    assert_eq!(number(&member.stats().unwrap()["records"]), 6_000);
}

#[rstest]
#[case::classic(&[])]
#[case::cooperative(&["--assignor", "cooperative-sticky"])]
#[case::kip_848(&["--group-protocol", "consumer"])]
fn members_without_a_partition_become_ready_too(#[case] settings: &[&str]) {
    let (topic, group) = (topic(1), unique("group"));
    let members = [(); 3].map(|()| Running::consumer(&topic, &group, settings));
    for member in &members {
        member.wait_for("readiness", |member| {
            (member.get("/readyz")?.0 == 200).then_some(())
        });
        assert_eq!(member.get("/healthz").unwrap().0, 200);
    }
    let assigned = || {
        members.iter().filter(|member| {
            !member.stats().unwrap()["partitions"]
                .as_array()
                .unwrap()
                .is_empty()
        })
    };
    members[0].wait_for("one member with the partition", |_| {
        (assigned().count() == 1).then_some(())
    });
}

#[test]
fn a_member_without_a_topic_is_not_ready_and_reports_why() {
    let member = Running::consumer("nothing-of-this-name", &unique("group"), &[]);
    let (code, why) = member.wait_for("an answer", |member| {
        member
            .get("/readyz")
            .filter(|(_, why)| why.contains("group"))
    });
    assert_eq!(code, 503);
    assert!(why.starts_with("not ready: "), "{why}");
    member.wait_for("a warning", |member| {
        member.log().contains("nothing-of-this-name").then_some(())
    });
    assert_eq!(member.stop().0, Some(0));
}

#[test]
fn a_new_member_continues_where_the_other_stopped() {
    let (topic, group) = (topic(4), unique("group"));
    fill(&topic, 4_000);
    let slow = ["--millis-per-record", "1"];
    let first = Running::consumer(&topic, &group, &slow);
    first.wait_for_stats("some done", |stats| number(&stats["records"]) > 100);
    let second = Running::consumer(&topic, &group, &slow);
    second.wait_for_stats("some done", |stats| number(&stats["records"]) > 100);
    first.wait_for("all committed", |_| {
        (describe(&topic, &group)["lag"] == 0).then_some(())
    });
    let done = [&first, &second].map(|member| number(&member.stats().unwrap()["records"]));
    assert_eq!(done.iter().sum::<i64>(), 4_000, "each record once");
}

#[test]
fn a_topic_is_created_extended_and_deleted() {
    let name = unique("admin");
    assert_eq!(
        last_line(&["topic", "create", &name, "--partitions", "2"]),
        format!("created topic {name} with 2 partitions")
    );
    assert!(
        complaint(&["topic", "create", &name, "--partitions", "2"]).contains("--if-not-exists")
    );
    last_line(&[
        "topic",
        "create",
        &name,
        "--partitions",
        "2",
        "--if-not-exists",
    ]);
    assert_eq!(
        last_line(&["topic", "partitions", &name, "--count", "5"]),
        format!("topic {name} has 5 partitions, 2 before")
    );
    assert!(complaint(&["topic", "partitions", &name, "--count", "4"]).contains("cannot shrink"));
    assert_eq!(
        describe(&name, "nobody")["partitions"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    assert_eq!(
        last_line(&["topic", "delete", &name]),
        format!("deleted topic {name}")
    );
    assert!(complaint(&["topic", "delete", &name]).contains("--if-exists"));
    last_line(&["topic", "delete", &name, "--if-exists"]);
    assert!(
        complaint(&["topic", "describe", &name, "--wait", "1s"]).contains("workload topic create")
    );
}

#[test]
fn refused_settings_are_named() {
    let topic = topic(1);
    let refused = unique("refused");
    let said = complaint(&[
        "topic",
        "create",
        &refused,
        "--partitions",
        "1",
        "--config",
        "retention.ms=soon",
    ]);
    assert!(
        said.contains(&refused) && said.contains("Configuration is invalid"),
        "{said}"
    );
    let said = complaint(&[
        "produce",
        "--topic",
        &topic,
        "--rate",
        "1",
        "--property",
        "no.such=1",
    ]);
    assert!(said.contains("no.such"), "{said}");
    let said = complaint(&[
        "produce",
        "--topic",
        &topic,
        "--rate",
        "1",
        "--partition-weights",
        "1,1",
    ]);
    assert!(said.contains("2 weights"), "{said}");
    let said = complaint(&[
        "consume",
        "--topic",
        &topic,
        "--group",
        "g",
        "--assignor",
        "uniform",
    ]);
    assert!(
        said.contains("choose range, roundrobin or cooperative-sticky"),
        "{said}"
    );
}

#[test]
fn an_absent_broker_is_named_with_the_reason() {
    let said = complaint(&[
        "topic",
        "describe",
        "t",
        "--wait",
        "500ms",
        "--bootstrap-servers",
        "127.0.0.1:1",
    ]);
    assert!(
        said.contains("no answer from 127.0.0.1:1") && said.contains("refused"),
        "{said}"
    );
    let said = complaint(&[
        "topic",
        "create",
        "t",
        "--partitions",
        "1",
        "--wait",
        "500ms",
        "--bootstrap-servers",
        "127.0.0.1:1",
    ]);
    assert!(
        said.contains("no answer from 127.0.0.1:1") && said.contains("refused"),
        "{said}"
    );
}
