//! Checks of the repository itself: modules call only what the map allows, functions, files and
//! lines are not too long, and cited rules and links exist.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a file that cannot be read fails the test"
)]

mod arrows;
mod circles;
mod citations;
mod lengths;
mod sources;
mod vocabulary;

use sources::{Source, sources};

/// Fails with all `faults`, one per line.
#[track_caller]
fn assert_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn top_level_modules_call_only_what_the_map_allows() {
    for root in ["src", "crates/core/src"] {
        assert_none("not on the map of lib.rs", &arrows::off_the_map(root));
    }
}

#[test]
fn the_core_depends_on_no_client_or_runtime() {
    assert_none(
        "dependencies that the core may not have",
        &arrows::too_much_for_the_core(),
    );
}

#[test]
fn the_files_of_a_crate_import_in_no_circle() {
    assert_none("circles of imports", &circles::found());
}

#[test]
fn functions_files_and_lines_are_short() {
    let faults: Vec<String> = sources().iter().flat_map(lengths::too_long).collect();
    assert_none("too long", &faults);
}

#[test]
fn identifiers_use_the_words_of_the_glossary() {
    let faults: Vec<String> = sources().iter().flat_map(vocabulary::replaced).collect();
    assert_none("replaced by docs/glossary.md", &faults);
}

#[test]
fn cited_rules_exist_and_a_test_cites_each() {
    assert_none("rules", &citations::rules());
}

#[test]
fn links_of_the_pages_have_a_target() {
    assert_none("dead links", &citations::dead_links());
}

#[test]
fn no_placeholder_is_left() {
    assert_none("placeholders", &citations::placeholders());
}

/// Breaks each check once, so that no check passes for every input.
#[test]
fn each_check_finds_a_fault() {
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
    let words = |text: &str| vocabulary::replaced(&source(text)).len();
    assert_eq!(words("fn next_look(law: Law, look_up: u8, lawn: u8) {}"), 3);
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
