//! Tests of `lagrange simulate` from outside: the command as a user runs it, and the pages that
//! print its output.

// clippy.toml allows these in tests, but counts only code inside test functions.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rstest::rstest;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lagrange");

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn simulate(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .arg("simulate")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it has an input");
    // A command that does not read its input has reported why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn reported(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The pages that print the output of a simulation. `make figures` updates them.
const PAGES: [&str; 2] = ["README.md", "docs/simulate.md"];

/// A command on a page, and the output that the page prints below it.
struct Example {
    command: String,
    printed: String,
}

/// The examples of a page that print output: code blocks that begin with a simulation.
fn printed_on(page: &str) -> Vec<Example> {
    let blocks = page.split("```").skip(1).step_by(2);
    let example = |block: &str| {
        let (_, text) = block.split_once("\n$ lagrange simulate ")?;
        let text = text.replace("\\\n", "");
        let (command, printed) = text.split_once('\n')?;
        let is_printed = !printed.trim().is_empty();
        is_printed.then(|| Example {
            command: command.to_owned(),
            printed: printed.to_owned(),
        })
    };
    blocks.filter_map(example).collect()
}

/// The output that the example would print now. Of each part of the printed output (parts are
/// separated by blank lines), it has as many lines as the page prints before a `...`.
fn renewed(printed: &str, output: &str) -> String {
    let parts: Vec<&str> = output.trim_end().split("\n\n").collect();
    let first = |part: &str| part.split_whitespace().next().map(ToOwned::to_owned);
    let renew = |part: &str| {
        let now = parts.iter().find(|now| first(now) == first(part));
        let now = now.unwrap_or_else(|| panic!("nothing begins as {part:?} does in\n{output}"));
        match part.strip_suffix("\n...") {
            None => (*now).to_owned(),
            Some(shown) => {
                let lines = now.lines().take(shown.lines().count());
                lines.chain(["..."]).collect::<Vec<_>>().join("\n")
            }
        }
    };
    let parts: Vec<String> = printed.trim_end().split("\n\n").map(renew).collect();
    parts.join("\n\n") + "\n"
}

/// Runs a command on the examples of this repository, each command once.
fn run_as_printed(command: &str, before: &mut BTreeMap<String, String>) -> String {
    let words: Vec<String> = command
        .split_whitespace()
        .map(|word| match word {
            path if path.starts_with("examples/") => here(path).display().to_string(),
            word => word.to_owned(),
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let run = || reported(&simulate(&words, ""));
    before.entry(words.join(" ")).or_insert_with(run).clone()
}

/// Regression: the pages promised 0 s late, and users who ran the example got 639.
///
/// `UPDATE=1` updates the pages.
#[test]
fn the_pages_print_what_their_examples_print_over_several_seeds() {
    let mut runs = BTreeMap::new();
    for name in PAGES {
        let mut page = std::fs::read_to_string(here(name)).expect("the page");
        let examples = printed_on(&page);
        assert!(!examples.is_empty(), "{name} has no example");
        for Example { command, printed } in examples {
            let output = run_as_printed(&command, &mut runs);
            assert!(
                output.contains("mean and range of ") || command.contains("--seeds 1"),
                "{name}: one run is luck: write --seeds"
            );
            let now = renewed(&printed, &output);
            if std::env::var_os("UPDATE").is_some() {
                page = page.replace(&printed, &now);
            } else {
                assert_eq!(printed, now, "{name} is out of date: `make figures`");
            }
            // The text below the example must use the same numbers.
            let (_, after) = page.split_once(&now).expect("the page prints it");
            for number in numbers_below(after) {
                assert!(
                    output.contains(&number) || command.contains(&number),
                    "{name}: {number}, in the text below the example, is not in\n{output}"
                );
            }
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(here(name), page).expect("the page can be written");
        }
    }
}

/// The numbers in the paragraph below an example, without those of one digit.
fn numbers_below(after: &str) -> Vec<String> {
    let text = after.trim_start_matches('`').trim_start();
    let text = text.split("\n\n").next().unwrap_or_default();
    let is_part = |c: char| c.is_ascii_digit() || c == ',' || c == '.';
    let numbers = text.split(|c: char| !is_part(c));
    let numbers = numbers.map(|number| number.trim_matches([',', '.']));
    let long = numbers.filter(|number| number.len() > 1);
    long.map(ToOwned::to_owned).collect()
}

#[test]
fn the_page_names_every_field_of_a_plant_file() {
    let page = std::fs::read_to_string(here("docs/simulate.md")).expect("the page");
    let all = lagrange_core::simulate::plant::Parameters::default();
    let Ok(Value::Object(fields)) = serde_json::to_value(all) else {
        panic!("an object");
    };
    for field in fields.keys() {
        assert!(page.contains(&format!("| `{field}` | ")), "{field}");
    }
    let table = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 2);
    let named = table.filter(|line| {
        fields
            .keys()
            .any(|field| line.starts_with(&format!("| `{field}` |")))
    });
    assert_eq!(named.count(), fields.len());
}

#[test]
fn the_example_of_a_plant_file_is_one() {
    let manifest = here("examples/max-delay.yaml").display().to_string();
    let plant = here("examples/simulate/plant.yml").display().to_string();
    let output = simulate(
        &[
            "--manifest",
            &manifest,
            "--trace",
            "step",
            "--plant",
            &plant,
        ],
        "",
    );
    assert!(reported(&output).contains("cooperative-sticky"));
}

#[test]
fn the_examples_of_a_load_can_be_used_as_they_stand() {
    let manifest = here("examples/max-delay.yaml").display().to_string();
    for load in ["load.csv", "load.json"] {
        let load = here("examples/simulate").join(load).display().to_string();
        let output = simulate(
            &[
                "--manifest",
                &manifest,
                "--load",
                &load,
                "--consumer-rate",
                "200",
                "--partitions",
                "24",
            ],
            "",
        );
        assert!(reported(&output).contains("lagrange"), "{load}");
    }
}

#[test]
fn a_load_is_read_from_standard_input_and_a_group_is_found_among_other_objects() {
    let manifest = here("examples/order-events/fulfillment.yaml")
        .display()
        .to_string();
    let output = simulate(
        &[
            "--manifest",
            &manifest,
            "--load",
            "-",
            "--partitions",
            "12",
            "--consumer-rate",
            "50",
            "--output",
            "csv",
        ],
        "0,100\n900,300\n",
    );
    assert!(reported(&output).starts_with("autoscaler,time,load,"));
}

#[rstest]
#[case::no_file(&["--manifest", "/nowhere.yaml", "--trace", "day"], "", "lagrange: /nowhere.yaml: ")]
#[case::no_rate(&["--manifest", "MAX_DELAY", "--load", "-", "--partitions", "6"], "0,1\n900,1\n",
    "lagrange: how many records per second can one consumer do? write --consumer-rate N")]
