//! Tests of the baselines on single polls.

use rstest::rstest;

use super::*;
use crate::recording::Observe;
use crate::simulate::plant::{Phase, PodView};

fn bounds(min: i32, max: Option<i32>) -> Bounds {
    Bounds {
        min,
        max,
        partitions: 6,
        limit: 6,
        largest_aligned: 6,
    }
}

fn autoscaler(text: &str, bounds: &Bounds) -> Box<dyn Autoscaler> {
    Baseline::list(text).unwrap()[0].autoscaler(bounds).unwrap()
}

/// A view of six partitions with these lags, and pods with this CPU use.
fn view(t: f64, replicas: i32, lags: &[i64], cpu: &[f64]) -> GroupView {
    let partitions: Vec<_> = lags
        .iter()
        .zip(0..)
        .map(|(lag, p): (&i64, u32)| {
            serde_json::json!({ "p": p, "log_start": 0, "log_end": 1000 + lag, "committed": 1000 })
        })
        .collect();
    let line: Observe = serde_json::from_value(serde_json::json!({
        "t": t,
        "workload": { "spec_replicas": replicas, "ready_replicas": cpu.len() },
        "topics": { "orders": { "partitions": partitions } },
    }))
    .unwrap();
    let pods = cpu.iter().map(|cpu| PodView {
        phase: Phase::Running,
        age: 600,
        cpu: *cpu,
        busy: None,
    });
    GroupView {
        line,
        pods: pods.collect(),
    }
}

/// KEDA's arithmetic as documented: average value, capped at the number of partitions.
#[rstest]
#[case::as_many_as_the_threshold_asks_for("keda=lagThreshold:100", &[60, 60, 60, 60, 60, 60], 4)]
#[case::within_the_tolerance("keda=lagThreshold:100", &[35, 35, 35, 35, 35, 35], 2)]
#[case::never_more_than_partitions("keda=lagThreshold:10", &[900, 900, 900, 900, 900, 900], 6)]
#[case::unless_they_may_be_idle("keda=lagThreshold:10,allowIdleConsumers:true", &[15, 15, 15, 15, 15, 15], 6)]
#[case::only_partitions_with_lag("keda=lagThreshold:10,limitToPartitionsWithLag:true", &[900, 900, 900, 0, 0, 0], 3)]
#[case::only_factors("keda=lagThreshold:100,ensureEvenDistributionOfPartitions:true", &[60, 60, 60, 60, 60, 60], 6)]
#[case::another_tolerance("keda=lagThreshold:100,tolerance:0", &[35, 35, 35, 35, 35, 35], 3)]
fn keda_asks_for_what_it_documents(
    #[case] text: &str,
    #[case] lags: &[i64],
    #[case] expected: i32,
) {
    let mut keda = autoscaler(text, &bounds(1, None));
    let answer = keda.decide(view(1000.0, 2, lags, &[0.5, 0.5]));
    assert_eq!(answer.replicas, Some(expected));
}

#[test]
fn keda_may_go_one_past_the_partitions() {
    // 6.9 thresholds of lag round down to 6, which is not above six partitions, and round up to
    // seven replicas.
    let mut keda = autoscaler("keda=lagThreshold:100", &bounds(1, None));
    let answer = keda.decide(view(1000.0, 4, &[115; 6], &[0.5; 4]));
    assert_eq!(answer.replicas, Some(7));
}

#[test]
fn keda_sleeps_after_its_cooldown_and_wakes_for_lag() {
    let mut keda = autoscaler("keda=lagThreshold:100,cooldownPeriod:60", &bounds(0, None));
    assert_eq!(
        keda.decide(view(1000.0, 1, &[0; 6], &[0.1])).replicas,
        Some(1)
    );
    assert_eq!(
        keda.decide(view(1045.0, 1, &[0; 6], &[0.1])).replicas,
        Some(1)
    );
    assert_eq!(
        keda.decide(view(1060.0, 1, &[0; 6], &[0.1])).replicas,
        Some(0)
    );
    assert_eq!(keda.decide(view(1075.0, 0, &[0; 6], &[])).replicas, None);
    assert_eq!(keda.decide(view(1090.0, 0, &[1; 6], &[])).replicas, Some(1));
}

