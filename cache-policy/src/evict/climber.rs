//! Finds the best share for a part of the cache by trying: a step, and on if that helped, back if it did not.
//!
//! Steps shrink while little changes, and are large again when the hit ratio has jumped, because then it is another
//! workload. Source: Einziger et al., "Adaptive software cache management", Middleware 2018, with the constants of
//! Caffeine 3.1.

/// A share of the cache, and how many hit since it was last changed.
#[derive(Debug)]
pub(super) struct Climber {
    share: f32,
    /// Signed: the direction, too.
    step: f32,
    /// Up to the most that they can count: a cache that never evicts never starts them anew.
    hits: u32,
    misses: u32,
    last_ratio: f32,
}

/// The share at the start, and the least one. Source: Einziger et al., 2017: 1 % serves most workloads best.
const LEAST_SHARE: f32 = 0.01;
/// What is left for the rest then is for probation; a protected part makes no sense in it.
const MOST_SHARE: f32 = 0.8;
const FIRST_STEP: f32 = 0.0625;
const STEP_DECAY: f32 = 0.98;
/// The change of the hit ratio that tells another workload.
const JUMP: f32 = 0.05;
/// Requests per entry between two steps.
const PERIOD_PER_ENTRY: u32 = 10;

impl Default for Climber {
    fn default() -> Self {
        Self { share: LEAST_SHARE, step: -FIRST_STEP, hits: 0, misses: 0, last_ratio: 0.0 }
    }
}

impl Climber {
    pub(super) fn hit(&mut self) {
        self.hits = self.hits.saturating_add(1);
    }

    pub(super) fn miss(&mut self) {
        self.misses = self.misses.saturating_add(1);
    }

    /// The share as it is now, in 1024ths.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1")]
    pub(super) fn share(&self) -> u32 {
        (self.share * 1024.0) as u32
    }

    /// Changes the share if enough was seen of this many entries.
    #[expect(clippy::cast_precision_loss, reason = "counts of millions; a ratio need not be exact")]
    pub(super) fn climb(&mut self, entries: u32) {
        let seen = self.hits.saturating_add(self.misses);
        if seen < entries.saturating_mul(PERIOD_PER_ENTRY) {
            return;
        }
        let ratio = self.hits as f32 / seen as f32;
        let change = ratio - self.last_ratio;
        // What changes nothing is no way to go on: the step may lead beyond the least share.
        let step = if change > 0.0 { self.step } else { -self.step };
        self.share = (self.share + step).clamp(LEAST_SHARE, MOST_SHARE);
        self.step = if change.abs() >= JUMP { FIRST_STEP.copysign(step) } else { step * STEP_DECAY };
        (self.hits, self.misses, self.last_ratio) = (0, 0, ratio);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hits by this much of a thousand for a number of periods.
    fn live(climber: &mut Climber, periods: u32, per_mille: impl Fn(f32) -> f32) {
        for _ in 0..periods * PERIOD_PER_ENTRY {
            let hits = per_mille(climber.share);
            (0..1000_u16)
                .for_each(|request| if f32::from(request) < hits { climber.hit() } else { climber.miss() });
            climber.climb(1000);
        }
    }

    #[test]
    fn counts_stop_at_the_most_where_nobody_climbs() {
        let mut climber = Climber { hits: u32::MAX, misses: u32::MAX, ..Climber::default() };
        climber.hit();
        climber.miss();
        climber.climb(1000);
        assert_eq!((climber.hits, climber.misses), (0, 0));
    }

    #[test]
    fn the_share_goes_where_more_hits_and_follows_when_that_moves() {
        let mut climber = Climber::default();
        live(&mut climber, 100, |share| 500.0 - 400.0 * (share - 0.4).abs());
        assert!((climber.share - 0.4).abs() < 0.1, "{}", climber.share);
        live(&mut climber, 100, |share| 300.0 - 200.0 * (share - 0.1).abs());
        assert!((climber.share - 0.1).abs() < 0.1, "{}", climber.share);
    }
}
