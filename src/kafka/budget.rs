//! How the memory of the process is divided: which part of it partitions may take, and how many
//! partitions that allows. The only place with this arithmetic. `docs/operations.md` has the
//! results, `docs/decisions/0012` the reasons. Pure.

/// Most bytes that one partition of a group takes.
///
/// Measured as resident memory with 10,000 to 40,000 partitions in one group: 1,550 in the reader
/// (two snapshots, what is kept between polls, and the peak of one poll), for a group that is sized
/// by `maxDelay` and has a member for every 20 partitions; 1,330 in the history that decisions use;
/// 1,600 in librdkafka, reading a real broker. Plus a tenth.
pub const PARTITION: u64 = 5_000;

/// The memory is divided into this many parts.
const PARTS: u64 = 8;

/// Parts for partitions.
const FOR_PARTITIONS: u64 = 3;

/// Parts for the threads of the Kafka clients. The rest is for what does not grow with the memory:
/// the process itself, answers of brokers, Kubernetes objects.
const FOR_THREADS: u64 = 1;

/// Bytes of one client thread. A client has one for each broker. Measured: 119 MB with 1,006
/// threads, 25 MB without.
pub const THREAD: u64 = 100 << 10;

/// One group may have the total number of partitions divided by this.
const ONE_GROUP: u64 = 4;

/// The least number of partitions, however little memory there is: fewer would fit no installation.
const LEAST: u64 = 2_000;

/// More than any Kafka cluster has. Beyond it, names and numbers of partitions are limited by other
/// things than memory.
const MOST: u64 = 10_000_000;

/// How much may be read.
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
    /// The budget for this many bytes of memory.
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
    fn partitions_take_at_most_three_eighths_of_the_memory() {
        for mebibytes in [64_u64, 128, 256, 1024, 65_536] {
            let memory = mebibytes << 20;
            let taken = Budget::of(memory).partitions as u64 * PARTITION;
            assert!(taken <= memory / 8 * 3, "{mebibytes} MiB: {taken}");
        }
    }

    /// The table of `docs/operations.md`.
    #[test]
    fn the_documentation_has_the_computed_numbers() {
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
