//! Tests of a whole comparison, from input to output.

mod clairvoyant;
mod habits;

use rstest::rstest;
use serde_json::{Value, json};

use super::plant::Parameters;
use super::*;
use crate::api::ConsumerGroup;
use crate::scaling::SharedTuning;

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
        seeds: 1,
        baselines: Vec::new(),
        tuning: SharedTuning::default(),
    }
}

/// Low load for half an hour, high load for an hour, low load for half an hour.
const MORNING: &str = "time,rate\n0,250\n1800,250\n1860,900\n5400,900\n5460,250\n7200,250\n";

#[test]
fn a_load_that_rises_and_falls_is_followed_up_and_down() {
    let outcomes = setup(json!({}), MORNING)
        .fit()
        .unwrap()
        .run(&|_| ())
        .unwrap();
    let [lagrange] = outcomes.as_slice() else {
        panic!("one law");
    };
    let sizes: Vec<i32> = lagrange.actions.iter().map(|a| a.to).collect();
    assert_eq!(sizes.iter().max(), Some(&6), "{sizes:?}");
    let last = lagrange.actions.last().unwrap();
    assert!(last.to < last.from && last.t > 5400, "{last:?}");
    assert!(
        lagrange.scores[0].late_seconds < 60,
        "{:?}",
        lagrange.scores
    );
    assert!(lagrange.actions.iter().all(|a| a.reason.is_some()));
}

#[test]
fn a_number_that_is_overridden_is_decided_with_after_a_restart_too() {
    let shrinks = |overrides: &[&str]| {
        let mut setup = setup(json!({}), MORNING);
        setup.restart_every = Some(900);
        setup.tuning = SharedTuning::with(overrides.iter().copied()).unwrap();
        let outcomes = setup.fit().unwrap().run(&|_| ()).unwrap();
        outcomes[0]
            .actions
            .iter()
            .any(|action| action.to < action.from)
    };
    assert!(shrinks(&[]));
    assert!(!shrinks(&["pacing.down_least=3h"]));
}

#[test]
fn lag_per_replica_threads_and_bounds_of_the_manifest_hold() {
    let spec = json!({
        "objective": { "lagPerReplica": 2000 }, "threadsPerReplica": 2, "minReplicas": 2, "maxReplicas": 3, "mode": "DryRun",
    });
    let comparison = setup(spec, MORNING).fit().unwrap();
    assert_eq!((comparison.objective, comparison.is_promised), (60, false));
    let outcomes = comparison.run(&|_| ()).unwrap();
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
        .run(&|_| ())
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
    let score = |setup: Setup| setup.fit().unwrap().run(&|_| ()).unwrap()[0].scores[0].j;
    let (with, without) = (score(with), score(setup(json!({}), MORNING)));
    assert!((with / without - 1.0).abs() < 0.2, "{with} and {without}");
}

#[test]
fn the_same_seed_gives_the_same_output_and_a_baseline_gets_the_same_load() {
    let make = |seed| {
        let mut setup = setup(json!({}), MORNING);
        setup.seed = seed;
        setup.baselines = Baseline::list("static=6,keda=lagThreshold:2000").unwrap();
        let comparison = setup.fit().unwrap();
        let outcomes = comparison.run(&|_| ()).unwrap();
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

/// Regression: a load named payments was used for orders without a note.
#[rstest]
#[case::another_topic("time,payments\n0,1\n600,1\n", &["the load's only column is called payments, which is no topic of the group: taken for the load of all its topics"])]
#[case::its_topic("time,orders\n0,1\n600,1\n", &[])]
#[case::what_is_measured("time,Records per second\n0,1\n600,1\n", &[])]
#[case::no_name("0,1\n600,1\n", &[])]
#[case::one_series_of_two("time,orders/0,orders/1\n0,1,1\n600,1,1\n", &[])]
fn a_load_whose_only_column_has_another_name_is_used_and_reported(
    #[case] load: &str,
    #[case] notes: &[&str],
) {
    let comparison = setup(json!({}), load).fit().unwrap();
    assert_eq!(comparison.notes, notes);
}

#[test]
fn a_load_whose_only_column_is_a_partition_of_another_topic_is_refused() {
    let error = setup(json!({}), "time,payments/3\n0,1\n600,1\n")
        .fit()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("load: column payments/3: name it after a topic (orders)"),
        "{error}"
    );
}

#[test]
fn holes_and_omissions_are_reported_in_words() {
    let load = r#"{"data":{"resultType":"matrix","result":[
        {"metric":{"topic":"orders"},"values":[[0,"1"],[60,"1"],[120,"1"],[8520,"1"],[8580,"1"]]},
        {"metric":{"topic":"payments"},"values":[[0,"1"],[60,"1"]]}]}}"#;
    let comparison = setup(json!({}), load).fit().unwrap();
    assert_eq!(
        comparison.notes,
        [
            "1 series is of a topic that the group does not read: left out",
            "the load has no points for 2 hours 20 minutes, 2 minutes after its start: bridged with a straight line",
        ]
    );
}

