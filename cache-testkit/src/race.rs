//! Loads that race with invalidations, as in a fleet: each loader notes a key, reads its source and writes what it found,
//! while others change sources and invalidate.
//!
//! ```text
//! loader     note ── read source ── put_noted          as many as there are
//! changer    change source ── remove, remove tag, remove prefix, clear, or put ── look        one for each key
//! ```
//!
//! From when an invalidation has returned, nobody may find a value that is older than the change before it. Sources only
//! grow, so that older is smaller.

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use cache_core::{Entry, Key, Result, Store, StoreExt, Tags};

use crate::load::seed::SplitMix64;

/// Sources, and what has become of the loads from them.
#[derive(Debug)]
pub struct Race {
    sources: Vec<Source>,
    is_over: AtomicBool,
    stored: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Source {
    key: Key,
    tags: Tags,
    value: AtomicU64,
}

/// Has threads load through a store that needs no runtime, while others change three keys so often, and looks at what is left.
///
/// # Panics
/// As [`Race::change`] and [`Race::settled`], and if the store fails.
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
pub fn of_threads(store: &dyn Store, times: u32) {
    const KEYS: usize = 3;
    let race = &Race::new(KEYS);
    thread::scope(|scope| {
        let load = || wait(race.load(store)).expect("the store does not fail");
        let change = |number| wait(race.change(store, number, times)).expect("the store does not fail");
        let loaders: Vec<_> = (0..KEYS).map(|_| scope.spawn(load)).collect();
        let changers: Vec<_> = (0..KEYS).map(|number| scope.spawn(move || change(number))).collect();
        let changed: Vec<_> = changers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        race.end();
        let ended = changed.into_iter().chain(loaders.into_iter().map(thread::ScopedJoinHandle::join));
        for ended in ended {
            ended.unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    wait(race.settled(store)).expect("the store does not fail");
}

/// Waits for a future on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        thread::park();
    }
}

/// How a changer makes a change known to the store.
const WAYS: [Way; 5] = [Way::Remove, Way::RemoveTag, Way::RemovePrefix, Way::Put, Way::Clear];

const KINDS: NonZeroU32 = NonZeroU32::new(5).expect("five");

#[derive(Clone, Copy, Debug)]
enum Way {
    Remove,
    RemoveTag,
    RemovePrefix,
    Put,
    Clear,
}

impl Race {
    /// A race about so many keys.
    ///
    /// # Panics
    /// Never: its keys and tags are legal.
    #[expect(clippy::expect_used, reason = "short texts without control characters")]
    pub fn new(keys: usize) -> Self {
        let source = |number| {
            let name = format!("race:{number}:");
            let (key, tags) = (Key::new(&name).expect("legal"), Tags::new([name]).expect("legal"));
            Source { key, tags, value: AtomicU64::new(0) }
        };
        let sources = (0..keys).map(source).collect();
        Self {
            sources,
            is_over: AtomicBool::new(false),
            stored: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Loads one key after another through this store, until the race [ends](Self::end).
    ///
    /// # Errors
    /// The store has failed.
    pub async fn load(&self, store: &dyn Store) -> Result<()> {
        let mut number = 0;
        while !self.is_over.load(SeqCst) {
            number = (number + 1) % self.sources.len();
            let Source { key, tags, value } = &self.sources[number];
            let note = store.note(key, tags).await?;
            let read = value.load(SeqCst);
            pause().await;
            let entry = Entry::new(read.to_le_bytes().to_vec()).with_tags(tags.clone());
            let stored = store.put_noted(key.clone(), entry, &note).await?;
            if stored { &self.stored } else { &self.refused }.fetch_add(1, SeqCst);
        }
        Ok(())
    }

    /// Changes one key so often, in all ways, and looks each time at what is found from then on. Each key has one who does.
    ///
    /// # Errors
    /// The store has failed.
    ///
    /// # Panics
    /// Something is found that is older than an invalidation.
    pub async fn change(&self, store: &dyn Store, number: usize, times: u32) -> Result<()> {
        let Source { key, tags, value } = &self.sources[number];
        let mut random = SplitMix64::new(number as u64);
        for _ in 0..times {
            let now = value.fetch_add(1, SeqCst) + 1;
            let way = WAYS[random.below(KINDS) as usize];
            match way {
                Way::Remove => drop(store.remove(key).await?),
                Way::RemoveTag => {
                    for tag in tags {
                        store.remove_tag(tag).await?;
                    }
                }
                Way::RemovePrefix => drop(store.remove_prefix(key.as_str()).await?),
                Way::Put => {
                    let entry = Entry::new(now.to_le_bytes().to_vec()).with_tags(tags.clone());
                    store.put(key.clone(), entry).await?;
                }
                Way::Clear => drop(store.clear().await?),
            }
            for _ in 0..3 {
                let found = found(store, key).await?;
                assert!(found.is_none_or(|found| found >= now), "{found:?} found after {now} and {way:?}");
                pause().await;
            }
        }
        Ok(())
    }

    /// Ends the loads that run.
    pub fn end(&self) {
        self.is_over.store(true, SeqCst);
    }

    /// Looks at what is left when nobody runs any more.
    ///
    /// # Errors
    /// The store has failed.
    ///
    /// # Panics
    /// Something is older than the last change, or there was no race: all loads were stored, or none.
    pub async fn settled(&self, store: &dyn Store) -> Result<()> {
        for Source { key, value, .. } in &self.sources {
            let (found, last) = (found(store, key).await?, value.load(SeqCst));
            assert!(found.is_none_or(|found| found == last), "{found:?} is left after {last}");
        }
        let (stored, refused) = (self.stored.load(SeqCst), self.refused.load(SeqCst));
        assert!(stored > 0 && refused > 0, "no race: {stored} loads were stored and {refused} refused");
        Ok(())
    }
}

async fn found(store: &dyn Store, key: &Key) -> Result<Option<u64>> {
    let entry = store.get(key).await?;
    Ok(entry.and_then(|entry| Some(u64::from_le_bytes(*entry.value.first_chunk()?))))
}

/// Lets others go on, other tasks of this thread and other threads.
async fn pause() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            thread::yield_now();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
