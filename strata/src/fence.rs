//! The fence: a load that an invalidation has overtaken must not bring the old value back.
//!
//! A load takes a ticket before it reads anything; its result is stored, and shared with who came later, only while
//! the ticket is valid. An invalidation seals before it removes, so that no load brings back what it removes, and
//! after, because a load that began in between may have seen it. Keys and tags share a fixed number of stripes, so the table is bounded, and a collision costs at
//! most one load more. Nothing is recorded per load, and a hit never comes here.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::Ordering::SeqCst;

use cache_core::Tags;

use crate::sync::AtomicU64;

/// Few under a model, which pays for each of them in each schedule.
const KEY_STRIPES: usize = if cfg!(strata_shuttle) { 8 } else { 1024 };
const TAG_STRIPES: usize = if cfg!(strata_shuttle) { 8 } else { 256 };

/// When a load began, in terms of the invalidations before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// How often this key's stripe had been sealed.
    key: u64,
    /// How often everything had been sealed.
    all: u64,
    /// How many tags had been sealed: tags are known only when the load has ended, so their order is kept.
    tags: u64,
}

impl Ticket {
    /// As numbers, for who cannot hold it.
    pub(crate) fn to_numbers(self) -> [u64; 3] {
        [self.key, self.all, self.tags]
    }

    pub(crate) fn from_numbers([key, all, tags]: [u64; 3]) -> Self {
        Self { key, all, tags }
    }
}

#[derive(Debug)]
pub(crate) struct Fence {
    hasher: RandomState,
    keys: Box<[AtomicU64]>,
    all: AtomicU64,
    tag_clock: AtomicU64,
    /// The tag clock's reading at which a tag of this stripe was last sealed.
    tags: Box<[AtomicU64]>,
}

impl Fence {
    pub(crate) fn new() -> Self {
        let stripes = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            hasher: RandomState::new(),
            keys: stripes(KEY_STRIPES),
            all: AtomicU64::new(0),
            tag_clock: AtomicU64::new(0),
            tags: stripes(TAG_STRIPES),
        }
    }

    /// Marks the beginning of a load of this key. To be taken before the load's first read.
    pub(crate) fn ticket<K: Hash + ?Sized>(&self, key: &K) -> Ticket {
        Ticket {
            key: self.key_stripe(key).load(SeqCst),
            all: self.all.load(SeqCst),
            tags: self.tag_clock.load(SeqCst),
        }
    }

    /// Invalidates the tickets of this key.
    pub(crate) fn seal_key<K: Hash + ?Sized>(&self, key: &K) {
        self.key_stripe(key).fetch_add(1, SeqCst);
    }

    /// Invalidates the tickets of entries that turn out to carry this tag.
    pub(crate) fn seal_tag(&self, tag: &str) {
        let moment = self.tag_clock.fetch_add(1, SeqCst) + 1;
        self.tag_stripe(tag).fetch_max(moment, SeqCst);
    }

    /// Invalidates all tickets.
    pub(crate) fn seal_all(&self) {
        self.all.fetch_add(1, SeqCst);
    }

    /// Tells whether the result of a load, of which the tags are now known, may be stored.
    pub(crate) fn may_store<K: Hash + ?Sized>(&self, ticket: Ticket, key: &K, tags: &Tags) -> bool {
        self.may_join(ticket, key) && self.may_share(ticket, tags)
    }

    /// Tells whether a caller who comes now may wait for a running load, as far as its tags are not concerned.
    pub(crate) fn may_join<K: Hash + ?Sized>(&self, ticket: Ticket, key: &K) -> bool {
        self.key_stripe(key).load(SeqCst) == ticket.key && self.all.load(SeqCst) == ticket.all
    }

    /// Tells whether who has joined a load may have its result, of which the tags are now known.
    pub(crate) fn may_share(&self, ticket: Ticket, tags: &Tags) -> bool {
        tags.iter().all(|tag| self.tag_stripe(tag.as_str()).load(SeqCst) <= ticket.tags)
    }

    /// Tells whether no tag at all was sealed since a load began, so that its tags need not be known to share it.
    pub(crate) fn no_tag_since(&self, ticket: Ticket) -> bool {
        self.tag_clock.load(SeqCst) == ticket.tags
    }

    fn key_stripe<K: Hash + ?Sized>(&self, key: &K) -> &AtomicU64 {
        &self.keys[self.stripe(key, KEY_STRIPES)]
    }

    fn tag_stripe(&self, tag: &str) -> &AtomicU64 {
        &self.tags[self.stripe(tag, TAG_STRIPES)]
    }

    fn stripe<T: Hash + ?Sized>(&self, value: &T, stripes: usize) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "masked to the number of stripes, a power of two"
        )]
        let stripe = self.hasher.hash_one(value) as usize & (stripes - 1);
        stripe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(names: &[&str]) -> Tags {
        Tags::new(names).expect("legal")
    }

    #[test]
    fn sealing_a_key_ends_its_tickets_only() {
        let fence = Fence::new();
        let other = (1..100).find(|key| fence.stripe(key, KEY_STRIPES) != fence.stripe(&0, KEY_STRIPES));
        let other = other.expect("a hundred keys do not share one of 1024 stripes");
        let (ticket, unrelated) = (fence.ticket(&0), fence.ticket(&other));
        fence.seal_key(&0);
        assert!(!fence.may_store(ticket, &0, &Tags::NONE) && !fence.may_join(ticket, &0));
        assert!(fence.may_store(unrelated, &other, &Tags::NONE) && fence.may_join(unrelated, &other));
        assert!(fence.may_store(fence.ticket(&0), &0, &Tags::NONE));
    }

    #[test]
    fn sealing_a_tag_ends_what_carries_it_and_nothing_else() {
        let fence = Fence::new();
        let ticket = fence.ticket(&0);
        fence.seal_tag("t");
        assert!(!fence.may_store(ticket, &0, &tags(&["t"])));
        assert!(fence.may_store(ticket, &0, &Tags::NONE));
        assert!(!fence.may_share(ticket, &tags(&["t"])) && fence.may_join(ticket, &0));
        assert!(!fence.no_tag_since(ticket) && fence.no_tag_since(fence.ticket(&0)));
        assert!(fence.may_store(fence.ticket(&0), &0, &tags(&["t"])), "a later load is not concerned");
    }

    #[test]
    fn sealing_everything_ends_all_tickets() {
        let fence = Fence::new();
        let ticket = fence.ticket("k");
        fence.seal_all();
        assert!(!fence.may_store(ticket, "k", &Tags::NONE));
    }
}
