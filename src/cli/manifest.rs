//! Reads a ConsumerGroup or a plant from YAML or JSON. Rejects what the API server would reject,
//! with one sentence for what is wrong.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lagrange_core::api::{self, ConsumerGroup};
use lagrange_core::text::{clean, mistake};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{RenderOptions, SnippetMode, UserMessageFormatter};
use thiserror::Error;

/// The kind to find.
const KIND: &str = "ConsumerGroup";
/// How similar a known field must be to an unknown one to be suggested: the same threshold as
/// clap's for options.
const ALIKE: f64 = 0.7;

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub(super) enum Unusable {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The content is not valid.
    #[error("{}: {problem}", path.display())]
    Content {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong, and what to write instead.
        problem: String,
    },
}

pub(super) fn read(path: &Path) -> Result<String, Unusable> {
    fs::read_to_string(path).map_err(|source| Unusable::Read {
        path: path.to_owned(),
        source,
    })
}

/// Reads a file and parses it with `parse`.
pub(super) fn parsed<T>(
    path: &Path,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Unusable> {
    parse(&read(path)?).map_err(|problem| Unusable::Content {
        path: path.to_owned(),
        problem,
    })
}

/// The one ConsumerGroup in a text; other objects are ignored.
pub(super) fn group(text: &str) -> Result<ConsumerGroup, String> {
    let objects = documents(text)?;
    let is_group = |object: &&Value| object.get("kind").and_then(Value::as_str) == Some(KIND);
    let mut groups = objects.iter().filter(is_group);
    let group = match (groups.next(), groups.next()) {
        (Some(group), None) => group,
        (None, _) => return Err(format!("no {KIND} found (kind: {KIND})")),
        (Some(_), Some(_)) => {
            return Err(format!("more than one {KIND} found: give a file with one"));
        }
    };
    let known = format!("{}/{}", api::GROUP, api::VERSION);
    let version = group.get("apiVersion").and_then(Value::as_str);
    if version != Some(&known) {
        return Err(format!(
            "not a {KIND} of Lagrange: write apiVersion: {known}"
        ));
    }
    let bad = |problem: String| format!("not a {KIND}: {problem}");
    let (read, unknown) = mistake::read_with_unknown(group).map_err(bad)?;
    // The type of the resource has these two as constants; parsing ignores them.
    let is_known = |path: &&String| matches!(path.as_str(), "apiVersion" | "kind");
    match unknown.iter().find(|path| !is_known(path)) {
        None => Ok(read),
        Some(path) => Err(bad(unknown_field(path))),
    }
}

/// The one document of a text.
pub(super) fn document<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    match documents(text)?.as_slice() {
        [document] => mistake::read(document),
        [] => Err("the file is empty".to_owned()),
        more => Err(format!(
            "{} documents found: give a file with one",
            more.len()
        )),
    }
}

/// The documents of YAML or JSON. An error is one line that names the position, without the
/// excerpt of ten lines that the library can draw.
fn documents(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple(text).map_err(|error| {
        let mut options = RenderOptions::new(&UserMessageFormatter);
        options.snippets = SnippetMode::Off;
        format!("not YAML: {}", error.render_with_options(options))
    })
}

/// The message for a field that is not in the schema, with a suggestion.
fn unknown_field(path: &str) -> String {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let alike = fields(parent).into_iter().map(|field| {
        let likeness = strsim::jaro_winkler(&field.to_lowercase(), &name.to_lowercase());
        (likeness, field)
    });
    let alike = alike.filter(|(likeness, _)| *likeness > ALIKE);
    let nearest = alike.max_by(|(a, _), (b, _)| a.total_cmp(b));
    let advice = nearest.map_or_else(
        || "remove it".to_owned(),
        |(_, field)| format!("did you mean {field}?"),
    );
    format!("unknown field {}; {advice}", clean(path))
}

