//! The typed memory tier as its users see it: how it is set up, and what can be done with it.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, OnceLock};

use cache_core::{Clock, Tags, Time, Ttl};
use cache_policy::Policy;
use equivalent::Equivalent;
use foldhash::fast::RandomState;

use crate::engine::Engine;
use crate::put::{Inserted, Put};
use crate::sample::Sampled;
use crate::setup::Setup;
use crate::shard::Held;
use crate::slab::tick;
use crate::stats::Stats;
use crate::sweep::{Sweep, Sweeper};

/// A typed, sharded, synchronous cache in the memory of this process.
///
/// A hit takes one shard's lock, compares the key, marks the entry as used and clones the value; use an `Arc` for
/// values that are dear to clone. Where keys and values are `Copy`, most hits take no lock: see
/// [`with_lock_free_reads`](Self::with_lock_free_reads). Both limits are exact at every moment. Cloning the handle is cheap and shares the
/// entries.
///
/// The `with_...` methods set up an empty cache: each returns a new one, without entries.
///
/// ```
/// use cache_memory::{Memory, Policy};
/// let users: Memory<u64, String> = Memory::new().with_max_entries(10_000).with_policy(Policy::Sieve);
/// users.insert(7, "Ada".to_owned());
/// assert_eq!(users.get(&7).as_deref(), Some("Ada"));
/// assert_eq!(users.get(&8), None);
/// ```
pub struct Memory<K, V, S = RandomState> {
    pub(crate) engine: Arc<Swept<K, V, S>>,
    pub(crate) setup: Arc<Setup<K, V>>,
}

/// An engine and the thread that frees its expired and removed entries.
pub(crate) struct Swept<K, V, S> {
    pub(crate) engine: Engine<K, V, S>,
    pub(crate) sweeper: OnceLock<Sweeper>,
}

impl<K, V> Memory<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// An empty cache without limits, by [`Policy::Adaptive`], whose entries live for ever.
    pub fn new() -> Self {
        Self::build(Setup::default(), RandomState::default())
    }
}

