//! The benchmark of the decision: Lagrange beside other autoscalers on the simulator of
//! [`lagrange_core::simulate`], over a catalogue of scenarios and over scenarios that are drawn at
//! random. `make bench-scaling` runs all of it; its `tests` run a few scenarios.
//!
//! | file | what it does |
//! |---|---|
//! | [`scenarios`] | loads, topics, consumers and faults: the catalogue, and those that are drawn |
//! | [`autoscalers`] | who is compared, with which settings |
//! | [`judge`] | holds each decision of Lagrange against what it promises |
//! | [`runs`] | runs scenarios on all cores |
//! | [`limits`] | what the figures of a run may come to |
//! | [`table`] | prints them |
//! | [`page`] | keeps those of docs/max-delay.md true |

pub mod autoscalers;
pub mod judge;
pub mod limits;
mod mersenne;
pub mod page;
pub mod runs;
pub mod scenarios;
pub mod table;
