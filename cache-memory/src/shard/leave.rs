//! Who leaves a shard, and why: one by one, to make room, by time, or many that have died with a tag.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use cache_core::Time;
use cache_policy::{Slab as _, Slot, Step};

use super::Shard;
use crate::cells::Cell;
use crate::listen::{Cause, Departures};
use crate::now::Present;
use crate::ruins::RUINS;
use crate::slab::tick;
use crate::tagged::Condemned;

/// An entry that has left.
pub(crate) struct Left<K, V> {
    pub(crate) pair: (K, V),
    pub(crate) bytes: u64,
    pub(crate) cause: Cause,
}

impl<K, V> Shard<K, V> {
    /// Takes out the entry in this slot, and says what it weighed.
    pub(crate) fn remove(&mut self, slot: Slot, cause: Cause, gone: &mut Departures<K, V>) -> Option<u64> {
        let Left { pair, bytes, cause } = self.extract(slot, cause)?;
        gone.push(pair, cause);
        Some(bytes)
    }

    /// Takes out the entry in this slot, and gives it to the caller.
    pub(crate) fn extract(&mut self, slot: Slot, cause: Cause) -> Option<Left<K, V>> {
        self.slab.cells.get(slot)?;
        self.evictor.remove(&mut self.slab, slot);
        self.unlink(slot, cause)
    }

