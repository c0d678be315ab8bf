//! The calls between top-level modules, compared with the map in `lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use regex::Regex;

use crate::sources::{root, sources, without_tests};

/// Crates that the core must not depend on.
const HEAVY: [&str; 9] = [
    "tokio",
    "hyper",
    "rdkafka",
    "rdkafka-sys",
    "rustls",
    "kube-client",
    "kube-runtime",
    "axum",
    "socket2",
];

/// The modules that code calls by `crate::module`, without its tests.
pub(crate) fn called(text: &str) -> Vec<String> {
    let call = Regex::new(r"\bcrate::(\w+)").unwrap();
    let rooms = call.captures_iter(without_tests(text));
    rooms.map(|room| room[1].to_owned()).collect()
}

/// Calls between the modules below `crate_root` that the table in its `lib.rs` does not allow.
pub(crate) fn off_the_map(crate_root: &str) -> Vec<String> {
    let map = map(&fs::read_to_string(root().join(crate_root).join("lib.rs")).unwrap());
    let mut faults = Vec::new();
    for source in sources().into_iter().filter(|source| !source.is_test()) {
        let Ok(inside) = source.path.strip_prefix(crate_root) else {
            continue;
        };
        let Some(room) = inside.iter().next().and_then(|room| room.to_str()) else {
            continue;
        };
        let room = room.trim_end_matches(".rs");
        if ["lib", "main"].contains(&room) {
            continue;
        }
        let Some(may_call) = map.get(room) else {
            faults.push(format!(
                "{room} ({}) is not on the map",
                source.path.display()
            ));
            continue;
        };
        let others = called(&source.text).into_iter();
        let others: BTreeSet<String> = others.filter(|other| other != room).collect();
        let path = source.path.display();
        let off = others.difference(may_call);
        faults.extend(off.map(|other| format!("{room} calls {other} in {path}")));
    }
    faults
}

/// The modules and what they may call: the first and the last column of the table.
fn map(lib: &str) -> BTreeMap<String, BTreeSet<String>> {
    let name = Regex::new(r"`(\w+)`").unwrap();
    let row = Regex::new(r"(?m)^//! \| \[?`(\w+)`\]? \|.*\|(.*)\|$").unwrap();
    row.captures_iter(lib)
        .map(|row| {
            let rooms = name.captures_iter(&row[2]);
            let rooms = rooms.map(|room| room[1].to_owned()).collect();
            (row[1].to_owned(), rooms)
        })
        .collect()
}

/// The dependencies of the core that it should not have.
pub(crate) fn too_much_for_the_core() -> Vec<String> {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "lagrange-core",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--no-default-features", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "{said}");
    let tree = String::from_utf8(tree.stdout).unwrap();
    let names: BTreeSet<&str> = tree.lines().filter_map(|l| l.split(' ').next()).collect();
    assert!(names.contains("jiff"), "{tree}");
    let heavy = HEAVY.into_iter().filter(|heavy| names.contains(heavy));
    heavy.map(ToOwned::to_owned).collect()
}
