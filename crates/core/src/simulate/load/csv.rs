//! A load from CSV: a column of times, and one or more columns of records per second.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{Destination, LoadError};
use crate::text::{counted, quoted};

/// Seconds since 1970 are below this until the year 5138; milliseconds since 1970 are above it
/// since 1973.
const MILLISECONDS_FROM: f64 = 1e11;

type Column = (Destination, Vec<(f64, f64)>);

/// Parses lines of time and rates. The first may be a header; `#` begins a comment.
pub(super) fn parse(text: &str) -> Result<Vec<Column>, LoadError> {
    let lines = text.lines().zip(1_usize..);
    let lines = lines.filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut lines = lines.peekable();
    let Some((first, number)) = lines.peek().copied() else {
        return Err(LoadError::Empty);
    };
    let separator = ['\t', ';', ',']
        .into_iter()
        .find(|separator| first.contains(*separator));
    let Some(separator) = separator else {
        return Err(bad(
            number,
            "write a time and records per second, separated by a comma: 0,1500",
        ));
    };
    let fields = |line| fields(line, separator);
    let names = fields(first);
    let is_header = time(names.first().copied().unwrap_or_default()).is_none()
        && names
            .iter()
            .skip(1)
            .any(|name| name.parse::<f64>().is_err())
        || names.first().is_some_and(|name| {
            !name.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.')
        });
    if is_header {
        lines.next();
    }
    let mut columns: Vec<Column> = names
        .iter()
        .skip(1)
        .map(|name| match (is_header, names.len()) {
            (true, _) => (Destination::Named((*name).to_owned()), Vec::new()),
            (false, _) => (Destination::Everywhere, Vec::new()),
        })
        .collect();
    if !is_header && columns.len() > 1 {
        return Err(bad(
            number,
            "with several columns the first line has to name them: time,orders,payments, or time,orders/0,orders/1",
        ));
    }
    let mut last = f64::NEG_INFINITY;
    for (line, number) in lines {
        let fields = fields(line);
        if fields.len() != names.len() {
            let has = counted(fields.len(), "field", "fields");
            let needs = names.len();
            let problem = format!("{has}, and the first line has {needs}: give each as many");
            return Err(bad(number, &problem));
        }
        let mut fields = fields.into_iter();
        let written = fields.next().unwrap_or_default();
        let Some(time) = time(written) else {
            let problem = format!(
                "{} is no time; write seconds, or a date such as 2026-03-01T14:00:00Z",
                quoted(written)
            );
            return Err(bad(number, &problem));
        };
        if time <= last {
            return Err(bad(
                number,
                "its time does not come after the one before it; sort the lines by time",
            ));
        }
        last = time;
        for ((_, points), field) in columns.iter_mut().zip(fields) {
            if let Some(rate) = rate(field).map_err(|problem| bad(number, &problem))? {
                points.push((time, rate));
            }
        }
    }
    Ok(columns)
}

fn bad(line: usize, problem: &str) -> LoadError {
    LoadError::Line {
        line,
        problem: problem.to_owned(),
    }
}

fn fields(line: &str, separator: char) -> Vec<&str> {
    line.split(separator)
        .map(|field| field.trim().trim_matches('"').trim())
        .collect()
}

/// Parses a time to seconds: a number, a date with its offset from UTC, or a date without one,
/// which is taken as UTC.
fn time(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        let seconds = if number.abs() >= MILLISECONDS_FROM {
            number / 1000.0
        } else {
            number
        };
        return number.is_finite().then_some(seconds);
    }
    let at = text.parse::<Timestamp>().ok().or_else(|| {
        let civil = text.parse::<DateTime>().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(at.as_duration().as_secs_f64())
}

/// Parses records per second; `None` for a gap.
fn rate(text: &str) -> Result<Option<f64>, String> {
    if matches!(text, "" | "null" | "NULL" | "undefined") || text.eq_ignore_ascii_case("nan") {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(rate) if rate >= 0.0 && rate.is_finite() => Ok(Some(rate)),
        Ok(_) => Err(format!(
            "{text} is no rate; write records per second, 0 or more"
        )),
        Err(_) => Err(format!(
            "{} is no number; write records per second as a plain number such as 1500, without a unit",
            quoted(text)
        )),
    }
}
