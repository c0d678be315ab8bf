//! Writes `docs/reference/api.md` from the definitions and from the comments on annotations and
//! conditions; a test fails on drift.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use super::condition::{Reason, Type};
use super::definitions;

const HEAD: &str = "\
<!-- Written by `make crds` from crates/core/src/api; edit there. -->

# API reference

The fields, columns, annotations, conditions and reasons of the resources. Group `lagrange.dev`,
version `v1alpha1`. `kubectl explain consumergroup.spec` and so on show the same.

Durations are written as `90s`, `1m30s` or `2h`; their units are h, m, s and ms, in this order.
Fields that are not marked *required* can be left out.
";

/// `make crds` sets UPDATE to write the files.
#[test]
fn committed_reference_is_what_the_types_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/api.md");
    let text = reference();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference"))
            .unwrap();
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/reference/api.md is not what crates/core/src/api says: run `make crds`"
    );
}

#[test]
fn every_reason_says_which_condition_it_belongs_to_and_what_it_means() {
    let mut conditions: Vec<&str> = Type::ALL.iter().map(|one| one.as_str()).collect();
    conditions.push("Any");
    let reasons = variants(include_str!("condition.rs"), "Reason");
    let names: Vec<&str> = reasons.iter().map(|(reason, _)| &**reason).collect();
    let all: Vec<&str> = Reason::ALL.iter().map(|one| one.as_str()).collect();
    assert_eq!(names, all);
    for (reason, comment) in reasons {
        let (whose, meaning) = comment
            .split_once(": ")
            .unwrap_or_else(|| panic!("{reason} has no meaning"));
        let (types, status) = whose.rsplit_once(", ").unwrap();
        assert!(
            ["True", "False", "Unknown"].contains(&status),
            "{reason}: {status}"
        );
        assert!(
            types
                .split(", ")
                .flat_map(|some| some.split(" and "))
                .all(|one| conditions.contains(&one)),
            "{reason}: {types}"
        );
        assert!(
            meaning.ends_with('.') && reason.chars().all(char::is_alphanumeric),
            "{reason}: {meaning}"
        );
    }
}

fn reference() -> String {
    let mut text = HEAD.to_owned();
    for definition in definitions() {
        kind(&mut text, &definition);
    }
    text.push_str("\n## Annotations of a ConsumerGroup\n\nThey pause a group without a change to its manifest. A value that cannot be interpreted pauses, and is reported; so does any other annotation that begins with `lagrange.dev/pause`.\n\n| annotation | meaning |\n|---|---|\n");
    for (name, meaning) in constants(include_str!("mod.rs"), "annotations")
        .iter()
        .filter(|(name, _)| name.contains("paused"))
    {
        writeln!(text, "| `{name}` | {} |", cell(meaning)).unwrap();
    }
    text.push_str("\n## Conditions\n\n| condition | meaning |\n|---|---|\n");
    for (name, meaning) in variants(include_str!("condition.rs"), "Type") {
        writeln!(text, "| `{name}` | {} |", cell(&meaning)).unwrap();
    }
    text.push_str("\n| reason | of | meaning |\n|---|---|---|\n");
    for (name, comment) in variants(include_str!("condition.rs"), "Reason") {
        let (whose, meaning) = comment.split_once(": ").unwrap();
        let (types, status) = whose.rsplit_once(", ").unwrap();
        writeln!(
            text,
            "| `{name}` | {types} = {status} | {} |",
            cell(&capitalised(meaning))
        )
        .unwrap();
    }
    text
}

fn kind(text: &mut String, definition: &CustomResourceDefinition) {
    let names = &definition.spec.names;
    let version = &definition.spec.versions[0];
    let schema = version.schema.clone().unwrap().open_api_v3_schema.unwrap();
    let short = names.short_names.as_deref().unwrap_or_default().join(", ");
    writeln!(
        text,
        "\n## {} (`{short}`)\n\n{}",
        names.kind,
        schema.description.as_deref().unwrap()
    )
    .unwrap();
    for part in ["spec", "status"] {
        let properties = &schema.properties.as_ref().unwrap()[part];
        writeln!(
            text,
            "\n### {} {part}\n\n| field | type | default | meaning |\n|---|---|---|---|",
            names.kind
        )
        .unwrap();
        let mut rules = Vec::new();
        fields(text, &mut rules, "", properties);
        if !rules.is_empty() {
            writeln!(text, "\nChecked by the API server, with these answers:\n").unwrap();
            for rule in rules {
                writeln!(text, "- {rule}").unwrap();
            }
        }
    }
    writeln!(
        text,
        "\n### Columns of `kubectl get {}`\n\n| column | value | meaning |\n|---|---|---|",
        names.plural
    )
    .unwrap();
    for column in version.additional_printer_columns.iter().flatten() {
        let wide = if column.priority == Some(1) {
            " (with `-o wide`)"
        } else {
            ""
        };
        let meaning = column.description.as_deref().unwrap_or_default();
        writeln!(
            text,
            "| {}{wide} | `{}` | {meaning} |",
            column.name.to_uppercase(),
            column.json_path
        )
        .unwrap();
    }
}

