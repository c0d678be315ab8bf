//! Records a group while the operator works, in the format of [`lagrange_core::recording`]:
//! composes the lines and writes the file.

mod file;
mod keeper;
mod recorder;

pub use keeper::{Keeper, recorder};
pub use recorder::{Entry, Recorder, Turn};

#[cfg(test)]
mod tests;
