//! Random numbers that stay the same in every version of every library: `SplitMix64`.
//!
//! A seed that is printed today must replay in a year, and the generators of `rand` promise no such thing between
//! releases. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

use std::num::NonZeroU32;

#[derive(Clone, Debug)]
pub(crate) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly in 0..`end`. The bias of the multiplication is at most `end` / 2^64, which no test can see.
    pub(crate) fn below(&mut self, end: NonZeroU32) -> u32 {
        let scaled = (u128::from(self.next()) * u128::from(end.get())) >> 64;
        u32::try_from(scaled).unwrap_or(u32::MAX)
    }

    /// Evenly in [0, 1), in steps of 2^-53.
    pub(super) fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exactly what an f64 holds")]
        let bits = (self.next() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_sequence() {
        let mut random = SplitMix64::new(1_234_567);
        let published = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.next(), random.next(), random.next()], published);
    }

    #[test]
    fn ranges_are_kept_and_filled() {
        let mut random = SplitMix64::new(5);
        let end = NonZeroU32::new(3).unwrap();
        let mut counts = [0; 3];
        for _ in 0..3_000 {
            counts[random.below(end) as usize] += 1;
            assert!((0.0..1.0).contains(&random.unit()));
        }
        assert!(counts.iter().all(|&count| (900..1_100).contains(&count)), "{counts:?}");
    }
}
