//! Mangled input for tests of parsers of untrusted bytes. Each parser gets 250 cases per run;
//! `LAGRANGE_FUZZ_SECONDS` repeats the run for that time (`tests/soak.sh fuzz`). A failing input is
//! shrunk.

#![allow(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics"
)]

pub mod lines;

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestError, TestRunner};

/// Longest input. Everything that is parsed is limited to it.
const LONGEST: usize = 1 << 20;
/// Cases without `LAGRANGE_FUZZ_SECONDS`.
const CASES: u32 = 250;
/// A case takes a few seconds at most on a busy machine. One that takes this long hangs.
const HANG: Duration = Duration::from_secs(60);
/// Limit of the peak memory of the test process, in KiB.
const MEMORY_KIB: u64 = 2 << 20;

/// Numbers at which arithmetic often fails.
const NUMBERS: [&str; 16] = [
    "0",
    "-1",
    "-0",
    "1e308",
    "-1e308",
    "1e999",
    "1e-400",
    "0.1",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "99999999999999999999999999",
    "NaN",
    "1048575",
];

/// Texts with a special meaning in some format.
const TEXTS: [&str; 16] = [
    "",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "\u{202e}",
    "\u{1b}[2J",
    "\n",
    "\0",
    "9999-12-31T23:59:59.999999999Z",
    "-009999-01-02T01:59:59Z",
    "&a [*a, *a]",
    "<<: *a",
];

const BRACKETS: [&str; 6] = ["[", "{\"a\":", "[[{\"\":", "- ", "? ", "!t "];

/// One change of valid input.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Cut(Index),
    Remove(Index, Index),
    Repeat(Index, Index, usize),
    Splice(Index, Index, Index, Index),
    Nest(Index, Index, usize),
    Number(Index, Index),
    Text(Index, Index),
    Word(Index, Index),
    Long(Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        3 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => index().prop_map(Change::Cut),
        2 => (index(), index()).prop_map(|(from, to)| Change::Remove(from, to)),
        1 => (index(), index(), 1..2_000_usize).prop_map(|(from, to, times)| Change::Repeat(from, to, times)),
        2 => (index(), index(), index(), index()).prop_map(|(seed, from, to, at)| Change::Splice(seed, from, to, at)),
        1 => (index(), index(), 1..100_000_usize).prop_map(|(at, which, depth)| Change::Nest(at, which, depth)),
        6 => (index(), index()).prop_map(|(which, number)| Change::Number(which, number)),
        3 => (index(), index()).prop_map(|(at, text)| Change::Text(at, text)),
        4 => (index(), index()).prop_map(|(which, text)| Change::Word(which, text)),
        1 => (index(), 1..100_000_usize).prop_map(|(at, length)| Change::Long(at, length)),
    ]
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        match self {
            Self::Set(at, byte) => {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
            }
            Self::Cut(at) => bytes.truncate(place(*at, bytes)),
            Self::Remove(from, to) => drop(bytes.drain(range(*from, *to, bytes))),
            Self::Repeat(from, to, times) => {
                let range = range(*from, *to, bytes);
                let times = times.min(&(LONGEST / range.len().max(1))).to_owned();
                let more = bytes[range.clone()].repeat(times);
                bytes.splice(range.start..range.start, more);
            }
            Self::Splice(seed, from, to, at) => {
                let seed = seed.get(seeds);
                let part = seed[range(*from, *to, seed)].to_vec();
                let at = place(*at, bytes);
                bytes.splice(at..at, part);
            }
            Self::Nest(at, which, depth) => {
                let at = place(*at, bytes);
                bytes.splice(at..at, which.get(&BRACKETS).repeat(*depth).into_bytes());
            }
            Self::Number(which, number) => {
                replace(bytes, *which, number.get::<&str>(&NUMBERS), |b| {
                    b.is_ascii_digit() || *b == b'.' || *b == b'-'
                });
            }
            Self::Text(at, text) => {
                let at = place(*at, bytes);
                bytes.splice(at..at, text.get(&TEXTS).bytes());
            }
            Self::Word(which, text) => {
                replace(bytes, *which, text.get::<&str>(&TEXTS), |b| {
                    b.is_ascii_alphanumeric() || *b == b'"' || *b == b'_'
                });
            }
            Self::Long(at, length) => {
                let at = place(*at, bytes);
                bytes.splice(at..at, std::iter::repeat_n(b'x', *length));
            }
        }
        bytes.truncate(LONGEST);
    }
}

fn place(at: Index, bytes: &[u8]) -> usize {
    at.index(bytes.len() + 1)
}

fn range(from: Index, to: Index, bytes: &[u8]) -> std::ops::Range<usize> {
    let (from, to) = (place(from, bytes), place(to, bytes));
    from.min(to)..from.max(to)
}

/// Replaces one of the runs of bytes for which `of` holds.
fn replace(bytes: &mut Vec<u8>, which: Index, by: &str, of: impl Fn(&u8) -> bool) {
    let mut runs = Vec::new();
    let mut start = None;
    for at in 0..=bytes.len() {
        let is_in = bytes.get(at).is_some_and(&of);
        match (start, is_in) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                runs.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    if !runs.is_empty() {
        bytes.splice(which.get(&runs).clone(), by.bytes());
    }
}

fn mangled(seeds: &[Vec<u8>], (seed, changes): &(Index, Vec<Change>)) -> Vec<u8> {
    let mut bytes = seed.get(seeds).clone();
    for change in changes {
        change.make(&mut bytes, seeds);
    }
    bytes
}

/// Runs `check` on each seed and on mangled seeds. Fails when `check` panics, hangs, or uses too
/// much memory.
pub fn fuzz(seeds: &[impl AsRef<[u8]>], check: impl Fn(&[u8])) {
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_ref().to_vec()).collect();
    for seed in &seeds {
        check(seed);
    }
    let seconds = std::env::var("LAGRANGE_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().unwrap());
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let strategy = (any::<Index>(), vec(change(), 1..6));
    let mut runs = 0_u64;
    while runs == 0 || until.is_some_and(|until| Instant::now() < until) {
        runs += 1;
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            max_shrink_time: 60_000,
            ..Config::default()
        };
        let found = TestRunner::new(config).run(&strategy, |plan| {
            let bytes = mangled(&seeds, &plan);
            let began = Instant::now();
            check(&bytes);
            prop_assert!(began.elapsed() < HANG, "took {:?}", began.elapsed());
            Ok(())
        });
        match found {
            Ok(()) => {}
            Err(TestError::Fail(reason, plan)) => {
                let bytes = mangled(&seeds, &plan);
                let shown: String = bytes.escape_ascii().take(8_000).map(char::from).collect();
                panic!("{reason}\nafter {plan:?}:\n{shown}");
            }
            Err(aborted) => panic!("{aborted}"),
        }
    }
    let peak = peak_memory();
    assert!(peak < MEMORY_KIB, "{peak} KiB of memory");
    if until.is_some() {
        eprintln!("{} cases, {peak} KiB at most", runs * u64::from(CASES));
    }
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

/// Fails if a message is not one line of limited length without control characters.
pub fn assert_is_one_line(message: &str) {
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.len() <= 4_096, "{} bytes: {message}", message.len());
}

/// Text of a file of the repository. It is read at run time, because the build of the image has
/// only the sources.
pub fn file(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let path = std::path::Path::new(root).join(path);
    std::fs::read_to_string(path).unwrap()
}
