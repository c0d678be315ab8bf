//! Observations and decisions as JSON lines: one stable format for deciding at a desk, for recording a group, and for
//! driving the decision from another program. Described in `docs/decide.md`. Reads and writes lines; no client, no clock.

mod answer;
mod line;
mod session;

pub use answer::Answer;
pub use line::{
    Committed, GroupLine, Init, Line, MemberLine, Observe, PartitionLine, Spec, TopicLine, Workload,
};
pub use session::{BadLine, Session};

/// Version of the format.
pub const PROTOCOL: i64 = 1;

#[cfg(test)]
mod tests;