/// The fields that the schema has at a path.
fn fields(path: &str) -> Vec<String> {
    let [group, _] = api::definitions();
    let schema = group.spec.versions.into_iter().next();
    let schema = schema.and_then(|version| version.schema?.open_api_v3_schema);
    let mut schema = schema.and_then(|schema| serde_json::to_value(schema).ok());
    for part in path.split('.').filter(|part| !part.is_empty()) {
        // `items[0]` is a list: take the schema of its items.
        let name = part.split('[').next().unwrap_or(part);
        schema = schema.and_then(|mut schema| {
            let mut part = schema.get_mut("properties")?.get_mut(name)?.take();
            match part.get_mut("items") {
                Some(items) => Some(items.take()),
                None => Some(part),
            }
        });
    }
    let properties = schema.as_ref().and_then(|schema| schema.get("properties"));
    let properties = properties.and_then(Value::as_object);
    properties
        .into_iter()
        .flat_map(|all| all.keys().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::in_a_line;
    use super::*;
    use lagrange_core::intent::Intent;
    use lagrange_core::simulate::plant::Parameters;
    use lagrange_fuzz::{assert_is_one_line, file, fuzz};

    /// The manifest of an example, with `from` replaced by `to`.
    fn with(from: &str, to: &str) -> String {
        let text = file("examples/max-delay.yaml");
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    }

    /// Regression: `maxReplica: 12` ran without a maximum.
    #[rstest]
    #[case(
        "maxReplicas: 20",
        "maxReplica: 12",
        "not a ConsumerGroup: unknown field spec.maxReplica; did you mean maxReplicas?"
    )]
    #[case(
        "maxDelay: 60s",
        "maxdelay: 60s",
        "not a ConsumerGroup: unknown field spec.objective.maxdelay; did you mean maxDelay?"
    )]
    #[case(
        "name: fulfillment\n  namespace",
        "nmae: x\n  name: fulfillment\n  namespace",
        "not a ConsumerGroup: unknown field metadata.nmae; remove it"
    )]
    #[case(
        "spec:\n",
        "spce: 1\nspec:\n",
        "not a ConsumerGroup: unknown field spce; did you mean spec?"
    )]
    #[case(
        "maxReplicas: 20",
        "maxReplicas: \"20\"",
        "not a ConsumerGroup: spec.maxReplicas: write a whole number, not \"20\""
    )]
    #[case(
        "maxReplicas: 20",
        "maxReplicas: many",
        "not a ConsumerGroup: spec.maxReplicas: write a whole number, not \"many\""
    )]
    #[case(
        "maxDelay: 60s",
        "maxDelay: 60",
        "not a ConsumerGroup: spec.objective.maxDelay: write text, not 60"
    )]
    #[case(
        "maxDelay: 60s",
        "maxDelay: soon",
        "not a ConsumerGroup: spec.objective.maxDelay: \"soon\": write a duration such as 90s, 1m30s or 2h"
    )]
    #[case(
        "  scaleTargetRef:\n    name: fulfillment\n",
        "",
        "not a ConsumerGroup: spec: scaleTargetRef is missing"
    )]
    #[case(
        "v1alpha1",
        "v1",
        "not a ConsumerGroup of Lagrange: write apiVersion: lagrange.dev/v1alpha1"
    )]
    #[case(
        "kind: ConsumerGroup",
        "kind: Deployment",
        "no ConsumerGroup found (kind: ConsumerGroup)"
    )]
    fn what_the_api_server_would_refuse_is_refused(
        #[case] from: &str,
        #[case] to: &str,
        #[case] says: &str,
    ) {
        assert_eq!(group(&with(from, to)).unwrap_err(), says);
    }

    #[test]
    fn other_objects_are_ignored_and_two_groups_are_refused() {
        let one = file("examples/max-delay.yaml");
        let beside = format!("apiVersion: v1\nkind: Service\nanything: 1\n---\n{one}");
        assert!(group(&beside).is_ok());
        let two = group(&format!("{one}\n---\n{one}")).unwrap_err();
        assert_eq!(
            two,
            "more than one ConsumerGroup found: give a file with one"
        );
    }

    /// Regression: the message had an excerpt of ten lines and advice to call a library function.
    #[rstest]
    #[case("topics: [orders", "not YAML: ")]
    #[case(
        "a: 1\na: 2\n",
        "not YAML: duplicate mapping key `a` is not allowed here at line 2, column 1"
    )]
    #[case("a:\n  - b\n c: 1\n", "not YAML: ")]
    fn invalid_yaml_is_reported_in_one_line_with_its_position(
        #[case] text: &str,
        #[case] says: &str,
    ) {
        let error = group(text).unwrap_err();
        assert!(error.starts_with(says), "{error}");
        assert!(error.contains("line ") && !error.contains('\n'), "{error}");
    }

    #[rstest]
    #[case("skew: lots", "skew: write a number, not \"lots\"")]
    #[case(
        "startSeconds: [1, 2]",
        "startSeconds: write a list of 3, not 2 of them"
    )]
    #[case("skwe: 1", "no field skwe; there are ")]
    #[case("a: 1\n---\nb: 2\n", "2 documents found: give a file with one")]
    #[case("", "the file is empty")]
    fn an_invalid_plant_reports_what_to_write(#[case] text: &str, #[case] says: &str) {
        let error = document::<Parameters>(text).unwrap_err();
        assert!(error.contains(says), "{error}");
        for word in ["f64", "i64", "tuple", "struct", "from_str"] {
            assert!(!error.contains(word), "{error}");
        }
    }

    /// Nested aliases: a few lines that would expand to gigabytes.
    #[test]
    fn a_manifest_that_expands_to_gigabytes_is_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let before = format!("*a{},", level - 1).repeat(9);
            text.extend([format!("a{level}: &a{level} ["), before, "]\n".to_owned()]);
        }
        text += "kind: ConsumerGroup\n";
        assert_is_one_line(&in_a_line(&group(&text).unwrap_err()));
    }

    #[test]
    fn a_manifest_that_is_nested_too_deep_is_refused() {
        for nest in ["[", "{a: ", "- ", "? ", "!t [", "- - "] {
            let text = format!("kind: ConsumerGroup\nspec: {}", nest.repeat(100_000));
            assert_is_one_line(&in_a_line(&group(&text).unwrap_err()));
        }
    }

    #[test]
    fn a_mangled_manifest_fails_with_one_line() {
        let cyclic = "kind: ConsumerGroup\nspec: &a {b: [*a, *a]}\n---\nkind: Deployment\n";
        let examples = [file("examples/max-delay.yaml"), cyclic.to_owned()];
        fuzz(&examples, |bytes| {
            match group(&String::from_utf8_lossy(bytes)) {
                Ok(group) => drop(Intent::of(&group)),
                Err(error) => assert_is_one_line(&in_a_line(&error)),
            }
        });
    }

    #[test]
    fn a_mangled_plant_fails_with_one_line() {
        let plant = "topics: {orders: 24}\nconsumerRate: 200\nassignor: range\nskew: 0.3\nstartSeconds: [20, 30, 60]\n\
                     commitIntervalSeconds: 5\ninitialReplicas: 2\n";
        fuzz(&[plant], |bytes| {
            match document::<Parameters>(&String::from_utf8_lossy(bytes)) {
                Ok(parameters) => drop(parameters.checked()),
                Err(error) => assert_is_one_line(&in_a_line(&error)),
            }
        });
    }
}
