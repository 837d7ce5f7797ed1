//! The limiter of one process: synchronous, keyed by anything that can be hashed, bounded in memory.
//!
//! ```text
//! key ─ seeded hash ─► fingerprint ─► shard's lock ─► index ─► state ─► Now │ Wait │ Never
//! ```
//!
//! Keys are not kept, only 64 bits of hash: a long key takes no more memory than a short one, and asking allocates
//! nothing. Two keys are mistaken for each other, and share what is allowed, once in 2^64 pairs: beside a million keys
//! one newcomer in 18 million millions. Nobody can choose which, as the seed is random.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_core::Clock;
use foldhash::quality::RandomState;

use crate::clock::TickClock;
use crate::decision::{Answer, By, Decision};
use crate::index::Fingerprint;
use crate::meter::{Ask, Kind};
use crate::rule::{Rule, RuleError};
use crate::table::AnyTable;

const MAX_KEYS: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

/// Limits the calls of each key, within one process.
///
/// ```
/// use cache_ratelimit::{Answer, LocalLimiter, Rule};
/// use std::time::Duration;
/// let limiter = LocalLimiter::new(Rule::window(2, Duration::from_secs(60))?);
/// for remaining in [1, 0] {
///     let decision = limiter.take(&("client", 7));
///     assert_eq!((decision.answer, decision.remaining), (Answer::Now, remaining));
/// }
/// let denied = limiter.take(&("client", 7));
/// assert!(denied.wait() <= Duration::from_secs(61) && denied.retry_after() >= Some(59));
/// assert!(limiter.take(&("client", 8)).is_admitted());
/// # Ok::<(), cache_ratelimit::RuleError>(())
/// ```
pub struct LocalLimiter {
    table: Box<dyn AnyTable>,
    rule: Rule,
    limit: AtomicU64,
    clock: Arc<dyn Clock>,
    seed: RandomState,
    max_keys: NonZeroUsize,
    window: Duration,
}

/// What a limiter has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimiterStats {
    /// Calls that were admitted.
    pub admitted: u64,
    /// Calls that were denied, and would not have been later.
    pub denied: u64,
    /// Calls of new keys that were denied because there was no room for another key.
    pub crowded: u64,
    /// Keys that were given up for others while something was charged to them.
    pub given_up: u64,
    /// Keys that take room at the moment.
    pub keys: usize,
}

impl LocalLimiter {
    /// Nothing charged yet, at most 100,000 keys, on a [`TickClock`].
    pub fn new(rule: Rule) -> Self {
        Self {
            table: table(&rule, MAX_KEYS),
            rule,
            limit: AtomicU64::new(rule.limit()),
            clock: Arc::new(TickClock::new()),
            seed: RandomState::default(),
            max_keys: MAX_KEYS,
            window: rule.per(),
        }
    }

    /// Lives by this clock instead.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Bounds how many keys can have something charged at a time. Default 100,000; a million takes about 110 MiB,
    /// and 130 with a limit of up to 255 if all of them call more than 15 times in a bucket. Memory is used as keys come.
    ///
    /// At the bound a new key takes the place of one to which nothing is charged any more, else of one with few charges
    /// that was not denied: that one may get up to its limit again. Keys that were denied are not given up before
    /// they have more room again than any had that was denied; if there are only those, new keys are told to wait, by
    /// [`By::Crowded`].
    #[must_use]
    pub fn with_max_keys(mut self, max_keys: NonZeroUsize) -> Self {
        self.table = table(&self.rule, max_keys);
        self.max_keys = max_keys;
        self
    }

    /// Asks for one call, and charges it if it is admitted.
    #[inline]
    pub fn take(&self, key: &(impl Hash + ?Sized)) -> Decision {
        self.take_cost(key, 1)
    }

    /// Asks for something that costs more or less than one call. All of it is charged, or nothing; zero only asks.
    #[inline]
    pub fn take_cost(&self, key: &(impl Hash + ?Sized), cost: u64) -> Decision {
        self.decide(self.fingerprint(key), (cost, self.limit()), true)
    }

    /// The same under another limit than the rule's, at most its [`most`](Rule::most). What is charged to the key stays:
    /// whoever is promoted in the middle of a window goes on with what is used, and whoever is degraded waits until
    /// less than the new limit is.
    #[inline]
    pub fn take_within(&self, key: &(impl Hash + ?Sized), cost: u64, limit: u64) -> Decision {
        self.decide(self.fingerprint(key), (cost, limit.min(self.rule.most())), true)
    }

