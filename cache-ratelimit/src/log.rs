//! The exact log: when each unit leaves, in a ring as long as the limit.
//!
//! The ring is sorted from its head on, and what is free stands first. So whether a cost fits is one look: at the last
//! of the places that it would take. Eight bytes for each unit of the limit: meant for small ones.

use super::index::HalfLine;
use super::meter::{Ask, Meter, Reply};
use super::rings::{Ring, Rings};

#[derive(Clone, Debug)]
pub(crate) struct Log {
    window: u64,
    /// The largest limit, which is how many units the ring has; at least one.
    most: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    ring: Option<Ring>,
    denied: bool,
}

/// The place of the head is the first word.
const RING: usize = 1;

impl Log {
    pub(crate) fn new(window: u64, most: usize) -> Self {
        Self { window, most: most.max(1) }
    }

    fn decide_in(&self, ring: &mut [u64], ask: Ask) -> Reply {
        let (cost, limit) = (units(ask.cost), units(ask.limit).min(self.most));
        // Whoever asks for nothing fits, even where more is charged than a limit that was lowered allows.
        let last_wanted = (self.most - limit + cost).checked_sub(1).filter(|_| cost > 0);
        if let Some(leaves) = last_wanted.map(|at| ring[self.place(ring, at)]).filter(|at| *at > ask.now) {
            return Reply::full(leaves - ask.now);
        }
        let newest = ring[self.place(ring, self.most - 1)];
        // A clock that went back leaves with the newest, so that the ring stays sorted and nothing leaves early.
        let leaves = ask.now.saturating_add(self.window).max(newest);
        if ask.charges {
            for _ in 0..cost {
                let head = self.place(ring, 0);
                ring[head] = leaves;
                ring[0] = ((head - RING + 1) % self.most) as u64;
            }
        }
        let charged = self.charged_in(ring, ask.now) + if ask.charges { 0 } else { cost };
        let reset = leaves - ask.now;
        Reply::room(limit.saturating_sub(charged) as u64, reset, leaves)
    }

    fn give_back_in(&self, ring: &mut [u64], cost: u64, mark: u64) {
        for _ in 0..units(cost).min(self.most) {
            let newest = self.place(ring, self.most - 1);
            if ring[newest] != mark {
                break;
            }
            // What is free stands first: the newest place becomes the oldest.
            ring[newest] = 0;
            ring[0] = (newest - RING) as u64;
        }
    }

    /// How many units still count.
    fn charged_in(&self, ring: &[u64], now: u64) -> usize {
        let (mut free, mut end) = (0, self.most);
        while free < end {
            let middle = usize::midpoint(free, end);
            if ring[self.place(ring, middle)] <= now { free = middle + 1 } else { end = middle }
        }
        self.most - free
    }

    /// The place of the unit that is so many from the head.
    fn place(&self, ring: &[u64], at: usize) -> usize {
        RING + (units(ring[0]) + at) % self.most
    }
}

impl Meter for Log {
    type State = State;
    type Line = HalfLine;

    fn ring_words(&self) -> usize {
        RING + self.most
    }

    fn decide(&self, state: &mut State, rings: &mut Rings, ask: Ask) -> Reply {
        let ring = *state.ring.get_or_insert_with(|| rings.take());
        self.decide_in(rings.words(ring), ask)
    }

    fn give_back(&self, state: &mut State, rings: &mut Rings, cost: u64, mark: u64) {
        if let Some(ring) = state.ring {
            self.give_back_in(rings.words(ring), cost, mark);
        }
    }

    fn charged(&self, state: &mut State, rings: &mut Rings, now: u64) -> u64 {
        state.ring.map_or(0, |ring| self.charged_in(rings.words(ring), now) as u64)
    }

    fn grain(&self) -> u64 {
        1_000_000
    }

    fn denied(state: &mut State) -> &mut bool {
        &mut state.denied
    }

    fn ring(state: &State) -> Option<Ring> {
        state.ring
    }
}

fn units(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::meter::One;
    use super::*;

    #[test]
    fn a_unit_leaves_a_window_after_it_was_charged() {
        let mut one = One::of(Log::new(100, 3));
        for (now, remaining) in [(0, 2), (10, 1), (30, 0)] {
            assert_eq!(one.asks((1, 3), now), Reply::room(remaining, 100, now + 100));
        }
        assert_eq!(one.asks((1, 3), 99), Reply::full(1));
        assert_eq!(one.asks((2, 3), 99), Reply::full(11));
        assert_eq!(one.asks((1, 2), 99), Reply::full(11), "of three, two have to leave");
        assert_eq!(one.asks((1, 3), 100).left(), Some(0));
        assert_eq!(one.asks((1, 3), 100), Reply::full(10));
    }

    #[test]
    fn only_what_is_newest_is_given_back() {
        let mut one = One::of(Log::new(100, 3));
        one.asks((1, 3), 0);
        one.asks((2, 3), 10);
        one.gives_back(1, 100);
        assert_eq!(one.charged(10), 3, "its place among the others is not known");
        one.gives_back(5, 110);
        assert_eq!(one.charged(10), 1);
        assert_eq!(one.asks((2, 3), 20).left(), Some(0));
        assert_eq!(one.asks((1, 3), 20), Reply::full(80));
    }

    #[test]
    fn a_clock_that_went_back_neither_frees_nor_locks() {
        let mut one = One::of(Log::new(100, 2));
        assert!(one.asks((1, 2), 5000).left().is_some());
        assert_eq!(one.asks((1, 2), 10), Reply::room(0, 5090, 5100));
        assert_eq!(one.asks((1, 2), 10), Reply::full(5090));
        assert_eq!(one.charged(5100), 0);
    }
}