/// Using it.
impl<K, V, S> Memory<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Reads a value. Costs a hash, one shard's lock, unless none is needed, and a clone of the value; it allocates nothing itself.
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        V: Clone,
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.engine().copy(key)
    }

    /// Runs `read` on an entry in place, which spares the clone. It runs under the shard's lock: be brief, and do not
    /// use this cache in it.
    ///
    /// ```
    /// use cache_memory::Memory;
    /// let pages: Memory<String, Vec<u8>> = Memory::new();
    /// pages.insert("/".into(), b"hello".to_vec());
    /// let mut out = Vec::new();
    /// assert!(pages.get_with("/", |found| out.extend_from_slice(found.value())).is_some());
    /// assert_eq!(out, b"hello");
    /// ```
    pub fn get_with<Q, R>(&self, key: &Q, read: impl FnOnce(Found<'_, K, V>) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.engine().read(key, |held| read(Found(held)))
    }

    /// Like [`get_with`](Self::get_with), but `read` may decline the entry, which counts neither as a read nor as a use of it then. What is not
    /// there, or has ended, is a miss as ever.
    ///
    /// ```
    /// use cache_memory::Memory;
    /// let ages: Memory<String, u8> = Memory::new();
    /// ages.insert("Ada".into(), 36);
    /// assert_eq!(ages.get_if("Ada", |found| (*found.value() >= 40).then_some(())), None);
    /// assert_eq!((ages.stats().hits, ages.stats().misses), (0, 0));
    /// ```
    pub fn get_if<Q, R>(&self, key: &Q, read: impl FnOnce(Found<'_, K, V>) -> Option<R>) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.engine().read_if(key, |held| read(Found(held)))
    }

    /// Like [`get_with`](Self::get_with), but counts neither as a read nor as a use of the entry.
    pub fn peek_with<Q, R>(&self, key: &Q, read: impl FnOnce(Found<'_, K, V>) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.engine().peek(key, |held| read(Found(held)))
    }

    /// Reads many values: one answer per key, in their order. The fetches from memory overlap, so that in a large cache
    /// a key costs less than half of what [`get`](Self::get) does. Sixteen keys at a time are read together, under their
    /// shards' locks where those are needed.
    ///
    /// ```
    /// use cache_memory::Memory;
    /// let users: Memory<u64, &str> = Memory::new();
    /// users.insert(1, "Ada");
    /// assert_eq!(users.get_many(&[1, 2]), [Some("Ada"), None]);
    /// ```
    pub fn get_many<'k, Q>(&self, keys: impl IntoIterator<Item = &'k Q>) -> Vec<Option<V>>
    where
        V: Clone,
        Q: Hash + Equivalent<K> + ?Sized + 'k,
    {
        self.engine().copy_many(keys)
    }

    /// Tells whether there is a living entry. Counts neither as a read nor as a use of it.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.peek_with(key, |_| ()).is_some()
    }

    /// How much longer an entry lives; `None` if there is none. Counts neither as a read nor as a use of it.
    pub fn ttl<Q>(&self, key: &Q) -> Option<Ttl>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let expires = self.peek_with(key, |found| found.expires())?;
        Some(Ttl::between(self.setup.clock.now(), expires))
    }

    /// Stores a value with the cache's own time-to-live, replacing what was there.
    #[inline]
    pub fn insert(&self, key: K, value: V) -> Inserted {
        if !self.setup.ttl.is_forever() {
            return self.insert_with(key, value, Put::new());
        }
        let bytes = self.setup.weigh(&key, &value);
        self.engine().insert_plain((key, value), bytes)
    }

    /// Stores a value, replacing what was there.
    pub fn insert_with(&self, key: K, value: V, put: Put) -> Inserted {
        self.insert_if(key, value, put, || true)
    }

    /// Stores a value only if `permit` still agrees at the moment when it becomes visible.
    ///
    /// `permit` runs under the shard's lock, so it is ordered with every removal of the key: a load that an
    /// invalidation has overtaken can be kept from bringing the old value back. It may be called more than once, and
    /// must not use this cache.
    pub fn insert_if(&self, key: K, value: V, put: Put, permit: impl Fn() -> bool) -> Inserted {
        let bytes = self.setup.weigh(&key, &value);
        let ttl = put.ttl.unwrap_or(self.setup.ttl);
        if !ttl.is_forever() {
            self.start_sweeper();
        }
        self.engine().insert((key, value), (bytes, ttl), put, permit)
    }

    /// Gives an entry a new life from now and says whether it was there. A life of zero removes it.
    pub fn touch<Q>(&self, key: &Q, ttl: impl Into<Ttl>) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let ttl = ttl.into();
        self.touch_with(key, |_| ttl)
    }

    /// Reads an entry in place and gives it a new life from now. A life of zero removes it. Counts as a read.
    pub fn get_and_touch_with<Q, R>(
        &self,
        key: &Q,
        ttl: impl Into<Ttl>,
        read: impl FnOnce(Found<'_, K, V>) -> R,
    ) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let ttl = ttl.into();
        self.get_and_touch_as(key, |found| (read(found), ttl))
    }

    /// Like [`get_and_touch_with`](Self::get_and_touch_with), with a life that `read` chooses from what is there.
    pub fn get_and_touch_as<Q, R>(&self, key: &Q, read: impl FnOnce(Found<'_, K, V>) -> (R, Ttl)) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let mut answer = None;
        let touched = self.touch_with(key, |found| {
            let (read, ttl) = read(found);
            answer = Some(read);
            ttl
        });
        self.engine().count_read(key, touched);
        answer
    }

    /// Like [`touch`](Self::touch), with a life that `life` chooses from what is there. It runs under the shard's lock:
    /// be brief, and do not use this cache in it.
    pub fn touch_with<Q>(&self, key: &Q, life: impl FnOnce(Found<'_, K, V>) -> Ttl) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let mut ends = false;
        let touched = self.engine().touch(key, |held| {
            let ttl = life(Found(held));
            ends = !ttl.is_forever();
            ttl
        });
        if ends {
            self.start_sweeper();
        }
        touched
    }

    /// Removes an entry and returns its value.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.engine().remove(key)
    }

    /// Removes all entries with this tag and says how many. Nobody sees one of them once this has returned.
    ///
    /// Costs the number of different sets of tags that contain it, however many entries there are: a set that more than 32
    /// entries of a shard share dies by one mark. Its entries are [unfreed](Stats::unfreed) until the sweeping thread frees
    /// them, at most 100 milliseconds later unless it is busy, or an insert needs their room, which it takes before any
    /// living entry's of the same shard. With a listener, or without a sweeping thread, they are freed before this returns, in slices that let
    /// reads pass. Who expired within the last millisecond may be among those who were removed.
    pub fn remove_tag(&self, tag: &str) -> u64 {
        let removed = self.engine().remove_tag(tag);
        self.see_to_leftovers();
        removed
    }

    /// Removes the entries with this tag that `doomed` accepts and says how many. Costs the number of entries with the tag,
    /// in slices that let reads pass. `doomed` runs under a shard's lock: be brief, and do not use this cache in it.
    pub fn remove_tag_if(&self, tag: &str, doomed: impl Fn(&K, &V) -> bool) -> u64 {
        self.engine().remove_tag_if(tag, doomed)
    }

    /// Calls `visit` with every living entry that has this tag, in no particular order. Costs the number of entries with the
    /// tag, in slices that let reads pass. Runs under a shard's lock: be brief, and do not use this cache in it.
    ///
    /// ```
    /// use cache_core::Tags;
    /// use cache_memory::{Memory, Put};
    /// let users: Memory<u64, &str> = Memory::new();
    /// users.insert_with(7, "Ada", Put::new().with_tags(Tags::new(["team:1"])?));
    /// users.insert(8, "Bob");
    /// let mut team = Vec::new();
    /// users.for_each_with_tag("team:1", |found| team.push(*found.value()));
    /// assert_eq!(team, ["Ada"]);
    /// # Ok::<(), cache_core::TagError>(())
    /// ```
    pub fn for_each_with_tag(&self, tag: &str, mut visit: impl FnMut(Found<'_, K, V>)) {
        self.engine().for_each_tagged(tag, |held| visit(Found(held)));
    }

    /// How many entries carry this tag, expired ones that are not yet freed included. Costs a look at each
    /// different set of tags that contains it, in each shard.
    pub fn count_tag(&self, tag: &str) -> u64 {
        self.engine().count_tagged(tag)
    }

    /// Removes all entries whose key begins with this text and says how many. Costs a walk over the cache, in slices
    /// that let reads pass.
    pub fn remove_prefix(&self, prefix: &str) -> u64
    where
        K: AsRef<str>,
    {
        self.remove_if(|key, _| key.as_ref().starts_with(prefix))
    }

    /// Removes all entries that `doomed` accepts and says how many. Costs a walk over the cache, in slices that let
    /// reads pass. `doomed` runs under a shard's lock: be brief, and do not use this cache in it.
    pub fn remove_if(&self, doomed: impl Fn(&K, &V) -> bool) -> u64 {
        self.engine().remove_if(doomed)
    }

    /// Removes everything and says how many living entries that were. Nobody sees one of them once this has returned.
    ///
    /// Costs the number of shards, however many entries there are. Few entries are freed at once, more are
    /// [unfreed](Stats::unfreed) for a while, as after [`remove_tag`](Self::remove_tag).
    pub fn clear(&self) -> u64 {
        let removed = self.engine().clear();
        self.see_to_leftovers();
        removed
    }

    /// Frees all entries whose time is over and says how many, and what removals have left [unfreed](Stats::unfreed). The
    /// sweeping thread does this by itself.
    pub fn remove_expired(&self) -> u64 {
        self.engine().remove_expired()
    }

    /// Calls `visit` with every living entry, in no particular order. Runs under a shard's lock: be brief, and do not
    /// use this cache in it.
    pub fn for_each(&self, mut visit: impl FnMut(Found<'_, K, V>)) {
        self.engine().for_each(|held| visit(Found(held)));
    }

    /// Runs `read` on a living entry that `chance`, a random number, picks, which counts neither as a read nor as a use of it. Each
    /// is picked about equally often, as long as few slots are empty. `None` if there is none, or only among many slots that are
    /// empty. Runs under a shard's lock, and looks at 256 slots of each shard at most.
    ///
    /// ```
    /// use cache_memory::Memory;
    /// let memory: Memory<u64, u64> = Memory::new();
    /// memory.insert(7, 70);
    /// assert_eq!(memory.peek_any(4711, |found| *found.key()), Some(7));
    /// assert_eq!(memory.stats().hits, 0);
    /// ```
    pub fn peek_any<R>(&self, chance: u64, read: impl FnOnce(Found<'_, K, V>) -> R) -> Option<R> {
        self.engine().peek_any(chance, |held| read(Found(held)))
    }

    /// Goes on with other limits, for this and all handles; `None` is no limit. What is too much is evicted before this
    /// returns, in slices that let reads and inserts pass.
    ///
    /// ```
    /// use cache_memory::Memory;
    /// let memory: Memory<u64, u64> = Memory::new();
    /// (0..100).for_each(|key| assert!(memory.insert(key, key).is_stored()));
    /// memory.set_limits(Some(10), None);
    /// assert_eq!((memory.len(), memory.max_entries()), (10, Some(10)));
    /// ```
    pub fn set_limits(&self, max_entries: Option<u64>, max_bytes: Option<u64>) {
        self.engine().set_limits(max_entries, max_bytes);
    }

    /// Goes on by another policy, for this and all handles, with the same entries. Costs a walk over the cache, in slices
    /// that let reads and inserts pass.
    pub fn set_policy(&self, policy: Policy) {
        self.engine().set_policy(policy);
    }

    /// Goes on noting one in so many hits, on average, or none if that is zero, for this and all handles. What was noted is
    /// forgotten.
    pub fn set_sampling(&self, every: u32) {
        self.engine().set_sampling(every);
    }

    /// The `most` keys that are read most, by the hits that were [noted](Self::set_sampling): the Space-Saving algorithm on at
    /// least 32 keys of each shard, about twenty bytes for each. Empty if none are noted. Locks each shard for a moment.
    ///
    /// ```
    /// use cache_memory::Memory;
    /// let memory: Memory<u64, u64> = Memory::new().with_sampling(1);
    /// memory.insert(7, 7);
    /// (0..10).for_each(|_| assert!(memory.get(&7).is_some()));
    /// let sampled = memory.sampled(3);
    /// assert_eq!((sampled.top[0].key, sampled.top[0].hits, sampled.hits), (7, 10, 10));
    /// ```
    pub fn sampled(&self, most: usize) -> Sampled<K>
    where
        K: Clone,
    {
        self.engine().sampled(most)
    }

    /// How many entries are held, expired ones that are not yet freed included.
    pub fn len(&self) -> u64 {
        self.stats().entries
    }

    /// Tells whether no entries are held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What happened so far. Locks each shard for a moment.
    pub fn stats(&self) -> Stats {
        self.engine().stats()
    }

    /// Tells whether a weigher was given, rather than the size of the types taken.
    pub fn has_weigher(&self) -> bool {
        self.setup.weigher.is_some()
    }

    /// The limit in entries; `None` if there is none.
    pub fn max_entries(&self) -> Option<u64> {
        self.engine().budget.max_entries()
    }

    /// The limit in bytes, as the weigher counts them; `None` if there is none.
    pub fn max_bytes(&self) -> Option<u64> {
        self.engine().budget.max_bytes()
    }

    /// How long an entry lives that does not say so itself.
    pub fn default_ttl(&self) -> Ttl {
        self.setup.ttl
    }

    /// The eviction policy.
    pub fn policy(&self) -> Policy {
        self.engine().plan.lock().policy
    }

    /// Tells without asking the clock that this moment has not come yet; `false` if that is not certain.
    #[inline]
    pub fn is_surely_before(&self, moment: Time) -> bool {
        tick(moment) > self.engine().present.horizon()
    }

    /// The clock that ends the entries.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.setup.clock
    }

    fn engine(&self) -> &Engine<K, V, S> {
        &self.engine.engine
    }

    /// Leaves what is to be freed to the sweeping thread, if there is one and nobody waits to hear of it.
    fn see_to_leftovers(&self) {
        if !self.engine().has_leftovers() {
            return;
        }
        if self.setup.sweep_every.is_none() || self.setup.listener.is_some() {
            self.engine().free_leftovers();
        } else {
            self.start_sweeper();
        }
    }

    fn start_sweeper(&self) {
        if let Some(interval) = self.setup.sweep_every {
            self.engine.sweeper.get_or_init(|| Sweeper::start(Arc::downgrade(&self.engine), interval));
        }
    }
}

/// A living entry, seen in place.
pub struct Found<'a, K, V>(Held<'a, K, V>);

impl<'a, K, V> Found<'a, K, V> {
    /// Its key.
    pub fn key(&self) -> &'a K {
        self.0.key
    }

    /// Its value.
    pub fn value(&self) -> &'a V {
        self.0.value
    }

    /// Its tags.
    pub fn tags(&self) -> &'a Tags {
        self.0.extras.tags(self.0.slot)
    }

    /// Its weight, in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// When it ends, on the cache's clock; [`Time::NEVER`] if time does not end it.
    pub fn expires(&self) -> Time {
        self.0.expires
    }
}

