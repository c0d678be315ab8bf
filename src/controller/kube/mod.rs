//! The way to the API server: how it is found, called and answered for.

pub mod connect;
