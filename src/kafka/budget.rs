//! What the memory of the process is for, in numbers: how much of it partitions may take, and how
//! many those are. The one place with this arithmetic; `docs/operations.md` has its results, and
//! `docs/decisions/0012` its reasons. Pure.

/// Bytes that a partition takes that is read for a group, at most.
///
/// Measured by resident memory, of 10,000 to 40,000 partitions in one group: 1,550 in the reader
/// (two looks at a time, what is remembered between looks, the peak of one look), if the group is
/// sized by `maxDelay` and has a member for 20 of them; 1,330 in the history that decisions rest
/// on; 1,600 in librdkafka, reading a real broker. And a tenth more.
pub const PARTITION: u64 = 5_000;

/// Of so many parts of the memory ...
const PARTS: u64 = 8;

/// ... so many are for partitions ...
const FOR_PARTITIONS: u64 = 3;

/// ... and one for the threads of Kafka's clients. The rest is for what does not grow with the
/// memory: the process itself, the answers of brokers, Kubernetes' objects.
const FOR_THREADS: u64 = 1;

/// Bytes that a thread of a client takes: it has one for each broker. Measured: 119 MB with 1,006
/// threads, 25 MB without.
pub const THREAD: u64 = 100 << 10;

/// One group may have one in so many of all partitions.
const ONE_GROUP: u64 = 4;

/// A group that fits no installation is of no use: with little memory, so many partitions are read
/// all the same.
const LEAST: u64 = 2_000;

/// More than any Kafka cluster has. What takes their names and numbers is bounded by other things
/// than memory then.
const MOST: u64 = 10_000_000;

/// What may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Partitions that are read for all groups of all Kafka clusters together.
    pub partitions: usize,
    /// Partitions that are read for one group.
    pub partitions_per_group: usize,
    /// Threads of all clients of Kafka together.
    pub threads: usize,
}

impl Budget {
    /// What may be read with so many bytes of memory.
    pub fn of(memory: u64) -> Self {
        let partitions = memory / PARTS * FOR_PARTITIONS / PARTITION;
        let partitions = partitions.clamp(LEAST, MOST);
        let count = |partitions| usize::try_from(partitions).unwrap_or(usize::MAX);
        Self {
            partitions: count(partitions),
            partitions_per_group: count(partitions / ONE_GROUP),
            threads: count(memory / PARTS * FOR_THREADS / THREAD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_memory_is_more_partitions() {
        let budgets: Vec<_> = [0, 64, 256, 1024, u64::MAX >> 20]
            .map(|mebibytes| Budget::of(mebibytes << 20).partitions)
            .into();
        assert!(budgets.is_sorted(), "{budgets:?}");
        assert_eq!(budgets.first(), Some(&2_000));
        assert_eq!(budgets.last(), Some(&10_000_000));
    }

    #[test]
    fn partitions_leave_most_of_the_memory_to_all_else() {
        for mebibytes in [64_u64, 128, 256, 1024, 65_536] {
            let memory = mebibytes << 20;
            let taken = Budget::of(memory).partitions as u64 * PARTITION;
            assert!(taken <= memory / 8 * 3, "{mebibytes} MiB: {taken}");
        }
    }

    /// The table of `docs/operations.md`.
    #[test]
    fn the_documentation_has_these_numbers() {
        let documentation = lagrange_fuzz::file("docs/operations.md");
        for mebibytes in [128_u64, 256, 512, 1_024, 4_096] {
            let budget = Budget::of(mebibytes << 20);
            let row = format!(
                "| {} MiB | {} | {} |",
                thousands(mebibytes),
                thousands(budget.partitions as u64),
                thousands(budget.partitions_per_group as u64)
            );
            assert!(
                documentation.contains(&row),
                "docs/operations.md lacks {row}"
            );
        }
    }

    fn thousands(number: u64) -> String {
        if number < 1_000 {
            return number.to_string();
        }
        format!("{},{:03}", thousands(number / 1_000), number % 1_000)
    }
}
