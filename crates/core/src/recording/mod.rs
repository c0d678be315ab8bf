//! Observations and decisions as JSON lines: one stable format to record a group, to replay it
//! offline, and to drive the decision from another program. `docs/decide.md` describes it. Reads
//! and writes lines; no file, no client, no clock.

mod answer;
mod line;
mod reading;
mod session;
mod time;
mod writing;

pub use answer::Answer;
pub use line::{
    BadLine, Committed, GroupLine, Init, Line, MemberLine, Observe, PROTOCOL, PartitionLine, Spec,
    TopicLine, Workload,
};
pub use reading::Reader;
pub use session::Session;
pub use time::time;
pub use writing::Words;

#[cfg(test)]
mod tests;
