//! The rules that keep entries in the order in which they came or were used: LRU, S3-FIFO, SIEVE.

use std::collections::VecDeque;

use super::{CASES, Entry, Naive, agrees, ops};
use cache_policy::{Policy, Slot};
use proptest::prelude::*;

#[derive(Default)]
struct NaiveLru(VecDeque<Slot>);

impl Naive for NaiveLru {
    fn insert(&mut self, slot: Slot, _: Entry) {
        self.0.push_front(slot);
    }
    fn touch(&mut self, slot: Slot) {
        self.remove(slot);
        self.0.push_front(slot);
    }
    fn remove(&mut self, slot: Slot) {
        self.0.retain(|held| *held != slot);
    }
    fn evict(&mut self) -> Option<Slot> {
        self.0.pop_back()
    }
}

/// The pseudo-code of the SIEVE paper over a vector: `hand` is an index, counted from the oldest entry.
#[derive(Default)]
struct NaiveSieve {
    oldest_first: Vec<(Slot, bool)>,
    hand: usize,
}

impl Naive for NaiveSieve {
    fn insert(&mut self, slot: Slot, _: Entry) {
        // A hand that has passed the newest entry starts again at the oldest, whatever comes in meanwhile.
        if self.hand >= self.oldest_first.len() {
            self.hand = 0;
        }
        self.oldest_first.push((slot, false));
    }
    fn touch(&mut self, slot: Slot) {
        self.oldest_first.iter_mut().filter(|held| held.0 == slot).for_each(|held| held.1 = true);
    }
    fn remove(&mut self, slot: Slot) {
        if let Some(at) = self.oldest_first.iter().position(|held| held.0 == slot) {
            self.oldest_first.remove(at);
            self.hand -= usize::from(at < self.hand);
        }
    }
    fn evict(&mut self) -> Option<Slot> {
        if self.oldest_first.is_empty() {
            return None;
        }
        loop {
            self.hand %= self.oldest_first.len();
            if !std::mem::replace(&mut self.oldest_first[self.hand].1, false) {
                return Some(self.oldest_first.remove(self.hand).0);
            }
            self.hand += 1;
        }
    }
}

/// Algorithm 1 of the S3-FIFO paper. Everything leaves a queue at its front and enters at its back.
#[derive(Default)]
struct NaiveS3Fifo {
    small: VecDeque<Used>,
    main: VecDeque<Used>,
    ghosts: VecDeque<u32>,
    most_ghosts: usize,
}

#[derive(Clone, Copy)]
struct Used {
    slot: Slot,
    fingerprint: u32,
    uses: u8,
}

impl NaiveS3Fifo {
    /// The entry that room was made for may be the oldest ghost, so the last one to come is not counted until then.
    fn forget_ghosts(&mut self) {
        self.ghosts.drain(..self.ghosts.len().saturating_sub(self.most_ghosts));
    }
}

impl Naive for NaiveS3Fifo {
    fn insert(&mut self, slot: Slot, entry: Entry) {
        let new = Used { slot, fingerprint: entry.fingerprint, uses: 0 };
        if let Some(ghost) = self.ghosts.iter().rposition(|ghost| *ghost == entry.fingerprint) {
            self.ghosts.remove(ghost);
            self.main.push_back(new);
        } else {
            self.small.push_back(new);
        }
        self.forget_ghosts();
    }
    fn touch(&mut self, slot: Slot) {
        let all = self.small.iter_mut().chain(&mut self.main);
        all.filter(|held| held.slot == slot).for_each(|held| held.uses = (held.uses + 1).min(3));
    }
    fn remove(&mut self, slot: Slot) {
        self.small.retain(|held| held.slot != slot);
        self.main.retain(|held| held.slot != slot);
    }
    fn evict(&mut self) -> Option<Slot> {
        let held = self.small.len() + self.main.len();
        if held == 0 {
            return None;
        }
        let room_in_main = held - (held / 10).max(1);
        loop {
            if self.small.is_empty() || self.main.len() > room_in_main {
                let mut oldest = self.main.pop_front()?;
                if oldest.uses == 0 {
                    return Some(oldest.slot);
                }
                oldest.uses -= 1;
                self.main.push_back(oldest);
            } else {
                while let Some(oldest) = self.small.pop_front() {
                    if oldest.uses < 2 {
                        self.most_ghosts = held * 9 / 10;
                        self.forget_ghosts();
                        self.ghosts.push_back(oldest.fingerprint);
                        return Some(oldest.slot);
                    }
                    self.main.push_back(Used { uses: 0, ..oldest });
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn lru_agrees_with_its_twin(ops in ops()) {
        agrees(Policy::Lru, NaiveLru::default(), &ops)?;
    }

    #[test]
    fn s3_fifo_agrees_with_its_twin(ops in ops()) {
        agrees(Policy::S3Fifo, NaiveS3Fifo::default(), &ops)?;
    }

    #[test]
    fn sieve_agrees_with_its_twin(ops in ops()) {
        agrees(Policy::Sieve, NaiveSieve::default(), &ops)?;
    }
}
