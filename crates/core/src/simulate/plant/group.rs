//! Rebalances: who stands still, and for how long, by protocol.
//!
//! The rules of thumb are cautious; with `measured` the pauses are those of real brokers and
//! librdkafka consumers.

use super::Plant;
use super::assign::{Assignment, assign};
use super::parameters::Assignor;
use super::parts::{ConsumerAt, PartitionAt};
use crate::simulate::number::{count, floor, nearest};

/// No record in hand holds a rebalance up for longer, in seconds.
const LONGEST_RECORD: f64 = 300.0;

/// A rebalance that goes on.
#[derive(Debug)]
pub(super) struct Rebalance {
    /// When partitions flow again.
    end: i64,
    /// Something came too late for it, so that another one follows.
    again: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Eager: members that join before `prepared` are still in this one. `stop`: until then they
    /// work on.
    Eager { prepared: i64, stop: Option<i64> },
    /// Partitions that move are given up at this time.
    Revoking { at: i64 },
    /// They wait for their new owners.
    TakingOver { moved: Assignment },
}

impl Plant<'_> {
    /// Whether the group is settled.
    pub(super) fn is_stable(&self) -> bool {
        self.rebalance.is_none()
    }

    /// Members have changed, or partitions have.
    pub(super) fn begin_rebalance(&mut self) {
        let t = self.t;
        if let Some(now) = &mut self.rebalance {
            let is_in_time = matches!(now.stage, Stage::Eager { prepared, .. } if t < prepared);
            now.again |= !is_in_time;
            return;
        }
        self.tally.rebalances += 1;
        self.is_changed = true;
        let begun = if self.parameters.measured {
            self.release_gone();
            self.measured()
        } else {
            self.by_rule_of_thumb()
        };
        self.rebalance = Some(begun);
    }

    fn by_rule_of_thumb(&mut self) -> Rebalance {
        let (t, p) = (self.t, self.parameters);
        let members = count(self.members.len().max(1));
        let gone = self.missed_at();
        if p.assignor.is_eager() {
            self.give_all_up();
            let takes = p.eager_seconds + p.eager_per_member_seconds * members;
            // A member that vanished is waited for.
            let end = (t + nearest(takes)).max(gone.map_or(0, |at| at + 2));
            let prepared = t + floor(takes * 0.6).max(1);
            return Rebalance {
                end,
                again: false,
                stage: Stage::Eager {
                    prepared,
                    stop: None,
                },
            };
        }
        self.release_gone();
        let (revoked, taken) = if p.assignor == Assignor::Uniform {
            (p.revoke_seconds, p.revoke_seconds + p.take_over_seconds)
        } else {
            let takes = p.cooperative_seconds + p.cooperative_per_member_seconds * members;
            let wait = gone.map_or(0.0, |at| count(usize::try_from(at - t).unwrap_or(0)));
            (takes / 2.0 + wait, takes + wait)
        };
        Rebalance {
            end: t + nearest(taken),
            again: false,
            stage: Stage::Revoking {
                at: t + nearest(revoked),
            },
        }
    }

    /// Classic members work on until a heartbeat tells them; then eager ones stop for a moment and
    /// for the slowest record in hand, and cooperative ones give up what moves for about two
    /// seconds. KIP-848: what moves waits from its revocation to the new owner's next heartbeat.
    fn measured(&mut self) -> Rebalance {
        let (t, p) = (self.t, self.parameters);
        let gone = self.missed_at().map_or(0, |at| (at - t).max(0));
        let (end, stage) = if p.assignor.is_eager() {
            let heard = self.random.between(0.0, p.heartbeat_seconds);
            let stop = t + self.rounded(heard);
            let held = self.record_in_hand();
            let prepared = (stop + self.rounded(held)).max(t + gone);
            let joins = 0.1 + 0.015 * count(self.members.len().max(1));
            let end = prepared + self.rounded(joins);
            let stop = Some(stop);
            (end, Stage::Eager { prepared, stop })
        } else if p.assignor == Assignor::Uniform {
            let longest = p.consumer_heartbeat_seconds;
            let heard = self.random.between(0.0, longest - 0.5);
            let at = t + self.rounded(heard);
            let held = self.record_in_hand();
            (t + self.rounded(longest + held), Stage::Revoking { at })
        } else {
            let heard = self.random.between(0.5, p.heartbeat_seconds) + self.record_in_hand();
            let at = t + self.rounded(heard) + gone;
            let second = self.random.between(1.5, 2.5) + self.record_in_hand();
            if p.commit_interval_seconds <= 1 && self.joined_at == t {
                self.frozen = (at, at + p.commit_stall_seconds);
            }
            (at + self.rounded(second), Stage::Revoking { at })
        };
        Rebalance {
            end,
            again: false,
            stage,
        }
    }

    /// To whole seconds, right on average.
    fn rounded(&mut self, seconds: f64) -> i64 {
        floor(seconds + self.random.unit())
    }

    /// What is left of the slowest record in hand: a classic rebalance waits for it.
    fn record_in_hand(&mut self) -> f64 {
        let p = self.parameters;
        let usual = if p.record_seconds > 0.0 {
            p.record_seconds
        } else {
            1.0 / p.consumer_rate
        };
        let mut longest: f64 = 0.0;
        for _ in 0..self.members.len() {
            let mut left = usual * self.random.unit();
            if self.random.chance(p.slow_record_share) {
                left = self.random.exponential(p.slow_record_seconds);
            }
            longest = longest.max(left);
        }
        longest.min(LONGEST_RECORD)
    }

    /// When the last member that vanished is missed: classic rebalances wait for that.
    fn missed_at(&self) -> Option<i64> {
        let expires = |at: &ConsumerAt| self.consumers[*at].expires;
        self.members.iter().filter_map(expires).max()
    }

    /// Everybody commits and gives everything up.
    fn give_all_up(&mut self) {
        for member in &self.members {
            let consumer = &self.consumers[*member];
            if consumer.expires.is_none() && self.parameters.commits_on_revoke {
                for place in &consumer.partitions {
                    self.partitions[*place].commit();
                }
            }
        }
        for partition in self.partitions.iter_mut() {
            partition.owner = None;
        }
        self.is_changed = true;
    }

    /// Partitions of those who left belong to nobody.
    fn release_gone(&mut self) {
        for partition in self.partitions.iter_mut() {
            if partition.owner.is_some_and(|o| !self.members.contains(&o)) {
                partition.owner = None;
            }
        }
    }

    pub(super) fn move_rebalance(&mut self) {
        let t = self.t;
        let Some(mut now) = self.rebalance.take() else {
            return;
        };
        if let Stage::Eager { prepared, stop } = now.stage {
            if stop.is_some_and(|stop| t >= stop) {
                self.give_all_up();
                now.stage = Stage::Eager {
                    prepared,
                    stop: None,
                };
            }
            if t < now.end {
                self.rebalance = Some(now);
            } else if now.again {
                self.begin_rebalance();
            } else {
                self.take_all();
            }
            return;
        }
        if matches!(now.stage, Stage::Revoking { at } if t >= at) {
            let moved = self.revoke();
            if moved.is_empty() {
                now.end = t;
            }
            now.stage = Stage::TakingOver { moved };
        }
        match &now.stage {
            Stage::TakingOver { moved } if t >= now.end => {
                self.take_over(moved);
                if (now.again || self.is_incomplete()) && !self.members.is_empty() {
                    self.begin_rebalance();
                }
            }
            _ => self.rebalance = Some(now),
        }
    }

    fn assignment(&self) -> Assignment {
        let assignor = self.parameters.assignor;
        assign(assignor, &self.partitions, &self.consumers, &self.members)
    }

    /// The end of an eager rebalance: everybody goes on from the commits.
    fn take_all(&mut self) {
        for (place, member) in self.assignment() {
            self.own(place, member);
        }
        self.is_changed = true;
    }

    /// What belongs to nobody is taken at once, and what moves is given up. Returns what moves, and
    /// to whom.
    fn revoke(&mut self) -> Assignment {
        let mut moved = Assignment::new();
        for (place, to) in self.assignment() {
            match self.partitions[place].owner {
                None => self.own(place, to),
                Some(owner) if owner == to => {}
                Some(owner) => {
                    let is_there =
                        self.members.contains(&owner) && self.consumers[owner].expires.is_none();
                    if is_there && self.parameters.commits_on_revoke {
                        self.partitions[place].commit();
                    }
                    self.partitions[place].owner = None;
                    moved.push((place, to));
                }
            }
        }
        self.is_changed = true;
        moved
    }

    fn take_over(&mut self, moved: &Assignment) {
        for (place, to) in moved {
            if self.members.contains(to) {
                self.own(*place, *to);
            }
        }
        self.is_changed = true;
    }

    fn own(&mut self, place: PartitionAt, member: ConsumerAt) {
        let restores = self.parameters.restore_seconds;
        let partition = &mut self.partitions[place];
        if restores > 0 && partition.had.is_some_and(|had| had != member) {
            partition.restored_at = Some(self.t + restores);
        }
        partition.had = Some(member);
        partition.owner = Some(member);
        let back = partition.position;
        partition.seek();
        self.tally.read_again += (back - partition.position).max(0.0);
    }

    /// Whether some partition has nobody, or somebody who is gone.
    fn is_incomplete(&self) -> bool {
        let lacks = |o: Option<ConsumerAt>| o.is_none_or(|o| !self.members.contains(&o));
        self.partitions.iter().any(|p| p.known && lacks(p.owner))
    }
}
