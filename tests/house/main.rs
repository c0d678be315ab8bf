//! The house keeps itself: what the map allows, how long a function, a file and a line may be, and
//! that what is cited exists.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot be read fails the test"
)]

mod arrows;
mod circles;
mod citations;
mod lengths;
mod sources;

use sources::{Source, sources};

/// Fails with all of `faults`, each on a line of its own.
#[track_caller]
fn assert_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn the_rooms_call_what_the_map_allows() {
    for root in ["src", "crates/core/src"] {
        assert_none("not on the map of lib.rs", &arrows::off_the_map(root));
    }
}

#[test]
fn the_core_depends_on_no_client_and_no_runtime() {
    assert_none("in the core", &arrows::too_much_for_the_core());
}

#[test]
fn no_files_run_in_a_circle() {
    assert_none("in a circle", &circles::found());
}

#[test]
fn functions_files_and_lines_are_short() {
    let faults: Vec<String> = sources().iter().flat_map(lengths::too_long).collect();
    assert_none("too long", &faults);
}

#[test]
fn rules_that_are_cited_exist_and_each_is_cited_by_a_test() {
    assert_none("rules", &citations::rules());
}

#[test]
fn links_of_the_pages_lead_somewhere() {
    assert_none("dead links", &citations::dead_links());
}

#[test]
fn no_placeholder_is_left() {
    assert_none("placeholders", &citations::placeholders());
}

/// Breaks each check once, so that none of them passes whatever it is given.
#[test]
fn the_checks_find_what_they_look_for() {
    let source = |text: &str| Source {
        path: "src/made_up.rs".into(),
        text: text.to_owned(),
    };
    let long_function = format!("fn long() {{\n{}}}\n", "    let _ = 0;\n".repeat(90));
    assert_eq!(lengths::too_long(&source(&long_function)).len(), 1);
    let long_file = "const A: u8 = 0;\n".repeat(501);
    assert_eq!(lengths::too_long(&source(&long_file)).len(), 1);
    let long_line = format!("// {}\n", "x ".repeat(60));
    assert_eq!(lengths::too_long(&source(&long_line)).len(), 1);
    let text = format!("const A: &str = \"{}\";\n", "x ".repeat(60));
    assert_eq!(lengths::too_long(&source(&text)), Vec::<String>::new());
    assert_eq!(
        circles::of(&[(0, 1), (1, 2), (2, 0), (2, 3)], 4),
        [vec![0, 1, 2]]
    );
    let file = |path: &str, text: &str| Source {
        path: path.into(),
        text: text.to_owned(),
    };
    let files = [
        file("src/a/mod.rs", "mod b;\nmod c;\npub use c::{C, D as E};\n"),
        file("src/a/b.rs", "use super::C;\n"),
        file("src/a/c.rs", "fn c() { crate::d::of() }\n// crate::a::b\n"),
        file("src/d.rs", "use crate::a::E;\n"),
    ];
    // By names that another file hands on, and by paths in the code.
    assert_eq!(circles::arrows(&files), [(1, 2), (2, 3), (3, 2)]);
    assert_eq!(
        arrows::called("use crate::one::A;\n#[cfg(test)]\nmod tests {\n use crate::two::B;\n}\n"),
        ["one"]
    );
    assert_eq!(
        citations::links("[a](b.md) and [c](https://d) and `[e](f)`"),
        ["b.md"]
    );
    assert!(citations::is_placeholder("see RELEASE for it"));
    assert!(!citations::is_placeholder("an HTTP server in UTC"));
}
