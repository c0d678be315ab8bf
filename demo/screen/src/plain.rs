//! Output without a terminal: a line for each change, and a line with the state every 15 s. Pure.

use std::{fmt::Write as _, time::Duration};

use crate::{
    model::{Change, Model},
    words::{minutes, thousands},
};

/// Interval of the lines with the state.
const STATUS: Duration = Duration::from_secs(15);

/// When the next line with the state is due.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    next: Duration,
}

impl Plain {
    /// A line for each change.
    pub(crate) fn print(elapsed: Duration, changes: &[Change]) -> Vec<String> {
        changes
            .iter()
            .map(|changes| line(elapsed, changes))
            .collect()
    }

    /// The line with the state, if it is due.
    pub(crate) fn status(&mut self, model: &Model, elapsed: Duration) -> Vec<String> {
        if elapsed < self.next || model.groups.is_empty() {
            return Vec::new();
        }
        while self.next <= elapsed {
            self.next += STATUS;
        }
        let mut line = format!(
            "{:>6}  load {}/s",
            minutes(elapsed),
            thousands(model.load.rate)
        );
        for (name, group) in &model.groups {
            let lag = group.lag().map_or("unknown".to_owned(), thousands);
            let size = group.sizes().map_or("?".to_owned(), |sizes| {
                let limit = sizes
                    .limit
                    .map_or("?".to_owned(), |limit| limit.to_string());
                format!("{} of {limit}, {} ready", sizes.current, sizes.ready)
            });
            let _ = write!(line, " | {name} lag {lag}, {size}");
        }
        vec![line]
    }
}

fn line(elapsed: Duration, changes: &Change) -> String {
    let (about, word, why) = match changes {
        Change::Happened(event) => {
            let mark = if event.warning { "! " } else { "" };
            (&event.about, format!("{mark}{}", event.reason), &event.note)
        }
        Change::Holds {
            about,
            reason,
            message,
        } => (about, format!("holds, {reason}"), message),
    };
    format!("{:>6}  {about:16}{word}: {why}", minutes(elapsed))
}
