//! The partition limit by assignor, the aligned sizes, and the resulting bounds (ACT-2, KNOW-17,
//! KNOW-18). Pure arithmetic.

use crate::scaling::input::observation::Assignor;

/// Partition counts of the counted topics, and how they are handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLayout {
    /// Partitions of each topic that the target reads, >= 1 each.
    topics: Vec<i32>,
    /// Partitions of each further topic that members of the group have and that, as far as can be
    /// seen, the target does not read.
    others: Vec<i32>,
    /// Foreign members that also take partitions of these topics.
    foreign: i32,
    /// How they are handed out; `None`: never seen.
    assignor: Option<Assignor>,
    /// Consumers in one replica, >= 1.
    threads: i32,
}

impl PartitionLayout {
    /// The shape of `topics`, without those that have no partitions.
    pub fn new(
        topics: impl IntoIterator<Item = i32>,
        assignor: Option<Assignor>,
        threads: i32,
    ) -> Self {
        Self {
            topics: topics.into_iter().filter(|p| *p > 0).collect(),
            others: Vec::new(),
            foreign: 0,
            assignor,
            threads: threads.max(1),
        }
    }

    /// The same if the target shares its group with readers of other topics and with foreign
    /// members.
    #[must_use]
    pub fn beside(self, others: impl IntoIterator<Item = i32>, foreign: i32) -> Self {
        Self {
            others: others.into_iter().filter(|p| *p > 0).collect(),
            foreign: foreign.max(0),
            ..self
        }
    }

    /// Partitions of all topics that the target reads.
    pub fn partitions(&self) -> i32 {
        self.topics.iter().fold(0, |sum, p| sum.saturating_add(*p))
    }

    fn largest(&self) -> i32 {
        self.topics.iter().copied().max().unwrap_or(0)
    }

    /// Most replicas that are certain to be given a partition each: the limit of a scale-up. An
    /// unknown assignor is treated as range. Each foreign member takes the place of a consumer; one
    /// replica is always allowed.
    pub fn limit(&self) -> i32 {
        let consumers = self.consumers();
        let beside = consumers.saturating_sub(self.foreign).max(consumers.min(1));
        ceil_div(beside, self.threads)
    }

    /// The same without foreign members, which may leave at any time.
    pub fn own_limit(&self) -> i32 {
        ceil_div(self.consumers(), self.threads)
    }

    fn consumers(&self) -> i32 {
        match self.assignor {
            Some(Assignor::Even) => self.partitions(),
            Some(Assignor::Range | Assignor::Other) | None => self.largest(),
        }
    }

    /// Most replicas that could be given a partition each. Replicas beyond it are certainly idle,
    /// so only this limit causes a scale-down.
    pub fn certain_limit(&self) -> i32 {
        // Readers of the other topics are visible only if they have a partition of them.
        let topics = self.topics.iter().chain(&self.others).copied();
        let consumers = match self.assignor {
            Some(Assignor::Range) => topics.max().unwrap_or(0),
            Some(Assignor::Even | Assignor::Other) | None => topics.fold(0, i32::saturating_add),
        };
        ceil_div(consumers, self.threads)
    }

    /// Most partitions that one consumer has when `replicas` share them: a sum over the topics if
    /// those are handed out topic by topic.
    pub fn largest_share(&self, replicas: i32) -> i32 {
        self.shares(replicas)
            .iter()
            .fold(0, |sum, s| sum.saturating_add(*s))
    }

    /// The largest share per topic (range), or of all topics together. A size is aligned if any of
    /// them falls.
    fn shares(&self, replicas: i32) -> Vec<i32> {
        let own = replicas.saturating_mul(self.threads).max(1);
        let consumers = own.saturating_add(self.foreign);
        match self.assignor {
            Some(Assignor::Even) => vec![ceil_div(self.partitions(), consumers)],
            Some(Assignor::Range | Assignor::Other) | None => self
                .topics
                .iter()
                .map(|p| ceil_div(*p, consumers))
                .collect(),
        }
    }

    /// Whether `replicas` lowers the largest share of a consumer compared with one replica fewer.
    fn is_aligned(&self, replicas: i32) -> bool {
        replicas == 1 || self.shares(replicas) != self.shares(replicas.saturating_sub(1))
    }

    /// The aligned sizes, ascending: the counts from 1 to the limit at which the largest share
    /// falls.
    ///
    /// 24 partitions: 1 2 3 4 5 6 8 12 24. Empty when there are no partitions.
    pub fn aligned_sizes(&self) -> Vec<i32> {
        (1..=self.limit()).filter(|n| self.is_aligned(*n)).collect()
    }
}

