//! The random numbers of Python's `random.Random(seed)`, call by call, so that scenario 600 stays
//! the same.

use rand_mt::Mt;

/// The generator and its state.
#[derive(Debug)]
pub(crate) struct Random {
    twister: Mt,
    /// The second of a pair of normal numbers.
    spare: Option<f64>,
}

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        Self {
            twister: Mt::new_with_key([seed]),
            spare: None,
        }
    }

    /// `random()`: from 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        let (a, b) = (self.twister.next_u32() >> 5, self.twister.next_u32() >> 6);
        (f64::from(a) * 67_108_864.0 + f64::from(b)) / 9_007_199_254_740_992.0
    }

    /// `randrange(n)`: from 0 to below `n`.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        // Draws as many bits as `n` has, until the number is below `n`.
        let unused = n.leading_zeros();
        loop {
            let number = self.twister.next_u32() >> unused;
            if number < n {
                return number;
            }
        }
    }

    /// `randint(low, high)`: both included.
    pub(crate) fn whole(&mut self, low: u32, high: u32) -> i64 {
        i64::from(low + self.below(high - low + 1))
    }

    /// `uniform(low, high)`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// `choice(list)`.
    pub(crate) fn choice<T: Copy, const N: usize>(&mut self, list: [T; N]) -> T {
        let length = u32::try_from(N).unwrap_or(u32::MAX);
        let place = usize::try_from(self.below(length)).unwrap_or(0);
        // Always present: it is below the length.
        *list.get(place).unwrap_or(&list[0])
    }

    /// `gauss(mean, deviation)`.
    pub(crate) fn gauss(&mut self, mean: f64, deviation: f64) -> f64 {
        let normal = self.spare.take().unwrap_or_else(|| {
            let angle = self.unit() * std::f64::consts::TAU;
            let length = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
            self.spare = Some(angle.sin() * length);
            angle.cos() * length
        });
        mean + normal * deviation
    }

    /// `shuffle(list)`.
    pub(crate) fn shuffle(&mut self, list: &mut [f64]) {
        for last in (1..list.len()).rev() {
            let other = self.below(u32::try_from(last + 1).unwrap_or(u32::MAX));
            list.swap(last, usize::try_from(other).unwrap_or(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of Python 3.11 for `g = random.Random(5)` and these calls.
    #[test]
    fn numbers_are_those_of_python() {
        let mut g = Random::new(5);
        let units: Vec<f64> = (0..2).map(|_| g.unit()).collect();
        assert_eq!(units, [0.622_901_694_889_701_9, 0.741_786_989_260_729_4]);
        assert_eq!((g.whole(1500, 6000), g.below(7)), (5842, 0));
        assert_eq!(g.choice([6, 8, 12, 16, 17]), 16);
        assert!((g.between(2.0, 3.0) - 2.775_958_567_435_717).abs() < 1e-15);
        let normal = [g.gauss(1.0, 0.05), g.gauss(1.0, 0.05)];
        let expected = [1.000_097_121_068_562_7, 1.016_316_265_891_784_4];
        let is_near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(normal.iter().zip(&expected).all(is_near), "{normal:?}");
        let mut list = [1.0, 2.0, 3.0, 4.0, 5.0];
        g.shuffle(&mut list);
        assert_eq!(
            list.map(f64::to_bits),
            [4.0, 3.0, 5.0, 1.0, 2.0].map(f64::to_bits)
        );
    }
}