    /// Chooses who has to make room: an entry whose time is over or that is dead, else the policy's victim. It is still in
    /// its slot, but the policy has forgotten it, and the wheel if its time was over: to be [unlinked](Self::unlink_chosen) or [replaced](Self::exchange). What the
    /// policy of one shard learns reaches the others through `advice`, and so does that there are [ruins](RUINS), which have
    /// to make room before any victim: then nobody is chosen.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert is one piece of code: a call in it costs a twentieth of the whole"
    )]
    pub(crate) fn choose(&mut self, present: &Present, advice: &AtomicU8) -> Option<(Slot, Cause)> {
        if self.wheel.next_tick().is_some_and(|tick| tick <= present.horizon())
            && let Some(slot) = self.next_expired(present.now(), &mut 8)
        {
            self.evictor.remove(&mut self.slab, slot);
            return Some((slot, Cause::Expired));
        }
        if !self.heed(advice) {
            return None;
        }
        let victim =
            if self.evictor.learns() { self.evict_and_learn() } else { self.evictor.evict(&mut self.slab) };
        victim.map(|victim| (victim, Cause::Evicted))
    }

    #[inline(never)]
    fn evict_and_learn(&mut self) -> Option<Slot> {
        let victim = self.evictor.evict(&mut self.slab);
        self.learn_rules();
        victim
    }

    /// Tells what this shard has learned, if it leads, else goes by what is told. Says whether it may evict.
    #[inline]
    fn heed(&mut self, advice: &AtomicU8) -> bool {
        let told = advice.load(Relaxed);
        told == self.evictor.advice() || self.heed_news(told, advice)
    }

    #[cold]
    fn heed_news(&mut self, told: u8, advice: &AtomicU8) -> bool {
        if told & RUINS != 0 {
            return false;
        }
        if self.evictor.leads() {
            // Whoever has told of ruins meanwhile must not be overruled; the advice can wait for the next eviction.
            let _told = advice.compare_exchange(told, self.evictor.advice(), Relaxed, Relaxed);
        } else {
            self.evictor.follow(told);
        }
        true
    }

    /// Takes out who was [chosen](Self::choose), and says what it weighed.
    pub(crate) fn unlink_chosen(
        &mut self,
        (slot, cause): (Slot, Cause),
        gone: &mut Departures<K, V>,
    ) -> Option<u64> {
        let Left { pair, bytes, cause } = self.unlink(slot, cause)?;
        gone.push(pair, cause);
        Some(bytes)
    }

    /// Makes room: takes out who is [chosen](Self::choose), and says what it weighed.
    pub(crate) fn evict(
        &mut self,
        present: &Present,
        advice: &AtomicU8,
        gone: &mut Departures<K, V>,
    ) -> Option<u64> {
        let chosen = self.choose(present, advice)?;
        self.unlink_chosen(chosen, gone)
    }

    /// Takes out one entry whose time is over or that is dead, if `steps` steps of the wheel find one, and says what it
    /// weighed.
    pub(crate) fn pop_expired(
        &mut self,
        now: Time,
        steps: &mut usize,
        gone: &mut Departures<K, V>,
    ) -> Option<u64> {
        let slot = self.next_expired(now, steps)?;
        self.remove(slot, Cause::Expired, gone)
    }

    /// An entry whose time is over and which the wheel has forgotten, if so many steps of the wheel find one.
    fn next_expired(&mut self, now: Time, steps: &mut usize) -> Option<Slot> {
        while *steps > 0 {
            *steps -= 1;
            let step = self.wheel.step(&mut self.slab, tick(now));
            self.learn_rules();
            match step {
                Step::Expired(slot) => return Some(slot),
                Step::Moved => {}
                Step::Idle => return None,
            }
        }
        None
    }

    /// Hides the dead from the wheel, until [`announce_dead`](Self::announce_dead): what it finds has expired.
    pub(crate) fn hide_dead(&mut self) {
        if let Some(herald) = self.slab.extras.tagged.herald() {
            self.wheel.cancel(&mut self.slab, herald);
        }
    }

    /// Shows the dead to the wheel, if there are any.
    #[cold]
    pub(crate) fn announce_dead(&mut self) {
        if let Some(herald) = self.slab.extras.tagged.herald() {
            self.wheel.schedule(&mut self.slab, herald);
        }
    }

    /// How many dead entries are here.
    pub(crate) fn dead(&self) -> u64 {
        self.slab.extras.tagged.dead()
    }

    /// Lets a set of tags with this one die, and enters that into the books, or says whom of it to remove; `None` if no set
    /// has this tag.
    pub(crate) fn condemn(&mut self, tag: &str) -> Option<Condemned> {
        let condemned = self.slab.extras.tagged.condemn(tag)?;
        if let Condemned::Dead(entries) = condemned {
            self.stats.entries -= entries;
            self.stats.removed += entries;
            self.stats.unfreed += entries;
        }
        Some(condemned)
    }

    fn unlink(&mut self, slot: Slot, cause: Cause) -> Option<Left<K, V>> {
        let (bytes, cause) = self.forget(slot, cause);
        let Cell { node, pair } = self.slab.cells.take(slot)?;
        self.index.remove(node.fingerprint(), slot);
        Some(Left { pair, bytes, cause })
    }

    /// Strikes the entry in this slot out of the books and forgets its extras. Says what it weighed and why it leaves:
    /// for the reason that is given, unless it was dead before.
    fn forget(&mut self, slot: Slot, cause: Cause) -> (u64, Cause) {
        let (bytes, cause) = self.forget_extras(slot, cause);
        self.stats.entries -= 1;
        self.stats.bytes = self.stats.bytes.wrapping_sub(bytes);
        self.stats.count(cause);
        (bytes, cause)
    }

    /// Forgets the extras of the entry in this slot, if it has any, and says the same.
    pub(super) fn forget_extras(&mut self, slot: Slot, cause: Cause) -> (u64, Cause) {
        if self.slab.node(slot).is_marked() {
            self.forget_marked(slot, cause)
        } else {
            (self.slab.extras.weight_of_one, cause)
        }
    }

    #[inline(never)]
    fn forget_marked(&mut self, slot: Slot, mut cause: Cause) -> (u64, Cause) {
        if self.slab.extras.tagged.is_dead(slot) {
            cause = Cause::Removed;
            self.revive();
        }
        let bytes = self.slab.weight(slot);
        self.unmark(slot);
        (bytes, cause)
    }

    /// Takes back in the books that an entry has died, because now it leaves.
    #[cold]
    pub(super) fn revive(&mut self) {
        self.stats.entries += 1;
        self.stats.removed -= 1;
        self.stats.unfreed -= 1;
    }
}