/// The bound that keeps the wanted count from being what the lag asks for: the reasons of
/// `ScalingLimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitedBy {
    /// The lag asks for more replicas than can be given a partition.
    PartitionLimit,
    /// The lag asks for more than `maxReplicas`.
    MaxReplicas,
    /// The lag asks for fewer than `minReplicas`.
    MinReplicas,
}

impl LimitedBy {
    /// The reason as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PartitionLimit => "PartitionLimit",
            Self::MaxReplicas => "MaxReplicas",
            Self::MinReplicas => "MinReplicas",
        }
    }
}

/// What the replicas must stay within.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The aligned sizes within the bounds, ascending and never empty.
    sizes: Vec<i32>,
    /// The partition limit.
    pub limit: i32,
    /// Fewest replicas: `minReplicas`, moved to an aligned size and cut by the limit.
    pub floor: i32,
    /// Most replicas.
    pub ceiling: i32,
}

impl Bounds {
    /// Bounds of a group with this layout. `None` without a single partition: then there are no
    /// bounds.
    ///
    /// The partition limit overrides `max`, and `max` overrides `min` (ACT-2). The ceiling is the
    /// largest aligned size within both. The floor is the smallest aligned size of at least `min`,
    /// or `min` itself if that is above the ceiling.
    pub fn new(layout: &PartitionLayout, min: i32, max: Option<i32>) -> Option<Self> {
        let limit = layout.limit();
        if limit < 1 {
            return None;
        }
        let top = max.unwrap_or(limit).min(limit);
        // Foreign members never override `minReplicas`.
        let min = min.min(max.unwrap_or(min)).min(layout.own_limit());
        let aligned_sizes = layout.aligned_sizes();
        let ceiling = aligned_sizes
            .iter()
            .copied()
            .filter(|n| *n <= top)
            .max()
            .unwrap_or(top)
            .max(min);
        let floor = match min {
            0 => 0,
            _ => aligned_sizes
                .iter()
                .copied()
                .find(|n| *n >= min && *n <= ceiling)
                .unwrap_or(min),
        };
        let mut sizes: Vec<i32> = aligned_sizes
            .into_iter()
            .filter(|n| (floor.max(1)..=ceiling).contains(n))
            .collect();
        if !sizes.contains(&ceiling) {
            sizes.push(ceiling);
        }
        Some(Self {
            sizes,
            limit,
            floor,
            ceiling,
        })
    }

    /// The smallest size that is at least `asked`; the largest, if none is. 0 only if `asked` and
    /// the floor are 0.
    pub fn at_least(&self, asked: i32) -> i32 {
        if asked <= 0 && self.floor == 0 {
            return 0;
        }
        self.sizes
            .iter()
            .copied()
            .find(|n| *n >= asked)
            .unwrap_or(self.ceiling)
    }

    /// The sizes to choose from, ascending and never empty, without 0.
    pub fn sizes(&self) -> &[i32] {
        &self.sizes
    }

    /// The sizes below `replicas`, ascending, without 0.
    pub fn below(&self, replicas: i32) -> impl DoubleEndedIterator<Item = i32> + Clone + '_ {
        self.sizes.iter().copied().filter(move |n| *n < replicas)
    }
}

