//! The rate is kept: tables for files of rates, properties for what always holds.

use super::*;
use proptest::prelude::*;
use rstest::rstest;

const CATCH_UP: Duration = Duration::from_secs(5);

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A profile with a row every 7 seconds.
fn profile(rates: &[u32], linear: bool) -> Profile {
    let rows: Vec<String> = (0..)
        .zip(rates)
        .map(|(row, rate)| format!("{},{rate}", row * 7))
        .collect();
    Profile::from_csv(
        &rows.join("\n"),
        if linear { Shape::Linear } else { Shape::Step },
    )
    .unwrap()
}

/// Records that `pace` makes due over `ticks`, each in milliseconds after the last.
fn sent_over(pace: &mut Pace, ticks: &[u64]) -> u64 {
    let mut now = Duration::ZERO;
    for tick in ticks {
        now += Duration::from_millis(*tick);
        for _ in 0..pace.due(now) {
            pace.count_sent();
        }
    }
    pace.sent()
}

#[rstest]
#[case::whole_numbers(100.0, 60.0, 6_000)]
#[case::nothing_at_the_start(100.0, 0.0, 0)]
#[case::zero(0.0, 3_600.0, 0)]
#[case::less_than_one_a_second(0.5, 3.9, 1)]
#[case::sums_that_fall_short_of_a_whole(0.1, 30.0, 3)]
#[case::thirds(1.0 / 3.0, 3.0, 1)]
#[case::many(50_000.0, 7.25, 362_500)]
fn constant_rate_is_due_in_whole_records(
    #[case] rate: f64,
    #[case] elapsed: f64,
    #[case] due: u64,
) {
    let mut pace = Pace::new(Profile::constant(rate), Duration::from_hours(24));
    assert_eq!(pace.due(seconds(elapsed)), due);
}

const HILL: &str = "seconds,rate\n0,0\n10,100\n20,100\n30,0\n";

#[rstest]
#[case(Shape::Linear, 0.0, 0.0, 0.0)]
#[case(Shape::Linear, 5.0, 50.0, 125.0)]
#[case(Shape::Linear, 10.0, 100.0, 500.0)]
#[case(Shape::Linear, 15.0, 100.0, 1_000.0)]
#[case(Shape::Linear, 25.0, 50.0, 1_875.0)]
#[case(Shape::Linear, 30.0, 0.0, 2_000.0)]
#[case(Shape::Linear, 99.0, 0.0, 2_000.0)]
#[case(Shape::Step, 9.9, 0.0, 0.0)]
#[case(Shape::Step, 10.0, 100.0, 0.0)]
#[case(Shape::Step, 25.0, 100.0, 1_500.0)]
#[case(Shape::Step, 30.0, 0.0, 2_000.0)]
fn rates_file_is_followed(
    #[case] shape: Shape,
    #[case] at: f64,
    #[case] rate: f64,
    #[case] due: f64,
) {
    let profile = Profile::from_csv(HILL, shape).unwrap();
    assert!((profile.rate_at(seconds(at)) - rate).abs() < 1e-9);
    assert!((profile.due_by(seconds(at)) - due).abs() < 1e-9);
}

#[test]
fn last_row_is_the_end_and_a_single_row_has_none() {
    assert_eq!(
        Profile::from_csv(HILL, Shape::Linear).unwrap().end(),
        Some(Duration::from_secs(30))
    );
    assert_eq!(Profile::from_csv("0,5", Shape::Linear).unwrap().end(), None);
    assert_eq!(Profile::constant(5.0).end(), None);
}

#[test]
fn last_rate_goes_on_after_the_last_row() {
    let profile = Profile::from_csv("0,10\n10,20", Shape::Linear).unwrap();
    assert!((profile.due_by(seconds(20.0)) - 350.0).abs() < 1e-9);
}

#[rstest]
#[case::header("Seconds, Rate\n0,5")]
#[case::no_header("0,5")]
#[case::blank_lines_and_comments("# calm\n\n0,5\n\n# busy\n60,50\n")]
#[case::windows("seconds,rate\r\n0,5\r\n60,50\r\n")]
#[case::spaces_and_fractions(" 0 , 0.5 ")]
fn variations_of_form_are_accepted(#[case] text: &str) {
    assert!(Profile::from_csv(text, Shape::Linear).is_ok());
}

