//! What each verb writes into the log. All of it runs on one thread, one after another.
//!
//! A verb that fails leaves none of the keys it was about: what it replaced or removed is no longer true. Where even that
//! cannot be written down, the files go that hold it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Content, Entry, Frame, Header, Key, Meta, Tag, Ttl, TypeId, Wall};

use crate::index::{Cause, Slot, Spot};
use crate::log::{Draft, Log};
use crate::medium::File;
use crate::record::{Head, Kind, MAX_NAMES, NEVER, Place};
use crate::segments::SLICE;

/// A longer stale life would reach past the end of a clock's time, and its beginning could not be told any more.
const LONGEST_STALE: Duration = Duration::from_hours(100 * 366 * 24);

/// How many entries one part of a removal by prefix looks at: a few milliseconds, or as long as a file system takes that has to fetch them.
const PART: usize = 2048;

impl Log {
    /// Writes entries, in their order.
    pub(crate) fn put(&mut self, entries: Vec<(Key, Entry)>, now: u64) -> io::Result<()> {
        let keys = self.hashes(entries.iter().map(|(key, _)| key));
        let written = self.settle(now).and_then(|()| self.write(entries, &keys, now));
        if written.is_err() {
            self.end(&keys, Cause::Evicted, now);
            // If this fails too, it is owed, and tried again before anything else is done.
            let _owed = self.settle(now);
        }
        written
    }

    /// By what the index knows these keys.
    pub(crate) fn hashes<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Vec<u64> {
        let index = self.index.lock();
        keys.into_iter().map(|key| index.key_hash(key.as_str())).collect()
    }

    /// Removes what is there of these keys and counts what was alive.
    pub(crate) fn remove(&mut self, keys: &[u64], now: u64) -> io::Result<u64> {
        let removed = self.end(keys, Cause::Removed, now);
        if self.owed.is_empty() {
            self.stamp(now)?;
        } else {
            self.settle(now)?;
        }
        Ok(removed)
    }

    /// Gives an entry a new life, and says whether it was there.
    pub(crate) fn touch(&mut self, key: u64, ttl: Ttl, now: u64) -> io::Result<bool> {
        if ttl.is_zero() {
            return Ok(self.remove(&[key], now)? > 0);
        }
        let slot = self.index.lock().slot(key).filter(|slot| slot.lives(now));
        let Some(slot) = slot else { return Ok(false) };
        let Some(head) = self.head(slot) else {
            self.end(&[key], Cause::Corrupt, now);
            return Ok(false);
        };
        let gone = end(ttl, head.stale, now);
        self.settle(now)?;
        self.stage(Draft::about(Kind::Touch, vec![key], now, gone))?;
        self.flush()?;
        Ok(true)
    }

    /// Removes all entries with this tag and counts them.
    pub(crate) fn remove_tag(&mut self, tag: &Tag, now: u64) -> io::Result<u64> {
        let keys = {
            let index = self.index.lock();
            index.tagged(index.tag_hash(tag.as_str()))
        };
        self.remove(&keys, now)
    }

    /// Removes entries whose key begins like this and counts them: those of the next [`PART`] from here on, whose heads it reads, and says
    /// where the part after it begins.
    pub(crate) fn remove_part(
        &mut self,
        prefix: &str,
        from: Spot,
        now: u64,
    ) -> io::Result<(u64, Option<Spot>)> {
        let (mut keys, mut unreadable) = (Vec::new(), Vec::new());
        let (part, next) = self.index.lock().part(from, PART);
        for (hash, slot) in part {
            match self.head(slot) {
                Some(head) if head.key.starts_with(prefix) => keys.push(hash),
                Some(_) => {}
                None => unreadable.push(hash),
            }
        }
        // Whose key cannot be read may be among those that are meant.
        self.end(&unreadable, Cause::Corrupt, now);
        Ok((self.remove(&keys, now)?, next))
    }

    /// Removes everything and counts it. Costs no more than its files.
    pub(crate) fn clear(&mut self, now: u64) -> io::Result<u64> {
        let all: Vec<u64> = self.index.lock().all().into_iter().map(|(hash, _)| hash).collect();
        let removed = self.end(&all, Cause::Removed, now);
        match self.drop_through(u64::MAX) {
            Ok(()) => self.owed.clear(),
            Err(_) => self.settle(now)?,
        }
        Ok(removed)
    }

    /// Frees what has ended and what nothing is alive in.
    pub(crate) fn sweep(&mut self, now: u64) -> io::Result<()> {
        let expired = self.index.lock().expire(now, SLICE);
        self.forgotten |= expired > 0;
        self.drop_dead()
    }

    /// Frees all files if nothing is alive in any.
    pub(crate) fn sweep_all(&mut self, now: u64) -> io::Result<()> {
        while self.index.lock().expire(now, SLICE) > 0 {
            self.forgotten = true;
        }
        let empty = self.index.lock().len() == 0;
        if empty && self.owed.is_empty() { self.drop_through(u64::MAX) } else { self.drop_dead() }
    }

