//! The fence: a load that an invalidation has overtaken must not bring the old value back.
//!
//! A load takes a ticket before it reads anything; its result is stored, and shared with who came later, only while
//! the ticket is valid. An invalidation seals before it removes, so that no load brings back what it removes, and
//! after, because a load that began in between may have seen it. Keys and tags share a fixed number of stripes, so the table is bounded, and a collision costs at
//! most one load more. Nothing is recorded per load, and a hit never comes here.
//!
//! What takes longer than a load, as a value that is made elsewhere, would meet too many collisions. Its key can be [marked](Fence::mark): then
//! each change of the key is seen for itself, and so is each tag that is sealed meanwhile. Writes find in their stripe, which they raise anyway,
//! whether any of its keys is marked; a removal of a group looks which of the marked keys it means.

mod marks;

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::Ordering::SeqCst;

use cache_core::{Tag, Tags, Time};

use self::marks::{Mark, Marks};
use crate::sync::AtomicU64;

/// Few under a model, which pays for each of them in each schedule.
const KEY_STRIPES: usize = if cfg!(strata_shuttle) { 8 } else { 1024 };
const TAG_STRIPES: usize = if cfg!(strata_shuttle) { 8 } else { 256 };

/// A stripe counts how many of its keys are marked, in its lowest bits, and above them how often it was sealed.
const MARKED: u64 = 0xFFFF;
const SEALED: u64 = MARKED + 1;

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

/// The keys that are marked are of this type; where none is, nobody needs to know it.
#[derive(Debug)]
pub(crate) struct Fence<K = ()> {
    hasher: RandomState,
    keys: Box<[AtomicU64]>,
    marks: Marks<K>,
    all: AtomicU64,
    tag_clock: AtomicU64,
    /// The tag clock's reading at which a tag of this stripe was last sealed.
    tags: Box<[AtomicU64]>,
}

