//! The API server: the connection, its answers, the names of objects, errors, and events.

pub mod connect;

pub(super) mod answers;
pub(super) mod api;
pub(super) mod error;
pub(super) mod event;
pub(super) mod name;
