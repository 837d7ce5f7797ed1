//! How a memory tier is set up: its limits, its policy, its clock. Every setting is legal, so nothing can fail.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cache_core::{Clock, SystemClock, Ttl};
use cache_policy::Policy;

use crate::budget::Budget;
use crate::engine::Engine;
use crate::listen::{Cause, Listener, Reporter};
use crate::memory::{Memory, Swept};
use crate::now::Present;
use crate::optimistic::{Readers, are_plain};
use crate::shard::Plan;

/// The default interval at which expired entries are freed though nobody needs their room.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Sweeping more often than deadlines are distinguished would only burn a core.
const SHORTEST_SWEEP: Duration = Duration::from_millis(1);

/// The least share of an entry limit that gets a shard of its own. Below about 128 entries a shard's policy sees too
/// little of the traffic to judge it.
const FEWEST_PER_SHARD: usize = 128;

/// The largest share: what a shard does at once, as growing its index or changing its policy, takes milliseconds.
const MOST_PER_SHARD: usize = 1 << 17;

const MOST_SHARDS: usize = 4096;

/// So many that two threads, each on its core, seldom meet: with half of them two readers of shared strings take a tenth longer.
const SHARDS_PER_CORE: usize = 8;

type Weigher<K, V> = Arc<dyn Fn(&K, &V) -> u64 + Send + Sync>;

pub(crate) struct Setup<K, V> {
    pub(crate) max_entries: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) ttl: Ttl,
    pub(crate) policy: Policy,
    pub(crate) shards: Option<usize>,
    pub(crate) weigher: Option<Weigher<K, V>>,
    pub(crate) listener: Option<Listener<K, V>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether the clock is the system's own, which nobody moves by hand.
    is_steady: bool,
    pub(crate) sweep_every: Option<Duration>,
    /// Zero if no hits are noted.
    sample_every: u32,
    /// Whether keys and values are known to be `Copy`.
    are_copy: bool,
}

