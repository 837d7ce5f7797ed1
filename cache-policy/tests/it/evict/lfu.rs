//! W-TinyLFU in the obvious way: queues that are searched, counters of a byte each.

use std::collections::VecDeque;

use super::{CASES, Entry, Naive, agrees, ops};
use cache_policy::{Policy, Slot};
use proptest::prelude::*;

/// Three queues, the oldest first.
#[derive(Default)]
struct NaiveLfu {
    window: VecDeque<Held>,
    probation: VecDeque<Held>,
    protected: VecDeque<Held>,
    sketch: NaiveSketch,
    share: Share,
    warm_losers: u32,
}

#[derive(Clone, Copy)]
struct Held {
    slot: Slot,
    fingerprint: u32,
    used: bool,
}

impl Naive for NaiveLfu {
    fn insert(&mut self, slot: Slot, entry: Entry) {
        self.sketch.grow(self.held() + 1);
        self.sketch.add(entry.fingerprint);
        self.share.misses += 1;
        self.window.push_back(Held { slot, fingerprint: entry.fingerprint, used: false });
        for _ in 0..2 {
            if self.window.len() > self.share.of(self.held()) {
                let oldest = oldest_unused(&mut self.window, &mut self.sketch).expect("it was just filled");
                self.window.pop_front();
                self.probation.push_back(oldest);
            }
        }
    }

    fn touch(&mut self, slot: Slot) {
        self.share.hits += 1;
        let all = self.window.iter_mut().chain(&mut self.probation).chain(&mut self.protected);
        all.filter(|held| held.slot == slot).for_each(|held| held.used = true);
    }

    fn remove(&mut self, slot: Slot) {
        for queue in [&mut self.window, &mut self.probation, &mut self.protected] {
            queue.retain(|held| held.slot != slot);
        }
    }

    fn evict(&mut self) -> Option<Slot> {
        let held = self.held();
        self.share.adapt(held);
        let full = self.window.len() >= self.share.of(held);
        let candidate = if full { oldest_unused(&mut self.window, &mut self.sketch) } else { None };
        let victim = self.oldest_unused_of_main();
        let loser = match (candidate, victim) {
            (None, None) => oldest_unused(&mut self.window, &mut self.sketch)?,
            (Some(loser), None) | (None, Some(loser)) => loser,
            (Some(candidate), Some(victim)) if self.wins(candidate, victim) => {
                self.window.pop_front();
                self.probation.push_back(candidate);
                victim
            }
            (Some(candidate), Some(_)) => candidate,
        };
        self.remove(loser.slot);
        Some(loser.slot)
    }
}

impl NaiveLfu {
    fn held(&self) -> usize {
        self.window.len() + self.probation.len() + self.protected.len()
    }

    fn oldest_unused_of_main(&mut self) -> Option<Held> {
        while let Some(oldest) = self.probation.front().copied() {
            if !oldest.used {
                return Some(oldest);
            }
            self.probation.pop_front();
            self.sketch.add(oldest.fingerprint);
            self.protected.push_back(Held { used: false, ..oldest });
            let main = self.probation.len() + self.protected.len();
            if self.protected.len() * 5 > main * 4 {
                let demoted =
                    oldest_unused(&mut self.protected, &mut self.sketch).expect("one was just added");
                self.protected.pop_front();
                self.probation.push_back(demoted);
            }
        }
        oldest_unused(&mut self.protected, &mut self.sketch)
    }

    fn wins(&mut self, candidate: Held, victim: Held) -> bool {
        let (challenger, defender) =
            (self.sketch.estimate(candidate.fingerprint), self.sketch.estimate(victim.fingerprint));
        if challenger > defender {
            return true;
        }
        if challenger < 6 {
            return false;
        }
        self.warm_losers += 1;
        let dice = self.warm_losers.wrapping_mul(0x9E37_79B9).wrapping_mul(self.warm_losers ^ 0x85EB_CA6B);
        dice < 1 << 25
    }
}

/// Moves used entries to the back, counts their use, and shows the first other one.
fn oldest_unused(queue: &mut VecDeque<Held>, sketch: &mut NaiveSketch) -> Option<Held> {
    while queue.front()?.used {
        let oldest = queue.pop_front()?;
        sketch.add(oldest.fingerprint);
        queue.push_back(Held { used: false, ..oldest });
    }
    queue.front().copied()
}

/// Four rows of 32 counters: the sketch of up to fifteen entries, which is one block.
#[derive(Default)]
struct NaiveSketch {
    rows: [[u8; 32]; 4],
    added: usize,
    period: usize,
}

impl NaiveSketch {
    fn grow(&mut self, entries: usize) {
        assert!(entries < 16, "one block is not enough");
        self.period = entries.max(8) * 10;
    }

    fn add(&mut self, fingerprint: u32) {
        for (row, counter) in counters(fingerprint).into_iter().enumerate() {
            self.rows[row][counter] = (self.rows[row][counter] + 1).min(15);
        }
        self.added += 1;
        if self.added >= self.period {
            self.rows.iter_mut().flatten().for_each(|counter| *counter /= 2);
            self.added /= 2;
        }
    }

    fn estimate(&self, fingerprint: u32) -> u8 {
        let counts =
            counters(fingerprint).into_iter().enumerate().map(|(row, counter)| self.rows[row][counter]);
        counts.min().expect("four rows")
    }
}

fn counters(fingerprint: u32) -> [usize; 4] {
    let hash = (u128::from(fingerprint) + 1) * 0x9E37_79B9_7F4A_7C15 % (1 << 64);
    [44, 49, 54, 59].map(|bit| usize::try_from((hash >> bit) % 32).expect("less than 32"))
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
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small"
    )]
    fn of(&self, entries: usize) -> usize {
        ((entries as f32 * self.now) as usize).max(1)
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn lfu_agrees_with_its_twin(ops in ops()) {
        agrees(Policy::Lfu, NaiveLfu::default(), &ops)?;
    }
}