impl<K> Fence<K> {
    pub(crate) fn new() -> Self {
        let stripes = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            hasher: RandomState::new(),
            keys: stripes(KEY_STRIPES),
            marks: Marks::default(),
            all: AtomicU64::new(0),
            tag_clock: AtomicU64::new(0),
            tags: stripes(TAG_STRIPES),
        }
    }

    /// Marks the beginning of a load of this key. To be taken before the load's first read.
    pub(crate) fn ticket<Q: Hash + ?Sized>(&self, key: &Q) -> Ticket {
        self.ticket_at(self.key_stripe(key).load(SeqCst))
    }

    /// Marks the beginning of what takes longer than a load, until then at most; `of` tells it from all others of its key, of which this is the
    /// [hash](Self::hash). Where too many keys are marked it is a ticket like any other.
    pub(crate) fn mark(&self, (key, hash): (K, u64), of: u64, (now, end): (Time, Time)) -> Ticket {
        let mut marks = self.marks.lock();
        marks.sweep(now, |hash| self.unmarked(hash));
        // In one step with the mark: whoever seals the stripe before this is in the ticket, and whoever does after finds the mark.
        let before =
            self.stripe_of(hash).fetch_add(u64::from(marks.add(hash, Mark { key, of, end })), SeqCst);
        drop(marks);
        self.ticket_at(before)
    }

    /// The value of a marked key is stored, or nobody makes it any more.
    pub(crate) fn unmark(&self, hash: u64, of: u64) {
        self.end_mark(hash, |mark| mark.of == of);
    }

    fn end_mark(&self, hash: u64, is_meant: impl FnOnce(&Mark<K>) -> bool) {
        let mut marks = self.marks.lock();
        if marks.remove_if(hash, is_meant) {
            self.unmarked(hash);
        }
    }

    /// The stripe of a key has one mark less.
    fn unmarked(&self, hash: u64) {
        self.stripe_of(hash).fetch_sub(1, SeqCst);
    }

    fn ticket_at(&self, stripe: u64) -> Ticket {
        Ticket { key: stripe / SEALED, all: self.all.load(SeqCst), tags: self.tag_clock.load(SeqCst) }
    }

    /// Invalidates the tickets of this key.
    pub(crate) fn seal_key<Q: Hash + ?Sized>(&self, key: &Q) {
        let hash = self.hash(key);
        if self.stripe_of(hash).fetch_add(SEALED, SeqCst) & MARKED != 0 {
            self.end_mark(hash, |_| true);
        }
    }

    /// Invalidates the tickets of entries that turn out to carry this tag.
    pub(crate) fn seal_tag(&self, tag: &str) {
        let hash = self.hash(tag);
        // In one step for who looks at the marks: what the stripe says of any of its tags stands there of this one.
        let mut marks = self.marks.lock();
        let moment = self.tag_clock.fetch_add(1, SeqCst) + 1;
        self.tag_stripe(hash).fetch_max(moment, SeqCst);
        marks.note_tag(hash, moment);
    }

    /// Invalidates all tickets.
    pub(crate) fn seal_all(&self) {
        self.seal_if(&|_| true);
    }

    /// Invalidates the tickets of keys that are doomed: of those that are marked no others, and all of those that are not.
    pub(crate) fn seal_if(&self, doomed: &dyn Fn(&K) -> bool) {
        // Before the marks, so that who has none any more is refused.
        self.all.fetch_add(1, SeqCst);
        self.marks.lock().remove_those(|mark| doomed(&mark.key), |hash| self.unmarked(hash));
    }

    /// Tells whether the result of a load, of which the tags are now known, may be stored.
    pub(crate) fn may_store<Q: Hash + ?Sized>(&self, ticket: Ticket, key: &Q, tags: &Tags) -> bool {
        self.may_join(ticket, key) && self.may_share(ticket, tags)
    }

    /// As [`may_store`](Self::may_store), of a key that was marked with this ticket: what happened to other keys and tags is nothing to it, as long
    /// as the mark is there.
    pub(crate) fn may_store_marked<Q: Hash + ?Sized>(
        &self,
        (ticket, of): (Ticket, u64),
        key: &Q,
        tags: &Tags,
    ) -> bool {
        let marks = self.marks.lock();
        let is_open = |tag: &Tag| {
            let hash = self.hash(tag.as_str());
            self.tag_stripe(hash).load(SeqCst) <= ticket.tags || marks.is_tag_open(hash, ticket.tags)
        };
        (marks.holds(self.hash(key), of) || self.may_join(ticket, key)) && tags.iter().all(is_open)
    }

    /// Tells whether a caller who comes now may wait for a running load, as far as its tags are not concerned.
    pub(crate) fn may_join<Q: Hash + ?Sized>(&self, ticket: Ticket, key: &Q) -> bool {
        self.is_stripe_of(ticket, key) && self.all.load(SeqCst) == ticket.all
    }

    /// Tells whether who has joined a load may have its result, of which the tags are now known.
    pub(crate) fn may_share(&self, ticket: Ticket, tags: &Tags) -> bool {
        tags.iter().all(|tag| self.tag_stripe(self.hash(tag.as_str())).load(SeqCst) <= ticket.tags)
    }

    /// Tells whether no tag at all was sealed since a load began, so that its tags need not be known to share it.
    pub(crate) fn no_tag_since(&self, ticket: Ticket) -> bool {
        self.tag_clock.load(SeqCst) == ticket.tags
    }

    /// What stands for a key where the key itself would be too much.
    pub(crate) fn hash<T: Hash + ?Sized>(&self, value: &T) -> u64 {
        self.hasher.hash_one(value)
    }

    fn is_stripe_of<Q: Hash + ?Sized>(&self, ticket: Ticket, key: &Q) -> bool {
        self.key_stripe(key).load(SeqCst) / SEALED == ticket.key
    }

    fn key_stripe<Q: Hash + ?Sized>(&self, key: &Q) -> &AtomicU64 {
        self.stripe_of(self.hash(key))
    }

    fn stripe_of(&self, hash: u64) -> &AtomicU64 {
        &self.keys[among(hash, KEY_STRIPES)]
    }

    fn tag_stripe(&self, hash: u64) -> &AtomicU64 {
        &self.tags[among(hash, TAG_STRIPES)]
    }
}

