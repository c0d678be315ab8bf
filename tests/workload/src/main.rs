//! Real Kafka producers and consumers for the end-to-end tests and the demo.

fn main() {}