    /// Tells what [`take_cost`](Self::take_cost) would answer, and what would be left after it. Charges nothing.
    pub fn peek(&self, key: &(impl Hash + ?Sized), cost: u64) -> Decision {
        self.decide(self.fingerprint(key), (cost, self.limit()), false)
    }

    /// Gives back what an admitted call has taken, such as one that was not made after all.
    ///
    /// A charge that can no longer be told from others stays: if its bucket is no longer the latest, and for exact and
    /// smooth rules, if something has been charged since. So giving back never makes room that is not there.
    pub fn give_back(&self, key: &(impl Hash + ?Sized), decision: Decision) {
        if let Some((cost, mark)) = decision.into_charge() {
            self.table.give_back(self.fingerprint(key), cost, mark);
        }
    }

    /// Forgets everything charged to a key.
    pub fn reset(&self, key: &(impl Hash + ?Sized)) {
        self.table.reset(self.fingerprint(key));
    }

    /// The limit at present.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit for all keys from the next call on. What is charged stays charged. Zero admits nothing.
    ///
    /// # Errors
    /// A limit above the rule's [`most`](Rule::most).
    pub fn set_limit(&self, limit: u64) -> Result<(), RuleError> {
        if limit > self.rule.most() {
            return Err(RuleError::Most { limit, most: self.rule.most() });
        }
        self.limit.store(limit, Ordering::Relaxed);
        Ok(())
    }

    /// The rule it was made with.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// What it has done so far. Looks into every shard.
    pub fn stats(&self) -> LimiterStats {
        let counts = self.table.counts();
        LimiterStats {
            admitted: counts.admitted,
            denied: counts.denied,
            crowded: counts.crowded,
            given_up: counts.given_up,
            keys: self.table.keys(),
        }
    }

    #[inline]
    fn fingerprint(&self, key: &(impl Hash + ?Sized)) -> Fingerprint {
        Fingerprint::new(self.seed.hash_one(key))
    }

    #[cold]
    fn never(&self, cost: u64, limit: u64) -> Decision {
        Decision {
            answer: Answer::Never,
            by: By::Local,
            policy: self.rule.name(),
            limit,
            window: self.window,
            remaining: 0,
            reset: self.window,
            cost,
            mark: 0,
        }
    }

    #[inline]
    fn decide(&self, who: Fingerprint, (cost, limit): (u64, u64), charges: bool) -> Decision {
        if cost > limit {
            return self.never(cost, limit);
        }
        // Read before the lock is taken, which keeps it short. Whoever waits for the lock charges at a moment that is a
        // little old, or at that of the latest charge of its key if that is later.
        let now = self.clock.now().as_nanos();
        let reply = self.table.decide(who, Ask { cost, limit, now, charges });
        let after = Duration::from_nanos(reply.after.max(1));
        let (answer, by) = match reply.kind {
            Kind::Room => (Answer::Now, By::Local),
            Kind::Full => (Answer::Wait(after), By::Local),
            Kind::Crowded => (Answer::Wait(after), By::Crowded),
        };
        Decision {
            answer,
            by,
            policy: self.rule.name(),
            limit,
            window: self.window,
            remaining: reply.remaining,
            reset: after,
            cost,
            mark: reply.mark,
        }
    }
}

impl fmt::Debug for LocalLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLimiter")
            .field("rule", &self.rule)
            .field("limit", &self.limit())
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}

fn table(rule: &Rule, max_keys: NonZeroUsize) -> Box<dyn AnyTable> {
    // So few keys in each that making its index anew, in memory that the system may have to find first, is no pause; and so many shards that
    // threads seldom meet.
    let shards = (max_keys.get() / KEYS_PER_SHARD).next_power_of_two().clamp(LEAST_SHARDS, MOST_SHARDS);
    rule.table(max_keys.get(), shards)
}

const KEYS_PER_SHARD: usize = 1024;
const LEAST_SHARDS: usize = 32;
const MOST_SHARDS: usize = 16_384;

#[cfg(test)]
mod tests {
    use std::array;

