//! Tests with loads as users have them.

use rstest::rstest;

use super::trace::Trace;
use super::*;

fn topics(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn rates(load: &Load, at: &[f64]) -> Vec<f64> {
    let series = load.series.first().unwrap();
    let mut reader = load.reader(series);
    at.iter().map(|t| reader.rate(*t)).collect()
}

#[rstest]
#[case::plain("0,100\n600,200\n")]
#[case::header("time,rate\n0,100\n600,200\n")]
#[case::comment_and_blank_lines("# of last week\n\n0,100\n\n600,200\n")]
#[case::semicolons("time;rate\n0;100\n600;200\n")]
#[case::tabs_and_quotes("\"Time\"\t\"orders\"\n\"0\"\t100\n600\t200\n")]
#[case::dates("time,rate\n2026-03-01T00:00:00Z,100\n2026-03-01T00:10:00Z,200\n")]
#[case::dates_elsewhere("time,rate\n2026-03-01T01:00:00+01:00,100\n2026-03-01T00:10:00Z,200\n")]
#[case::as_grafana_exports("Time,records\n2026-03-01 00:00:00,100\n2026-03-01 00:10:00,200\n")]
#[case::milliseconds("1772323200000,100\n1772323800000,200\n")]
#[case::a_hole("0,100\n300,NaN\n400,\n600,200\n")]
#[case::carriage_returns("time,rate\r\n0,100\r\n600,200\r\n")]
#[case::prometheus(
    r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},
    "values":[[1772323200,"100"],[1772323500,"NaN"],[1772323800,"200"]]}]}}"#
)]
fn a_load_is_understood_however_it_is_written(#[case] text: &str) {
    let load = Load::parse(text).unwrap().named(None).unwrap();
    assert_eq!(load.length, 600);
    assert_eq!(load.series.len(), 1);
    assert_eq!(load.series[0].to, Destination::Everywhere);
    assert_eq!(
        rates(&load, &[0.0, 150.0, 300.0, 600.0]),
        [100.0, 125.0, 150.0, 200.0]
    );
}

#[rstest]
#[case("", "no load in it; write lines of time")]
#[case("hello", "line 1: write a time and records per second")]
#[case("0,100\n60,200\n", "it lasts 1 minute; give a load of 5 minutes")]
#[case(
    "0,100\n59999940,200\n",
    "it lasts 694 days 10 hours; give a load of 5 minutes to 100 days"
)]
#[case(
    r#"{"data":{"resultType":"matrix","result":[{"values":[["now","1"]]}]}}"#,
    "not the answer of a range query (data.result[0].values[0][0]: write a number, not \"now\")"
)]
#[case(
    "0,100\n600,1.5K\n",
    "line 2: \"1.5K\" is no number; write records per second"
)]
#[case("0,100\n600,-5\n", "line 2: -5 is no rate")]
#[case(
    "0,100\nsoon,5\n",
    "line 2: \"soon\" is no time; write seconds, or a date"
)]
#[case("0,100\n600,200\n300,5\n", "line 3: its time does not come after")]
#[case("0,100\n600\n", "line 2: 1 field, and the first line has 2")]
#[case(
    "0,100,5\n600,1,2\n",
    "line 1: with several columns the first line has to name them"
)]
#[case("{\"a\":1}", "not the answer of a range query")]
#[case("{\"a\":", "line 1: not the answer of a range query")]
#[case(
    r#"{"status":"error","error":"parse error"}"#,
    "Prometheus could not answer this query: parse error"
)]
#[case(
    r#"{"data":{"resultType":"vector","result":[]}}"#,
    "a vector and not a matrix: ask /api/v1/query_range"
)]
#[case(
    r#"{"data":{"resultType":"matrix","result":[]}}"#,
    "the query found nothing"
)]
#[case(
    r#"{"data":{"resultType":"matrix","result":[{"values":[[1,"NaN"]]}]}}"#,
    "no load in it"
)]
fn what_cannot_be_used_says_where_and_what_to_write(#[case] text: &str, #[case] says: &str) {
    let error = Load::parse(text).unwrap_err().to_string();
    assert!(error.starts_with(says), "{error}");
}

#[test]
fn columns_go_to_topics_and_partitions_by_their_names() {
    let text = "time,orders,payments/1\n0,100,5\n600,200,6\n";
    let load = Load::parse(text).unwrap();
    let named = load
        .clone()
        .named(Some(&topics(&["orders", "payments"])))
        .unwrap();
    let to: Vec<_> = named.series.iter().map(|s| s.to.clone()).collect();
    assert_eq!(
        to,
        [
            Destination::Topic("orders".to_owned()),
            Destination::Partition("payments".to_owned(), 1)
        ]
    );
    assert_eq!(
        named.topics(),
        [("orders".to_owned(), 0), ("payments".to_owned(), 2)].into()
    );
    let error = load
        .named(Some(&topics(&["orders"])))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("column payments/1: name it after a topic (orders)"),
        "{error}"
    );
}

