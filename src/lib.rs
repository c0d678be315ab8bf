//! Lagrange sizes Kafka consumer groups.
