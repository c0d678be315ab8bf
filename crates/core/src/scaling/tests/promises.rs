//! Promises 1 to 4 of the product, over arbitrary sequences of observations, restarts and edits.

#![expect(clippy::unwrap_in_result, reason = "a test that cannot go on says so")]

use proptest::prelude::*;

use super::*;
use crate::scaling::input::policy::{Fallback, Pause};
use crate::scaling::output::decision::ScaleReason;

/// An event between two polls.
#[derive(Debug, Clone)]
enum Event {
    Calm,
    Lag(i64),
    Flow(i64, i64),
    LosePartition(usize),
    Unreadable(bool),
    Heal,
    Group(GroupState),
    Rollout(bool),
    Ready(i32),
    Restart,
    RestartWithSkew(i64),
    ByHand(i32),
    AddPartitions(usize),
    Bounds(i32, Option<i32>),
    Threshold(i64),
    MaxDelay(i64),
    Pacing(i64, i64),
    Pause(Option<i32>),
    Assignor(Option<Assignor>),
    Members(Option<usize>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        25 => Just(Event::Calm),
        3 => Just(Event::Lag(0)),
        4 => (0..40_000i64).prop_map(Event::Lag),
        3 => (0..9_000i64, 0..9_000i64).prop_map(|(a, r)| Event::Flow(a, r)),
        2 => (0..30usize).prop_map(Event::LosePartition),
        1 => any::<bool>().prop_map(Event::Unreadable),
        4 => Just(Event::Heal),
        2 => prop_oneof![Just(GroupState::Rebalancing), Just(GroupState::Empty), Just(GroupState::Unknown), Just(GroupState::Dead)].prop_map(Event::Group),
        1 => any::<bool>().prop_map(Event::Rollout),
        1 => (0..20i32).prop_map(Event::Ready),
        2 => Just(Event::Restart),
        1 => prop_oneof![Just(0), -7200..7200i64].prop_map(Event::RestartWithSkew),
        1 => (0..20i32).prop_map(Event::ByHand),
        1 => (1..6usize).prop_map(Event::AddPartitions),
        1 => (0..8i32, proptest::option::of(8..20i32)).prop_map(|(min, max)| Event::Bounds(min, max)),
        1 => (100..5000i64).prop_map(Event::Threshold),
        1 => (1..600i64).prop_map(Event::MaxDelay),
        1 => (1..90i64, 1..150i64).prop_map(|(up, down)| Event::Pacing(up, down)),
        1 => proptest::option::of(0..8i32).prop_map(Event::Pause),
        1 => proptest::option::of(prop_oneof![Just(Assignor::Range), Just(Assignor::Even), Just(Assignor::Other)]).prop_map(Event::Assignor),
        1 => proptest::option::of(0..30usize).prop_map(Event::Members),
    ]
}

/// The checker's own state, in real time.
struct Checker {
    world: World,
    /// Seconds that the operator's clock is ahead of real time.
    skew: i64,
    /// The least value of `skew` since the last action. An action written under it looks older to a
    /// process whose clock is further ahead.
    least_skew: i64,
    real: i64,
    last_action: Option<i64>,
    rebalancing: Option<i64>,
    rollout: Option<i64>,
    process_began: i64,
    /// The number of partitions in the last successful poll.
    seen_limit: Option<i32>,
}

impl Checker {
    fn apply(&mut self, event: &Event) {
        let world = &mut self.world;
        match event.clone() {
            Event::Lag(lag) => world.set_lag(lag),
            Event::Flow(arrive, read) => world.flow(arrive, read),
            Event::LosePartition(i) => {
                let i = i % world.partitions.len();
                world.partitions[i].log_end = None;
            }
            Event::Unreadable(blind) => world.blind = blind,
            Event::Heal => {
                world.blind = false;
                world.group = if world.replicas > 0 {
                    GroupState::Stable
                } else {
                    GroupState::Empty
                };
                world.ready = world.replicas;
                world.rollout = Rollout::None;
                world.members = None;
                for p in &mut world.partitions {
                    let committed = match p.committed {
                        Commit::At(at) => at,
                        _ => 0,
                    };
                    p.log_end = Some(p.log_end.unwrap_or(committed).max(committed));
                }
            }
            Event::Group(state) => world.group = state,
            Event::Rollout(on) => {
                world.rollout = if on {
                    Rollout::InProgress
                } else {
                    Rollout::None
                }
            }
            Event::Ready(ready) => world.ready = ready.min(world.replicas),
            Event::Restart => {
                world.restart();
                self.process_began = self.real;
            }
            Event::RestartWithSkew(skew) => {
                world.restart();
                world.now = world.now.checked_add(secs(skew - self.skew)).unwrap();
                self.skew = skew;
                self.least_skew = self.least_skew.min(skew);
                self.process_began = self.real;
            }
            Event::ByHand(n) => world.resize(n),
            Event::AddPartitions(more) => {
                let fresh = Partition {
                    log_start: Some(0),
                    log_end: Some(0),
                    committed: Commit::At(0),
                    owner: Some(0),
                };
                let count = (world.partitions.len() + more).min(40);
                world.partitions.resize(count, fresh);
            }
            Event::Bounds(min, max) => (world.policy.min, world.policy.max) = (min, max),
            Event::Threshold(n) => world.policy.objective = Objective::LagPerReplica(n),
            Event::MaxDelay(n) => world.policy.objective = Objective::MaxDelay(secs(n)),
            Event::Pacing(up, down) => {
                world.policy.pacing.min_interval = secs(up);
                world.policy.pacing.min_scale_down_interval = secs(down);
            }
            Event::Pause(at) => {
                world.policy.pauses.pause =
                    at.map(|n| Pause::At(world.policy.max.map_or(n, |max| n.min(max))));
            }
            Event::Calm => {}
            Event::Assignor(assignor) => world.assignor = assignor,
            Event::Members(members) => world.members = members,
        }
    }

