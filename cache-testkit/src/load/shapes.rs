//! The random shapes beside Zipf: uniform, a hot set that jumps, and a mix of everything.

use std::iter::Cycle;
use std::num::NonZeroU32;
use std::ops::Range;

use super::seed::SplitMix64;
use super::zipf::Zipf;

#[derive(Clone, Debug)]
pub(super) struct Uniform {
    keys: NonZeroU32,
}

impl Uniform {
    pub(super) const fn new(keys: NonZeroU32) -> Self {
        Self { keys }
    }

    pub(super) fn draw(&self, random: &mut SplitMix64) -> u32 {
        random.below(self.keys)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Burst {
    keys: NonZeroU32,
    hot: NonZeroU32,
    hot_from: u32,
    until_jump: u32,
}

impl Burst {
    pub(super) fn new(keys: NonZeroU32) -> Self {
        let hot = NonZeroU32::new(keys.get() / 100).unwrap_or(NonZeroU32::MIN);
        Self { keys, hot, hot_from: 0, until_jump: 0 }
    }

    pub(super) fn draw(&mut self, random: &mut SplitMix64) -> u32 {
        if self.until_jump == 0 {
            self.until_jump = self.keys.get();
            self.hot_from = random.below(self.keys);
        }
        self.until_jump -= 1;
        if random.below(TEN) == 0 {
            return random.below(self.keys);
        }
        // The hot set is a ring segment: what exceeds the last key goes on at the first.
        let id = u64::from(self.hot_from) + u64::from(random.below(self.hot));
        u32::try_from(id % u64::from(self.keys.get())).unwrap_or_default()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Mix {
    zipf: Zipf,
    burst: Burst,
    laps: Cycle<Range<u32>>,
    scan: Cycle<Range<u32>>,
}

impl Mix {
    pub(super) fn new(keys: NonZeroU32, skew: f64) -> Self {
        Self {
            zipf: Zipf::new(keys, skew),
            burst: Burst::new(keys),
            laps: (0..keys.get().div_ceil(10)).cycle(),
            scan: (0..keys.get()).cycle(),
        }
    }

    pub(super) fn draw(&mut self, random: &mut SplitMix64) -> u32 {
        match random.below(TEN) {
            0 => self.burst.draw(random),
            1 => self.laps.next().unwrap_or_default(),
            2 => self.scan.next().unwrap_or_default(),
            _ => self.zipf.draw(random),
        }
    }
}

const TEN: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");
