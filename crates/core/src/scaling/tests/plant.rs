//! Consumers with a fixed capacity, in virtual time: enough of a group to test the rules on. No
//! Pods, no members that join late, no noise.

use super::*;

/// A world with working consumers: each reads a fixed number of records per second, fairly from its
/// partitions, and commits at intervals.
pub(in crate::scaling) struct Plant {
    pub(in crate::scaling) world: World,
    /// The offset up to which each partition was read, committed or not.
    pub(in crate::scaling) read: Vec<i64>,
    /// Seconds between two commits, which may fall between polls.
    pub(in crate::scaling) commits: i64,
    seconds: i64,
    /// Records per second of one consumer.
    pub(in crate::scaling) rate: i64,
    /// Records per second on each partition.
    pub(in crate::scaling) arrivals: Vec<i64>,
    /// Records per second of all consumers together, if they share a bottleneck.
    pub(in crate::scaling) shared: Option<i64>,
    pub(in crate::scaling) stuck: Option<usize>,
    /// Seconds for which the last action still stops the group.
    pub(in crate::scaling) stall: i64,
    /// Partitions whose last records are not read, and how many.
    pub(in crate::scaling) held_back: Vec<(std::ops::Range<usize>, i64)>,
    /// Seconds for which each action stops the group.
    pub(in crate::scaling) restores: i64,
}

impl Plant {
    pub(in crate::scaling) fn new(partitions: usize, replicas: i32, arrivals: i64) -> Self {
        let mut world = World::new(partitions, replicas);
        world.assignor = Some(Assignor::Even);
        world.policy.objective = Objective::MaxDelay(secs(60));
        Self {
            world,
            read: vec![0; partitions],
            commits: 5,
            seconds: 0,
            rate: 200,
            arrivals: vec![arrivals / i64::try_from(partitions).unwrap(); partitions],
            shared: None,
            stuck: None,
            stall: 0,
            held_back: Vec::new(),
            restores: 10,
        }
    }

    pub(in crate::scaling) fn load(&mut self, arrivals: i64) {
        let partitions = self.arrivals.len();
        self.arrivals = vec![arrivals / i64::try_from(partitions).unwrap(); partitions];
    }

    /// Fifteen seconds of work, and a poll. Carries out the decision.
    pub(in crate::scaling) fn poll(&mut self) -> Decision {
        let consumers = usize::try_from(self.world.replicas).unwrap();
        for _ in 0..15 {
            self.second(consumers);
        }
        let decision = self.world.poll();
        if scale(&decision).is_some() {
            self.world.act(&decision);
            self.stall = self.restores;
        }
        decision
    }

    fn second(&mut self, consumers: usize) {
        let stalls = self.stall > 0;
        self.stall -= i64::from(stalls);
        let mut rate = self.rate;
        if let Some(shared) = self.shared {
            rate = rate.min(shared / i64::try_from(consumers.max(1)).unwrap());
        }
        for (partition, arrivals) in self.world.partitions.iter_mut().zip(&self.arrivals) {
            partition.log_end = partition.log_end.map(|end| end + arrivals);
        }
        for consumer in (0..consumers).filter(|_| !stalls) {
            let mut left = rate;
            let all = 0..self.world.partitions.len();
            let mine = all.filter(|i| self.world.owner(*i, consumers) == Some(consumer));
            let mine: Vec<usize> = mine.collect();
            let count = i64::try_from(mine.len()).unwrap().max(1);
            // Fairly first, and then from the partitions with records left.
            for share in [rate / count, rate] {
                for i in mine.iter().copied().filter(|i| self.stuck != Some(*i)) {
                    let Some(end) = self.world.partitions[i].log_end else {
                        continue;
                    };
                    let held_back = self.held_back.iter().find(|(of, _)| of.contains(&i));
                    let end = end - held_back.map_or(0, |(_, records)| *records);
                    let taken = (end - self.read[i]).min(share).min(left).max(0);
                    left -= taken;
                    self.read[i] += taken;
                }
            }
        }
        self.seconds += 1;
        if (self.seconds + 2) % self.commits == 0 {
            for (partition, read) in self.world.partitions.iter_mut().zip(&self.read) {
                partition.committed = Commit::At(*read);
            }
        }
    }

    /// The actions in this number of polls.
    pub(in crate::scaling) fn run(&mut self, polls: usize) -> Vec<(i32, i32)> {
        (0..polls).filter_map(|_| scale(&self.poll())).collect()
    }

    pub(in crate::scaling) fn capacity(&self) -> Option<i64> {
        let capacity = self.world.state.memory.model.capacity;
        capacity.filter(|c| c.measured).map(|c| c.milli / 1000)
    }
}
