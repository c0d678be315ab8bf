//! What is wrong with a document of a user: where, and what to write instead. The messages of serde
//! name Rust types, which mean nothing to a user.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::text;

/// Reads a value, or reports which part of it cannot be read and what to write there. Unknown
/// fields are ignored.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| located(&error))
}

/// Like [`read`], and also returns the paths of unknown fields.
pub fn read_with_unknown<T: DeserializeOwned>(value: &Value) -> Result<(T, Vec<String>), String> {
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(plain_path(&path.to_string()));
    let value = serde_ignored::Deserializer::new(value, &mut note);
    let read = serde_path_to_error::deserialize(value).map_err(|error| located(&error))?;
    Ok((read, unknown))
}

fn located(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = plain_path(&error.path().to_string());
    let words = words(&error.inner().to_string());
    match path.as_str() {
        "" | "." => words,
        path => format!("{path}: {words}"),
    }
}

/// A path in the form of Kubernetes, `spec.topics`: without serde's marks for optional parts.
fn plain_path(path: &str) -> String {
    path.replace(".?", "")
}

/// A message of serde as a sentence that says what to write. Other messages stay as they are.
pub fn words(message: &str) -> String {
    let message = without_place(message);
    let pair = |start: &str| message.strip_prefix(start)?.rsplit_once(", expected ");
    let quoted = |start: &str| message.strip_prefix(start)?.strip_suffix('`');
    if let Some((found, expected)) = pair("invalid type: ") {
        return format!("write {}, not {}", kind(expected), written(found));
    }
    if let Some((found, expected)) = pair("invalid value: ") {
        let found = written(found);
        return format!("{found} is not possible; write {}", range(expected));
    }
    if let Some((length, expected)) = pair("invalid length ") {
        return format!("write {}, not {length} of them", kind(expected));
    }
    if let Some((found, expected)) = pair("unknown variant ") {
        let found = found.trim_matches('`');
        return format!(
            "{} is not possible; write {}",
            text::quoted(found),
            choices(expected)
        );
    }
    if let Some((field, known)) = pair("unknown field ") {
        let field = field.trim_matches('`');
        return format!("no field {field}; there are {}", choices(known));
    }
    if let Some(field) = quoted("missing field `") {
        return format!("{field} is missing");
    }
    if let Some(field) = quoted("duplicate field `") {
        return format!("{field} appears twice");
    }
    match message.strip_prefix("EOF while parsing ") {
        Some(part) => format!("it ends within {part}"),
        None => message.to_owned(),
    }
}

/// Removes the ` at line 1 column 20` that serde_json adds.
fn without_place(message: &str) -> &str {
    match message.rsplit_once(" at line ") {
        Some((before, place)) if place.starts_with(|c: char| c.is_ascii_digit()) => before,
        _ => message,
    }
}

/// The kind of value that a field holds.
fn kind(expected: &str) -> String {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" | "bool" => "true or false".to_owned(),
        "a string" | "a borrowed string" | "string" | "str" | "a character" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "unit" | "null" => "nothing".to_owned(),
        other => match other
            .rsplit_once(" of size ")
            .or(other.rsplit_once(" of length "))
        {
            Some((_, size)) if size.parse::<u32>().is_ok() => format!("a list of {size}"),
            // A map, or a type of ours, whose name means nothing to a user.
            _ => "an object".to_owned(),
        },
    }
}

/// The kind of value that a field holds, and its range.
fn range(expected: &str) -> String {
    let (least, most) = match expected {
        "i32" => (i64::from(i32::MIN).to_string(), i32::MAX.to_string()),
        "i64" => (i64::MIN.to_string(), i64::MAX.to_string()),
        "u32" => ("0".to_owned(), u32::MAX.to_string()),
        "u64" | "usize" => ("0".to_owned(), u64::MAX.to_string()),
        other => return kind(other),
    };
    format!("a whole number from {least} to {most}")
}

