//! Makes the next record: key, partition and value, the same for the same seed. Pure.

use crate::units::Weights;

/// One record to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// `None`: the key selects the partition, or librdkafka if there is no key.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<&'a str>,
    pub(crate) value: &'a [u8],
}

/// An endless supply of records.
#[derive(Debug)]
pub(crate) struct Records {
    random: fastrand::Rng,
    keys: u64,
    weights: Option<Weights>,
    number: u64,
    key: String,
    value: Vec<u8>,
}

impl Records {
    /// `keys` different keys (0: none), values of `record_bytes` bytes.
    pub(crate) fn new(seed: u64, keys: u64, record_bytes: usize, weights: Option<Weights>) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            keys,
            weights,
            number: 0,
            key: String::new(),
            value: vec![b'.'; record_bytes],
        }
    }

    /// The next record. Its value begins with its number, so that the order is visible in the
    /// topic.
    pub(crate) fn next(&mut self) -> Record<'_> {
        let partition = self
            .weights
            .as_ref()
            .map(|weights| weights.partition_of(self.random.u64(0..weights.total().get())));
        if self.keys > 0 {
            self.key = format!("key-{}", self.random.u64(0..self.keys));
        }
        let number = format!("record {} ", self.number);
        for (place, byte) in self.value.iter_mut().zip(number.bytes()) {
            *place = byte;
        }
        self.number += 1;
        Record {
            partition,
            key: (self.keys > 0).then_some(self.key.as_str()),
            value: &self.value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units;
    use std::collections::BTreeMap;

    fn keys(seed: u64) -> Vec<String> {
        let mut records = Records::new(seed, 50, 0, None);
        (0..100)
            .map(|_| records.next().key.unwrap().to_owned())
            .collect()
    }

    #[test]
    fn same_seed_same_records() {
        assert_eq!(keys(7), keys(7));
        assert_ne!(keys(7), keys(8));
    }

    #[test]
    fn a_value_has_the_requested_size_and_its_number() {
        let mut records = Records::new(0, 0, 12, None);
        assert_eq!(records.next().value, b"record 0 ...");
        assert_eq!(records.next().value, b"record 1 ...");
        assert_eq!(Records::new(0, 0, 0, None).next().value, b"");
        assert_eq!(Records::new(0, 0, 3, None).next().value, b"rec");
    }

    #[test]
    fn no_keys_no_key() {
        assert_eq!(Records::new(0, 0, 1, None).next().key, None);
    }

    #[test]
    fn partitions_get_their_shares() {
        let mut records = Records::new(3, 10, 1, Some(units::weights("6,0,3").unwrap()));
        let mut counts = BTreeMap::new();
        for _ in 0..9_000 {
            *counts
                .entry(records.next().partition.unwrap())
                .or_insert(0_i32) += 1;
        }
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [0, 2]);
        assert!((counts[&0] - 6_000).abs() < 200, "{counts:?}");
    }
}
