//! Observations and decisions as JSON lines: one stable format for deciding at a desk, for recording a group, and for
//! driving the decision from another program. Described in `docs/decide.md`. Reads and writes lines; no file, no client, no clock.

mod answer;
mod line;
mod reading;
mod session;
mod time;
mod writing;

pub use answer::Answer;
pub use line::{
    Committed, GroupLine, Init, Line, MemberLine, Observe, PartitionLine, Spec, TopicLine, Workload,
};
pub use reading::Reader;
pub use session::{BadLine, Session};
pub use time::time;
pub use writing::Words;

/// Version of the format.
pub const PROTOCOL: i64 = 1;

#[cfg(test)]
mod tests;
