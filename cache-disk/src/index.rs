//! The index: what is alive, and where it stands. It is in memory alone, and made anew from the segments at each start.
//!
//! Keys are known by their hash, seeded per store, so an entry costs about 120 bytes here, however long its key is. Two
//! keys of one hash, of which there is one pair in four thousand million entries, take each other's place: a read
//! compares the key itself.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use cache_core::Time;
use twox_hash::XxHash3_64;

use crate::ends::Ends;
use crate::groups::Groups;
use crate::medium::File;
use crate::record::NEVER;
use crate::stats::{Start, Stats};

/// All that is known about the entries of one store.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Which store it is; seeds all hashes.
    pub(crate) store: u64,
    slots: HashMap<u64, Slot, BuildHasherDefault<AsItIs>>,
    /// By number, oldest first.
    pub(crate) segments: BTreeMap<u64, Segment>,
    groups: Groups,
    ends: Ends,
    pub(crate) stats: Stats,
    pub(crate) start: Start,
    /// The wall time, in milliseconds since 1970, when it was opened.
    pub(crate) wall: u64,
    /// What the clock showed then.
    pub(crate) since: Time,
}

/// An entry: where its record stands, and what has to be known before that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) segment: u64,
    pub(crate) offset: u32,
    pub(crate) body: u32,
    pub(crate) gone: u64,
    pub(crate) head: u16,
    pub(crate) tags: u8,
    /// Whether it was read since it was written.
    pub(crate) used: bool,
    /// Whether it is to be kept, used or not, when its segment goes.
    pub(crate) keep: bool,
}

impl Slot {
    /// How many bytes its record has.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.head) + u64::from(self.body)
    }

    /// Tells whether it may be answered at this moment.
    pub(crate) fn lives(&self, now: u64) -> bool {
        now < self.gone
    }

    /// Where it stands, as what tells it from every other record.
    pub(crate) fn place(&self) -> (u64, u32) {
        (self.segment, self.offset)
    }
}

/// A place in what was written: so many entries into a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spot {
    segment: u64,
    at: usize,
}

/// A file of records.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn File>,
    pub(crate) bytes: u64,
    /// How many of its entries are in the index.
    pub(crate) live: usize,
    /// The hashes of all that was put into it, in order.
    written: Vec<u64>,
    /// Whether it may hold what a power cut would take.
    pub(crate) dirty: bool,
}

impl Segment {
    pub(crate) fn new(file: Arc<dyn File>, bytes: u64, dirty: bool) -> Self {
        Self { file, bytes, live: 0, written: Vec::new(), dirty }
    }
}

/// What became of an entry that is no longer in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Replaced,
    Removed,
    Expired,
    Evicted,
    Corrupt,
}

impl Index {
    pub(crate) fn new(store: u64) -> Self {
        Self { store, ..Self::default() }
    }

    /// The moment that the clock shows, in milliseconds since 1970.
    pub(crate) fn moment(&self, clock: Time) -> u64 {
        let passed = clock.since(self.since).as_millis();
        self.wall.saturating_add(u64::try_from(passed).unwrap_or(NEVER))
    }

    pub(crate) fn key_hash(&self, key: &str) -> u64 {
        XxHash3_64::oneshot_with_seed(self.store, key.as_bytes())
    }

