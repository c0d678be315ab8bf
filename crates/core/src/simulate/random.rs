//! Pseudo-random numbers: the same seed gives the same run, on every machine and in every later
//! version.

/// xoshiro256** (Blackman and Vigna, public domain), seeded by SplitMix64 as its authors advise.
/// Not for secrets.
#[derive(Debug, Clone)]
pub(super) struct Random {
    state: [u64; 4],
    /// The second of a pair of normal numbers.
    spare: Option<f64>,
}

impl Random {
    /// The stream `name` of `seed`. Streams with different names are independent, so the draws of
    /// one part of the model do not change those of another.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a.
        let mut mixed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }) ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = || {
            mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self {
            state: [next(), next(), next(), next()],
            spare: None,
        }
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// Uniform from 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform from `low` to below `high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`. Draws nothing if `p` is 0.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && self.unit() < p
    }

    /// An integer from `low` to `high`, both included.
    pub(super) fn whole(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).max(0).cast_unsigned() + 1;
        low.saturating_add((self.bits() % span).cast_signed())
    }

    /// Normal, with mean 0.
    pub(super) fn normal(&mut self, deviation: f64) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare * deviation;
        }
        loop {
            // Marsaglia's polar method.
            let (x, y) = (self.between(-1.0, 1.0), self.between(-1.0, 1.0));
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * factor);
                return x * factor * deviation;
            }
        }
    }

    /// Triangular distribution.
    pub(super) fn triangular(&mut self, low: f64, mode: f64, high: f64) -> f64 {
        let u = self.unit();
        if high <= low {
            return low;
        }
        let (span, left) = (high - low, mode - low);
        if u * span < left {
            low + (u * span * left).sqrt()
        } else {
            high - ((1.0 - u) * span * (high - mode)).sqrt()
        }
    }

    /// Exponential distribution.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(n: i64, mut draw: impl FnMut() -> f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let count = n as f64;
        (0..n).map(|_| draw()).sum::<f64>() / count
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_name_gives_others() {
        let draw = |seed, name| Random::new(seed, name).bits();
        assert_eq!(draw(1, "pods"), draw(1, "pods"));
        assert_ne!(draw(1, "pods"), draw(2, "pods"));
        assert_ne!(draw(1, "pods"), draw(1, "looks"));
    }

    #[test]
    fn shapes_are_what_they_are_called() {
        let mut random = Random::new(7, "shapes");
        assert!((mean(20_000, || random.unit()) - 0.5).abs() < 0.01);
        assert!(mean(20_000, || random.normal(2.0)).abs() < 0.05);
        assert!((mean(20_000, || random.normal(2.0).powi(2)) - 4.0).abs() < 0.15);
        let third = (20.0 + 30.0 + 60.0) / 3.0;
        assert!((mean(20_000, || random.triangular(20.0, 30.0, 60.0)) - third).abs() < 0.3);
        assert!((mean(20_000, || random.exponential(8.0)) - 8.0).abs() < 0.3);
        assert!((0..1000).all(|_| (3..=5).contains(&random.whole(3, 5))));
    }
}
