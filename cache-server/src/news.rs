//! News: what changes in a region, numbered and in order, for whoever watches it.
//!
//! ```text
//! a request changes something here ──┐
//!                                    ├─► ring of the region ─► watchers, each at a place of its own in it
//! the bus tells of another server ───┘      the oldest give way
//! ```
//!
//! A watcher has no queue: whoever falls behind the ring is told that he has lost some, and that is all he costs. A region that nobody has
//! watched has no ring, and pays one atomic load for each change.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::task::Poll;

use cache_core::{Key, Namespace};
use cache_invalidation::{Action, Attachment, Bus, Doubt, Event, Listener, Target};
use serde::Serialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How many may watch at once.
pub(crate) const MAX_WATCHERS: usize = 256;

/// The most changes of a region that are held, and the most bytes of their texts.
const MAX_HELD: usize = 1024;
const MAX_HELD_BYTES: usize = 256 << 10;

/// Something that has changed. What ends by time or makes room for others is not told: copies have the same time to live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Change {
    /// An entry was stored, replaced, or given a new life.
    Set { key: Box<str> },
    /// An entry is gone.
    Remove { key: Box<str> },
    /// All with this tag are gone.
    Tag { tag: Box<str> },
    /// All whose key begins like this are gone.
    Prefix { prefix: Box<str> },
    /// All whose key is like this pattern are gone.
    Pattern { pattern: Box<str> },
    /// All are gone.
    Clear,
    /// Changes may be missing here: whatever copies there are of the region, they may be old.
    Lost { reason: Reason },
}

/// Why changes are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reason {
    /// The watcher did not keep up.
    Slow,
    /// What came after the watcher's last event is not held any more, or was before this server's start.
    Gap,
    /// News of other servers may be missing.
    Bus,
}

impl Change {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set",
            Self::Remove { .. } => "remove",
            Self::Tag { .. } => "tag",
            Self::Prefix { .. } => "prefix",
            Self::Pattern { .. } => "pattern",
            Self::Clear => "clear",
            Self::Lost { .. } => "lost",
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Set { key: text }
            | Self::Remove { key: text }
            | Self::Tag { tag: text }
            | Self::Prefix { prefix: text }
            | Self::Pattern { pattern: text } => text.len(),
            Self::Clear | Self::Lost { .. } => 0,
        }
    }
}

/// The rings of all regions that are watched, and the places of those who watch.
#[derive(Debug)]
pub(crate) struct News {
    rings: RwLock<HashMap<Box<str>, Arc<Ring>>>,
    /// How many rings there are.
    count: AtomicUsize,
    places: Arc<Semaphore>,
    /// Another one at each start, so that a number of another server or of another day is not taken for one of these.
    epoch: u64,
}

#[derive(Debug, Default)]
struct Ring {
    held: Mutex<Held>,
    told: Notify,
}

#[derive(Debug, Default)]
struct Held {
    /// The number of the first that is held.
    first: u64,
    changes: VecDeque<Change>,
    bytes: usize,
    watchers: usize,
    is_over: bool,
    /// Keeps the news of other servers coming.
    attachment: Option<Attachment>,
}

impl Held {
    /// The number of the next change.
    fn next(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    fn is_full(&self) -> bool {
        self.changes.len() >= MAX_HELD || self.bytes > MAX_HELD_BYTES
    }
}

impl Ring {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a change in, and says whether anybody may still ask for it.
    fn push(&self, change: Change) -> bool {
        let mut held = self.held();
        if held.is_full() && held.watchers == 0 {
            // Whoever was here has been away for too long to be told all of it.
            return false;
        }
        held.bytes += change.bytes();
        held.changes.push_back(change);
        while held.changes.len() > MAX_HELD || held.bytes > MAX_HELD_BYTES {
            let Some(oldest) = held.changes.pop_front() else { break };
            held.bytes -= oldest.bytes();
            held.first += 1;
        }
        drop(held);
        self.told.notify_waiters();
        true
    }
}

impl News {
    pub(crate) fn new() -> Self {
        Self {
            rings: RwLock::default(),
            count: AtomicUsize::new(0),
            places: Arc::new(Semaphore::new(MAX_WATCHERS)),
            epoch: RandomState::new().hash_one(0_u8),
        }
    }

    /// Tells whoever watches this region.
    pub(crate) fn tell(&self, region: &str, change: impl FnOnce() -> Change) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let ring = self.rings.read().unwrap_or_else(PoisonError::into_inner).get(region).cloned();
        if let Some(ring) = ring
            && !ring.push(change())
        {
            self.end(region);
        }
    }

