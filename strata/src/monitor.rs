//! The consistency monitor: now and then compares what memory holds with what the tiers have, and so with what other processes read.
//!
//! ```text
//! a key by chance, or one that disagreed ─► copy in memory ─► each tier ─► the copy again: changed meanwhile? then nothing is said
//!                                                                └─► a book for each tier: counts, and who disagrees since when
//! ```
//!
//! Only a monitored cache notes where its copies come from: others pay nothing. A look promotes nothing, moves no end, and is
//! neither a read nor a use, in memory or in the counts of the tiers. It is one to the store itself, as it has no other reads.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use cache_core::{CacheKey, Frame, Key};
use cache_invalidation::{Book, Consistency, Disagreement, Finding, Stamp};

use crate::below::Below;
use crate::cache::{Cache, Shared};
use crate::sync::{Handle, pause};
use crate::write::Chance;

/// How many looks a monitor takes together at most, so that no tier is asked for much at once.
const BATCH: usize = 64;

/// How memory is compared with the tiers: [`Builder::monitor`](crate::Builder::monitor).
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// use std::sync::Arc;
/// use cache_memory::MemoryStore;
/// use strata::codec::{Framer, Raw};
/// use strata::{Cache, Monitor};
///
/// let shared = Arc::new(MemoryStore::new(64 << 20));
/// let notes: Cache<u64, String> = Cache::builder("notes")
///     .framer(Framer::new("note", Raw))
///     .tier(shared)
///     .monitor(Monitor::new())
///     .build()?;
/// notes.insert(7, "a note".to_owned()).await?;
/// notes.compare_all().await;
/// assert_eq!((notes.consistency()[0].samples(), notes.consistency()[0].disagreements()), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it does nothing until it is given to a cache"]
pub struct Monitor {
    /// `None` if it looks only when it is told to.
    per_second: Option<NonZeroU32>,
    max_followed: usize,
}

impl Monitor {
    /// Twenty looks a second, and at most 1,000 keys that are followed.
    pub const fn new() -> Self {
        const { Self { per_second: NonZeroU32::new(20), max_followed: 1000 } }
    }

    /// Looks only where [`Cache::compare_all`] tells it to: for tests that are to replay, as what is looked at by chance is not the
    /// same in two runs. Needs no runtime, and has no task.
    pub const fn on_demand() -> Self {
        Self { per_second: None, ..Self::new() }
    }

    /// How many keys are looked at in a second: each is a read of each tier. Half of them are those that disagreed before, if
    /// there are so many; the others are chosen by chance. Default 20.
    ///
    /// They are taken together ten times a second, or two at a time if that is less often: so often an end is seen.
    pub const fn with_looks_per_second(mut self, looks: NonZeroU32) -> Self {
        self.per_second = Some(looks);
        self
    }

    /// How many keys are followed at once that were found to disagree, for each tier. More of them are counted only. Default
    /// 1,000; each takes some 50 bytes beside the key.
    pub const fn with_max_followed(mut self, keys: usize) -> Self {
        self.max_followed = keys;
        self
    }

    /// Tells whether it looks by itself.
    pub(crate) fn has_task(self) -> bool {
        self.per_second.is_some()
    }

