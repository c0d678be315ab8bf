//! Groups that come and go during the test: they begin to commit, and are deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use lagrange_testing::kafka::Kafka;

use super::cast::{Cast, Role};
use super::traffic::Committer;
use super::truth::Truth;

pub(crate) struct EphemeralGroups<'a> {
    kafka: &'a Kafka,
    cast: Arc<Cast>,
    truth: Arc<Truth>,
    all: Vec<String>,
    /// The groups that exist, each with its committer if it still has one.
    here: BTreeMap<String, Option<Committer>>,
}

impl<'a> EphemeralGroups<'a> {
    pub(crate) fn new(kafka: &'a Kafka, cast: &Arc<Cast>, truth: &Arc<Truth>) -> Self {
        let guests = cast.groups.iter();
        let guests = guests.filter(|(_, role)| **role == Role::Guest);
        Self {
            kafka,
            cast: Arc::clone(cast),
            truth: Arc::clone(truth),
            all: guests.map(|(id, _)| id.clone()).collect(),
            here: BTreeMap::new(),
        }
    }

    pub(crate) fn all_are_here(&self) -> bool {
        self.here.len() == self.all.len()
    }

    pub(crate) fn any_is_here(&self) -> bool {
        !self.here.is_empty()
    }

    /// Starts to commit for a group that does not exist.
    pub(crate) fn add(&mut self, rng: &mut Rng) -> String {
        let away = self.all.iter().filter(|id| !self.here.contains_key(*id));
        let away: Vec<&String> = away.collect();
        let id = away[rng.usize(..away.len())].clone();
        self.truth.welcome(&id);
        let committer = Committer::start(&self.kafka.bootstrap, &id, &self.cast, &self.truth);
        self.here.insert(id.clone(), Some(committer));
        id
    }

    /// A group that exists.
    pub(crate) fn pick(&self, rng: &mut Rng) -> String {
        let nth = rng.usize(..self.here.len());
        self.here.keys().nth(nth).unwrap().clone()
    }

    /// Stops the commits of a group and deletes it.
    pub(crate) async fn remove(&mut self, id: &str) {
        if let Some(Some(committer)) = self.here.remove(id) {
            committer.end().await;
        }
        self.truth.forget(id, false);
        let acknowledged = self.kafka.try_delete_group(id).await;
        self.truth.forget(id, acknowledged);
    }

    /// Stops all commits. The groups that exist stay.
    pub(crate) async fn rest(&mut self) {
        for committer in self.here.values_mut() {
            if let Some(committer) = committer.take() {
                committer.end().await;
            }
        }
    }
}
