//! A load from the answer of a range query of Prometheus, or of another server with its API.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Destination, LoadError};
use crate::text;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

type Column = (Destination, Vec<(f64, f64)>);

/// Parses the answer. The labels `topic` and `partition` set the destination of a series; a series
/// without them goes to all topics. Series add up.
pub(super) fn parse(text: &str) -> Result<Vec<Column>, LoadError> {
    let not_one = |error: serde_json::Error| {
        LoadError::Answer(format!(
            "line {}: not the answer of a range query ({}); save what /api/v1/query_range returns as it is",
            error.line(),
            text::mistake::words(&error.to_string())
        ))
    };
    let answer: Answer = serde_json::from_str(text).map_err(not_one)?;
    if answer.status.as_deref() == Some("error") {
        return Err(LoadError::Answer(format!(
            "Prometheus could not answer this query: {}",
            text::clean(&answer.error.unwrap_or_default())
        )));
    }
    let Some(data) = answer.data else {
        return Err(LoadError::Answer(
            "not the answer of a range query, which has data.result; save what /api/v1/query_range returns as it is".to_owned(),
        ));
    };
    if data.result_type != "matrix" {
        return Err(LoadError::Answer(format!(
            "a {} and not a matrix: ask /api/v1/query_range with start, end and step, not /api/v1/query",
            text::clean(&data.result_type)
        )));
    }
    let series: Vec<Line> = text::mistake::read(&data.result).map_err(|problem| {
        LoadError::Answer(format!(
            "not the answer of a range query (data.result{problem}); save what /api/v1/query_range returns as it is"
        ))
    })?;
    if series.is_empty() {
        return Err(LoadError::Answer(
            "the query found nothing; look whether the metric and its labels are written as your exporter has them, and whether it was scraped at that time".to_owned(),
        ));
    }
    Ok(series.into_iter().map(column).collect())
}

fn column(series: Line) -> Column {
    let number = series.metric.get("partition").and_then(|p| p.parse().ok());
    let to = match (series.metric.get("topic"), number) {
        (Some(topic), Some(number)) => Destination::Partition(topic.clone(), number),
        (Some(topic), None) => Destination::Topic(topic.clone()),
        (None, Some(number)) => Destination::Named(u32::to_string(&number)),
        (None, None) => Destination::Everywhere,
    };
    // NaN and infinity are gaps; a rate below 0 is a counter that was reset during the query.
    let points = series.values.into_iter().filter_map(|(t, value)| {
        let rate: f64 = value.parse().ok()?;
        (rate.is_finite() && t.is_finite()).then(|| (t, rate.max(0.0)))
    });
    (to, points.collect())
}
