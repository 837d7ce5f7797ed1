//! Setting up a cache: everything is checked here, once.

use std::fmt;
use std::mem::needs_drop;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cache_core::{CacheKey, KeyError, Lease, Namespace, Ttl, Wall};
use cache_invalidation::Bus;
use cache_memory::{Memory, Policy};
use thiserror::Error;

use crate::below::Below;
use crate::cache::{Cache, Limits, Shared};
use crate::change::Defaults;
use crate::close::Phase;
use crate::codec::Framer;
use crate::failures::Failures;
use crate::fence::Fence;
use crate::fleet::Fleet;
use crate::flight::Flights;
use crate::gate::Gate;
use crate::kept::Kept;
use crate::monitor::{Monitor, Stamps, Watch};
use crate::news::{DEFAULT_DOUBT_TTL, Hearing, Teller};
use crate::options::Options;
use crate::stats::LoadCounts;
use crate::sync::{Handle, watch};
use crate::tiers::{Group, Tier, Tiers, Versions, WallClock};
use crate::write::Chance;

/// The limit of a memory tier that was not set up: enough to be useful, too little to hurt.
const DEFAULT_MAX_ENTRIES: u64 = 10_000;

/// The same where memory only stands in for tiers.
const FALLBACK_MAX_ENTRIES: u64 = 1000;

/// The loads that may run at the same time where nothing else is said: more than any source bears, few enough to hold.
const DEFAULT_MAX_LOADS: u64 = 65_536;

/// The loads that may go on after their hard timeout where nothing else is said.
const DEFAULT_MAX_ABANDONED: u64 = 256;

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Begins a cache of this name, which all its keys begin with.
    pub fn builder(name: impl Into<String>) -> Builder<K, V> {
        Builder {
            name: name.into(),
            version: None,
            memory: None,
            max_memory_ttl: Ttl::FOREVER,
            is_memory_fallback: false,
            framer: None,
            tiers: Vec::new(),
            wall: None,
            lease: None,
            bus: None,
            doubt_ttl: DEFAULT_DOUBT_TTL,
            monitor: None,
            options: Options::new(),
            limits: Limits { loads: DEFAULT_MAX_LOADS, abandoned: DEFAULT_MAX_ABANDONED },
            budget: None,
            is_negative: None,
            serves_stale: false,
            seed: None,
        }
    }
}

/// A cache in the making.
#[must_use = "a builder does nothing until `build`"]
pub struct Builder<K, V> {
    name: String,
    version: Option<u32>,
    memory: Option<Memory<K, Arc<V>>>,
    max_memory_ttl: Ttl,
    is_memory_fallback: bool,
    framer: Option<Framer<V>>,
    tiers: Vec<Tier>,
    wall: Option<Box<WallClock>>,
    lease: Option<(Arc<dyn Lease>, Duration)>,
    bus: Option<Bus>,
    doubt_ttl: Duration,
    monitor: Option<Monitor>,
    options: Options,
    limits: Limits,
    budget: Option<Arc<dyn Gate>>,
    is_negative: Option<fn(&V) -> bool>,
    serves_stale: bool,
    seed: Option<u64>,
}