    /// How many keys are looked at together, and how often.
    fn pace(self) -> Option<(usize, Duration)> {
        let per_second = self.per_second?.get();
        let together = per_second.div_ceil(10).max(2);
        Some((together as usize, Duration::from_secs(1) * together / per_second))
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a copy comes from, once that is known; nothing in a cache that is not monitored.
pub(crate) type Mark = Option<Arc<OnceLock<Stamp>>>;

/// Reads which write an entry is of. What it makes of the same bytes is the same within this process.
pub(crate) struct Stamps(RandomState);

impl Stamps {
    pub(crate) fn new() -> Self {
        Self(RandomState::new())
    }

    /// `None` of what is no frame of this key.
    pub(crate) fn of(&self, key: &Key, value: &Bytes) -> Option<Stamp> {
        let frame = Frame::read(key, value).ok()?;
        let (hash, version) = (|bytes: &Bytes| self.0.hash_one(bytes), frame.header().version);
        Some(Stamp { version, write: hash(value), content: hash(frame.payload()) })
    }
}

impl<V> Below<V> {
    /// A place for which write a value is of, if anybody asks.
    pub(crate) fn mark(&self) -> Mark {
        self.stamps.as_ref().map(|_| Arc::default())
    }

    /// Which write this is; `None` if nobody asks, or it is none.
    pub(crate) fn stamp(&self, key: &Key, value: &Bytes) -> Option<Stamp> {
        self.stamps.as_ref()?.of(key, value)
    }
}

/// What a cache has seen by its monitor.
pub(crate) struct Watch<K> {
    monitor: Monitor,
    chance: Chance,
    /// One for each tier.
    books: Mutex<Vec<Book<K>>>,
}

impl<K: CacheKey + Clone> Watch<K> {
    pub(crate) fn new(monitor: Monitor, tiers: usize, seed: Option<u64>) -> Self {
        let books = (0..tiers).map(|_| Book::new(monitor.max_followed)).collect();
        Self { monitor, chance: Chance::new(seed), books: Mutex::new(books) }
    }

    fn books(&self) -> MutexGuard<'_, Vec<Book<K>>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self, most: usize) -> Vec<K> {
        let mut books = self.books();
        let mut due: Vec<K> = Vec::new();
        for book in &mut *books {
            for key in book.due(most) {
                if !due.contains(&key) {
                    due.push(key);
                }
            }
        }
        due.truncate(most);
        due
    }
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// How often and for how long memory disagreed with each tier, in reading order; empty without a
    /// [monitor](crate::Builder::monitor).
    pub fn consistency(&self) -> Vec<Consistency> {
        let of = |watch: &Arc<Watch<K>>| watch.books().iter().map(Book::consistency).collect();
        self.shared.watch.as_ref().map(of).unwrap_or_default()
    }

    /// The keys of which memory and the tier of this number, counted from zero in reading order, disagree now, as far as the monitor
    /// knows; at most as many as [`Monitor::with_max_followed`] says.
    pub fn disagreements(&self, tier: usize) -> Vec<Disagreement<K>> {
        let of = |watch: &Arc<Watch<K>>| Some(watch.books().get(tier)?.open().collect());
        self.shared.watch.as_ref().and_then(of).unwrap_or_default()
    }

    /// Compares all that memory holds with the tiers, now and at whatever rate they answer, and what is followed first. For tests
    /// and for who has a suspicion: it clones all keys, and reads each from each tier. Does nothing without a monitor.
    ///
    /// # Cancel safety
    /// A dropped call has compared some of them.
    pub async fn compare_all(&self) {
        let Some((watch, below)) = self.shared.watch.as_ref().zip(self.shared.below.as_ref()) else { return };
        let cache = Arc::downgrade(&self.shared);
        for due in watch.due(usize::MAX).chunks(BATCH) {
            Shared::compare(&cache, (watch, below), Looks::Followed(due.to_vec())).await;
        }
        let mut keys = Vec::new();
        self.shared.memory.for_each(|found| keys.push(found.key().clone()));
        for keys in keys.chunks(BATCH) {
            Shared::compare(&cache, (watch, below), Looks::Sampled(keys.to_vec())).await;
        }
    }
}

/// Keys that are to be looked at, and why.
enum Looks<K> {
    /// They were chosen by chance.
    Sampled(Vec<K>),
    /// They disagreed before.
    Followed(Vec<K>),
}

/// What is in memory under a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copied {
    /// Nothing that would answer as fresh.
    Nothing,
    /// Something that has not been written below, or not yet.
    Unwritten,
    Of(Stamp),
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Begins to look, until the cache is closed or gone.
    pub(crate) fn watch(self: &Arc<Self>, runtime: &Handle) {
        let Some((watch, below)) = self.watch.clone().zip(self.below.clone()) else { return };
        let Some((together, every)) = watch.monitor.pace() else { return };
        let cache = Arc::downgrade(self);
        runtime.spawn(async move {
            loop {
                pause(every).await;
                let due = watch.due(together.div_ceil(2));
                let Some(shared) = cache.upgrade().filter(|shared| shared.is_open()) else { return };
                let pick = |_| shared.memory.peek_any(watch.chance.bits(), |found| found.key().clone());
                let mut chosen: Vec<K> = Vec::new();
                for key in (due.len()..together).filter_map(pick) {
                    if !chosen.contains(&key) && !due.contains(&key) {
                        chosen.push(key);
                    }
                }
                drop(shared);
                Self::compare(&cache, (&watch, &below), Looks::Followed(due)).await;
                Self::compare(&cache, (&watch, &below), Looks::Sampled(chosen)).await;
            }
        });
    }

    /// Compares what memory has of these keys with each tier.
    async fn compare(cache: &Weak<Self>, (watch, below): (&Watch<K>, &Below<V>), looks: Looks<K>) {
        let (keys, is_sample) = match looks {
            Looks::Sampled(keys) => (keys, true),
            Looks::Followed(keys) => (keys, false),
        };
        let Some(shared) = cache.upgrade() else { return };
        let now = shared.memory.clock().now();
        let mut asked = Vec::new();
        for key in keys {
            match (shared.copied(&key), shared.namespace.render(&key)) {
                (Copied::Of(stamp), Ok(rendered)) => asked.push((key, rendered, stamp)),
                (Copied::Nothing, _) => {
                    watch.books().iter_mut().for_each(|book| book.follow(&key, None, now));
                }
                // What is not below cannot differ from what is there, and will be in a moment if it ever is.
                _ => watch.books().iter_mut().for_each(Book::unsettled),
            }
        }
        drop(shared);
        let rendered: Vec<Key> = asked.iter().map(|(_, rendered, _)| rendered.clone()).collect();
        for tier in below.tiers.levels().filter(|_| !rendered.is_empty()) {
            let there = below.tiers.look(tier, &rendered).await;
            let Some(shared) = cache.upgrade() else { return };
            let now = shared.memory.clock().now();
            let mut there = there.map(Vec::into_iter);
            for (key, rendered, stamp) in &asked {
                let entry = there.as_mut().and_then(Iterator::next);
                let copied = shared.copied(key);
                let mut books = watch.books();
                let Some(book) = books.get_mut(tier) else { return };
                match (entry, copied) {
                    (None, _) => book.unanswered(),
                    (_, Copied::Nothing) => book.follow(key, None, now),
                    (Some(entry), Copied::Of(still)) if still == *stamp => {
                        let there = entry.and_then(|entry| below.stamp(rendered, &entry.value));
                        let finding = Finding::of(still, there);
                        if is_sample {
                            book.sample(key, finding, now);
                        } else {
                            book.follow(key, Some(finding), now);
                        }
                    }
                    _ => book.unsettled(),
                }
            }
        }
    }

    fn copied(&self, key: &K) -> Copied {
        let stamp = |kept: &crate::Kept<V>| kept.stamp().map_or(Copied::Unwritten, Copied::Of);
        let fresh = self.memory.peek_with(key, |found| {
            let kept = found.value();
            kept.is_fresh(|| self.memory.clock().now()).then(|| stamp(kept))
        });
        fresh.flatten().unwrap_or(Copied::Nothing)
    }
}