#[test]
fn several_seeds_give_each_figure_as_mean_and_range_and_the_rest_of_the_first() {
    let run = |seed, seeds| {
        let mut setup = setup(json!({}), MORNING);
        (setup.seed, setup.seeds) = (seed, seeds);
        setup.baselines = Baseline::list("static=6").unwrap();
        let comparison = setup.fit().unwrap();
        let seconds = std::sync::atomic::AtomicI64::new(0);
        let add = |more: i64| {
            seconds.fetch_add(more, std::sync::atomic::Ordering::Relaxed);
        };
        let outcomes = comparison.run(&add).unwrap();
        assert_eq!(
            seconds.into_inner(),
            comparison.work(),
            "all work is told of"
        );
        (comparison, outcomes)
    };
    let (comparison, all) = run(3, 3);
    let alone = [3, 4, 5].map(|seed| run(seed, 1).1);
    for (autoscaler, outcome) in all.iter().enumerate() {
        let scores: Vec<_> = alone
            .iter()
            .map(|one| one[autoscaler].scores[0].clone())
            .collect();
        assert_eq!(outcome.scores, scores);
        assert_eq!(outcome.actions, alone[0][autoscaler].actions);
        assert_eq!(outcome.series, alone[0][autoscaler].series);
    }
    let delays: Vec<i64> = all[0].scores.iter().map(|s| s.max_delay_seconds).collect();
    let json = report::json(&comparison, &all);
    let lagrange = &json["autoscalers"][0];
    assert_eq!(
        lagrange["least"]["maxDelaySeconds"],
        number::real(*delays.iter().min().unwrap())
    );
    assert_eq!(
        lagrange["most"]["maxDelaySeconds"],
        number::real(*delays.iter().max().unwrap())
    );
    assert_eq!(lagrange["scores"][2]["maxDelaySeconds"], delays[2]);
    assert_eq!(lagrange["score"], lagrange["scores"][0]);
    let text = report::text(&comparison, &all, 100);
    assert!(
        text.replace('\n', " ")
            .contains("mean and range of 3 runs, seeds 3 to 5"),
        "{text}"
    );
    let range = format!(
        "({}s–{}s)",
        delays.iter().min().unwrap(),
        delays.iter().max().unwrap()
    );
    let row = text
        .lines()
        .find(|line| line.starts_with("max delay"))
        .unwrap();
    assert!(row.contains(&range), "{row} has no {range}");
}

#[rstest]
fn no_line_is_wider_than_the_terminal(#[values(40, 60, 80, 100, 200)] width: usize) {
    let mut setup = setup(json!({}), MORNING);
    setup.baselines = Baseline::list(
        "keda=lagThreshold:2000,downWindow:60,cooldownPeriod:30,allowIdleConsumers:true,static=6,static=5,static=4,hpa-cpu=70",
    )
    .unwrap();
    setup.seeds = 2;
    let comparison = setup.fit().unwrap();
    let outcomes = comparison.run(&|_| ()).unwrap();
    let text = report::text(&comparison, &outcomes, width);
    for line in text.lines() {
        assert!(line.chars().count() <= width, "{line}");
    }
    for figure in ["late %", "replica h", "max delay"] {
        assert!(
            text.lines().any(|line| line.starts_with(figure)),
            "{figure}"
        );
    }
    let rescales = text.lines().filter(|line| line.starts_with("rescales"));
    let cells: usize = rescales
        .map(|line| line.matches(char::is_whitespace).count())
        .sum();
    assert!(cells > 0, "{text}");
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
    setup.baselines = Baseline::list("static=6,static=3").unwrap();
    let comparison = setup.fit().unwrap();
    let mut outcomes = comparison.run(&|_| ()).unwrap();
    // The tests of the decision cover what Lagrange does; here it is how that is shown.
    outcomes.remove(0);
    let shown = outcomes.first_mut().unwrap().actions.first_mut().unwrap();
    shown.reason = Some("DelayAboveTarget".to_owned());
    shown.trail = Some("delay 12s, 34s predicted; ".repeat(5));
    let text = report::text(&comparison, &outcomes, 100);
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colours");
    insta::assert_snapshot!("table", text);
}

