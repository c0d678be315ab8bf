//! Parsers of the values that only `lagrange run` takes.

use std::{str::FromStr as _, time::Duration};

use jiff::SignedDuration;

/// A DNS label; `None` for the empty string, which a chart writes for "all namespaces".
pub(super) fn namespace(text: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match text {
        "" => Ok(None),
        _ if text.len() <= 63
            && text.chars().all(label)
            && !text.starts_with('-')
            && !text.ends_with('-') =>
        {
            Ok(Some(text.to_owned()))
        }
        _ => Err(
            "write the name of a namespace: lower-case letters, digits and inner '-', at most 63"
                .to_owned(),
        ),
    }
}

/// Parses durations from `least` to `most`, both inclusive.
pub(super) fn between(
    least: &'static str,
    most: &'static str,
) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let read = |text: &str| {
            SignedDuration::from_str(text)
                .ok()
                .and_then(|d| Duration::try_from(d).ok())
        };
        match (read(text), read(least), read(most)) {
            (Some(wanted), Some(least), Some(most)) if (least..=most).contains(&wanted) => {
                Ok(wanted)
            }
            _ => Err(format!(
                "write a duration from {least} to {most}, such as {least}"
            )),
        }
    }
}
