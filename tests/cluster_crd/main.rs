//! The resource definitions on a real API server: what it refuses and in which words, what it fills in, what it shows.

mod bounds;
mod examples;
mod objects;
mod reading;
mod rules;
mod server;