#[test]
fn programs_get_csv_and_documents_a_picture() {
    let dated = "time,rate\n2026-03-01T00:00:00Z,250\n2026-03-01T00:10:00Z,250\n";
    let mut setup = setup(json!({}), dated);
    setup.baselines = Baseline::list("keda=lagThreshold:100,downWindow:60").unwrap();
    let comparison = setup.fit().unwrap();
    let outcomes = comparison.run(&|_| ()).unwrap();
    let csv = report::csv(&comparison, &outcomes);
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some("autoscaler,time,load,replicas,ready,lag,delay")
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("\"lagrange\",2026-03-01T00:00:00Z,")
    );
    assert_eq!(csv.lines().count(), 1 + 2 * 41);
    assert!(csv.contains("\n\"keda=lagThreshold:100,downWindow:60\",2026-03-01T00:10:00Z,"));
    let svg = report::svg(&comparison, &outcomes);
    // One for the load; replicas, lag and delay for each autoscaler.
    assert_eq!(svg.matches("<path").count(), 7);
    assert!(svg.trim_end().ends_with("</svg>"));
}

/// Left and right end, whether its class is `ink`, and content of each text element.
fn texts(svg: &str) -> Vec<(f64, f64, bool, String)> {
    let parts = svg.split("<text ").skip(1);
    let text = |part: &str| {
        let (attributes, rest) = part.split_once('>').unwrap();
        let number = |name: &str| -> f64 {
            let (_, value) = attributes.split_once(name).unwrap();
            value.split('"').next().unwrap().parse().unwrap()
        };
        let (text, _) = rest.split_once("</text>").unwrap();
        let is_large = attributes.contains("font-size=\"15\"");
        let each = if is_large { 9.5 } else { 7.5 };
        let width = each * f64::from(u32::try_from(text.chars().count()).unwrap());
        let x = number(" x=\"");
        let from = match attributes {
            a if a.contains("\"middle\"") => x - width / 2.0,
            a if a.contains("\"end\"") => x - width,
            _ => x,
        };
        (
            from,
            from + width,
            attributes.contains("class=\"ink\""),
            text.to_owned(),
        )
    };
    parts.map(text).collect()
}

#[test]
fn a_picture_names_every_autoscaler_cuts_no_label_and_says_what_it_shows() {
    let mut many = setup(
        json!({}),
        "time,rate\n2026-03-01T00:00:00Z,250\n2026-03-01T04:00:00Z,250\n",
    );
    let options = "allowIdleConsumers:true,activationLagThreshold:100,cooldownPeriod:600,tolerance:0.1,upWindow:30,downWindow:300";
    let mut baselines = vec![format!("keda=lagThreshold:2000,{options}")];
    baselines.extend((1..=15).map(|size| format!("static={size}")));
    many.baselines = Baseline::list(&baselines.join(",")).unwrap();
    many.manifest.metadata.name = Some("a-group-with-a-name-".repeat(12));
    let comparison = many.fit().unwrap();
    let outcomes = comparison.run(&|_| ()).unwrap();
    let svg = report::svg(&comparison, &outcomes);

    let texts = texts(&svg);
    for (from, to, _, text) in &texts {
        assert!(*from >= 0.0 && *to <= 1000.0, "{text}: {from} to {to}");
    }
    let shown: String = texts
        .iter()
        .filter(|(.., is_ink, _)| *is_ink)
        .map(|(.., text)| text.as_str())
        .collect();
    for outcome in &outcomes {
        assert!(
            shown.contains(&outcome.autoscaler),
            "{} is not in {shown}",
            outcome.autoscaler
        );
    }
    assert!(shown.contains("maxDelay 60s"), "{shown}");
    assert!(
        svg.contains(" role=\"img\" aria-labelledby=\"title description\""),
        "{svg}"
    );
    assert!(svg.contains("<title id=\"title\">a-group-with-a-name-"));
    assert!(svg.contains("<desc id=\"description\">The load, and replicas, lag and delay over time under lagrange, keda="));
    assert!(svg.contains("@media (prefers-color-scheme: dark)"));
    // Elements with a colour of their own must be visible on black too; all others have a class for
    // either scheme.
    assert!(!svg.contains("fill=\"#") && !svg.contains("stroke=\"#000000\""));

    let strokes = |svg: &str| -> Vec<String> {
        let lines = svg.split("<path ").skip(1);
        let stroke = |line: &str| {
            Some(
                line.split_once("stroke=\"")?
                    .1
                    .split('"')
                    .next()?
                    .to_owned(),
            )
        };
        lines.filter_map(stroke).collect()
    };
    let colours: std::collections::BTreeSet<String> = strokes(&svg).into_iter().collect();
    assert_eq!(colours.len(), outcomes.len(), "each law has its own");
}
