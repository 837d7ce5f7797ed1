//! What the other side has said: not before then, and not so fast.
//!
//! A refusal halves the pace and a success adds a step to it: additive increase, multiplicative decrease. Below the
//! whole pace calls keep a distance, as the rest of a window would else be spent at once. Source: Chiu and Jain, 1989.

use std::time::Duration;

use cache_core::Time;
use cache_policy::Backoff;

use super::Plan;

#[derive(Debug)]
pub(super) struct Throttle {
    /// How far apart calls are at the whole pace.
    distance: Duration,
    /// The share of the plan that is gone by.
    pace: f64,
    /// Nothing before this.
    until: Time,
    /// Nothing before this either, while the pace is not whole.
    next: Time,
    /// Refusals without a success in between.
    refusals: u32,
}

/// A place in the sequence of calls, to be given back if the call is not made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    before: Time,
    after: Time,
}

const SLOWEST: f64 = 1.0 / 16.0;
const STEP: f64 = 1.0 / 16.0;
/// Without a `Retry-After`.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Whoever is told to wait for longer asks again after a day.
const LONGEST: Duration = Duration::from_hours(24);

impl Throttle {
    pub(super) fn new(plan: &Plan) -> Self {
        let calls = u32::try_from(plan.global.limit()).unwrap_or(u32::MAX).max(1);
        let (until, next) = (Time::ZERO, Time::ZERO);
        Self { distance: plan.global.per() / calls, pace: 1.0, until, next, refusals: 0 }
    }

    pub(super) fn pace(&self) -> f64 {
        self.pace
    }

    /// How long there is to wait, if there is.
    pub(super) fn peek(&self, now: Time) -> Result<(), Duration> {
        let is_whole = self.pace >= 1.0;
        let from = if is_whole { self.until } else { self.until.max(self.next) };
        if now < from { Err(from.since(now)) } else { Ok(()) }
    }

    /// Takes the next turn.
    pub(super) fn take(&mut self, now: Time) -> Result<Turn, Duration> {
        self.peek(now)?;
        let before = self.next;
        self.next = now.after(self.distance.div_f64(self.pace.max(SLOWEST)));
        Ok(Turn { before, after: self.next })
    }

    /// Gives a turn back, unless somebody has taken the one after it.
    pub(super) fn give_back(&mut self, turn: Turn) {
        if self.next == turn.after {
            self.next = turn.before;
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.refusals = 0;
        self.pace = (self.pace + STEP).min(1.0);
    }

    pub(super) fn refused(&mut self, retry_after: Option<Duration>, now: Time) {
        // Of several calls that were on their way together, each is refused: that is one refusal.
        if self.until <= now {
            self.refusals = self.refusals.saturating_add(1);
            self.pace = (self.pace / 2.0).max(SLOWEST);
        }
        let pause = Backoff::new(PAUSES.0, PAUSES.1).pause(self.refusals, 1.0);
        self.until = self.until.max(now.after(retry_after.unwrap_or(pause).min(LONGEST)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(secs: u64) -> Time {
        Time::ZERO.after(SECOND * u32::try_from(secs).expect("small"))
    }

    #[test]
    fn a_refusal_stops_then_slows_and_successes_speed_up_again() {
        let mut throttle = Throttle::new(&Plan::MESSENGER);
        for _ in 0..100 {
            assert!(throttle.take(at(0)).is_ok());
        }
        throttle.refused(Some(SECOND * 10), at(1));
        throttle.refused(None, at(1));
        assert_eq!((throttle.peek(at(1)), throttle.pace()), (Err(SECOND * 10), 0.5));
        assert!(throttle.take(at(11)).is_ok());
        assert_eq!(throttle.peek(at(11)), Err(SECOND * 4), "30 a minute at half the pace");
        for _ in 0..8 {
            throttle.succeeded();
        }
        assert!((throttle.pace() - 1.0).abs() < f64::EPSILON && throttle.peek(at(11)).is_ok());
    }

    #[test]
    fn without_a_word_the_pauses_double_up_to_a_minute_and_no_word_stops_for_more_than_a_day() {
        let mut throttle = Throttle::new(&Plan::MESSENGER);
        let mut now = at(1);
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            throttle.refused(None, now);
            assert_eq!(throttle.peek(now), Err(SECOND * expected));
            now = now.after(SECOND * expected);
        }
        assert!((throttle.pace() - SLOWEST).abs() < f64::EPSILON);
        throttle.refused(Some(Duration::MAX), now);
        assert_eq!(throttle.peek(now), Err(LONGEST));
    }

    #[test]
    fn a_turn_that_is_given_back_is_free_again() {
        let mut throttle = Throttle::new(&Plan::MESSENGER);
        throttle.refused(Some(SECOND), at(0));
        let turn = throttle.take(at(1)).expect("the pause is over");
        assert!(throttle.take(at(2)).is_err());
        throttle.give_back(turn);
        assert!(throttle.take(at(2)).is_ok());
    }
}
