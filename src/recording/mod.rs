//! Observations and decisions as JSON lines: one stable format for deciding at a desk, for recording a group, and for
//! driving the decision from another program. Described in `docs/decide.md`. Reads and writes lines, and one file; no client,
//! no clock.

mod answer;
mod file;
mod keeper;
mod line;
mod reading;
mod recorder;
mod session;
mod time;
mod writing;

pub use answer::Answer;
pub use keeper::{Keeper, recorder};
pub use line::{
    Committed, GroupLine, Init, Line, MemberLine, Observe, PartitionLine, Spec, TopicLine, Workload,
};
pub use recorder::{Entry, Recorder, Turn};
pub use session::{BadLine, Session};
pub use writing::Words;

/// Version of the format.
pub const PROTOCOL: i64 = 1;

#[cfg(test)]
mod tests;