    /// Whether a change of this region has to be told.
    pub(crate) fn is_watched(&self, region: &str) -> bool {
        self.count.load(Relaxed) > 0
            && self.rings.read().unwrap_or_else(PoisonError::into_inner).contains_key(region)
    }

    /// Takes a place, from the number after `last` on; nothing if all places are taken.
    pub(crate) fn watch(&self, region: &str, last: Option<&str>, bus: Option<&Bus>) -> Option<Watcher> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut rings = self.rings.write().unwrap_or_else(PoisonError::into_inner);
        let ring = Arc::clone(rings.entry(region.into()).or_default());
        self.count.store(rings.len(), Relaxed);
        drop(rings);
        let mut held = ring.held();
        held.watchers += 1;
        if let Some(bus) = bus.filter(|_| held.attachment.is_none()) {
            let hearing = Hearing { ring: Arc::downgrade(&ring), region: region.into() };
            held.attachment = Some(bus.attach(region, Arc::new(hearing)));
        }
        let asked = last.map(|last| self.read(last).map(|last| last.wrapping_add(1)));
        let known = asked.flatten().filter(|next| (held.first..=held.next()).contains(next));
        let next = known.unwrap_or(held.next());
        let owes = (asked.is_some() && known.is_none()).then_some(Reason::Gap);
        drop(held);
        Some(Watcher { ring, next, owes, epoch: self.epoch, _place: place })
    }

    /// There is no such region any more, or nobody to hear of it: whoever watches is told the rest, and no more.
    pub(crate) fn end(&self, region: &str) {
        let mut rings = self.rings.write().unwrap_or_else(PoisonError::into_inner);
        let ring = rings.remove(region);
        self.count.store(rings.len(), Relaxed);
        drop(rings);
        if let Some(ring) = ring {
            let mut held = ring.held();
            held.is_over = true;
            let attachment = held.attachment.take();
            drop(held);
            drop(attachment);
            ring.told.notify_waiters();
        }
    }

    /// The number of an event's name, if it is one of this server since its start.
    fn read(&self, id: &str) -> Option<u64> {
        let (epoch, number) = id.split_once('-')?;
        (u64::from_str_radix(epoch, 16) == Ok(self.epoch)).then(|| number.parse().ok()).flatten()
    }
}

/// One who watches a region.
#[derive(Debug)]
pub(crate) struct Watcher {
    ring: Arc<Ring>,
    /// The number of what he is told next.
    next: u64,
    /// What he has to be told before anything else.
    owes: Option<Reason>,
    epoch: u64,
    /// Given back when he leaves, in whichever way.
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    /// The name of the last event that he was told, or of the last before he came.
    pub(crate) fn last(&self) -> String {
        format!("{:016x}-{}", self.epoch, self.next.wrapping_sub(1))
    }

    /// Waits for the next change; none if the region has gone.
    ///
    /// # Cancel safety
    /// A dropped call has taken nothing.
    pub(crate) async fn next(&mut self) -> Option<Change> {
        let ring = Arc::clone(&self.ring);
        loop {
            let mut told = pin!(ring.told.notified());
            // What is told from here on wakes it.
            told.as_mut().enable();
            if let Poll::Ready(next) = self.next_held() {
                return next;
            }
            told.await;
        }
    }

    /// The next change, if there is one already; nothing in it if there will be none.
    fn next_held(&mut self) -> Poll<Option<Change>> {
        let held = self.ring.held();
        if self.next < held.first {
            self.owes = Some(Reason::Slow);
            self.next = held.next();
        }
        if let Some(reason) = self.owes.take() {
            return Poll::Ready(Some(Change::Lost { reason }));
        }
        let at = usize::try_from(self.next - held.first).unwrap_or(usize::MAX);
        let change = held.changes.get(at).cloned();
        self.next += u64::from(change.is_some());
        match change {
            None if !held.is_over => Poll::Pending,
            next => Poll::Ready(next),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.ring.held().watchers -= 1;
    }
}

/// A ring as a listener: what other servers change.
struct Hearing {
    ring: Weak<Ring>,
    region: Box<str>,
}

impl Listener for Hearing {
    fn invalidated(&self, event: &Event) {
        let Some(ring) = self.ring.upgrade() else { return };
        let change = match event.target() {
            Target::Key(text) => match Namespace::new(&*self.region)
                .ok()
                .and_then(|region| region.read::<Key>(text))
            {
                Some(key) if event.action() == Action::Remove => Change::Remove { key: key.as_str().into() },
                Some(key) => Change::Set { key: key.as_str().into() },
                None => Change::Lost { reason: Reason::Bus },
            },
            Target::Tag(tag) => Change::Tag { tag: tag.as_str().into() },
            Target::Prefix(prefix) => {
                let own = prefix.strip_prefix(&*self.region).and_then(|rest| rest.strip_prefix(':'));
                own.map_or(Change::Lost { reason: Reason::Bus }, |own| Change::Prefix { prefix: own.into() })
            }
            Target::All => Change::Clear,
            Target::Pattern(pattern) => Change::Pattern { pattern: pattern.as_str().into() },
        };
        ring.push(change);
    }

