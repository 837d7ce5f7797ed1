//! SIEVE: first in first out, but a hand that walks from old to new spares whoever was read since it last passed.
//!
//! Entries never move, so a read only sets a bit. Source: Zhang et al., "SIEVE is Simpler than LRU: an Efficient
//! Turn-Key Eviction Algorithm for Web Caches", NSDI 2024, algorithm 1.

use super::{Evict, Facts};
use crate::Slot;
use crate::links::{Links, List, NIL};

#[derive(Debug)]
pub(super) struct Sieve {
    links: Links,
    list: List,
    visited: Vec<bool>,
    hand: Slot,
}

impl Default for Sieve {
    fn default() -> Self {
        Self { links: Links::default(), list: List::default(), visited: Vec::new(), hand: NIL }
    }
}

impl Evict for Sieve {
    fn insert(&mut self, slot: Slot, _facts: &Facts) {
        let index = slot as usize;
        if index >= self.visited.len() {
            self.visited.resize(index + 1, false);
        }
        self.visited[index] = false;
        self.list.push_front(&mut self.links, slot);
    }

    fn touch(&mut self, slot: Slot) {
        self.visited[slot as usize] = true;
    }

    fn update(&mut self, slot: Slot, _facts: &Facts) {
        self.touch(slot);
    }

    fn remove(&mut self, slot: Slot) {
        if self.hand == slot {
            self.hand = self.links.newer(slot);
        }
        self.list.remove(&mut self.links, slot);
    }

    fn evict(&mut self) -> Option<Slot> {
        if self.list.is_empty() {
            return None;
        }
        loop {
            let slot = if self.hand == NIL { self.list.back() } else { self.hand };
            self.hand = self.links.newer(slot);
            if !std::mem::replace(&mut self.visited[slot as usize], false) {
                self.list.remove(&mut self.links, slot);
                return Some(slot);
            }
        }
    }
}
