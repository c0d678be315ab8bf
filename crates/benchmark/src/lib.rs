//! The benchmark of the decision: it compares Lagrange with other autoscalers on the simulator of
//! [`lagrange_core::simulate`], over a catalogue of scenarios and over scenarios that are drawn at
//! random. `make bench-scaling` runs all of it; the tests of this crate run a few scenarios.
//!
//! | file | what it does |
//! |---|---|
//! | [`scenarios`] | the catalogue and the drawn scenarios: loads, topics, consumers and faults |
//! | [`autoscalers`] | the autoscalers of the comparison, and their settings |
//! | [`judge`] | checks each decision of Lagrange against its promises |
//! | [`runs`] | runs scenarios on all cores |
//! | [`limits`] | the limits of the figures of a run |
//! | [`table`] | prints the figures |
//! | [`page`] | keeps the figures of docs/max-delay.md up to date |

pub mod autoscalers;
pub mod judge;
pub mod limits;
mod mersenne;
pub mod page;
pub mod runs;
pub mod scenarios;
pub mod table;
