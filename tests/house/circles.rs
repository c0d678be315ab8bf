//! Files of a room that import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;

use crate::sources::{Source, sources, without_tests};

/// Rooms whose files run one way.
const ROOMS: [&str; 4] = [
    "crates/core/src/intent",
    "crates/core/src/recording",
    "crates/core/src/scaling",
    "crates/core/src/text",
];

/// The circles of all rooms, as lists of files.
pub(crate) fn found() -> Vec<String> {
    ROOMS.iter().flat_map(|room| of_room(room)).collect()
}

fn of_room(room: &str) -> Vec<String> {
    let all = sources().into_iter();
    let files: Vec<Source> = all
        .filter(|source| source.path.starts_with(room) && !source.is_test())
        .collect();
    assert!(files.len() > 1, "{room} has files");
    let modules: Vec<Vec<String>> = files.iter().map(|file| module(&file.path)).collect();
    let places: BTreeMap<&[String], usize> = modules
        .iter()
        .zip(0..)
        .map(|(m, place)| (&**m, place))
        .collect();
    let mut arrows = Vec::new();
    for (from, (file, module)) in files.iter().zip(&modules).enumerate() {
        for path in imports(&file.text, module) {
            // The file that defines it: the longest part of the path that is one.
            let file = (1..=path.len()).rev().find_map(|n| places.get(&path[..n]));
            arrows.extend(file.filter(|to| **to != from).map(|to| (from, *to)));
        }
    }
    let named = |circle: Vec<usize>| {
        let names = circle
            .iter()
            .map(|place| files[*place].path.display().to_string());
        names.collect::<Vec<_>>().join(", ")
    };
    of(&arrows, files.len()).into_iter().map(named).collect()
}

/// The path of a file's module below the crate.
fn module(path: &Path) -> Vec<String> {
    let inside = path.to_str().unwrap().split("src/").nth(1).unwrap();
    let inside = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    inside.split('/').map(ToOwned::to_owned).collect()
}

/// What a file imports from its own crate, as full paths. A module's own children are no import.
fn imports(text: &str, module: &[String]) -> BTreeSet<Vec<String>> {
    let statement = Regex::new(r"(?m)^use ((?:crate|super|self)::[^;]*);").unwrap();
    let text = without_tests(text);
    let mut paths = BTreeSet::new();
    for statement in statement.captures_iter(text) {
        let tree: String = statement[1].split_whitespace().collect();
        for path in expanded(&tree) {
            paths.extend(absolute(&path, module));
        }
    }
    paths
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expanded(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else {
        return vec![tree.to_owned()];
    };
    let inside = rest.strip_suffix('}').unwrap_or(rest);
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in inside.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(c);
        }
    }
    let parts = parts.iter().filter(|part| !part.is_empty());
    parts
        .flat_map(|part| expanded(&format!("{before}{part}")))
        .collect()
}

fn absolute(path: &str, module: &[String]) -> Option<Vec<String>> {
    let mut parts = path.split("::").filter(|part| *part != "self").peekable();
    let mut base = module.to_vec();
    if parts.next_if_eq(&"crate").is_some() {
        base.clear();
    }
    while parts.next_if_eq(&"super").is_some() {
        base.pop()?;
    }
    base.extend(parts.map(ToOwned::to_owned));
    // What a file takes from below itself is its own.
    (base.len() > module.len() && base.starts_with(module))
        .then_some(())
        .map_or(Some(base), |()| None)
}

/// The groups of more than one of `count` places that lead to each other.
pub(crate) fn of(arrows: &[(usize, usize)], count: usize) -> Vec<Vec<usize>> {
    let mut reach = vec![vec![false; count]; count];
    for (from, to) in arrows {
        reach[*from][*to] = true;
    }
    for via in 0..count {
        let further = reach[via].clone();
        for reached in reach.iter_mut().filter(|reached| reached[via]) {
            for (to, from_via) in reached.iter_mut().zip(&further) {
                *to |= from_via;
            }
        }
    }
    let mut circles: Vec<Vec<usize>> = (0..count)
        .map(|one| {
            (0..count)
                .filter(|two| reach[one][*two] && reach[*two][one])
                .collect()
        })
        .filter(|circle: &Vec<usize>| circle.len() > 1)
        .collect();
    circles.dedup();
    circles.sort();
    circles.dedup();
    circles
}
