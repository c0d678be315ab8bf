//! The summary at the end. Pure.

use std::time::Duration;

use crate::{
    model::{Group, Model},
    words::{minutes, thousands},
};

/// The load, and a line for each group.
pub(crate) fn of(model: &Model, elapsed: Duration) -> String {
    let mut text = format!(
        "\n{} of load: {} records, at most {} per second\n\n",
        minutes(elapsed),
        thousands(model.load.records),
        thousands(model.load.highest)
    );
    text.push_str(&row(
        "group",
        "scalings",
        "replicas",
        "max lag",
        "at the end",
    ));
    for (name, group) in &model.groups {
        let (ups, downs) = group.ups_and_downs();
        let path: Vec<String> = group.path().iter().map(ToString::to_string).collect();
        text.push_str(&row(
            name,
            &format!("{ups} up, {downs} down"),
            &path.join(" "),
            &thousands(group.largest_lag),
            &end(group),
        ));
    }
    text
}

fn row(name: &str, scalings: &str, path: &str, lag: &str, end: &str) -> String {
    format!("  {name:16}{scalings:14}{path:17}{lag:>9}  {end}\n")
}

fn end(group: &Group) -> String {
    let Some(sizes) = group.sizes() else {
        return "unknown".to_owned();
    };
    match (sizes.current <= group.min, group.actions.is_empty()) {
        (true, false) => format!("back at its floor, {}", group.min),
        (true, true) => format!("always at {}", group.min),
        (false, _) => format!("still at {}, floor {}", sizes.current, group.min),
    }
}
