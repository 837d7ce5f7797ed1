//! Ghosts: fingerprints of entries that were evicted lately, first in first out.
//!
//! A return of one says that its entry was evicted too early. Room is made before the entry that needs it is shown, and
//! that may be the oldest ghost: so one ghost too many waits until it has been asked for. Each costs 15 bytes. Everything costs O(1), amortised: a ring keeps the order, and chains through it find a
//! fingerprint; a ghost that is taken out leaves a hole, and when holes use up the ring, the rest move together.

use crate::node::Slab;

/// A queue of fingerprints in which each can be found.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    ring: Vec<Ghost>,
    /// Where the oldest is; the others follow it, with holes between.
    oldest: usize,
    /// How many places of the ring are in use, holes included.
    used: usize,
    len: usize,
    most: usize,
    /// The first ghost of each chain, as its place counted from 1; 0 for an empty chain.
    chains: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ghost {
    fingerprint: u32,
    /// The next ghost of the chain, likewise; `HOLE` if this one has been taken out.
    next: u32,
}

const HOLE: u32 = u32::MAX;

impl Ghosts {
    /// Adds a fingerprint to `most` others; older ones are forgotten.
    pub(super) fn insert(&mut self, fingerprint: u32, most: usize) {
        self.most = most;
        self.trim();
        if self.used == self.ring.len() {
            self.make_room();
        }
        let place = self.place(self.used);
        self.used += 1;
        self.link(place, fingerprint);
        self.len += 1;
    }

    /// Takes out the ghost with this fingerprint, the newest if there are several, and tells whether there was one.
    /// Then it forgets the oldest of too many.
    pub(super) fn take(&mut self, fingerprint: u32) -> bool {
        if self.len == 0 {
            return false;
        }
        let found = self.unlink(fingerprint, |ghost, _| ghost.fingerprint == fingerprint);
        self.len -= usize::from(found);
        self.trim();
        found
    }

    /// Fetches what a look for this fingerprint begins with.
    #[inline]
    pub(super) fn fetch(&self, slab: &impl Slab, fingerprint: u32) {
        if let Some(first) = self.chains.get(self.chain_of(fingerprint)) {
            slab.fetch(first);
        }
    }

    /// The same, and what will be looked at to forget the next one: in two steps, because the first place of a chain says where the rest is.
    #[inline]
    pub(super) fn prepare(&self, slab: &impl Slab, fingerprint: u32) {
        self.fetch(slab, fingerprint);
        if let Some(second) = self.ring.get(self.place(1)) {
            self.fetch(slab, second.fingerprint);
        }
        let oldest = self.ring.get(self.oldest);
        let first = oldest.and_then(|oldest| self.chains.get(self.chain_of(oldest.fingerprint)));
        if let Some(ghost) = first.and_then(|first| self.ring.get((*first as usize).wrapping_sub(1))) {
            slab.fetch(ghost);
        }
    }

    fn trim(&mut self) {
        while self.len > self.most {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        while self.used > 0 {
            let place = self.oldest;
            self.oldest = self.place(1);
            self.used -= 1;
            let Ghost { fingerprint, next } = self.ring[place];
            if next != HOLE {
                self.unlink(fingerprint, |_, at| at == place);
                self.len -= 1;
                return;
            }
        }
    }

    /// The place so many steps after the oldest. Cheaper than a remainder: there is at most one turn to take off.
    fn place(&self, steps: usize) -> usize {
        let place = self.oldest + steps;
        if place < self.ring.len() { place } else { place - self.ring.len() }
    }

    fn link(&mut self, place: usize, fingerprint: u32) {
        let chain = self.chain_of(fingerprint);
        self.ring[place] = Ghost { fingerprint, next: self.chains[chain] };
        #[expect(clippy::cast_possible_truncation, reason = "there are no more ghosts than slots")]
        let number = place as u32 + 1;
        self.chains[chain] = number;
    }

    /// Makes a hole of the first ghost in the fingerprint's chain that is `wanted`.
    fn unlink(&mut self, fingerprint: u32, wanted: impl Fn(Ghost, usize) -> bool) -> bool {
        let chain = self.chain_of(fingerprint);
        let mut previous = None;
        let mut number = self.chains[chain];
        while number != 0 {
            let place = number as usize - 1;
            let ghost = self.ring[place];
            if wanted(ghost, place) {
                match previous {
                    None => self.chains[chain] = ghost.next,
                    Some(previous) => self.ring[previous as usize - 1].next = ghost.next,
                }
                self.ring[place].next = HOLE;
                return true;
            }
            previous = Some(number);
            number = ghost.next;
        }
        false
    }

    /// The upper bits of a product depend on all bits of a factor: fingerprints may be as regular as they like.
    fn chain_of(&self, fingerprint: u32) -> usize {
        let spread = u64::from(fingerprint.wrapping_mul(0x9E37_79B9));
        ((spread * self.chains.len() as u64) >> 32) as usize
    }

    /// Moves the ghosts together, into a ring that leaves a quarter free: so a ring that fills up has seen as many
    /// inserts as pay for the move.
    #[cold]
    fn make_room(&mut self) {
        let held = (0..self.used).map(|step| self.ring[self.place(step)]).filter(|ghost| ghost.next != HOLE);
        let fingerprints: Vec<u32> = held.map(|ghost| ghost.fingerprint).collect();
        let places = (self.len * 4 / 3 + 1).next_multiple_of(LEAST);
        self.ring = vec![Ghost::default(); places];
        self.chains = vec![0; places.div_ceil(4) * 3];
        (self.oldest, self.used) = (0, fingerprints.len());
        for (place, fingerprint) in fingerprints.into_iter().enumerate() {
            self.link(place, fingerprint);
        }
    }
}

/// The fewest places that are worth a ring of their own: a cache line of ghosts.
const LEAST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn ghosts_are_a_queue_in_which_one_can_search(
            ops in prop::collection::vec((0_u32..60, any::<bool>()), 0..400),
            most in 0_usize..40,
        ) {
            let mut ghosts = Ghosts::default();
            let mut queue = VecDeque::new();
            for (fingerprint, insert) in ops {
                if insert {
                    ghosts.insert(fingerprint, most);
                    queue.drain(..queue.len().saturating_sub(most));
                    queue.push_back(fingerprint);
                } else {
                    let held = queue.iter().rposition(|held| *held == fingerprint);
                    prop_assert_eq!(ghosts.take(fingerprint), held.is_some());
                    held.map(|held| queue.remove(held));
                    queue.drain(..queue.len().saturating_sub(most));
                }
                prop_assert_eq!(ghosts.len, queue.len());
            }
        }
    }

    #[test]
    fn holes_are_used_again() {
        let mut ghosts = Ghosts::default();
        ghosts.insert(u32::MAX, 100);
        for fingerprint in 0..100_000 {
            ghosts.insert(fingerprint, 100);
            assert!(ghosts.take(fingerprint));
        }
        assert!(ghosts.take(u32::MAX));
        assert_eq!((ghosts.len, ghosts.ring.len()), (0, LEAST));
    }

    #[test]
    fn regular_fingerprints_spread_over_the_chains() {
        for stride in [1, 2, 1024, 1 << 16, 3 << 20] {
            let mut ghosts = Ghosts::default();
            (0..4096_u32).for_each(|key| ghosts.insert(key.wrapping_mul(stride), 4096));
            let used = ghosts.chains.iter().filter(|chain| **chain != 0).count();
            assert!(used > ghosts.chains.len() / 3, "stride {stride}: {used} of {}", ghosts.chains.len());
        }
    }
}