    fn step(&mut self, event: &Event, seconds: i64) -> Result<(), TestCaseError> {
        self.apply(event);
        self.real += seconds;
        let before = self.world.clone();
        if !self.world.blind {
            self.seen_limit = Some(i32::try_from(self.world.partitions.len()).unwrap());
        }
        let decision = self.world.after(seconds);
        let timer = |since: &mut Option<i64>, on: bool, real: i64| {
            *since = on.then(|| since.unwrap_or(real));
        };
        let unsettled = self.world.blind
            || matches!(
                self.world.group,
                GroupState::Rebalancing | GroupState::Unknown
            );
        timer(&mut self.rebalancing, unsettled, self.real);
        timer(
            &mut self.rollout,
            self.world.rollout == Rollout::InProgress,
            self.real,
        );

        // A round trip of the written memory: a restart of the pure part changes nothing that it
        // holds.
        let text = serde_json::to_string(&self.world.state.memory).unwrap();
        prop_assert_eq!(
            &serde_json::from_str::<Memory>(&text).unwrap(),
            &self.world.state.memory
        );

        if let Verdict::Scale { from, to, why } = decision.verdict {
            self.check(&before, from, to, why)?;
            self.world.act(&decision);
            self.last_action = Some(self.real);
            self.least_skew = self.skew;
        }
        Ok(())
    }

    fn check(
        &self,
        _before: &World,
        from: i32,
        to: i32,
        why: ScaleReason,
    ) -> Result<(), TestCaseError> {
        let World {
            policy, partitions, ..
        } = &self.world;
        prop_assert!(from == self.world.replicas && to != from);

        // Promise 1, as far as it can be known: while nothing could be read, no partition count is
        // known.
        let users_word = matches!(why, ScaleReason::MaxReplicas | ScaleReason::PausedReplicas);
        match self.seen_limit {
            Some(limit) => prop_assert!(to <= limit, "{to} of {limit} partitions"),
            None => prop_assert!(to < from && users_word, "{why:?} without a known limit"),
        }
        prop_assert!(policy.max.is_none_or(|max| to <= max));
        let paused = matches!(policy.pauses.pause, Some(Pause::At(_)));
        prop_assert!(paused || to >= policy.min.min(self.seen_limit.unwrap_or(i32::MAX)));

        // Promise 2.
        let whole = !self.world.blind
            && partitions.iter().all(|p| {
                p.log_end
                    .is_some_and(|end| matches!(p.committed, Commit::At(c) if c <= end))
            });
        let on_the_users_word =
            matches!(why, ScaleReason::MaxReplicas | ScaleReason::PausedReplicas);
        prop_assert!(
            to > from || whole || on_the_users_word,
            "{why:?} on data that is missing"
        );

        // Promise 3: in real time. A process whose clock is behind those before it may only wait
        // longer.
        if let Some(last) = self.last_action {
            let since = self.real - last;
            let pacing = crate::scaling::gate::pacing::paced(policy).pacing;
            let least = if to > from {
                pacing.min_interval
            } else {
                pacing.min_scale_down_interval.max(pacing.min_interval)
            };
            if self.skew <= self.least_skew {
                prop_assert!(
                    secs(since) >= least,
                    "{why:?} {from} -> {to} only {since} s after the last action"
                );
            }
        }

        // Promise 4.
        let timeout = policy.pacing.settle_timeout;
        for since in [
            self.rollout,
            if why == ScaleReason::Fallback {
                None
            } else {
                self.rebalancing
            },
        ]
        .into_iter()
        .flatten()
        {
            let since = since.max(self.process_began);
            prop_assert!(
                secs(self.real - since) >= timeout,
                "{why:?} while something is under way"
            );
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// ACT-10, KNOW-15, KEEP-27.
    #[test]
    fn promises_hold_over_any_sequence(
        partitions in 1..30usize,
        replicas in 0..20i32,
        min in 0..4i32,
        fallback in proptest::option::of(1..10i32),
        max_delay in proptest::option::of(1..600i64),
        steps in proptest::collection::vec((event(), 1..40i64), 1..150),
    ) {
        let mut world = World::new(partitions, replicas);
        world.policy.min = min;
        world.policy.pacing.min_scale_down_interval = secs(40);
        if let Some(delay) = max_delay {
            world.policy.objective = Objective::MaxDelay(secs(delay));
        }
        world.policy.fallback = fallback.map(|replicas| Fallback { replicas, after: secs(120) });
        let mut checker =
            Checker { world, skew: 0, least_skew: 0, real: 0, last_action: None, rebalancing: None, rollout: None, process_began: 0, seen_limit: None };
        for (event, seconds) in &steps {
            checker.step(event, *seconds)?;
        }
    }
}