#[case::bad_line(&["--manifest", "MAX_DELAY", "--load", "-"], "0,1\n900,lots\n",
    "lagrange: standard input: line 2: \"lots\" is no number; write records per second")]
#[case::no_group(&["--manifest", "CLUSTER", "--trace", "day"], "", "CLUSTER: no ConsumerGroup found")]
#[case::bad_plant(&["--manifest", "MAX_DELAY", "--trace", "day", "--skew", "9"], "",
    "lagrange: plant: skew: 9 is not possible; write 0 to 5")]
#[case::no_field(&["--manifest", "MAX_DELAY", "--trace", "day", "--tuning", "surge.rise=2"], "",
    "lagrange: --tuning: no field surge.rise; surge has enabled, polls, risen, chance, first_poll")]
#[case::a_contradiction(&["--manifest", "MAX_DELAY", "--trace", "day", "--tuning", "probe.most=1s"], "",
    "lagrange: --tuning: probe.most is below probe.first")]
fn what_cannot_be_simulated_says_what_to_write(
    #[case] arguments: &[&str],
    #[case] input: &str,
    #[case] says: &str,
) {
    let max_delay = here("examples/max-delay.yaml").display().to_string();
    let cluster = here("examples/order-events/1-cluster.yaml")
        .display()
        .to_string();
    let names = |text: &str| {
        text.replace("MAX_DELAY", &max_delay)
            .replace("CLUSTER", &cluster)
    };
    let arguments: Vec<String> = arguments.iter().copied().map(names).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = simulate(&arguments, input);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&names(says)), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}
