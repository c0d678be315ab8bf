//! A whole comparison, from input to output.

use rstest::rstest;
use serde_json::{Value, json};

use super::plant::Parameters;
use super::*;
use crate::api::ConsumerGroup;

fn manifest(spec: Value) -> ConsumerGroup {
    let mut all = json!({
        "scaleTargetRef": { "name": "fulfillment" },
        "kafka": { "clusterRef": { "name": "main" } },
        "topics": ["orders"],
        "objective": { "maxDelay": "60s" },
    });
    let (Value::Object(into), Value::Object(from)) = (&mut all, spec) else {
        unreachable!("both are objects");
    };
    into.extend(from);
    serde_json::from_value(json!({
        "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
        "metadata": { "name": "fulfillment", "namespace": "shop" }, "spec": all,
    }))
    .unwrap()
}

fn setup(spec: Value, load: &str) -> Setup {
    Setup {
        manifest: manifest(spec),
        load: Load::parse(load).unwrap(),
        built_in: false,
        parameters: Parameters {
            consumer_rate: 200.0,
            ..Parameters::default()
        },
        partitions: Some(6),
        peak: None,
        objective: None,
        interval: 15,
        restart_every: None,
        seed: 1,
        rivals: Vec::new(),
    }
}

/// Half an hour of little, an hour of much, half an hour of little.
const MORNING: &str = "time,rate\n0,250\n1800,250\n1860,900\n5400,900\n5460,250\n7200,250\n";

#[test]
fn a_load_that_rises_and_falls_is_followed_up_and_down() {
    let outcomes = setup(json!({}), MORNING).fit().unwrap().run().unwrap();
    let [lagrange] = outcomes.as_slice() else {
        panic!("one law");
    };
    let sizes: Vec<i32> = lagrange.actions.iter().map(|a| a.to).collect();
    assert_eq!(sizes.iter().max(), Some(&6), "{sizes:?}");
    let last = lagrange.actions.last().unwrap();
    assert!(last.to < last.from && last.t > 5400, "{last:?}");
    assert!(lagrange.score.late_seconds < 60, "{:?}", lagrange.score);
    assert!(lagrange.actions.iter().all(|a| a.reason.is_some()));
}

#[test]
fn lag_per_replica_threads_and_bounds_of_the_manifest_hold() {
    let spec = json!({
        "objective": { "lagPerReplica": 2000 }, "threadsPerReplica": 2, "minReplicas": 2, "maxReplicas": 3, "mode": "DryRun",
    });
    let comparison = setup(spec, MORNING).fit().unwrap();
    assert_eq!((comparison.objective, comparison.is_promised), (60, false));
    let outcomes = comparison.run().unwrap();
    let sizes: Vec<i32> = outcomes[0].series.iter().map(|s| s.replicas).collect();
    assert_eq!(sizes.iter().min(), Some(&2));
    assert_eq!(sizes.iter().max(), Some(&3), "DryRun is acted on here");
}

#[test]
fn a_group_that_may_sleep_sleeps_and_wakes() {
    let load = "0,100\n600,100\n660,0\n3000,0\n3060,100\n4000,100\n";
    let outcomes = setup(json!({ "minReplicas": 0 }), load)
        .fit()
        .unwrap()
        .run()
        .unwrap();
    let reasons: Vec<_> = outcomes[0]
        .actions
        .iter()
        .filter_map(|a| a.reason.as_deref())
        .collect();
    assert!(reasons.contains(&"ScaleToZero"), "{reasons:?}");
    assert!(reasons.contains(&"WakeUp"), "{reasons:?}");
}

#[test]
fn a_restart_now_and_then_changes_little() {
    let mut with = setup(json!({}), MORNING);
    with.restart_every = Some(600);
    let score = |setup: Setup| setup.fit().unwrap().run().unwrap()[0].score.j;
    let (with, without) = (score(with), score(setup(json!({}), MORNING)));
    assert!((with / without - 1.0).abs() < 0.2, "{with} and {without}");
}

