//! The exact log: when each unit leaves, in a ring as long as the limit.
//!
//! The ring is sorted from its head on, and what is free stands first. So whether a cost fits is one look: at the last
//! of the places that it would take. Eight bytes for each unit of the limit: meant for small ones.

use super::meter::{Ask, Reply};

#[derive(Clone, Debug)]
pub(crate) struct Log {
    window: u64,
    /// The largest limit, which is how many units the ring has; at least one.
    most: usize,
}

const RING: usize = 1;

impl Log {
    pub(crate) fn new(window: u64, most: usize) -> Self {
        Self { window, most: most.max(1) }
    }

    pub(crate) fn words(&self) -> usize {
        RING + self.most
    }

    pub(crate) fn decide(&self, state: &mut [u64], ask: Ask) -> Reply {
        let (cost, limit) = (units(ask.cost), units(ask.limit).min(self.most));
        // Whoever asks for nothing fits, even where more is charged than a limit that was lowered allows.
        let last_wanted = (self.most - limit + cost).checked_sub(1).filter(|_| cost > 0);
        if let Some(leaves) = last_wanted.map(|at| state[self.place(state, at)]).filter(|at| *at > ask.now) {
            return Reply::full(leaves - ask.now);
        }
        let newest = state[self.place(state, self.most - 1)];
        // A clock that went back leaves with the newest, so that the ring stays sorted and nothing leaves early.
        let leaves = ask.now.saturating_add(self.window).max(newest);
        if ask.charges {
            for _ in 0..cost {
                let head = self.place(state, 0);
                state[head] = leaves;
                state[0] = ((head - RING + 1) % self.most) as u64;
            }
        }
        let charged = self.charged(state, ask.now) + if ask.charges { 0 } else { cost };
        let reset = leaves - ask.now;
        Reply::room(limit.saturating_sub(charged) as u64, reset, leaves)
    }

    pub(crate) fn give_back(&self, state: &mut [u64], cost: u64, mark: u64) {
        for _ in 0..units(cost).min(self.most) {
            let newest = self.place(state, self.most - 1);
            if state[newest] != mark {
                break;
            }
            // What is free stands first: the newest place becomes the oldest.
            state[newest] = 0;
            state[0] = (newest - RING) as u64;
        }
    }

    /// How many units still count.
    pub(crate) fn charged(&self, state: &[u64], now: u64) -> usize {
        let (mut free, mut end) = (0, self.most);
        while free < end {
            let middle = usize::midpoint(free, end);
            if state[self.place(state, middle)] <= now { free = middle + 1 } else { end = middle }
        }
        self.most - free
    }

    /// The place of the unit that is so many from the head.
    fn place(&self, state: &[u64], at: usize) -> usize {
        RING + (units(state[0]) + at) % self.most
    }
}

fn units(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::meter::Kind;
    use super::*;

    fn left(reply: Reply) -> Option<u64> {
        (reply.kind == Kind::Room).then_some(reply.remaining)
    }

    fn asked(log: &Log, state: &mut [u64], (cost, limit): (u64, u64), now: u64) -> Reply {
        log.decide(state, Ask { cost, limit, now, charges: true })
    }

    #[test]
    fn a_unit_leaves_a_window_after_it_was_charged() {
        let log = Log::new(100, 3);
        let mut state = vec![0; log.words()];
        for (now, remaining) in [(0, 2), (10, 1), (30, 0)] {
            assert_eq!(asked(&log, &mut state, (1, 3), now), Reply::room(remaining, 100, now + 100));
        }
        assert_eq!(asked(&log, &mut state, (1, 3), 99), Reply::full(1));
        assert_eq!(asked(&log, &mut state, (2, 3), 99), Reply::full(11));
        assert_eq!(asked(&log, &mut state, (1, 2), 99), Reply::full(11), "of three, two have to leave");
        assert_eq!(left(asked(&log, &mut state, (1, 3), 100)), Some(0));
        assert_eq!(asked(&log, &mut state, (1, 3), 100), Reply::full(10));
    }

    #[test]
    fn only_what_is_newest_is_given_back() {
        let log = Log::new(100, 3);
        let mut state = vec![0; log.words()];
        asked(&log, &mut state, (1, 3), 0);
        asked(&log, &mut state, (2, 3), 10);
        log.give_back(&mut state, 1, 100);
        assert_eq!(log.charged(&state, 10), 3, "its place among the others is not known");
        log.give_back(&mut state, 5, 110);
        assert_eq!(log.charged(&state, 10), 1);
        assert_eq!(left(asked(&log, &mut state, (2, 3), 20)), Some(0));
        assert_eq!(asked(&log, &mut state, (1, 3), 20), Reply::full(80));
    }

    #[test]
    fn a_clock_that_went_back_neither_frees_nor_locks() {
        let log = Log::new(100, 2);
        let mut state = vec![0; log.words()];
        assert!(left(asked(&log, &mut state, (1, 2), 5000)).is_some());
        assert_eq!(asked(&log, &mut state, (1, 2), 10), Reply::room(0, 5090, 5100));
        assert_eq!(asked(&log, &mut state, (1, 2), 10), Reply::full(5090));
        assert_eq!(log.charged(&state, 5100), 0);
    }
}