#[rstest]
#[case::up(&[1.4, 1.4], Some(4))]
#[case::held(&[0.72, 0.70], Some(2))]
#[case::down_waits_for_its_window(&[0.1, 0.1], Some(2))]
#[case::nothing_ready(&[], None)]
fn cpu_is_held_against_its_target(#[case] cpu: &[f64], #[case] expected: Option<i32>) {
    let mut hpa = autoscaler("hpa-cpu=70", &bounds(1, None));
    assert_eq!(hpa.decide(view(1000.0, 2, &[0; 6], cpu)).replicas, expected);
}

#[test]
fn a_pod_that_is_not_ready_dampens_growth() {
    let mut hpa = autoscaler("hpa-cpu=70", &bounds(1, None));
    let mut young = view(1000.0, 3, &[0; 6], &[1.0, 1.0, 0.0]);
    young.pods[2].phase = Phase::Pending;
    // 2.0 over 3 pods is 0.67 of the request: within the tolerance.
    assert_eq!(hpa.decide(young).replicas, Some(3));
}

#[test]
fn numaflow_goes_by_two_at_most_and_rests() {
    let mut numaflow = autoscaler("numaflow", &bounds(1, None));
    let mut answers = Vec::new();
    for (t, commits) in [(0_i32, 0_i64), (15, 1500), (30, 3000), (45, 4500)] {
        let mut poll = view(t.into(), 2, &[0], &[0.9, 0.9]);
        let partition = &mut poll.line.topics.get_mut("orders").unwrap().partitions;
        let partition = &mut partition.as_mut().unwrap()[0];
        partition.committed = Some(commits).into();
        partition.log_end = Some(commits + 20_000);
        answers.push(numaflow.decide(poll).replicas);
    }
    // 20,000 pending at 100 per second are 200 s, ten times the target.
    assert_eq!(answers, [None, None, Some(4), None]);
}

#[rstest]
#[case("keda=lagThreshold:100,hpa-cpu=70,static=6", &["keda=lagThreshold:100", "hpa-cpu=70", "static=6"])]
#[case("keda=lagThreshold:100,downWindow:1800,static=max", &["keda=lagThreshold:100,downWindow:1800", "static=max"])]
#[case("keda, flink, kpa, numaflow", &["keda", "flink", "kpa", "numaflow"])]
#[case("hpa-cpu=70,tolerance:0.05", &["hpa-cpu=70,tolerance:0.05"])]
fn autoscalers_are_listed_with_their_options(#[case] text: &str, #[case] names: &[&str]) {
    let baselines = Baseline::list(text).unwrap();
    let found: Vec<&str> = baselines
        .iter()
        .map(|baseline| baseline.name.as_str())
        .collect();
    assert_eq!(found, names);
}

#[rstest]
#[case(
    "kedda=lagThreshold:100",
    "kedda=lagThreshold:100: no such autoscaler; there are keda"
)]
#[case(
    "lagThreshold:100",
    "lagThreshold:100: an option belongs after its autoscaler"
)]
#[case(
    "keda=lagTreshold:100",
    "keda=lagTreshold:100: no option lagTreshold; there are"
)]
#[case(
    "keda=lagThreshold:none",
    "keda=lagThreshold:none: lagThreshold:none is not possible; write 1 to"
)]
#[case("keda=5", "keda=5: it has no value of its own")]
#[case("hpa-cpu", "hpa-cpu: write the target in percent")]
#[case("static", "static: write how many, as in static=6")]
#[case(
    "static=lots",
    "static=lots: lots is not possible; write 0 to 10000, or max"
)]
#[case(
    "keda=allowIdleConsumers:maybe",
    "keda=allowIdleConsumers:maybe: allowIdleConsumers:maybe is not possible; write true or false"
)]
fn a_slip_says_what_to_write(#[case] text: &str, #[case] says: &str) {
    let error = Baseline::list(text).unwrap_err().to_string();
    assert!(error.starts_with(says), "{error}");
}

#[test]
fn static_max_is_as_many_as_can_be_given_a_partition() {
    let mut fixed = autoscaler("static=max", &bounds(1, None));
    assert_eq!(fixed.decide(view(0.0, 2, &[0; 6], &[])).replicas, Some(6));
}