#[test]
fn numbers_are_the_partitions_of_the_only_topic() {
    let load = Load::parse("time,0,1\n0,100,5\n600,200,6\n").unwrap();
    let named = load.named(Some(&topics(&["orders"]))).unwrap();
    assert_eq!(named.topics(), [("orders".to_owned(), 2)].into());
}

#[test]
fn series_of_prometheus_go_where_their_labels_say_and_add_up() {
    let series = |labels: &str, rate: u32| {
        format!(r#"{{"metric":{{{labels}}},"values":[[1000,"{rate}"],[1600,"{rate}"]]}}"#)
    };
    let all = [
        series(r#""topic":"orders","partition":"0""#, 1),
        series(r#""topic":"orders","partition":"2""#, 2),
        series(r#""topic":"payments""#, 3),
        series(r#""job":"kafka-exporter""#, 4),
    ];
    let text = format!(
        r#"{{"data":{{"resultType":"matrix","result":[{}]}}}}"#,
        all.join(",")
    );
    let mut load = Load::parse(&text).unwrap().named(None).unwrap();
    assert_eq!(
        load.topics(),
        [("orders".to_owned(), 3), ("payments".to_owned(), 0)].into()
    );
    assert_eq!(load.totals()[0], (0.0, 10.0));
    assert_eq!(load.keep(|topic| topic == "orders"), 1);
    assert_eq!(load.totals()[0], (0.0, 7.0));
}

#[test]
fn a_series_that_ends_hands_over_to_the_next_and_does_not_count_twice() {
    // An exporter was replaced.
    let text = r#"{"data":{"resultType":"matrix","result":[
        {"metric":{"pod":"a"},"values":[[0,"100"],[60,"100"],[120,"100"]]},
        {"metric":{"pod":"b"},"values":[[240,"100"],[300,"100"],[360,"100"]]}]}}"#;
    let load = Load::parse(text).unwrap();
    let mut readers: Vec<_> = load.series.iter().map(|s| load.reader(s)).collect();
    let total = |t: f64| readers.iter_mut().map(|r| r.rate(t)).sum::<f64>();
    let totals: Vec<f64> = [60.0, 150.0, 350.0].map(total).to_vec();
    assert_eq!(totals, [100.0, 100.0, 100.0]);
}

#[test]
fn a_hole_is_bridged_and_reported() {
    let text = "0,100\n60,100\n120,100\n180,100\n1200,200\n1260,200\n";
    assert_eq!(Load::parse(text).unwrap().holes(), [(180.0, 1020.0)]);
}

#[test]
fn a_peak_scales_the_whole_load() {
    let load = Load::parse("0,100\n300,50\n600,200\n")
        .unwrap()
        .with_peak(1000.0);
    assert_eq!(rates(&load, &[0.0, 300.0, 600.0]), [500.0, 250.0, 1000.0]);
}

#[test]
fn every_built_in_load_can_be_had_and_lasts_at_least_an_hour() {
    for trace in Trace::ALL {
        let load = trace.load().unwrap();
        assert!(
            load.length >= 3600,
            "{} lasts {} s",
            trace.as_str(),
            load.length
        );
        assert!(load.totals().iter().all(|(_, rate)| *rate >= 0.0));
    }
}

#[test]
fn a_mangled_load_fails_by_an_error_alone() {
    let seeds = [
        "time,orders/0,orders/1,payments\n0,100,3,1\n60,120,4,1\n600,200,5,1e3\n",
        "2026-03-01T00:00:00Z;100\n2026-03-01T00:10:00Z;200\n",
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"topic":"orders","partition":"1"},
        "values":[[1772323200,"100"],[1772323500,"NaN"],[1772323800,"200"]]},{"metric":{},"values":[[1772323200,"1"],[1772323800,"2"]]}]}}"#,
    ];
    lagrange_fuzz::fuzz(&seeds, |bytes| {
        let Ok(load) = Load::parse(&String::from_utf8_lossy(bytes)) else {
            return;
        };
        let Ok(load) = load
            .clone()
            .named(None)
            .and(load.named(Some(&topics(&["orders"]))))
        else {
            return;
        };
        let load = load.with_peak(1000.0);
        load.topics();
        load.holes();
        assert!(
            load.totals()
                .iter()
                .all(|(t, rate)| t.is_finite() && !rate.is_nan())
        );
    });
}