    pub(crate) fn tag_hash(&self, tag: &str) -> u64 {
        XxHash3_64::oneshot_with_seed(!self.store, tag.as_bytes())
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Goes on with the books of the index before.
    pub(crate) fn take_books_of(&mut self, before: &Self) {
        self.stats = Stats { loaded: self.stats.loaded, ..before.stats };
    }

    /// Holds nothing any more, and leaves the files to whoever comes next.
    pub(crate) fn abandon(&mut self) {
        *self = Self { stats: self.stats, start: self.start, ..Self::default() };
    }

    /// What the segments take.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    /// The entry of this hash, dead or alive.
    pub(crate) fn slot(&self, hash: u64) -> Option<Slot> {
        self.slots.get(&hash).copied()
    }

    /// The living entry of this hash and the file it is in; it counts as used from now on.
    pub(crate) fn find(&mut self, hash: u64, now: u64) -> Option<(Slot, Arc<dyn File>)> {
        let slot = self.slots.get_mut(&hash).filter(|slot| slot.lives(now))?;
        slot.used = true;
        Some((*slot, Arc::clone(&self.segments.get(&slot.segment)?.file)))
    }

    /// Notes an entry that was written, in place of any other of its hash.
    pub(crate) fn put(&mut self, hash: u64, slot: Slot, tags: &[u64]) {
        self.take(hash, Cause::Replaced);
        let Some(segment) = self.segments.get_mut(&slot.segment) else { return };
        segment.live += 1;
        segment.written.push(hash);
        self.slots.insert(hash, slot);
        self.groups.note(tags, hash, slot.place());
        self.groups.tidy(|hash, place| self.slots.get(&hash).is_some_and(|slot| slot.place() == place));
        self.note_end(hash, slot.gone);
    }

    /// Gives an entry another end.
    pub(crate) fn touch(&mut self, hash: u64, gone: u64) {
        let Some(slot) = self.slots.get_mut(&hash) else { return };
        self.ends.forget(slot.gone);
        slot.gone = gone;
        slot.used = true;
        self.note_end(hash, gone);
    }

    /// Ends an entry.
    pub(crate) fn take(&mut self, hash: u64, cause: Cause) -> Option<Slot> {
        let slot = self.slots.remove(&hash)?;
        if let Some(segment) = self.segments.get_mut(&slot.segment) {
            segment.live -= 1;
        }
        self.groups.forget(usize::from(slot.tags));
        self.ends.forget(slot.gone);
        *self.stats.ended(cause) += 1;
        Some(slot)
    }

    /// Ends an entry if it still is the one that stands here.
    pub(crate) fn take_at(&mut self, hash: u64, place: (u64, u32), cause: Cause) -> Option<Slot> {
        self.slot(hash).filter(|slot| slot.place() == place)?;
        self.take(hash, cause)
    }

    /// Ends up to `most` entries that may no longer be kept.
    pub(crate) fn expire(&mut self, now: u64, most: usize) -> usize {
        let mut expired = 0;
        while expired < most
            && let Some((gone, hash)) = self.ends.next(now)
        {
            if self.slot(hash).is_some_and(|slot| slot.gone == gone) {
                self.take(hash, Cause::Expired);
                expired += 1;
            }
        }
        expired
    }

    /// The hashes of the entries that have an end.
    pub(crate) fn mortal(&self) -> Vec<u64> {
        self.slots.iter().filter(|(_, slot)| slot.gone != NEVER).map(|(hash, _)| *hash).collect()
    }

    /// All entries, in any order.
    pub(crate) fn all(&self) -> Vec<(u64, Slot)> {
        self.slots.iter().map(|(hash, slot)| (*hash, *slot)).collect()
    }

    /// Up to `most` entries of those that were written from here on, in their order, and where those after them begin. What is written
    /// anew meanwhile, or once more to make room, comes last, so whoever goes on to the end has seen all that was there.
    pub(crate) fn part(&self, from: Spot, most: usize) -> (Vec<(u64, Slot)>, Option<Spot>) {
        let (mut part, mut left) = (Vec::new(), most);
        for (number, segment) in self.segments.range(from.segment..) {
            let first = if *number == from.segment { from.at } else { 0 };
            for (at, hash) in segment.written.iter().enumerate().skip(first) {
                if left == 0 {
                    return (part, Some(Spot { segment: *number, at }));
                }
                left -= 1;
                part.extend(self.resident(*hash, *number).map(|slot| (*hash, slot)));
            }
        }
        (part, None)
    }

    /// The hashes of the entries that carry this tag.
    pub(crate) fn tagged(&self, tag: u64) -> Vec<u64> {
        self.groups.members(tag, |hash, place| self.slot(hash).is_some_and(|slot| slot.place() == place))
    }

    /// The hashes of all entries that were ever written into this segment, in order, and some of them twice.
    pub(crate) fn written(&self, segment: u64) -> Vec<u64> {
        self.segments.get(&segment).map(|segment| segment.written.clone()).unwrap_or_default()
    }

    /// Lets an entry no longer count as used, nor as one to be kept.
    pub(crate) fn spare(&mut self, hash: u64) {
        if let Some(slot) = self.slots.get_mut(&hash) {
            (slot.used, slot.keep) = (false, false);
        }
    }

    /// The entry of this hash if it stands in this segment.
    pub(crate) fn resident(&self, hash: u64, segment: u64) -> Option<Slot> {
        self.slot(hash).filter(|slot| slot.segment == segment)
    }

    fn note_end(&mut self, hash: u64, gone: u64) {
        self.ends.note(gone, hash);
        self.ends.tidy(|gone, hash| self.slots.get(&hash).is_some_and(|slot| slot.gone == gone));
    }
}

/// Takes the number that is hashed for the hash.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {}

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
