//! W-TinyLFU in the obvious way: naive stages, and a window whose share is found by trying.

use super::stages::{Admit, NaiveStages, Rule};
use super::{CASES, Entry, Naive, agrees, ops};
use cache_policy::{Evictor, Policy, Slot, Slots};
use proptest::prelude::*;

#[derive(Default)]
struct NaiveLfu {
    stages: NaiveStages,
    share: Share,
}

impl Naive for NaiveLfu {
    fn insert(&mut self, slot: Slot, entry: Entry) {
        self.share.misses += 1;
        self.stages.insert(slot, entry.fingerprint, self.share.rule());
        self.stages.drain_window(self.share.rule());
    }

    fn touch(&mut self, slot: Slot) {
        self.share.hits += 1;
        self.stages.touch(slot);
    }

    fn remove(&mut self, slot: Slot) {
        self.stages.remove(slot);
    }

    fn evict(&mut self) -> Option<Slot> {
        let held = self.stages.held();
        assert!(held < 16, "one block of a fine sketch is not enough");
        self.share.adapt(held);
        self.stages.evict(self.share.rule())
    }
}

/// What part of the entries the window may be.
struct Share {
    now: f32,
    step: f32,
    hits: usize,
    misses: usize,
    last_ratio: f32,
}

impl Default for Share {
    fn default() -> Self {
        Self { now: 0.01, step: -0.0625, hits: 0, misses: 0, last_ratio: 0.0 }
    }
}

impl Share {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    fn rule(&self) -> Rule {
        Rule { window: (self.now * 1024.0) as usize, admit: Admit::Frequent }
    }

    #[expect(clippy::cast_precision_loss, reason = "small")]
    fn adapt(&mut self, entries: usize) {
        let seen = self.hits + self.misses;
        if seen < entries * 10 {
            return;
        }
        let ratio = self.hits as f32 / seen as f32;
        let better = ratio > self.last_ratio;
        let step = if better { self.step } else { -self.step };
        self.now = (self.now + step).clamp(0.01, 0.8);
        let jumped = (ratio - self.last_ratio).abs() >= 0.05;
        self.step = if jumped { 0.0625_f32.copysign(step) } else { step * 0.98 };
        (self.hits, self.misses, self.last_ratio) = (0, 0, ratio);
    }
}

#[test]
fn a_part_that_follows_hears_of_as_few_uses_as_one_that_leads() {
    let hears = |mut evictor: Evictor| {
        let mut slots = Slots::default();
        for slot in 0..2048_u32 {
            slots.put(slot, slot.wrapping_mul(0x9E37_79B9), 0);
            evictor.insert(&mut slots, slot);
        }
        let before = evictor.attention();
        assert!(evictor.learns() && evictor.evict(&mut slots).is_some());
        assert_ne!(evictor.attention(), before, "it is large enough to hear of a sample");
        evictor.attention()
    };
    assert_eq!(hears(Evictor::following(Policy::Lfu)), hears(Evictor::new(Policy::Lfu)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn lfu_agrees_with_its_twin(ops in ops()) {
        agrees(Policy::Lfu, NaiveLfu::default(), &ops)?;
    }
}
