//! Storing: what options and loader say becomes a value with its ages in the memory tier.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache_core::{CacheKey, Lifetime, Priority, Tags, Time, Ttl};
use cache_invalidation::Stamp;
use cache_memory::{Inserted, Put};

use crate::cache::Shared;
use crate::flight::{Landing, Leader};
use crate::hit::{Hit, Source};
use crate::kept::{Ages, Kept, Last};
use crate::loaded::{About, Loaded};
use crate::monitor::Mark;
use crate::options::Options;
use crate::stats::LoadCounts;
use crate::windows::Windows;

/// Where a loaded value comes from.
pub(crate) struct Origin<'a, V> {
    /// What its loader was shown.
    pub(crate) last: Option<&'a Last<V>>,
    /// When its load began.
    pub(crate) began: Time,
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// A value with everything that options, loader and cache say of it.
    pub(crate) fn record(&self, value: Arc<V>, about: About, options: &Options) -> Record<V> {
        let is_negative =
            about.is_negative || self.is_negative.is_some_and(|is_negative| is_negative(&value));
        let negative_ttl = options.negative_ttl().filter(|_| is_negative);
        let wanted = about.ttl.or(negative_ttl).or(options.ttl()).unwrap_or(self.memory.default_ttl());
        let ttl = options.jitter().map_or(wanted, |share| self.chance.shorten(wanted, share));
        let now = if ttl.is_forever() { Time::ZERO } else { self.memory.clock().now() };
        let windows = about.windows;
        let life = windows.over(options.lifetime(now, ttl)).with_due_before(about.lead);
        Record {
            value,
            life,
            keep: !ttl.is_zero(),
            tags: about.tags.or_else(|| options.tags().cloned()).unwrap_or_default(),
            priority: about.priority.or(options.priority()).unwrap_or_default(),
            cost: about.cost.or(options.cost()).unwrap_or_default(),
            validator: about.validator,
            windows,
            is_negative,
            mark: self.below.as_ref().and_then(|below| below.mark()),
        }
    }

    /// Puts a value into memory, if `permit` agrees when it becomes visible.
    pub(crate) fn keep<Q>(&self, key: &Q, record: &Record<V>, permit: impl Fn() -> bool) -> Inserted
    where
        K: Borrow<Q>,
        Q: Hash + ToOwned<Owned = K> + ?Sized,
    {
        let Record { validator, is_negative, mark, .. } = record;
        let life = &self.in_memory(record.life);
        let plain = Lifetime::new(life.stored(), Ttl::between(life.stored(), life.stale()));
        let now = if life.gone() == Time::NEVER { Time::ZERO } else { self.memory.clock().now() };
        let kept_for = if record.keep { Ttl::between(now, life.gone()) } else { Ttl::ZERO };
        let put = Put::new()
            .with_ttl(kept_for)
            .with_tags(record.tags.clone())
            .with_priority(record.priority)
            .with_cost(record.cost);
        let has_ages = *life != plain || validator.is_some() || *is_negative || mark.is_some();
        let ages = has_ages.then(|| Ages::new(*life, validator.clone(), *is_negative).marked(mark.clone()));
        let kept = Kept::new(Arc::clone(&record.value), ages);
        let inserted = self.memory.insert_if(key.to_owned(), kept, put, permit);
        self.tell_waiters(key);
        inserted
    }

    /// Something has happened to a key, for which somebody may wait.
    pub(crate) fn tell_waiters<Q: Hash + ?Sized>(&self, key: &Q) {
        if let Some(leases) = self.leases.get().filter(|leases| leases.waiters.any()) {
            leases.waiters.tell(self.fence.hash(key));
        }
    }

    /// The life in memory, which may end before that in the tiers below: then they are asked before the value answers again.
    fn in_memory(&self, life: Lifetime) -> Lifetime {
        let Some(most) = self.ttl_in_memory(Ttl::FOREVER).finite() else { return life };
        let end = self.memory.clock().now().after(most);
        if end < life.stale() { life.expired(end) } else { life }
    }

    /// How long a value that is to live so long may be fresh in memory.
    pub(crate) fn ttl_in_memory(&self, ttl: Ttl) -> Ttl {
        let doubt = self.teller.as_ref().and_then(|teller| teller.doubt());
        let most =
            self.below.as_ref().and_then(|below| below.ttl_while_away()).unwrap_or(self.max_memory_ttl);
        ttl.min(most).min(doubt.map_or(Ttl::FOREVER, Ttl::from))
    }

    /// Stores what a load has brought, unless an invalidation has overtaken it, and says how the load has ended, and what of it
    /// may go to the tiers below memory.
    pub(crate) fn store_loaded(
        &self,
        leader: &Leader<K, V>,
        loaded: Loaded<V>,
        options: &Options,
        origin: &Origin<'_, V>,
    ) -> (Landing<V>, Option<Record<V>>) {
        let key = leader.key();
        let Loaded { value, mut about } = loaded;
        let value = match (value, origin.last) {
            (Some(value), _) => Arc::new(value),
            (None, Some(last)) => {
                LoadCounts::count(&self.loads.not_modified);
                about.validator = about.validator.or_else(|| last.kept.ages.as_ref()?.validator.clone());
                about.tags = about.tags.or_else(|| options.tags().is_none().then(|| last.tags.clone()));
                Arc::clone(last.value())
            }
            (None, None) => return (Landing::NothingToKeep, None),
        };
        if let Some(beta) = options.early_beta() {
            let took = self.memory.clock().now().since(origin.began);
            about.lead = self.chance.lead(took, beta);
        }
        let record = self.record(value, about, options);
        let inserted = self.keep(key, &record, || self.fence.may_store(leader.ticket(), key, &record.tags));
        if inserted == Inserted::Refused {
            LoadCounts::count(&self.loads.fenced);
            if options.force_refresh() == Some(true) {
                // Whatever is there is older than what was just loaded, and the caller has asked to be rid of it.
                self.memory.remove(key);
            }
        }
        let landing = Landing::Value(record.hit(Source::Loader), record.tags.clone());
        (landing, (record.keep && inserted != Inserted::Refused).then_some(record))
    }
}