impl<K, V, S> Sweep for Swept<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    fn announce(&self) {
        self.engine.present.announce();
    }

    fn clear_away(&self) {
        if self.engine.has_leftovers() {
            // The drop of the user's values may take long.
            self.engine.present.retract();
            self.engine.free_leftovers();
        }
    }

    fn sweep(&self) {
        // The thread that announces the time runs the user's listener now, for as long as that likes.
        self.engine.present.retract();
        self.engine.remove_expired();
    }
}

impl<K, V> Default for Memory<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V, S> Clone for Memory<K, V, S> {
    fn clone(&self) -> Self {
        Self { engine: Arc::clone(&self.engine), setup: Arc::clone(&self.setup) }
    }
}

impl<K, V, S> fmt::Debug for Memory<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("policy", &self.engine.engine.plan.lock().policy)
            .field("max_entries", &self.engine.engine.budget.max_entries())
            .field("max_bytes", &self.engine.engine.budget.max_bytes())
            .field("stats", &self.engine.engine.stats())
            .finish_non_exhaustive()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Found<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("key", self.key()).field("value", self.value()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::now::UNKNOWN;
    use crate::put::Put;

    #[test]
    fn no_horizon_hides_that_an_entry_was_removed_with_its_tag() {
        // Nobody frees anything and nobody announces the time, save where this says so.
        let memory = Memory::new().with_shards(2).with_sweep_every(None);
        for round in 0..3_u64 {
            for key in 0..400_u64 {
                let ttl = [Ttl::FOREVER, Ttl::from_secs(3600)][usize::from(key % 2 == 0)];
                let tags = Tags::new(["t"]).expect("legal");
                memory.insert_with(key, round, Put::new().with_ttl(ttl).with_tags(tags));
            }
            assert!((0..50).all(|key| memory.touch(&key, Ttl::FOREVER)), "it may end otherwise all the same");
            memory.insert_with(400, round, Put::new().with_ttl(Ttl::from_secs(3600)));
            memory.engine().present.announce();
            assert!(memory.is_surely_before(Time::NEVER), "there is a horizon");
            assert_eq!(memory.engine().remove_tag("t"), 400);
            memory.engine().present.announce();
            let keys: Vec<u64> = (0..400).collect();
            for key in &keys {
                assert_eq!((memory.get(key), memory.contains(key), memory.ttl(key)), (None, false, None));
            }
            assert!(memory.get_many(&keys).iter().all(Option::is_none));
            let shown = |key: &u64, _: &u64| assert_eq!(*key, 400, "no predicate is shown it");
            assert_eq!(
                memory.remove_if(|key, value| {
                    shown(key, value);
                    false
                }),
                0
            );
            assert_eq!(memory.get(&400), Some(round), "who was not removed is alive all the same");
            if round == 0 {
                for key in &keys {
                    memory.insert(*key, round);
                }
                assert_eq!(memory.stats().unfreed, 0, "newer values have taken their places");
            }
            memory.engine().free_leftovers();
            assert!(!memory.engine().has_leftovers());
            memory.engine().present.announce();
            assert!(memory.is_surely_before(Time::NEVER), "the horizon is trusted again");
        }
    }

    type Removal = fn(&Memory<u64, u64>) -> u64;

    /// Both ways to remove all, in a cache whose entries have the tag "t", which leave it to others to free them.
    const WAYS: [Removal; 2] = [|memory| memory.engine().remove_tag("t"), |memory| memory.engine().clear()];

    fn filled(entries: u64, shards: usize, policy: Policy) -> Memory<u64, u64> {
        let memory = Memory::new().with_sweep_every(None).with_shards(shards).with_policy(policy);
        let memory = memory.with_max_entries(entries);
        for key in 0..entries {
            let put = Put::new().with_tags(Tags::new(["t", "other"]).expect("legal"));
            assert!(memory.insert_with(key, key, put).is_stored());
        }
        memory
    }

    #[test]
    fn what_was_removed_makes_room_before_anyone_has_to_leave() {
        // By tag it goes first within its shard, and one shard may need more than another.
        for (way, shards) in [(WAYS[0], 1), (WAYS[1], 1), (WAYS[1], 4)] {
            for policy in Policy::ALL {
                let memory = filled(4000, shards, policy);
                assert_eq!(way(&memory), 4000);
                for key in 4000..8000 {
                    assert!(memory.insert(key, key).is_stored());
                    let stats = memory.stats();
                    assert!(stats.entries + stats.unfreed <= 4000, "{stats:?}");
                }
                let stats = memory.stats();
                assert_eq!((stats.evicted, stats.entries), (0, 4000), "{policy}, {shards} shards");
            }
        }
    }

    #[test]
    fn lower_limits_take_what_was_removed_first() {
        for way in WAYS {
            let memory = filled(4000, 2, Policy::Lru);
            assert_eq!(way(&memory), 4000);
            assert!((0..100).all(|key| memory.insert(key, key).is_stored()));
            memory.set_limits(Some(100), None);
            let stats = memory.stats();
            assert_eq!((stats.entries, stats.unfreed, stats.evicted), (100, 0, 0));
            assert_eq!(memory.clear(), 100);
            assert!((0..100).all(|key| memory.insert(key, key).is_stored()), "all room was given back once");
            assert_eq!((memory.len(), memory.stats().evicted), (100, 0));
        }
    }

    #[test]
    fn no_horizon_is_trusted_while_the_thread_that_announces_it_runs_a_listener() {
        let (hear, heard) = mpsc::channel();
        let this: Arc<OnceLock<Memory<u64, u64>>> = Arc::default();
        let seen = Arc::clone(&this);
        let memory = Memory::new().with_sweep_every(Some(Duration::from_millis(1))).with_listener(
            move |_: &u64, _: &u64, _| {
                let horizon = seen.get().map(|memory| memory.engine().present.horizon());
                let _nobody_waits_any_more = hear.send(horizon);
            },
        );
        assert!(this.set(memory.clone()).is_ok());
        memory.insert_with(1, 1, Put::new().with_ttl(Ttl::from_millis(1)));
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)), Ok(Some(UNKNOWN)));
    }
}