/// The value that was found instead.
fn written(found: &str) -> String {
    let inner = |start: &str| found.strip_prefix(start)?.strip_suffix('`');
    let number = inner("integer `").or(inner("floating point `"));
    match found {
        "null" | "unit value" | "Option value" => "nothing".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        "string \"\"" => "an empty text".to_owned(),
        found => number
            .or(inner("boolean `"))
            .or(inner("character `"))
            .or(found.strip_prefix("string "))
            .unwrap_or(found)
            .to_owned(),
    }
}

/// `one of `a`, `b`` as `a or b`.
fn choices(expected: &str) -> String {
    let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        names => names.join(""),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[allow(dead_code, reason = "it is only read into")]
    struct Document {
        name: String,
        #[serde(default)]
        part: Option<Part>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    #[allow(dead_code, reason = "it is only read into")]
    struct Part {
        count: i32,
        length: u32,
        share: f64,
        is_on: bool,
        names: Vec<String>,
        pair: (f64, f64),
        map: BTreeMap<String, u32>,
        mode: Mode,
    }

    #[derive(Debug, Default, Deserialize)]
    enum Mode {
        #[default]
        Auto,
        DryRun,
    }

    #[rstest]
    #[case(json!({ "count": "12" }), "part.count: write a whole number, not \"12\"")]
    #[case(json!({ "count": 1.5 }), "part.count: write a whole number, not 1.5")]
    #[case(json!({ "count": 3_000_000_000_i64 }),
        "part.count: 3000000000 is not possible; write a whole number from -2147483648 to \
         2147483647")]
    #[case(json!({ "length": -2 }), "part.length: -2 is not possible; write a whole number from 0 to 4294967295")]
    #[case(json!({ "share": "lots" }), "part.share: write a number, not \"lots\"")]
    #[case(json!({ "share": null }), "part.share: write a number, not nothing")]
    #[case(json!({ "isOn": "yes" }), "part.isOn: write true or false, not \"yes\"")]
    #[case(json!({ "names": "a" }), "part.names: write a list, not \"a\"")]
    #[case(json!({ "names": ["a", 5] }), "part.names[1]: write text, not 5")]
    #[case(json!({ "pair": [1.0] }), "part.pair: write a list of 2, not 1 of them")]
    #[case(json!({ "map": [] }), "part.map: write an object, not a list")]
    #[case(json!({ "map": { "orders": true } }), "part.map.orders: write a whole number, 0 or more, not true")]
    #[case(json!({ "mode": "Off" }), "part.mode: \"Off\" is not possible; write Auto or DryRun")]
    #[case(json!("all"), "part: write an object, not \"all\"")]
    fn a_wrong_value_is_reported_with_its_path_and_what_to_write(
        #[case] part: Value,
        #[case] says: &str,
    ) {
        let document = json!({ "name": "orders", "part": part });
        assert_eq!(read::<Document>(&document).unwrap_err(), says);
        assert_eq!(read_with_unknown::<Document>(&document).unwrap_err(), says);
    }

    #[test]
    fn missing_fields_are_named_and_unknown_fields_are_listed() {
        assert_eq!(read::<Document>(&json!({})).unwrap_err(), "name is missing");
        let document = json!({ "name": "orders", "nmae": 1, "part": { "cuont": 1, "count": 2 } });
        let (_, unknown) = read_with_unknown::<Document>(&document).unwrap();
        assert_eq!(unknown, ["nmae", "part.cuont"]);
    }

    #[rstest]
    #[case("expected value at line 1 column 1", "expected value")]
    #[case(
        "EOF while parsing a string at line 1 column 9",
        "it ends within a string"
    )]
    #[case("unknown field `a`, expected `b`", "no field a; there are b")]
    #[case(
        "write a duration such as 90s, 1m30s or 2h",
        "write a duration such as 90s, 1m30s or 2h"
    )]
    fn other_messages_are_kept_or_shortened(#[case] message: &str, #[case] says: &str) {
        assert_eq!(words(message), says);
    }
}