/// `a / b` rounded up, for `a >= 0` and `b >= 1`.
pub(in crate::scaling) fn ceil_div(a: i32, b: i32) -> i32 {
    a / b + i32::from(a % b != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn even(partitions: i32) -> PartitionLayout {
        PartitionLayout::new([partitions], Some(Assignor::Even), 1)
    }

    #[rstest]
    #[case(6, &[1, 2, 3, 6])]
    #[case(24, &[1, 2, 3, 4, 5, 6, 8, 12, 24])]
    #[case(17, &[1, 2, 3, 4, 5, 6, 9, 17])]
    #[case(10, &[1, 2, 3, 4, 5, 10])]
    #[case(4, &[1, 2, 4])]
    #[case(1, &[1])]
    #[case(0, &[])]
    fn counts_worth_having_are_those_where_the_largest_share_falls(
        #[case] partitions: i32,
        #[case] aligned_sizes: &[i32],
    ) {
        assert_eq!(even(partitions).aligned_sizes(), aligned_sizes);
        assert_eq!(
            PartitionLayout::new([partitions], Some(Assignor::Range), 1).aligned_sizes(),
            aligned_sizes
        );
    }

    /// KNOW-17.
    #[rstest]
    #[case(Some(Assignor::Range), 12, 12)]
    #[case(Some(Assignor::Even), 18, 18)]
    // An unknown assignor: limited by the largest topic, scaled down only to the certain limit.
    #[case(Some(Assignor::Other), 12, 18)]
    #[case(None, 12, 18)]
    fn the_assignor_decides_which_partitions_limit(
        #[case] assignor: Option<Assignor>,
        #[case] limit: i32,
        #[case] certain: i32,
    ) {
        let layout = PartitionLayout::new([12, 6], assignor, 1);
        assert_eq!((layout.limit(), layout.certain_limit()), (limit, certain));
    }

    #[test]
    fn under_range_a_count_is_worth_having_if_it_helps_any_topic() {
        assert_eq!(
            PartitionLayout::new([12, 6], Some(Assignor::Range), 1).aligned_sizes(),
            [1, 2, 3, 4, 6, 12]
        );
        assert_eq!(
            PartitionLayout::new([12, 5], Some(Assignor::Range), 1).aligned_sizes(),
            [1, 2, 3, 4, 5, 6, 12]
        );
    }

    /// KNOW-18.
    #[rstest]
    #[case(4, 20, 5, &[1, 2, 3, 5])]
    #[case(3, 8, 3, &[1, 2, 3])]
    #[case(8, 6, 1, &[1])]
    fn threads_multiply_the_consumers_of_a_replica(
        #[case] threads: i32,
        #[case] partitions: i32,
        #[case] limit: i32,
        #[case] aligned_sizes: &[i32],
    ) {
        let layout = PartitionLayout::new([partitions], Some(Assignor::Even), threads);
        assert_eq!(layout.limit(), limit);
        assert_eq!(layout.aligned_sizes(), aligned_sizes);
    }

    /// ACT-2.
    #[rstest]
    // min, max, partitions, floor, ceiling
    #[case(1, None, 6, 1, 6)]
    #[case(1, Some(20), 4, 1, 4)]
    #[case(1, Some(5), 6, 1, 3)]
    #[case(4, Some(20), 6, 6, 6)]
    // The next aligned size is above the ceiling, so the user's own number is kept.
    #[case(5, Some(5), 6, 5, 5)]
    #[case(4, Some(5), 6, 4, 4)]
    // The partition limit overrides both.
    #[case(8, Some(20), 6, 6, 6)]
    #[case(0, Some(3), 6, 0, 3)]
    #[case(2, Some(3), 1, 1, 1)]
    fn bounds_that_collide_give_way_in_order(
        #[case] min: i32,
        #[case] max: Option<i32>,
        #[case] partitions: i32,
        #[case] floor: i32,
        #[case] ceiling: i32,
    ) {
        let bounds = Bounds::new(&even(partitions), min, max).unwrap();
        assert_eq!((bounds.floor, bounds.ceiling), (floor, ceiling));
    }

    #[test]
    fn without_partitions_there_are_no_bounds() {
        assert_eq!(Bounds::new(&even(0), 1, None), None);
    }

    #[rstest]
    #[case(2, 2)]
    #[case(4, 6)]
    #[case(5, 6)]
    #[case(9, 6)]
    #[case(0, 1)]
    fn a_demand_is_rounded_up_to_a_size(#[case] asked: i32, #[case] size: i32) {
        assert_eq!(
            Bounds::new(&even(6), 1, None).unwrap().at_least(asked),
            size
        );
    }

    #[test]
    fn zero_is_a_size_only_where_the_floor_is_zero() {
        assert_eq!(Bounds::new(&even(6), 0, None).unwrap().at_least(0), 0);
        assert_eq!(Bounds::new(&even(6), 0, None).unwrap().at_least(1), 1);
    }

    proptest! {
        #[test]
        fn no_replica_is_wholly_idle_at_any_size(
            partitions in 1..400i32, threads in 1..20i32, min in 0..50i32, max in proptest::option::of(1..60i32), asked in 0..500i32,
        ) {
            prop_assume!(max.is_none_or(|max| max >= min));
            let layout = PartitionLayout::new([partitions], Some(Assignor::Even), threads);
            let bounds = Bounds::new(&layout, min, max).unwrap();
            let size = bounds.at_least(asked);
            // Spread evenly, every replica has one of the `min(partitions, consumers)` members with
            // work.
            prop_assert!(size <= ceil_div(partitions, threads));
            prop_assert!(size >= bounds.floor && size <= bounds.ceiling);
            prop_assert!(max.is_none_or(|max| size <= max));
        }

        #[test]
        fn no_size_leaves_the_largest_share_as_it_was(topics in proptest::collection::vec(1..60i32, 1..4), even in any::<bool>()) {
            let layout = PartitionLayout::new(topics, Some(if even { Assignor::Even } else { Assignor::Range }), 1);
            for pair in layout.aligned_sizes().windows(2) {
                prop_assert!(layout.largest_share(pair[1]) < layout.largest_share(pair[0]));
            }
        }
    }
}