    /// Writes down what is removed already and not written down yet.
    ///
    /// # Errors
    /// It is still owed: neither could it be written, nor could the files be removed that hold it.
    pub(crate) fn settle(&mut self, now: u64) -> io::Result<()> {
        if self.owed.is_empty() {
            return Ok(());
        }
        let written = self.write_removals(now);
        if let Err(error) = written {
            self.index.lock().stats.io_errors += 1;
            let last = self.owed.iter().map(|(_, segment)| *segment).max().unwrap_or_default();
            self.drop_through(last).map_err(|_| error)?;
        }
        self.owed.clear();
        Ok(())
    }

    fn write_removals(&mut self, now: u64) -> io::Result<()> {
        let fitting = usize::try_from(self.largest() / 8).unwrap_or(MAX_NAMES).saturating_sub(8);
        let names: Vec<u64> = self.owed.iter().map(|(hash, _)| *hash).collect();
        for names in names.chunks(fitting.clamp(1, MAX_NAMES)) {
            self.stage(Draft::about(Kind::Remove, names.to_vec(), now, NEVER))?;
        }
        self.flush()
    }

    /// Notes how late it is, where that may be what keeps an ended entry from coming back: if the machine's clock is set
    /// back before the next start, and a removal of what had ended found nothing to remove.
    fn stamp(&mut self, now: u64) -> io::Result<()> {
        if self.forgotten && self.latest < now {
            self.stage(Draft::about(Kind::Remove, Vec::new(), now, NEVER))?;
            self.flush()?;
        }
        self.forgotten = false;
        Ok(())
    }

    fn write(&mut self, entries: Vec<(Key, Entry)>, keys: &[u64], now: u64) -> io::Result<()> {
        let mut refused = Ok(());
        for ((key, entry), hash) in entries.into_iter().zip(keys) {
            match self.draft((&key, *hash), entry, now) {
                Ok(Some(draft)) => self.stage(draft)?,
                Ok(None) => {
                    self.flush()?;
                    self.remove(&[*hash], now)?;
                }
                Err(error) => refused = Err(error),
            }
        }
        self.flush()?;
        refused
    }

    /// The record of an entry; `None` if it is not to be kept.
    fn draft(&self, (key, hash): (&Key, u64), entry: Entry, now: u64) -> io::Result<Option<Draft>> {
        let Entry { value, meta } = entry;
        let stale = millis(meta.stale_for.min(LONGEST_STALE));
        let gone = end(meta.ttl, stale, now);
        if gone <= now {
            return Ok(None);
        }
        if value.len() as u64 > self.largest() {
            self.index.lock().stats.too_large += 1;
            return Ok(None);
        }
        let names = {
            let index = self.index.lock();
            meta.tags.iter().map(|tag| index.tag_hash(tag.as_str())).collect()
        };
        let priority = meta.priority;
        // Its lives stand in the head, where a touch can change them.
        let meta = Meta { ttl: Ttl::FOREVER, stale_for: Duration::ZERO, ..meta };
        let header = Header::of(&meta, Wall::from_unix_millis(now));
        let content = Content::plain(TypeId(0), u32::try_from(value.len()).unwrap_or(u32::MAX));
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let body = Frame::write(key, &header, content, &value).map_err(invalid)?;
        let size =
            u32::try_from(body.len()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let (kind, key) = (Kind::Put, key.as_str().to_owned());
        let head = Head { kind, priority, at: now, gone, stale, key, names, body: size };
        let draft = Draft { head, body, hash, again: false };
        if draft.bytes() > self.largest() {
            self.index.lock().stats.too_large += 1;
            return Ok(None);
        }
        Ok(Some(draft))
    }

    /// Takes entries out of the index, owes their removal, and counts those that were alive.
    fn end(&mut self, keys: &[u64], cause: Cause, now: u64) -> u64 {
        let mut alive = 0;
        for slice in keys.chunks(SLICE) {
            let mut index = self.index.lock();
            for key in slice {
                let Some(slot) = index.slot(*key) else { continue };
                let lives = slot.lives(now);
                alive += u64::from(lives);
                index.take(*key, if lives { cause } else { Cause::Expired });
                self.owed.push((*key, slot.segment));
            }
        }
        alive
    }

    /// The head of an entry's record; `None` if it cannot be read.
    fn head(&self, slot: Slot) -> Option<Head> {
        let (file, store) = {
            let index = self.index.lock();
            (Arc::clone(&index.segments.get(&slot.segment)?.file), index.store)
        };
        read_head(store, &*file, slot)
    }
}

/// Reads the head of an entry's record.
fn read_head(store: u64, file: &dyn File, slot: Slot) -> Option<Head> {
    let mut head = vec![0; slot.head.into()];
    let read = file.read_at(&mut head, slot.offset.into()).ok()?;
    let place = Place { store, segment: slot.segment, offset: slot.offset.into() };
    Head::read(place, head.get(..read)?)
}

/// When an entry may no longer be kept; [`NEVER`] where that cannot be told.
fn end(ttl: Ttl, stale: u64, now: u64) -> u64 {
    ttl.finite().map_or(NEVER, |ttl| now.saturating_add(millis(ttl)).saturating_add(stale))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}