/// A value that is to be stored, and what was decided about it.
pub(crate) struct Record<V> {
    pub(crate) value: Arc<V>,
    pub(crate) life: Lifetime,
    /// Whether it is to be stored at all.
    pub(crate) keep: bool,
    pub(crate) tags: Tags,
    pub(crate) priority: Priority,
    pub(crate) cost: Duration,
    pub(crate) validator: Option<Arc<str>>,
    /// What the value says of its windows itself.
    pub(crate) windows: Windows,
    pub(crate) is_negative: bool,
    /// Which write it is of, told once it is written below.
    pub(crate) mark: Mark,
}

impl<V> Record<V> {
    /// Notes which write it is of, where that is asked for.
    pub(crate) fn told(&self, stamp: Option<Stamp>) {
        if let Some((mark, stamp)) = self.mark.as_ref().zip(stamp) {
            mark.get_or_init(|| stamp);
        }
    }

    /// It as an answer.
    pub(crate) fn hit(&self, source: Source) -> Hit<V> {
        Hit::new(Arc::clone(&self.value), source, self.life.stale())
    }
}

/// Chance, from a seed: cheap, shared by all threads, and good enough to spread moments with.
#[derive(Debug)]
pub(crate) struct Chance(AtomicU64);

impl Chance {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(AtomicU64::new(seed.unwrap_or_else(|| RandomState::new().hash_one(0))))
    }

    /// A number from [0, 1).
    pub(crate) fn draw(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
        let number = (self.bits() >> 11) as f64;
        number * f64::EPSILON / 2.0
    }

    /// 64 bits, by `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
    pub(crate) fn bits(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.0.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// This life, or one that is shorter by a random share of it below `share`.
    fn shorten(&self, ttl: Ttl, share: f64) -> Ttl {
        let shorten = |whole: Duration| Ttl::from(whole.saturating_sub(whole.mul_f64(self.draw() * share)));
        ttl.finite().map_or(ttl, shorten)
    }

    /// How long before its end a value that took so long to load is due: `beta` times that, times a number from the
    /// exponential distribution of mean one.
    pub(crate) fn lead(&self, took: Duration, beta: f64) -> Duration {
        let lead = took.as_secs_f64() * beta * -(1.0 - self.draw()).ln();
        Duration::try_from_secs_f64(lead).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_never_lengthens_and_stays_within_its_share() {
        let chance = Chance::new(Some(7));
        let whole = Ttl::from_secs(100);
        let lives: Vec<Ttl> = (0..10_000).map(|_| chance.shorten(whole, 0.2)).collect();
        assert!(lives.iter().all(|life| *life <= whole && *life >= Ttl::from_secs(80)));
        let below_ninety = lives.iter().filter(|life| **life < Ttl::from_secs(90)).count();
        assert!((4_800..5_200).contains(&below_ninety), "{below_ninety} of 10,000 in the lower half");
        assert_eq!(chance.shorten(Ttl::FOREVER, 0.2), Ttl::FOREVER);
        assert_eq!(chance.shorten(Ttl::ZERO, 0.2), Ttl::ZERO);
        let longest = Ttl::from(Duration::MAX.saturating_sub(Duration::from_nanos(1)));
        assert!(chance.shorten(longest, 0.999) <= longest);
    }

    #[test]
    fn the_lead_is_on_average_what_it_took_to_load() {
        let chance = Chance::new(Some(7));
        let took = Duration::from_secs(1);
        let leads: Vec<Duration> = (0..10_000).map(|_| chance.lead(took, 2.0)).collect();
        let mean = leads.iter().sum::<Duration>() / 10_000;
        assert!((1.9..2.1).contains(&mean.as_secs_f64()), "{mean:?}");
        assert_eq!(chance.lead(Duration::ZERO, 2.0), Duration::ZERO);
        assert_eq!(Chance(AtomicU64::new(0)).lead(Duration::MAX, 1e300), Duration::MAX);
    }

    #[test]
    fn a_seed_replays() {
        let draws = |seed| {
            (0..3)
                .map({
                    let chance = Chance::new(Some(seed));
                    move |_| chance.draw()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
    }
}
