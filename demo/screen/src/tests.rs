//! The screen of a recorded demo: output of kubectl from a run of four minutes, at the beginning,
//! during the rush (10:14:27, after 39 s), and at the end.

use std::time::Duration;

use jiff::Timestamp;
use lagrange_core::api::ConsumerGroup;
use rstest::rstest;

use crate::{
    load::{LoadFile, Reading},
    model::{Change, Model},
    plain::Plain,
    screen::{self, Moment, curve_of},
    sources::{Event, Heard, watched},
    style::Theme,
    summary,
    terminal::Size,
};

const START: &str = include_str!("recorded/start.json");
const RUSH: &str = include_str!("recorded/rush.json");
const END: &str = include_str!("recorded/end.json");
const EVENTS: &str = include_str!("recorded/events.json");

const NOW: &str = "2026-11-24T10:14:27Z";

fn hear_groups(model: &mut Model, printed: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    watched(&mut printed.as_bytes(), |group: ConsumerGroup| {
        changes.extend(model.hear(Heard::Group(Box::new(group))));
    });
    changes
}

/// Applies the recorded events until `until`.
fn hear_events(model: &mut Model, until: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    watched(&mut EVENTS.as_bytes(), |event: Event| {
        let until: Timestamp = until.parse().unwrap();
        if event.time.is_none_or(|time| time <= until) {
            changes.extend(model.hear(Heard::Event(event)));
        }
    });
    changes
}

fn rush() -> Model {
    let mut model = Model::default();
    hear_groups(&mut model, START);
    for (rate, lags) in [
        (40.0, [0, 0, 0]),
        (293.0, [125, 89, 121]),
        (800.0, [1_590, 3_391, 4_719]),
        (800.0, [7_115, 8_694, 11_994]),
    ] {
        model.load.take(Reading {
            rate,
            acked_total: 20_000,
        });
        let names = ["analytics", "fulfillment", "recommendation"].map(ToOwned::to_owned);
        model.hear(Heard::Lags(names.into_iter().zip(lags).collect()));
    }
    hear_groups(&mut model, RUSH);
    hear_events(&mut model, NOW);
    model
}

fn drawn(model: &Model, width: usize, height: usize, theme: Theme) -> String {
    let moment = Moment {
        elapsed: Duration::from_secs(39),
        length: Duration::from_secs(240),
        now: NOW.parse().unwrap(),
    };
    let lines = screen::of(model, &moment, Size { width, height }, theme.blocks);
    let lines: Vec<String> = lines.iter().map(|line| line.render(width, theme)).collect();
    lines.join("\n")
}

const UNCOLOURED: Theme = Theme {
    colour: false,
    blocks: true,
};

#[test]
fn the_screen_shows_state_decisions_and_waits() {
    insta::assert_snapshot!(drawn(&rush(), 120, 28, UNCOLOURED));
}

#[test]
fn a_small_terminal_without_utf8_shows_a_shorter_screen() {
    let theme = Theme {
        blocks: false,
        ..UNCOLOURED
    };
    let drawn = drawn(&rush(), 80, 24, theme);
    assert!(drawn.is_ascii());
    assert!(drawn.lines().count() <= 24);
    assert!(drawn.lines().all(|line| line.len() <= 80));
    insta::assert_snapshot!(drawn);
}

#[test]
fn colours_do_not_change_the_text() {
    let theme = Theme {
        colour: true,
        ..UNCOLOURED
    };
    let coloured = drawn(&rush(), 120, 28, theme);
    let codes = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[33m"];
    let bare = codes
        .iter()
        .fold(coloured.clone(), |text, code| text.replace(code, ""));
    assert_ne!(coloured, bare);
    assert_eq!(bare, drawn(&rush(), 120, 28, UNCOLOURED));
}

#[test]
fn the_first_screen_shows_what_it_waits_for() {
    let drawn = drawn(&Model::default(), 80, 24, UNCOLOURED);
    assert!(drawn.contains("waiting for kubectl"), "{drawn}");
}

#[test]
fn an_unknown_lag_is_not_shown_as_a_number() {
    let mut model = rush();
    let group = model.groups.get_mut("fulfillment").unwrap();
    group.status.lag.as_mut().unwrap().total = None;
    assert_eq!(group.lag(), None);
    let drawn = drawn(&model, 80, 24, UNCOLOURED);
    assert!(
        drawn.contains("fulfillment     lag       unknown"),
        "{drawn}"
    );
}

#[test]
fn plain_lines_show_each_change_once_and_the_state_every_15_s() {
    let mut model = Model::default();
    let mut plain = Plain::default();
    let mut lines = Vec::new();
    let mut changes = |seconds, changes: &[Change]| {
        lines.extend(Plain::print(Duration::from_secs(seconds), changes));
    };
    changes(3, &hear_groups(&mut model, START));
    changes(39, &hear_groups(&mut model, RUSH));
    changes(39, &hear_groups(&mut model, RUSH));
    changes(39, &hear_events(&mut model, NOW));
    changes(39, &hear_events(&mut model, NOW));
    for seconds in [39, 44, 45, 59, 60] {
        lines.extend(plain.status(&model, Duration::from_secs(seconds)));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_summary_has_every_action_and_the_final_sizes() {
    let mut model = rush();
    hear_groups(&mut model, END);
    for name in ["analytics", "fulfillment", "recommendation"] {
        model.hear(Heard::Lags(vec![(name.to_owned(), 0)]));
    }
    insta::assert_snapshot!(summary::of(&model, Duration::from_secs(240)));
}

#[test]
fn the_summary_of_a_short_run_shows_groups_above_their_floor() {
    insta::assert_snapshot!(summary::of(&rush(), Duration::from_secs(39)));
}

#[rstest]
#[case(&[0, 1, 350, 700, 700], 10, "▁▂▅██")]
#[case(&[700, 0, 0, 0], 2, "▁▁")]
#[case(&[0, 0], 10, "▁▁")]
#[case(&[], 10, "")]
fn a_curve_is_scaled_to_its_highest_number_and_shows_any_above_0(
    #[case] numbers: &[u64],
    #[case] width: usize,
    #[case] curve: &str,
) {
    assert_eq!(curve_of(numbers.iter().copied(), width, true), curve);
}

#[test]
fn a_partial_line_of_the_load_is_read_when_complete() {
    let path = std::env::temp_dir().join(format!("demo-screen-{}", std::process::id()));
    let mut file = LoadFile::at(path.clone());
    assert!(file.read().is_empty(), "no file yet");
    let mut written = String::new();
    let mut rates = Vec::new();
    for part in [
        "{\"kind\":\"interval\",\"rate\":40.4,\"acked_to",
        "tal\":7}\n{\"kind\":\"interval\",\"rate\":50,\"acked_total\":9}\n{",
        "\"kind\":\"summary\",\"acked_total\":12}\n",
    ] {
        written.push_str(part);
        std::fs::write(&path, &written).unwrap();
        rates.push(
            file.read()
                .iter()
                .map(|r| r.acked_total)
                .collect::<Vec<_>>(),
        );
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(rates, [vec![], vec![7, 9], vec![12]]);
}