    fn distrust(&self, _: Doubt) {
        if let Some(ring) = self.ring.upgrade() {
            ring.push(Change::Lost { reason: Reason::Bus });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Change {
        Change::Set { key: number.to_string().into() }
    }

    fn rest(watcher: &mut Watcher) -> Vec<Change> {
        use futures_util::FutureExt;
        let mut rest = Vec::new();
        while let Some(Some(change)) = watcher.next().now_or_never() {
            rest.push(change);
        }
        rest
    }

    #[tokio::test]
    async fn who_keeps_up_hears_all_in_order_and_who_does_not_hears_that_he_has_lost_some() {
        let news = News::new();
        news.tell("r", || unreachable!("nobody has watched yet"));
        let (mut quick, mut slow) =
            (news.watch("r", None, None).expect("a place"), news.watch("r", None, None).expect("a place"));
        for number in 0..2 * MAX_HELD {
            news.tell("r", || key(number));
            news.tell("other", || unreachable!("nobody watches it"));
            assert_eq!(rest(&mut quick), [key(number)]);
        }
        assert_eq!(rest(&mut slow), [Change::Lost { reason: Reason::Slow }]);
        news.tell("r", || Change::Clear);
        assert_eq!(rest(&mut slow), [Change::Clear]);
        let held = quick.ring.held();
        assert!(held.changes.len() <= MAX_HELD && held.bytes <= MAX_HELD_BYTES);
    }

    #[tokio::test]
    async fn who_comes_back_hears_what_he_has_missed_or_that_it_is_lost() {
        let news = News::new();
        let watcher = news.watch("r", None, None).expect("a place");
        let last = watcher.last();
        drop(watcher);
        news.tell("r", || key(1));
        let mut back = news.watch("r", Some(&last), None).expect("a place");
        assert_eq!(rest(&mut back), [key(1)]);
        let last = back.last();
        let mut same = news.watch("r", Some(&last), None).expect("a place");
        assert_eq!(rest(&mut same), []);
        let future = format!("{:016x}-99", news.epoch);
        for unknown in ["", "7", "0000000000000000-0", &future] {
            let mut stranger = news.watch("r", Some(unknown), None).expect("a place");
            assert_eq!(rest(&mut stranger), [Change::Lost { reason: Reason::Gap }], "{unknown}");
        }
    }

    #[tokio::test]
    async fn a_ring_without_watchers_goes_when_it_is_full_and_large_keys_fill_it_sooner() {
        let news = News::new();
        let watcher = news.watch("r", None, None).expect("a place");
        for _ in 0..MAX_HELD {
            news.tell("r", || Change::Set { key: "k".repeat(1024).into() });
        }
        let held = watcher.ring.held().changes.len();
        assert!(held <= MAX_HELD_BYTES / 1024, "{held}");
        drop(watcher);
        for number in 0..2 * MAX_HELD {
            news.tell("r", || key(number));
        }
        assert_eq!(news.count.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn there_are_so_many_places_and_a_region_that_goes_ends_its_watchers() {
        let news = News::new();
        let mut all: Vec<_> = (0..MAX_WATCHERS).map_while(|_| news.watch("r", None, None)).collect();
        assert_eq!(all.len(), MAX_WATCHERS);
        assert!(news.watch("r", None, None).is_none());
        all.pop();
        let mut last = news.watch("r", None, None).expect("a place");
        news.tell("r", || Change::Clear);
        news.end("r");
        assert_eq!(last.next().await, Some(Change::Clear));
        assert_eq!(last.next().await, None);
    }
}