fn fields(text: &mut String, rules: &mut Vec<String>, path: &str, schema: &JSONSchemaProps) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        let message = rule.message.as_deref().unwrap();
        let whose = if path.is_empty() {
            String::new()
        } else {
            format!("`{}`: ", path.trim_end_matches('.'))
        };
        rules.push(format!("{whose}{message}"));
    }
    for (name, property) in schema.properties.iter().flatten() {
        let required = schema.required.iter().flatten().any(|one| one == name);
        let required = if required && !path.contains("[]") {
            ", *required*"
        } else {
            ""
        };
        // The default of an object is that of its fields, which have their own lines.
        let default = property
            .default
            .as_ref()
            .map(|default| &default.0)
            .filter(|default| !default.is_object());
        let default = default
            .map(|default| format!("`{}`", bare(default)))
            .unwrap_or_default();
        let meaning = cell(property.description.as_deref().unwrap_or_default());
        writeln!(
            text,
            "| `{path}{name}` | {}{required} | {default} | {meaning} |",
            cell(&type_of(property))
        )
        .unwrap();
        let inner = match &property.items {
            Some(JSONSchemaPropsOrArray::Schema(items)) => {
                (format!("{path}{name}[]."), items.as_ref())
            }
            _ => (format!("{path}{name}."), property),
        };
        fields(text, rules, &inner.0, inner.1);
        if let Some(values) = values_of(property) {
            fields(text, rules, &format!("{path}{name}[]."), values);
        }
    }
}

/// What the values of a map are.
fn values_of(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(values)) => Some(values),
        _ => None,
    }
}

fn type_of(schema: &JSONSchemaProps) -> String {
    if let (Some(values), Some(most)) = (values_of(schema), schema.max_properties) {
        return format!("map of {}, at most {most}", type_of(values));
    }
    if let Some(values) = &schema.enum_ {
        return values
            .iter()
            .map(|value| format!("`{}`", bare(&value.0)))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let is_duration = schema
        .pattern
        .as_deref()
        .is_some_and(|pattern| pattern.ends_with("ms)?$"));
    match (schema.type_.as_deref().unwrap_or("any"), &schema.items) {
        ("string", _) if is_duration => "duration".to_owned(),
        ("string", _) if schema.format.as_deref() == Some("date-time") => "time".to_owned(),
        ("array", Some(JSONSchemaPropsOrArray::Schema(items))) => {
            format!(
                "list of {}, at most {}",
                type_of(items),
                schema.max_items.unwrap_or_default()
            )
        }
        ("integer", _) => match (schema.minimum, schema.maximum) {
            (Some(min), Some(max)) => format!("integer, {min} to {max}"),
            (Some(min), None) => format!("integer, {min} or more"),
            _ => "integer".to_owned(),
        },
        (other, _) => other.to_owned(),
    }
}

fn bare(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The constants of a module of constants, by value, each with its comment.
fn constants(source: &str, module: &str) -> Vec<(String, String)> {
    let (_, rest) = source
        .split_once(&format!("pub mod {module} {{\n"))
        .unwrap();
    let (body, _) = rest.split_once("\n}").unwrap();
    let (mut comment, mut found) = (String::new(), Vec::new());
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push_str(text);
        } else {
            if line.starts_with("pub const") && line.contains(": &str") {
                let value = line
                    .split('"')
                    .nth(1)
                    .unwrap_or_else(|| panic!("{line} is more than one line"))
                    .to_owned();
                found.push((value, comment.trim().to_owned()));
            }
            comment.clear();
        }
    }
    found
}

/// The variants of an enum of words, each with its comment.
fn variants(source: &str, name: &str) -> Vec<(String, String)> {
    let (_, rest) = source
        .split_once(&format!("    pub enum {name} {{\n"))
        .unwrap();
    let (body, _) = rest.split_once("\n    }\n").unwrap();
    let (mut comment, mut found) = (String::new(), Vec::new());
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push_str(text);
        } else if let Some(variant) = line.strip_suffix(',') {
            found.push((variant.to_owned(), std::mem::take(&mut comment)));
        }
    }
    let trimmed = |(name, comment): (String, String)| (name, comment.trim().to_owned());
    found.into_iter().map(trimmed).collect()
}

/// As it may stand in a table: rustdoc's links by name are no links here, and the ids of rules are
/// for us.
fn cell(text: &str) -> String {
    let id = "(?:ACT|KNOW|KEEP|TELL|SAFE)-[0-9]+";
    let ids = regex::Regex::new(&format!(r" \({id}(?: and {id})*\)")).unwrap();
    ids.replace_all(text, "")
        .replace("[`PAUSED`]", "`lagrange.dev/paused`")
        .replace('|', "\\|")
        .replace("\n\n", " ")
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}
