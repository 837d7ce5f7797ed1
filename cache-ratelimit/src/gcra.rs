//! The generic cell rate algorithm: a steady rate, and a burst. The whole state is one moment.
//!
//! The moment is when all that was charged will have drained, one unit after another. It lies at most a burst ahead, so
//! idling earns no more than that. In a window as long as the burst takes to drain, up to twice the burst can be
//! admitted: this is a promise about the rate, not about windows.

use super::index::HalfLine;
use super::meter::{Ask, Meter, Reply};
use super::rings::{Ring, Rings};

#[derive(Clone, Debug)]
pub(crate) struct Gcra {
    /// How long one unit takes to drain, in nanoseconds, rounded up.
    each: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    drained: u64,
    denied: bool,
}

impl Gcra {
    /// `rate` units, which are at least one, drain in so many nanoseconds.
    pub(crate) fn new(window: u64, rate: u64) -> Self {
        Self { each: window.div_ceil(rate.max(1)).max(1) }
    }
}

impl Meter for Gcra {
    type State = State;
    type Line = HalfLine;

    fn ring_words(&self) -> usize {
        0
    }

    /// The limit is the burst.
    fn decide(&self, state: &mut State, _: &mut Rings, ask: Ask) -> Reply {
        let drained = state.drained.max(ask.now).saturating_add(self.each.saturating_mul(ask.cost));
        let ahead = drained - ask.now;
        let most = self.each.saturating_mul(ask.limit);
        // Whoever asks for nothing fits, even where more is charged than a limit that was lowered allows.
        if ask.cost > 0 && ahead > most {
            return Reply::full(ahead - most);
        }
        if ask.charges {
            state.drained = drained;
        }
        Reply::room(most.saturating_sub(ahead) / self.each, ahead, drained)
    }

    /// Gives back if nothing was charged since: later charges may have begun after this one had drained.
    fn give_back(&self, state: &mut State, _: &mut Rings, cost: u64, mark: u64) {
        if state.drained == mark {
            state.drained = mark.saturating_sub(self.each.saturating_mul(cost));
        }
    }

    /// How many units have not drained yet.
    fn charged(&self, state: &mut State, _: &mut Rings, now: u64) -> u64 {
        state.drained.saturating_sub(now).div_ceil(self.each)
    }

    fn grain(&self) -> u64 {
        self.each
    }

    fn denied(state: &mut State) -> &mut bool {
        &mut state.denied
    }

    fn ring(_: &State) -> Option<Ring> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::meter::One;
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate_however_long_it_has_idled() {
        for idle in [0, 890, 1_000_000] {
            let mut one = One::of(Gcra::new(600, 6));
            let mut asked = |now| one.asks((1, 10), now);
            for remaining in (0..10).rev() {
                assert_eq!(asked(idle).left(), Some(remaining));
            }
            assert_eq!(asked(idle), Reply::full(100));
            assert_eq!(asked(idle + 99), Reply::full(1));
            assert_eq!(asked(idle + 100).left(), Some(0));
            assert_eq!(asked(idle + 100), Reply::full(100));
        }
    }

    #[test]
    fn only_the_last_charge_is_given_back_and_once() {
        let mut one = One::of(Gcra::new(100, 1));
        one.asks((2, 3), 50);
        one.gives_back(2, 250);
        one.gives_back(2, 250);
        assert_eq!(one.state.drained, 50);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut one = One::of(Gcra::new(u64::MAX, 1));
        assert!(one.asks((u64::MAX, u64::MAX), u64::MAX).left().is_some());
    }
}