#[test]
fn the_same_seed_gives_the_same_output_and_a_rival_meets_the_same_load() {
    let make = |seed| {
        let mut setup = setup(json!({}), MORNING);
        setup.seed = seed;
        setup.rivals = Rival::list("static=6,keda=lagThreshold:2000").unwrap();
        let comparison = setup.fit().unwrap();
        let outcomes = comparison.run().unwrap();
        let loads: Vec<Vec<i64>> = outcomes
            .iter()
            .map(|o| {
                o.series
                    .iter()
                    .map(|s| number::nearest(1000.0 * s.load))
                    .collect()
            })
            .collect();
        assert!(loads.iter().all(|load| *load == loads[0]));
        report::json(&comparison, &outcomes).to_string()
    };
    assert_eq!(make(1), make(1));
    assert_ne!(make(1), make(2));
}

#[rstest]
#[case::no_partitions(json!({}), None, 200.0, "0,1\n600,1\n", "how many partitions has topic orders? write --partitions N")]
#[case::no_rate(json!({}), Some(6), 0.0, "0,1\n600,1\n", "how many records per second can one consumer do?")]
#[case::more_partitions(json!({}), Some(6), 200.0, "time,orders/9\n0,1\n600,1\n", "the load has partition 9 of topic orders, which has 6")]
#[case::another_topic(json!({ "topicPattern": "orders-.*", "topics": null }), Some(6), 200.0,
    "time,payments/1,payments/2\n0,1,1\n600,1,1\n", "load: all of it is of topics that the group does not read")]
#[case::manifest(json!({ "minReplicas": 5, "maxReplicas": 2 }), Some(6), 200.0, "0,1\n600,1\n", "manifest: minReplicas 5 is above")]
fn what_does_not_fit_together_says_what_to_write(
    #[case] spec: Value,
    #[case] partitions: Option<u32>,
    #[case] rate: f64,
    #[case] load: &str,
    #[case] says: &str,
) {
    let mut setup = setup(spec, load);
    setup.partitions = partitions;
    setup.parameters.consumer_rate = rate;
    let error = setup.fit().unwrap_err().to_string();
    assert!(error.starts_with(says), "{error}");
}

#[test]
fn topics_and_partitions_come_from_the_load_where_the_manifest_names_none() {
    let mut setup = setup(
        json!({ "topics": null }),
        "time,a/3,b/1\n0,10,20\n600,10,20\n",
    );
    setup.partitions = None;
    let comparison = setup.fit().unwrap();
    assert_eq!(
        comparison.parameters.topics,
        [("a".to_owned(), 4), ("b".to_owned(), 2)].into()
    );
}

#[test]
fn people_see_a_table_plots_and_what_was_done() {
    let mut setup = setup(json!({}), MORNING);
    setup.rivals = Rival::list("static=6,static=3").unwrap();
    let comparison = setup.fit().unwrap();
    let mut outcomes = comparison.run().unwrap();
    // What Lagrange does is held by the tests of its law; here it is how that is shown.
    outcomes.remove(0);
    let shown = outcomes.first_mut().unwrap().actions.first_mut().unwrap();
    shown.reason = Some("DelayAboveTarget".to_owned());
    shown.trail = Some("delay 12s, 34s predicted; ".repeat(5));
    let text = report::text(&comparison, &outcomes, 100);
    assert!(
        text.lines().all(|line| line.chars().count() <= 110),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colours");
    insta::assert_snapshot!("table", text);
}

#[test]
fn programs_get_csv_and_documents_a_picture() {
    let dated = "time,rate\n2026-03-01T00:00:00Z,250\n2026-03-01T00:10:00Z,250\n";
    let mut setup = setup(json!({}), dated);
    setup.rivals = Rival::list("keda=lagThreshold:100,downWindow:60").unwrap();
    let comparison = setup.fit().unwrap();
    let outcomes = comparison.run().unwrap();
    let csv = report::csv(&comparison, &outcomes);
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("law,time,load,replicas,ready,lag,delay"));
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("\"lagrange\",2026-03-01T00:00:00Z,")
    );
    assert_eq!(csv.lines().count(), 1 + 2 * 41);
    assert!(csv.contains("\n\"keda=lagThreshold:100,downWindow:60\",2026-03-01T00:10:00Z,"));
    let svg = report::svg(&comparison, &outcomes);
    // One for the load, and for each law replicas, lag and delay.
    assert_eq!(svg.matches("<path").count(), 7);
    assert!(svg.trim_end().ends_with("</svg>"));
}