/// Setting up: each returns an empty cache.
impl<K, V, S> Memory<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Holds at most this many entries. Default: no limit. Zero stores nothing.
    #[must_use]
    pub fn with_max_entries(self, max_entries: u64) -> Self {
        self.rebuild(|setup| Setup { max_entries: Some(max_entries), ..setup })
    }

    /// Holds at most this many bytes, as the weigher counts them. Default: no limit. Zero stores only what weighs
    /// nothing.
    #[must_use]
    pub fn with_max_bytes(self, max_bytes: u64) -> Self {
        self.rebuild(|setup| Setup { max_bytes: Some(max_bytes), ..setup })
    }

    /// Says how many bytes an entry takes. Default: the size of the key and value types, without what they point to: that
    /// is right for plain numbers, and far too little for strings, vectors and shared values.
    ///
    /// It is called once per insert, outside of any lock.
    #[must_use]
    pub fn with_weigher(self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.rebuild(|setup| Setup { weigher: Some(Arc::new(weigher)), ..setup })
    }

    /// How long an entry lives that does not say so itself. Default: for ever.
    #[must_use]
    pub fn with_ttl(self, ttl: impl Into<Ttl>) -> Self {
        let ttl = ttl.into();
        self.rebuild(|setup| Setup { ttl, ..setup })
    }

    /// Who is evicted first. Default: [`Policy::Adaptive`].
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        self.rebuild(|setup| Setup { policy, ..setup })
    }

    /// Calls `listener` with every entry that leaves, after it has left, on the thread that made it leave.
    ///
    /// No lock is held meanwhile, so the listener may use the cache; but one that inserts into the same full cache makes
    /// the next entry leave, is called for it, and so on without an end. If it panics, the panic is counted in
    /// [`Stats::listener_panics`](crate::Stats::listener_panics) and goes no further. What is in the cache when it is dropped is not reported.
    #[must_use]
    pub fn with_listener(self, listener: impl Fn(&K, &V, Cause) + Send + Sync + 'static) -> Self {
        self.rebuild(|setup| Setup { listener: Some(Arc::new(listener)), ..setup })
    }

    /// Splits the cache into this many shards, rounded up to a power of two, at most 4096. Default: eight per core,
    /// but none for less than 128 entries of the limit, nor for more than 131,072.
    ///
    /// With one shard the policy is exact over all entries.
    #[must_use]
    pub fn with_shards(self, shards: usize) -> Self {
        self.rebuild(|setup| Setup {
            shards: Some(shards.clamp(1, MOST_SHARDS).next_power_of_two()),
            ..setup
        })
    }

    /// Tells the time by this clock, which must not panic: it is asked under locks. Default: the system's monotonic clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.rebuild(|setup| Setup { clock, is_steady: false, ..setup })
    }

    /// Frees expired entries at this interval, by a thread that starts with the first entry that can expire and ends
    /// with the cache. It also frees what [`remove_tag`](Self::remove_tag) and [`clear`](Self::clear) leave to it. Default: one second; at least one millisecond. `None`: only when their room is needed or
    /// [`remove_expired`](Self::remove_expired) is called.
    #[must_use]
    pub fn with_sweep_every(self, interval: Option<Duration>) -> Self {
        let sweep_every = interval.map(|interval| interval.max(SHORTEST_SWEEP));
        self.rebuild(|setup| Setup { sweep_every, ..setup })
    }

    /// Notes one in so many hits, on average, to find the keys that are read most: see [`sampled`](Self::sampled). Zero, the
    /// default, notes none. 64 is usual; it costs a hit nothing that can be measured.
    #[must_use]
    pub fn with_sampling(self, every: u32) -> Self {
        self.rebuild(|setup| Setup { sample_every: every, ..setup })
    }

    /// Reads without a lock where that is possible, so that threads do not wait for each other: for keys and values of 128 bytes
    /// together at most, on Linux. Default: so for numbers and a few other types of the standard library; of your own types only you can
    /// say that they are `Copy`. Costs 64 bytes for each of 64 threads; others take a lock.
    ///
    /// ```
    /// use cache_memory::Memory;
    /// #[derive(Clone, Copy, Debug, PartialEq)]
    /// struct Quote {
    ///     bid: f64,
    ///     ask: f64,
    /// }
    /// let quotes: Memory<u32, Quote> = Memory::new().with_lock_free_reads().with_max_entries(10_000);
    /// quotes.insert(7, Quote { bid: 99.5, ask: 100.5 });
    /// assert_eq!(quotes.get(&7).map(|quote| quote.bid), Some(99.5));
    /// ```
    #[must_use]
    pub fn with_lock_free_reads(self) -> Self
    where
        K: Copy,
        V: Copy,
    {
        self.rebuild(|setup| Setup { are_copy: true, ..setup })
    }

    /// Hashes keys by this hasher. Default: foldhash with a random seed per cache, because keys often come from
    /// outside.
    #[must_use]
    pub fn with_hasher<H>(self, hasher: H) -> Memory<K, V, H>
    where
        H: BuildHasher + Clone + Send + Sync + 'static,
    {
        Memory::build(Setup::clone(&self.setup), hasher)
    }

    /// An empty cache set up like this one that holds another type: what the weigher and the listener are shown of it is
    /// what `view` finds in it.
    #[must_use]
    pub fn holding<W: Send + Sync + 'static>(self, view: fn(&W) -> &V) -> Memory<K, W, S>
    where
        K: Send + Sync + 'static,
    {
        let setup = Setup::clone(&self.setup);
        let weigher = setup
            .weigher
            .map(|weigher| -> Weigher<K, W> { Arc::new(move |key, held| weigher(key, view(held))) });
        let listener = setup.listener.map(|listener| -> Listener<K, W> {
            Arc::new(move |key, held, cause| listener(key, view(held), cause))
        });
        let setup = Setup {
            weigher,
            listener,
            max_entries: setup.max_entries,
            max_bytes: setup.max_bytes,
            ttl: setup.ttl,
            policy: setup.policy,
            shards: setup.shards,
            clock: setup.clock,
            is_steady: setup.is_steady,
            sweep_every: setup.sweep_every,
            sample_every: setup.sample_every,
            are_copy: are_plain::<K, W>(),
        };
        Memory::build(setup, self.engine.engine.hasher.clone())
    }

    fn rebuild(self, change: impl FnOnce(Setup<K, V>) -> Setup<K, V>) -> Self {
        let hasher = self.engine.engine.hasher.clone();
        Self::build(change(Setup::clone(&self.setup)), hasher)
    }

    pub(crate) fn build(setup: Setup<K, V>, hasher: S) -> Self {
        let reporter = Reporter { listener: setup.listener.clone(), panics: AtomicU64::new(0) };
        let budget = Budget::new(setup.max_entries, setup.max_bytes);
        let present = Present::new(Arc::clone(&setup.clock), setup.is_steady);
        let parts = (hasher, present, reporter, Readers::of::<K, V>(setup.are_copy));
        let shards = setup.shard_count();
        let engine = Engine::new(shards, setup.plan(shards), budget, parts);
        engine.set_sampling(setup.sample_every);
        Self { engine: Arc::new(Swept { engine, sweeper: OnceLock::new() }), setup: Arc::new(setup) }
    }
}

