//! Zipf's law by rejection-inversion, in constant memory and a handful of float operations per id.
//!
//! The probabilities are bounded by a curve whose integral has a closed form; a point under it is found by
//! inversion and seldom refused. Source: Hörmann and Derflinger, "Rejection-inversion to
//! generate variates from monotone discrete distributions", ACM TOMACS 6(3), 1996. A table of 10 million
//! cumulative probabilities would take 80 MB and a cache miss per id instead.

use std::num::NonZeroU32;

use super::seed::SplitMix64;

/// The largest exponent of a [`Zipf`]: far beyond it, all requests go to one key.
pub const MAX_SKEW: f64 = 10.0;

/// Draws *i* in 0..keys with a probability proportional to 1 / (*i* + 1)^skew.
#[derive(Clone, Debug)]
pub struct Zipf {
    keys: f64,
    skew: f64,
    /// The integral of the curve from where rank 1 begins to where the last rank ends.
    area: std::ops::Range<f64>,
    /// A point this close below its rank needs no further test.
    accept_within: f64,
}

impl Zipf {
    pub(super) fn new(keys: NonZeroU32, skew: f64) -> Self {
        let keys = f64::from(keys.get());
        let mut zipf = Self { keys, skew, area: 0.0..0.0, accept_within: 0.0 };
        zipf.area = zipf.integral(1.5) - 1.0..zipf.integral(keys + 0.5);
        zipf.accept_within = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    pub(super) fn draw(&self, random: &mut SplitMix64) -> u32 {
        loop {
            let area = self.area.end + random.unit() * (self.area.start - self.area.end);
            let point = self.inverse(area);
            let rank = point.round().clamp(1.0, self.keys);
            if rank - point <= self.accept_within || area >= self.integral(rank + 0.5) - self.density(rank) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "1 to keys, a u32"
                )]
                return rank as u32 - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.skew * x.ln()).exp()
    }

    /// The integral of the density from 1 to `x`: (x^(1 - skew) - 1) / (1 - skew), and ln x where skew is 1.
    fn integral(&self, x: f64) -> f64 {
        let ln = x.ln();
        ln * ratio(f64::exp_m1, (1.0 - self.skew) * ln)
    }

    fn inverse(&self, area: f64) -> f64 {
        // Rounding can push the argument below -1, where the logarithm ends.
        let scaled = ((1.0 - self.skew) * area).max(-1.0);
        (area * ratio(f64::ln_1p, scaled)).exp()
    }
}

/// `function(x)` / `x`, for functions that are x - or + x²/2 ... near zero.
fn ratio(function: fn(f64) -> f64, x: f64) -> f64 {
    if x.abs() > 1e-12 { function(x) / x } else { 1.0 }
}