#[expect(clippy::cast_possible_truncation, reason = "masked to the number of stripes, a power of two")]
fn among(hash: u64, stripes: usize) -> usize {
    hash as usize & (stripes - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(names: &[&str]) -> Tags {
        Tags::new(names).expect("legal")
    }

    /// Whether this key has the stripe of key 0.
    fn shares<K>(fence: &Fence<K>, key: i32) -> bool {
        std::ptr::eq(fence.key_stripe(&key), fence.key_stripe(&0))
    }

    #[test]
    fn sealing_a_key_ends_its_tickets_only() {
        let fence = <Fence>::new();
        let other = (1..100).find(|key| !shares(&fence, *key));
        let other = other.expect("a hundred keys do not share one of 1024 stripes");
        let (ticket, unrelated) = (fence.ticket(&0), fence.ticket(&other));
        fence.seal_key(&0);
        assert!(!fence.may_store(ticket, &0, &Tags::NONE) && !fence.may_join(ticket, &0));
        assert!(fence.may_store(unrelated, &other, &Tags::NONE) && fence.may_join(unrelated, &other));
        assert!(fence.may_store(fence.ticket(&0), &0, &Tags::NONE));
    }

    #[test]
    fn sealing_a_tag_ends_what_carries_it_and_nothing_else() {
        let fence = <Fence>::new();
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
        let fence = <Fence>::new();
        let ticket = fence.ticket("k");
        fence.seal_all();
        assert!(!fence.may_store(ticket, "k", &Tags::NONE));
    }

    const SOON: (Time, Time) = (Time::ZERO, Time::from_nanos(10));

    fn mark<K: Hash>(fence: &Fence<K>, key: K, of: u64) -> Ticket {
        let hash = fence.hash(&key);
        fence.mark((key, hash), of, SOON)
    }

    /// How many marks the stripes know of.
    fn marks<K>(fence: &Fence<K>) -> u64 {
        fence.keys.iter().map(|stripe| stripe.load(SeqCst) & MARKED).sum()
    }

    #[test]
    fn a_marked_key_is_refused_for_its_own_changes_and_for_no_other_of_its_stripe() {
        let fence = Fence::<i32>::new();
        let other =
            (1..1_000_000).find(|key| shares(&fence, *key)).expect("there are more keys than stripes");
        let may_store = |ticket, of| fence.may_store_marked((ticket, of), &0, &Tags::NONE);
        let (plain, ticket) = (fence.ticket(&0), mark(&fence, 0, 7));
        assert!(may_store(ticket, 7));
        fence.seal_key(&other);
        assert!(may_store(ticket, 7) && !may_store(ticket, 8), "the mark is of nobody else");
        assert!(!fence.may_store(plain, &0, &Tags::NONE) && !fence.may_store(ticket, &0, &Tags::NONE));

        fence.seal_key(&0);
        assert!(!may_store(ticket, 7));
        assert_eq!(marks(&fence), 0);
        let ticket = mark(&fence, 0, 9);
        fence.seal_tag("t");
        assert!(may_store(ticket, 9) && !fence.may_store_marked((ticket, 9), &0, &tags(&["t"])));
        fence.seal_all();
        assert!(!may_store(ticket, 9));
    }

    #[test]
    fn what_is_not_marked_any_more_is_judged_by_its_stripe() {
        let fence = Fence::<i32>::new();
        let other =
            (1..1_000_000).find(|key| shares(&fence, *key)).expect("there are more keys than stripes");
        let may_store = |ticket, of| fence.may_store_marked((ticket, of), &0, &Tags::NONE);
        let (first, second) = (mark(&fence, 0, 1), mark(&fence, 0, 2));
        assert!(may_store(first, 1) && marks(&fence) == 1, "one key, one mark");
        fence.seal_key(&other);
        assert!(!may_store(first, 1) && may_store(second, 2));
        fence.unmark(fence.hash(&0), 1);
        assert!(may_store(second, 2));
        fence.unmark(fence.hash(&0), 2);
        assert!(!may_store(second, 2) && marks(&fence) == 0);
        let third = mark(&fence, 0, 3);
        fence.unmark(fence.hash(&0), 3);
        assert!(may_store(third, 3), "nothing has happened in its stripe");
    }

    #[test]
    fn so_many_keys_are_marked_and_who_never_comes_back_is_forgotten() {
        let fence = Fence::<u64>::new();
        let most = u64::try_from(marks::MOST).expect("a few thousand");
        for key in 0..most + 10 {
            mark(&fence, key, key);
        }
        assert_eq!(marks(&fence), most);
        let ticket = mark(&fence, most, 0);
        assert!(fence.may_store_marked((ticket, 0), &most, &Tags::NONE), "it has a ticket all the same");
        for _ in 0..=most {
            fence.mark((most, fence.hash(&most)), 0, (Time::from_nanos(11), Time::from_nanos(20)));
        }
        assert_eq!(marks(&fence), 1);
        for key in 0..most {
            let now = Time::from_nanos(20 + key);
            fence.mark((key, fence.hash(&key)), key, (now, Time::from_nanos(21 + key)));
            assert!(fence.marks.lock().len() <= 2 * marks::FEW, "{key}");
        }
        assert_eq!(marks(&fence), fence.marks.lock().len() as u64);
    }

    #[test]
    fn of_marked_keys_those_that_are_meant_are_refused_and_of_all_others_each() {
        let fence = Fence::<i32>::new();
        let (meant, other, plain) = (mark(&fence, 1, 7), mark(&fence, 2, 8), fence.ticket(&2));
        fence.seal_if(&|key| *key == 1);
        let may_store = |ticket, of, key| fence.may_store_marked((ticket, of), &key, &Tags::NONE);
        assert_eq!((may_store(meant, 7, 1), may_store(other, 8, 2), marks(&fence)), (false, true, 1));
        assert!(!fence.may_store(plain, &2, &Tags::NONE));
        // Without its mark it is a ticket as that one.
        fence.unmark(fence.hash(&2), 8);
        assert!(!may_store(other, 8, 2));
        let later = mark(&fence, 1, 9);
        assert!(may_store(later, 9, 1), "what comes later is not meant");
        fence.seal_all();
        assert_eq!((may_store(later, 9, 1), marks(&fence)), (false, 0));
    }

    #[test]
    fn a_marked_key_is_refused_for_the_tags_of_its_value_and_for_no_other() {
        let fence = Fence::<i32>::new();
        (0..1000).for_each(|at| fence.seal_tag(&format!("before{at}")));
        let ticket = mark(&fence, 0, 7);
        let may_store = |ticket, names: &[&str]| fence.may_store_marked((ticket, 7), &0, &tags(names));
        // Several to each stripe.
        (0..1000).for_each(|at| fence.seal_tag(&format!("other{at}")));
        assert!(may_store(ticket, &["t", "before7"]) && !may_store(ticket, &["t", "other7"]));
        assert!(!fence.may_share(ticket, &tags(&["t"])), "by the stripes alone it would be refused");
        fence.seal_tag("t");
        assert!(!may_store(ticket, &["t"]) && may_store(ticket, &["before7"]));
        let later = mark(&fence, 0, 7);
        assert!(may_store(later, &["t", "other7"]));
        fence.seal_tag("other7");
        assert!(may_store(later, &["t"]) && !may_store(later, &["other7"]));
    }

    #[test]
    fn so_many_tags_are_known_by_name_and_beyond_them_the_stripes_decide() {
        let fence = Fence::<i32>::new();
        let ticket = mark(&fence, 0, 7);
        let may_store = |ticket, name| fence.may_store_marked((ticket, 7), &0, &tags(&[name]));
        let most = u32::try_from(marks::MOST).expect("a few thousand");
        (0..most).for_each(|at| fence.seal_tag(&at.to_string()));
        assert!(may_store(ticket, "t"));
        let later = mark(&fence, 0, 7);
        fence.seal_tag("one more");
        assert!(!may_store(ticket, "t") && !may_store(later, "one more"));
        let last = mark(&fence, 0, 7);
        (0..1000).for_each(|at| fence.seal_tag(&at.to_string()));
        assert!(may_store(last, "t") && !may_store(last, "7") && !may_store(ticket, "7"));
        assert_eq!(fence.marks.lock().tags(), 1000);
        // As is everything once nobody has a mark.
        fence.unmark(fence.hash(&0), 7);
        fence.seal_tag("t");
        assert_eq!(fence.marks.lock().tags(), 0);
    }
}
