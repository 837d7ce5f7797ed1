//! The generic cell rate algorithm: a steady rate, and a burst. The whole state is one moment.
//!
//! The moment is when all that was charged will have drained, one unit after another. It lies at most a burst ahead, so
//! idling earns no more than that. In a window as long as the burst takes to drain, up to twice the burst can be
//! admitted: this is a promise about the rate, not about windows.

use super::meter::{Ask, Reply};

#[derive(Clone, Debug)]
pub(crate) struct Gcra {
    /// How long one unit takes to drain, in nanoseconds, rounded up.
    each: u64,
}

impl Gcra {
    pub(crate) const WORDS: usize = 1;

    /// `rate` units, which are at least one, drain in so many nanoseconds.
    pub(crate) fn new(window: u64, rate: u64) -> Self {
        Self { each: window.div_ceil(rate.max(1)).max(1) }
    }

    pub(crate) fn each(&self) -> u64 {
        self.each
    }

    /// The limit is the burst.
    pub(crate) fn decide(&self, state: &mut [u64], ask: Ask) -> Reply {
        let drained = state[0].max(ask.now).saturating_add(self.each.saturating_mul(ask.cost));
        let ahead = drained - ask.now;
        let most = self.each.saturating_mul(ask.limit);
        if ahead > most {
            return Reply::full(ahead - most);
        }
        if ask.charges {
            state[0] = drained;
        }
        Reply::room((most - ahead) / self.each, ahead, drained)
    }

    /// Gives back if nothing was charged since: later charges may have begun after this one had drained.
    pub(crate) fn give_back(&self, state: &mut [u64], cost: u64, mark: u64) {
        if state[0] == mark {
            state[0] = mark.saturating_sub(self.each.saturating_mul(cost));
        }
    }

    /// How many units have not drained yet.
    pub(crate) fn charged(&self, state: &[u64], now: u64) -> u64 {
        state[0].saturating_sub(now).div_ceil(self.each)
    }
}

#[cfg(test)]
mod tests {
    use super::super::meter::Kind;
    use super::*;

    fn left(reply: Reply) -> Option<u64> {
        (reply.kind == Kind::Room).then_some(reply.remaining)
    }

    #[test]
    fn a_burst_and_then_the_rate_however_long_it_has_idled() {
        let gcra = Gcra::new(600, 6);
        for idle in [0, 890, 1_000_000] {
            let mut state = [0];
            let mut asked = |now| gcra.decide(&mut state, Ask { cost: 1, limit: 10, now, charges: true });
            for remaining in (0..10).rev() {
                assert_eq!(left(asked(idle)), Some(remaining));
            }
            assert_eq!(asked(idle), Reply::full(100));
            assert_eq!(asked(idle + 99), Reply::full(1));
            assert_eq!(left(asked(idle + 100)), Some(0));
            assert_eq!(asked(idle + 100), Reply::full(100));
        }
    }

    #[test]
    fn only_the_last_charge_is_given_back_and_once() {
        let gcra = Gcra::new(100, 1);
        let mut state = [0];
        gcra.decide(&mut state, Ask { cost: 2, limit: 3, now: 50, charges: true });
        gcra.give_back(&mut state, 2, 250);
        gcra.give_back(&mut state, 2, 250);
        assert_eq!(state, [50]);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let gcra = Gcra::new(u64::MAX, 1);
        let mut state = [0];
        let ask = Ask { cost: u64::MAX, limit: u64::MAX, now: u64::MAX, charges: true };
        assert!(left(gcra.decide(&mut state, ask)).is_some());
    }
}
