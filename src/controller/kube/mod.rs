//! The API server: how it is found, what it answers, how objects are named, what can go wrong, and
//! the events that it keeps.

pub mod connect;

pub(super) mod answers;
pub(super) mod api;
pub(super) mod error;
pub(super) mod event;
pub(super) mod name;