impl<K, V> Builder<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// The version of what is stored: raising it makes all older entries, in every tier, unreachable. Default: none.
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// How the memory tier is set up. Default: 10,000 entries, by [`Policy::Adaptive`](crate::Policy::Adaptive). What it
    /// holds already is not taken over.
    ///
    /// A weigher or listener sees each value in the `Arc` that hits share.
    pub fn memory(mut self, memory: Memory<K, Arc<V>>) -> Self {
        self.memory = Some(memory);
        self
    }

    /// How long memory keeps a value as fresh at most, so that it is looked up below again. For a cache with tiers and no bus this
    /// bounds how long another process's change goes unnoticed. Without a tier it means nothing. Default: as long as the value is fresh.
    pub fn max_memory_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.max_memory_ttl = ttl.into();
        self
    }

    /// Has memory stand in for the tiers, and do nothing else: each read asks them, so no process answers anything but what they have.
    ///
    /// While a tier does not answer, reads without a loader are answered by what this process has read or written last, marked
    /// [`Stale::Unreachable`](crate::Stale), for as long after that as [`Options::with_fail_safe_for`] says: without it nothing stands in. Others
    /// load, and once the tier counts as away they keep what they load for as long as [`max_ttl_in_doubt`](Self::max_ttl_in_doubt) says, so that
    /// the source is not asked each time. Unless memory [is set up](Self::memory), it has 1,000 entries, by
    /// [`Policy::Lru`](crate::Policy::Lru). Without a tier it means nothing.
    pub fn memory_as_fallback(mut self) -> Self {
        self.is_memory_fallback = true;
        self
    }

    /// How values become bytes for the tiers below memory. There is no default: which codec, and what a changed type is
    /// called, is to be decided once and for all that is stored.
    pub fn framer(mut self, framer: Framer<V>) -> Self {
        self.framer = Some(framer);
        self
    }

    /// Adds a tier below memory and those added before: a shared store, a disk. A read asks one after the other, a write goes to
    /// all, the last one first. Default: none.
    ///
    /// A tier that fails or hangs fails nobody: see [`Tier`] for what stands around it.
    pub fn tier(mut self, tier: impl Into<Tier>) -> Self {
        self.tiers.push(tier.into());
        self
    }

    /// The bus on which the processes that share the tiers tell each other what changes, so that none serves from memory what another
    /// has changed. Default: none.
    ///
    /// Whatever may have been missed is checked: when the bus is in doubt, all that memory holds is looked up below again before it
    /// answers, and serves until then only where a copy may stand in. Caches of one name and version hear each other.
    pub fn bus(mut self, bus: Bus) -> Self {
        self.bus = Some(bus);
        self
    }

    /// How long a value is fresh in memory at most that is stored while the bus is in doubt: this bounds how long a change goes
    /// unnoticed by a process that is cut off. Default: 5 s.
    pub fn max_ttl_in_doubt(mut self, ttl: Duration) -> Self {
        self.doubt_ttl = ttl;
        self
    }

    /// Has a task compare what memory holds with the tiers, now and then, and count how often and for how long they disagree:
    /// [`Cache::consistency`]. The cache is built on the tokio runtime that this is to run on, whose timer has to be enabled, and the
    /// task ends with it. Costs some 150 bytes for each entry in memory, and so many reads of each tier as [`Monitor`] says; they read
    /// what they look at like anybody, and Redis, which evicts by use, takes them for one. Default: none.
    pub fn monitor(mut self, monitor: Monitor) -> Self {
        self.monitor = Some(monitor);
        self
    }

    /// Lets the processes that share the tiers load each key one at a time: who does not hold the lease of a key looks below until
    /// its holder has stored the value, and answers with a stale one meanwhile where one may stand in. Costs a load two more
    /// questions to the tiers. Default: each process loads by itself.
    ///
    /// `hold` is how long after its death a process still keeps others from loading; while it lives, it prolongs its lease.
    /// Where no lease can be had, everybody loads. Loads of several keys at once take none.
    pub fn lease(mut self, lease: Arc<dyn Lease>, hold: Duration) -> Self {
        self.lease = Some((lease, hold));
        self
    }

    /// Has reads without a loader answer with a value that is no longer fresh as well, for as long as
    /// [`Options::with_stale_for`] says, marked [`Stale::Served`](crate::Stale): for who refreshes it by himself, after a look at
    /// [`Hit::is_stale`](crate::Hit::is_stale), as with stale-while-revalidate of HTTP (RFC 5861). A fresh one of a tier below memory is
    /// preferred. Default: they answer with fresh values alone.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use cache_testkit::clock::ManualClock;
    /// use strata::{Cache, Memory, Options, Stale};
    /// let clock = ManualClock::new();
    /// let memory = Memory::new().with_clock(Arc::new(clock.clone()));
    /// let pages: Cache<String, String> = Cache::builder("pages").memory(memory).serve_stale().build()?;
    /// let second = Duration::from_secs(1);
    /// let options = Options::new().with_ttl(second).with_stale_for(second);
    /// pages.insert_with("/".to_owned(), "hello".to_owned(), options).await?;
    /// clock.advance(second);
    /// assert_eq!(pages.get("/").await?.and_then(|page| page.stale()), Some(Stale::Served));
    /// clock.advance(second);
    /// assert!(pages.get("/").await?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn serve_stale(mut self) -> Self {
        self.serves_stale = true;
        self
    }

    /// The wall clock, which stands in what is stored below memory and orders writes of several processes there. Default: the system's.
    pub fn wall_clock(mut self, wall: impl Fn() -> Wall + Send + Sync + 'static) -> Self {
        self.wall = Some(Box::new(wall));
        self
    }

    /// What calls that say nothing get. Default: nothing set.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Tells which values say that there is nothing: they live for
    /// [`Options::with_negative_ttl`](crate::Options::with_negative_ttl). Default: none.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use strata::{Cache, Options, Ttl};
    /// let users: Cache<u64, Option<String>> = Cache::builder("users")
    ///     .options(Options::new().with_ttl(Ttl::from_secs(3600)).with_negative_ttl(Ttl::from_secs(10)))
    ///     .negative_if(Option::is_none)
    ///     .build()?;
    /// let absent = users.get_or_load(&7, || async { Ok::<_, std::io::Error>(None) }).await?;
    /// assert!(absent.is_none());
    /// assert!(users.ttl(&7).await?.expect("cached") <= Ttl::from_secs(10));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn negative_if(mut self, is_negative: fn(&V) -> bool) -> Self {
        self.is_negative = Some(is_negative);
        self
    }

    /// Asks this gate before each run of a loader whether the source may be asked. If not, [`Options::with_over_budget`] says what
    /// becomes of the call: a stale value stands in, if it may, unless set otherwise. Default: always.
    pub fn budget(mut self, gate: impl Gate) -> Self {
        self.budget = Some(Arc::new(gate));
        self
    }

    /// How many loads may run at the same time; one too many is treated as over the budget. Default: 65,536.
    pub fn max_loads(mut self, most: u64) -> Self {
        self.limits.loads = most;
        self
    }

    /// How many loads may go on after their hard timeout, so that they can still be stored; one too many is given up then.
    /// Default: 256.
    pub fn max_abandoned(mut self, most: u64) -> Self {
        self.limits.abandoned = most;
        self
    }

    /// Where chance begins, which spreads ends and refreshes, so that a test can replay it. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks everything and makes the cache.
    ///
    /// # Errors
    /// A name that cannot begin a key, an option that can never work, or a limit in bytes for values whose bytes nobody
    /// counts.
    pub fn build(self) -> Result<Cache<K, V>, BuildError> {
        let mut namespace = Namespace::new(&self.name)?;
        if let Some(version) = self.version {
            namespace = namespace.with_version(version);
        }
        check_options(&self.options)?;
        let is_fallback = self.is_memory_fallback && !self.tiers.is_empty();
        let memory = self.memory.unwrap_or_else(|| unless_set_up(is_fallback));
        check_limits::<K, V>(memory.max_bytes(), memory.has_weigher())?;
        let memory = memory.holding(Kept::value);
        let name = namespace.key();
        let versions = Arc::new(Versions::new(self.wall));
        let teller = self.bus.map(|bus| Arc::new(Teller::new(bus, name.as_str(), self.doubt_ttl)));
        let below = match (self.framer, self.tiers) {
            (_, tiers) if tiers.is_empty() && self.lease.is_some() => return Err(BuildError::NoTier),
            (_, tiers) if tiers.is_empty() && self.monitor.is_some() => {
                return Err(BuildError::NothingToCompare);
            }
            (_, tiers) if tiers.is_empty() => None,
            (None, _) => return Err(BuildError::NoFramer),
            (Some(framer), tiers) => {
                let all = Group::All(name.as_str().into());
                let tiers = Tiers::new(tiers, &all, Arc::clone(memory.clock()), teller.clone());
                let mut below = Below::new(&namespace, framer, tiers, Arc::clone(&versions));
                below.fleet =
                    self.lease.map(|(lease, hold)| Fleet::new(lease, hold, Arc::clone(memory.clock())));
                below.stamps = self.monitor.map(|_| Stamps::new());
                below.fallback_ttl = is_fallback.then(|| self.doubt_ttl.into());
                Some(Arc::new(below))
            }
        };
        let runtime = Handle::try_current().ok();
        if self.monitor.is_some_and(Monitor::has_task) && runtime.is_none() {
            return Err(BuildError::NoRuntime);
        }
        let tiers = below.as_ref().map_or(0, |below| below.tiers.levels().len());
        let watch = self.monitor.map(|monitor| Arc::new(Watch::new(monitor, tiers, self.seed)));
        let shared = Arc::new(Shared {
            namespace,
            // Where nothing is below there is nothing to look up again.
            max_memory_ttl: match below {
                Some(_) if is_fallback => Ttl::ZERO,
                Some(_) => self.max_memory_ttl,
                None => Ttl::FOREVER,
            },
            below,
            watch,
            versions,
            teller,
            attachment: OnceLock::new(),
            defaults: Defaults::new(self.options),
            fence: Fence::new(),
            flights: Flights::new(),
            failures: Failures::new(Arc::clone(memory.clock())),
            memory,
            loads: Arc::new(LoadCounts::default()),
            limits: self.limits,
            budget: self.budget,
            is_negative: self.is_negative,
            serves_stale: self.serves_stale,
            leases: OnceLock::new(),
            chance: Chance::new(self.seed),
            phase: watch::channel(Phase::Open).0,
        });
        if let Some(teller) = &shared.teller {
            let hearing = Arc::new(Hearing(Arc::downgrade(&shared)));
            shared.attachment.get_or_init(|| teller.bus().attach(name.as_str(), hearing));
        }
        if let Some(runtime) = &runtime {
            shared.watch(runtime);
        }
        Ok(Cache { shared })
    }
}