/// How many processors there are. Asked once: the answer comes from files of the system, which takes longer than making all of a small
/// cache.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

impl<K, V> Setup<K, V> {
    pub(crate) fn weigh(&self, key: &K, value: &V) -> u64 {
        match &self.weigher {
            Some(weigher) => weigher(key, value),
            None => Self::weight_of_one(),
        }
    }

    fn shard_count(&self) -> usize {
        self.shards.unwrap_or_else(|| {
            let per_core = cores() * SHARDS_PER_CORE;
            let Some(max) = self.max_entries else { return per_core.next_power_of_two() };
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            let shards = per_core.max(max / MOST_PER_SHARD).min((max / FEWEST_PER_SHARD).max(1));
            1 << shards.min(MOST_SHARDS).ilog2()
        })
    }

    fn plan(&self, shards: usize) -> Plan {
        let expected = self.max_entries.and_then(|max| usize::try_from(max).ok());
        let expected = expected.filter(|max| *max < 1 << 40).map_or(0, |max| most_of_share(max, shards));
        Plan { policy: self.policy, weight_of_one: Self::weight_of_one(), expected, leads: true }
    }

    /// The size of the key and value types, without what they point to.
    const fn weight_of_one() -> u64 {
        (size_of::<K>() + size_of::<V>()) as u64
    }
}

/// What a shard may come to hold of so many entries: the only one, all of them. Hashes fill them unevenly: one in fifty is more than two
/// standard deviations above its share, and grows a little. Of small shards that would be too much to set aside, so they may have to grow, too.
fn most_of_share(entries: usize, shards: usize) -> usize {
    let share = entries / shards;
    if shards == 1 { share } else { share + (2 * share.isqrt()).min(share / 16) }
}

impl<K: 'static, V: 'static> Default for Setup<K, V> {
    fn default() -> Self {
        Self {
            max_entries: None,
            max_bytes: None,
            ttl: Ttl::FOREVER,
            policy: Policy::default(),
            shards: None,
            weigher: None,
            listener: None,
            clock: Arc::new(SystemClock::new()),
            is_steady: true,
            sweep_every: Some(SWEEP_EVERY),
            sample_every: 0,
            are_copy: are_plain::<K, V>(),
        }
    }
}

impl<K, V> Clone for Setup<K, V> {
    fn clone(&self) -> Self {
        Self {
            max_entries: self.max_entries,
            max_bytes: self.max_bytes,
            ttl: self.ttl,
            policy: self.policy,
            shards: self.shards,
            weigher: self.weigher.clone(),
            listener: self.listener.clone(),
            clock: Arc::clone(&self.clock),
            is_steady: self.is_steady,
            sweep_every: self.sweep_every,
            sample_every: self.sample_every,
            are_copy: self.are_copy,
        }
    }
}