#[rstest]
#[case::nothing(
    "",
    "no rows; write one line seconds,rate for each change, the first for second 0"
)]
#[case::only_a_header(
    "seconds,rate\n",
    "no rows; write one line seconds,rate for each change, the first for second 0"
)]
#[case::late_start("5,1", "line 1, \"5,1\": the first row must be for second 0")]
#[case::backwards(
    "0,1\n5,1\n5,2",
    "line 3, \"5,2\": the seconds must increase from row to row"
)]
#[case::negative(
    "0,-1",
    "line 1, \"0,-1\": two numbers are wanted, seconds,rate, neither below 0, such as 30,250"
)]
#[case::words(
    "0,1\nten,5",
    "line 2, \"ten,5\": two numbers are wanted, seconds,rate, neither below 0, such as 30,250"
)]
#[case::one_column(
    "0",
    "line 1, \"0\": two numbers are wanted, seconds,rate, neither below 0, such as 30,250"
)]
#[case::infinite(
    "0,inf",
    "line 1, \"0,inf\": two numbers are wanted, seconds,rate, neither below 0, such as 30,250"
)]
fn a_bad_number_is_reported_with_its_line(#[case] text: &str, #[case] message: &str) {
    assert_eq!(Profile::from_csv(text, Shape::Linear).unwrap_err(), message);
}

#[test]
fn a_short_stall_is_caught_up() {
    let mut pace = Pace::new(Profile::constant(100.0), CATCH_UP);
    assert_eq!(sent_over(&mut pace, &[1_000, 4_000, 10]), 501);
    assert_eq!(pace.missed(), 0);
}

#[test]
fn a_long_stall_is_caught_up_only_by_the_catch_up() {
    let mut pace = Pace::new(Profile::constant(100.0), CATCH_UP);
    assert_eq!(sent_over(&mut pace, &[1_000, 60_000]), 100 + 500);
    assert_eq!(pace.missed(), 5_500);
}

#[test]
fn refused_records_stay_due() {
    let mut pace = Pace::new(Profile::constant(100.0), CATCH_UP);
    assert_eq!(pace.due(seconds(1.0)), 100);
    assert_eq!(pace.due(seconds(1.0)), 100, "nothing was handed over");
}

proptest! {
    #[test]
    fn the_sum_is_right_for_any_ticks(rate in 0.0..2_000.0_f64, ticks in prop::collection::vec(0_u64..4_000, 1..200)) {
        let mut pace = Pace::new(Profile::constant(rate), CATCH_UP);
        let sent = sent_over(&mut pace, &ticks);
        let elapsed = Duration::from_millis(ticks.iter().sum());
        prop_assert_eq!(sent, whole(rate * elapsed.as_secs_f64()));
        prop_assert_eq!(pace.missed(), 0);
    }

    #[test]
    fn nothing_is_lost_from_the_count(
        rates in prop::collection::vec(0_u32..1_000, 1..10),
        linear in any::<bool>(),
        ticks in prop::collection::vec(0_u64..20_000, 1..50),
    ) {
        let profile = profile(&rates, linear);
        let elapsed = Duration::from_millis(ticks.iter().sum());
        let due = whole(profile.due_by(elapsed));
        let mut pace = Pace::new(profile, CATCH_UP);
        let sent = sent_over(&mut pace, &ticks);
        prop_assert_eq!(sent + pace.missed(), due);
    }

    #[test]
    fn the_number_of_records_due_never_decreases(rates in prop::collection::vec(0_u32..1_000, 1..10), linear in any::<bool>(), at in 0_u64..100_000, more in 0_u64..10_000) {
        let profile = profile(&rates, linear);
        let (earlier, later) = (Duration::from_millis(at), Duration::from_millis(at + more));
        prop_assert!(profile.due_by(later) >= profile.due_by(earlier) - 1e-6);
    }
}
