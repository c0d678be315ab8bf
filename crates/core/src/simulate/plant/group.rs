//! Rebalances: which partitions stop, and for how long, by protocol.
//!
//! The rules of thumb are cautious. With `measured`, the pauses are those measured with real
//! brokers and librdkafka consumers.

use super::Plant;
use super::assign::{Assignment, assign};
use super::parameters::Assignor;
use super::parts::{ConsumerAt, PartitionAt};
use crate::simulate::number::{count, floor, nearest};

/// The longest time that a record in hand delays a rebalance, in seconds.
const LONGEST_RECORD: f64 = 300.0;

/// A rebalance in progress.
#[derive(Debug)]
pub(super) struct Rebalance {
    /// When consumption continues.
    end: i64,
    /// Another rebalance follows, because a change came too late for this one.
    again: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Eager: members that join before `prepared` are part of this rebalance. Until `stop`, members
    /// keep working.
    Eager { prepared: i64, stop: Option<i64> },
    /// Moved partitions are revoked at this time.
    Revoking { at: i64 },
    /// Moved partitions wait for their new owners.
    TakingOver { moved: Assignment },
}

impl Plant<'_> {
    /// Whether no rebalance is in progress.
    pub(super) fn is_stable(&self) -> bool {
        self.rebalance.is_none()
    }

    /// Starts a rebalance because members or partitions have changed.
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
            // The rebalance waits for the session timeout of a vanished member.
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

    /// Classic members keep working until a heartbeat tells them to stop. Then eager ones stop for
    /// a moment and for the slowest record in hand; cooperative ones revoke moved partitions for
    /// about two seconds. KIP-848: a moved partition waits from its revocation to the next
    /// heartbeat of its new owner.
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

    /// Rounds to whole seconds at random, so that the mean is exact.
    fn rounded(&mut self, seconds: f64) -> i64 {
        floor(seconds + self.random.unit())
    }

    /// The rest of the slowest record in hand: a classic rebalance waits for it.
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

    /// When the last vanished member times out: classic rebalances wait for that.
    fn missed_at(&self) -> Option<i64> {
        let expires = |at: &ConsumerAt| self.consumers[*at].expires;
        self.members.iter().filter_map(expires).max()
    }

    /// All members commit and give up all partitions.
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

    /// Takes partitions from members that have left.
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

    /// The end of an eager rebalance: all members continue from the commits.
    fn take_all(&mut self) {
        for (place, member) in self.assignment() {
            self.own(place, member);
        }
        self.is_changed = true;
    }

    /// Assigns partitions without an owner at once and revokes those that move. Returns the moved
    /// ones and their new owners.
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

    /// Whether a partition has no owner, or one that has left.
    fn is_incomplete(&self) -> bool {
        let lacks = |o: Option<ConsumerAt>| o.is_none_or(|o| !self.members.contains(&o));
        self.partitions.iter().any(|p| p.known && lacks(p.owner))
    }
}
