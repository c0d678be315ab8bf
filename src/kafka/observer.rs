//! Reports of reading, for metrics. This module counts nothing itself.

use std::fmt;
use std::time::Duration;

use super::connection::Identity;
use super::model::error::Category;

/// Is notified about the reading of clusters. Pollers call it: it must return at once.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// A poll of the cluster took this long.
    fn polled(&self, cluster: &Identity, took: Duration);
    /// `count` more requests of the kind `api` (Kafka's name) were sent to its brokers.
    fn requested(&self, cluster: &Identity, api: &str, count: u64);
    /// This many connections to its brokers are open.
    fn connected(&self, cluster: &Identity, connections: u64);
    /// Something could not be read.
    fn failed(&self, cluster: &Identity, category: Category);
    /// No resource watches the cluster any more.
    fn forgotten(&self, cluster: &Identity);
}

/// Ignores everything.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn polled(&self, _: &Identity, _: Duration) {}
    fn requested(&self, _: &Identity, _: &str, _: u64) {}
    fn connected(&self, _: &Identity, _: u64) {}
    fn failed(&self, _: &Identity, _: Category) {}
    fn forgotten(&self, _: &Identity) {}
}