    use crate::gcra::Gcra;
    use crate::index::Fingerprint;
    use crate::log::Log;
    use crate::meter::{Ask, Kind, Meter, One};
    use crate::rings::Rings;
    use crate::room::Room;
    use crate::shard::{Shard, Source};
    use crate::table::{AnyTable as _, Table};
    use crate::window::Window;

    /// Every answer of a table is what the meter of its key says, which knows of no notice: whatever is asked for under whatever limit, and
    /// whatever clocks do.
    #[test]
    fn whoever_is_denied_without_the_lock_hears_what_the_shard_would_say() {
        const MOST: u64 = 12;
        fn check<M: Meter>(new: impl Fn() -> M, random: &mut impl FnMut(u64) -> u64) {
            let table = Table::new(new(), 10, 1);
            let keys = [1, 2].map(|number| Fingerprint::new(number << 32));
            let (mut ones, mut now, mut denied) = (array::from_fn::<_, 2, _>(|_| One::of(new())), 0, 0);
            let (mut at, mut cost, mut limit) = (0, 1, MOST);
            for step in 0..20_000 {
                // A start of both at one moment, as an idle key may be given up when another begins.
                if step == 0 || random(200) == 0 {
                    for (who, one) in keys.iter().zip(&mut ones) {
                        table.reset(*who);
                        *one = One::of(new());
                        let ask = Ask { cost: 1, limit: MOST, now, charges: true };
                        assert_eq!(table.decide(*who, ask), one.asks((1, MOST), now));
                    }
                }
                let back = if random(50) == 0 { random(5_000) } else { 0 };
                if back > 0 {
                    // The shard has not seen when a notice denied. Whoever asks for nothing brings it up to that moment.
                    let ask = Ask { cost: 0, limit: MOST, now, charges: true };
                    for (who, one) in keys.iter().zip(&mut ones) {
                        assert_eq!(table.decide(*who, ask), one.asks((0, MOST), now));
                    }
                }
                let on = match random(50) {
                    0 => random(5_000),
                    1..20 => random(100),
                    _ => 0,
                };
                now = now.saturating_sub(back) + on;
                if random(4) == 0 {
                    at = usize::from(random(2) == 1);
                    limit = if random(3) == 0 { 1 + random(MOST) } else { MOST };
                    cost = random(limit.min(4) + 1);
                }
                let ask = Ask { cost, limit, now, charges: random(8) > 0 };
                let (reply, one) = (table.decide(keys[at], ask), &mut ones[at]);
                let expected = one.meter.decide(&mut one.state, &mut one.rings, ask);
                assert_eq!(reply, expected, "step {step}: {ask:?} of {one:?}");
                denied += u64::from(reply.kind == Kind::Full && ask.charges);
                if reply.kind == Kind::Room && ask.charges && random(4) == 0 {
                    table.give_back(keys[at], ask.cost, reply.mark);
                    one.gives_back(ask.cost, reply.mark);
                }
            }
            assert!(denied > 2_000 && table.noticed() > denied / 10, "{} of {denied}", table.noticed());
            assert_eq!(table.counts().denied, denied);
        }
        let mut seed = 1_u64;
        let mut random = |end: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 16) % end
        };
        check(|| Window::<u32>::new(1_000, 10, 12), &mut random);
        check(|| Window::<u64>::new(1_000, 3, 12), &mut random);
        check(|| Log::new(1_000, 12), &mut random);
        check(|| Gcra::new(1_000, 12), &mut random);
    }

    #[test]
    fn whoever_is_given_up_reset_or_only_asks_leaves_its_ring_to_others() {
        let (meter, room) = (Log::new(100, 2), Room::new(4));
        let mut shard = Shard::new(&meter, 4);
        for number in 1..1000 {
            let who = Fingerprint::new(number << 24);
            let ask = Ask { cost: 1, limit: 2, now: number, charges: number % 3 > 0 };
            assert!(shard.begin(&meter, who, ask, Source::Shared(&room)).is_some());
            if number % 5 == 0 && shard.reset(who) {
                room.give_back(1);
            }
            assert!(room.taken() <= 4);
        }
        // Four keys, and whoever comes while they are there.
        let mut few = Rings::new(meter.ring_words(), 0);
        let few = [few.take(), few.take(), few.take(), few.take(), few.take()];
        assert!(few.contains(&shard.rings.take()), "{shard:?}");
    }
}
