//! values.yaml, its schema, the table in the chart's README and everything.yaml have the same
//! values.

use serde_json::Value;

use crate::helm::{ROOT, file};

/// Values whose fields are defined by Kubernetes or by the user, so the chart does not list them.
/// Each has one row in the README.
const WHOLE: [&str; 4] = [
    "resources",
    "podSecurityContext",
    "securityContext",
    "affinity",
];

struct Row {
    path: String,
    about: String,
    default: Value,
}

/// One row for each value, in the order of the file: its path, its comment, its default.
fn rows() -> Vec<Row> {
    let text = file("charts/lagrange/values.yaml");
    let defaults: Value = serde_saphyr::from_str(&text).unwrap();
    let (mut rows, mut above, mut path) = (Vec::new(), Vec::new(), Vec::<(usize, String)>::new());
    // The first paragraph describes the file.
    for line in text.lines().skip_while(|line| !line.is_empty()) {
        let indent = line.len() - line.trim_start().len();
        if let Some(comment) = line.trim().strip_prefix("# ") {
            above.push(comment.to_owned());
        } else if let Some((key, rest)) = line.trim().split_once(':') {
            path.retain(|(level, _)| *level < indent);
            path.push((indent, key.to_owned()));
            let names: Vec<_> = path.iter().map(|(_, name)| name.as_str()).collect();
            let whole = WHOLE.contains(&names[0]);
            if (!rest.is_empty() && !whole) || (whole && names.len() == 1) {
                let default = names.iter().fold(&defaults, |value, name| &value[*name]);
                rows.push(Row {
                    path: names.join("."),
                    about: above.join(" "),
                    default: default.clone(),
                });
            }
            above.clear();
        } else {
            above.clear();
        }
    }
    rows
}

#[test]
fn every_value_has_a_description() {
    let rows = rows();
    assert!(rows.len() > 30);
    for Row { path, about, .. } in rows {
        assert!(
            about.len() > 10 && about.ends_with('.') || about.ends_with(']'),
            "{path}: {about:?}"
        );
    }
}

/// `UPDATE=1 cargo test --test chart` writes the table.
#[test]
fn readme_has_the_table_of_values() {
    let (begin, end) = (
        "<!-- values: made from values.yaml -->\n",
        "<!-- end of values -->",
    );
    let row = |row: &Row| {
        format!(
            "| `{}` | `{}` | {} |\n",
            row.path,
            row.default,
            row.about.replace('|', "\\|")
        )
    };
    let table: String = rows().iter().map(row).collect();
    let table = format!("\n| value | default | |\n|---|---|---|\n{table}\n");
    let path = "charts/lagrange/README.md";
    let text = file(path);
    let (head, rest) = text.split_once(begin).unwrap();
    let (_, tail) = rest.split_once(end).unwrap();
    let wanted = format!("{head}{begin}{table}{end}{tail}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(format!("{ROOT}/{path}"), &wanted).unwrap();
    } else {
        assert!(
            text == wanted,
            "the table in {path} differs from values.yaml: run UPDATE=1 cargo test --test chart"
        );
    }
}

/// Collects the paths of an object's values. Lists and strings are leaves.
fn ends(value: &Value, path: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(inside) if !inside.is_empty() && !WHOLE.contains(&path) => {
            for (key, value) in inside {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                ends(value, &path, into);
            }
        }
        _ => into.push(path.to_owned()),
    }
}

/// Collects the paths of a schema's properties in the same way.
fn properties(schema: &Value, path: &str, into: &mut Vec<String>) {
    match schema["properties"].as_object() {
        Some(inside) if !WHOLE.contains(&path) => {
            assert_eq!(
                schema["additionalProperties"], false,
                "{path}: a misspelt value would be ignored"
            );
            for (key, schema) in inside {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                properties(schema, &path, into);
            }
        }
        _ => into.push(path.to_owned()),
    }
}

fn sorted(mut paths: Vec<String>) -> Vec<String> {
    paths.sort();
    paths
}

#[test]
fn the_schema_has_exactly_the_values_of_the_file() {
    let schema: Value = serde_json::from_str(&file("charts/lagrange/values.schema.json")).unwrap();
    let mut known = Vec::new();
    properties(&schema, "", &mut known);
    known.retain(|path| path != "global");
    let rows = rows().into_iter().map(|row| row.path).collect();
    assert_eq!(sorted(known), sorted(rows));
}

/// The snapshot of this rendering shows when a value no longer has an effect.
#[test]
fn everything_yaml_has_every_value() {
    let everything: Value = serde_saphyr::from_str(crate::rendering::EVERYTHING).unwrap();
    let mut set = Vec::new();
    ends(&everything, "", &mut set);
    for Row { path, .. } in rows() {
        let below = format!("{path}.");
        assert!(
            set.iter()
                .any(|end| *end == path || end.starts_with(&below)),
            "{path} is not in everything.yaml"
        );
    }
}