/// The memory tier of a cache that says nothing of it.
fn unless_set_up<K, V>(is_fallback: bool) -> Memory<K, V>
where
    K: CacheKey,
    V: Send + Sync + 'static,
{
    if is_fallback {
        return Memory::new().with_max_entries(FALLBACK_MAX_ENTRIES).with_policy(Policy::Lru);
    }
    Memory::new().with_max_entries(DEFAULT_MAX_ENTRIES)
}

/// Refuses options that can never work.
pub(crate) fn check_options(options: &Options) -> Result<(), BuildError> {
    match options.fault() {
        Some((option, given, right)) => Err(BuildError::Option { option, given, right }),
        None => Ok(()),
    }
}

/// Refuses a limit in bytes that would bound nothing.
pub(crate) fn check_limits<K, V>(max_bytes: Option<u64>, has_weigher: bool) -> Result<(), BuildError> {
    let counts_bytes = has_weigher || !(needs_drop::<K>() || needs_drop::<V>());
    if max_bytes.is_some() && !counts_bytes { Err(BuildError::NoWeigher) } else { Ok(()) }
}

impl<K, V> fmt::Debug for Builder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Why a cache cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The name cannot begin a key.
    #[error("the cache's name: {0}")]
    Name(#[from] KeyError),
    /// Keys or values own memory that the size of their types does not show, so the limit would bound nothing.
    #[error(
        "the memory tier has a limit in bytes and no weigher; say what an entry takes with Memory::with_weigher"
    )]
    NoWeigher,
    /// There are tiers below memory, and nothing that makes bytes of values.
    #[error(
        "the cache has tiers below memory and no framer; say how values become bytes with Builder::framer"
    )]
    NoFramer,
    /// There is a lease, and no tier in which others would find what its holder has loaded.
    #[error(
        "the cache has a lease and no tier below memory; add one that its processes share with Builder::tier"
    )]
    NoTier,
    /// There is a monitor, and no tier below memory that memory could be compared with.
    #[error("the cache has a monitor and no tier below memory to compare with; add one with Builder::tier")]
    NothingToCompare,
    /// There is a monitor, and nothing to run it on.
    #[error(
        "the cache has a monitor and there is no tokio runtime here; build it inside one, or enter its handle first"
    )]
    NoRuntime,
    /// An option that can never work.
    #[error("the option {option} is {given}; it has to be {right}")]
    Option {
        /// Which option, as in `Options::with_…`.
        option: &'static str,
        /// What was given.
        given: String,
        /// What would be right.
        right: &'static str,
    },
}
