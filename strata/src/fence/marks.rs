//! The keys that are marked: few at a time, and a mark is gone as soon as anything happens to its key.
//!
//! A key is known by its hash, with a secret of the process. Two that share all of its 64 bits share a mark, and a change of one is one of
//! both: that is too careful by one value in some billions.

use std::collections::HashMap;
use std::sync::PoisonError;

use cache_core::Time;

use crate::sync::{Mutex, MutexGuard};

/// The most keys that are marked at a time, which take some 600 KiB and what they take themselves. As many as can be leased, and fewer than a
/// stripe can count. So many tags at most are known by name meanwhile.
pub(super) const MOST: usize = 16_384;
/// Marks that have ended do no harm but to writes of their stripes, which look for them. So few may lie about.
pub(super) const FEW: usize = 64;

#[derive(Debug)]
pub(super) struct Marks<K>(Mutex<Marked<K>>);

#[derive(Debug)]
pub(super) struct Mark<K> {
    pub(super) key: K,
    /// Tells it from others of its key.
    pub(super) of: u64,
    /// Nobody comes with it later than that.
    pub(super) end: Time,
}

/// What is marked, while nobody else changes that.
#[derive(Debug)]
pub(super) struct Marked<K> {
    marks: HashMap<u64, Mark<K>>,
    /// So many more are made before those that have ended are looked for.
    until_sweep: usize,
    /// When the tags were last sealed that were since that moment, by their hash.
    tags: HashMap<u64, u64>,
    tags_since: u64,
}

impl<K> Default for Marks<K> {
    fn default() -> Self {
        let (marks, tags) = (HashMap::new(), HashMap::new());
        Self(Mutex::new(Marked { marks, until_sweep: 0, tags, tags_since: 0 }))
    }
}

impl<K> Marks<K> {
    pub(super) fn lock(&self) -> MutexGuard<'_, Marked<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Marked<K> {
    /// Marks a key in place of any mark that it has, and says whether it had none, and has one now.
    pub(super) fn add(&mut self, hash: u64, mark: Mark<K>) -> bool {
        if self.marks.len() >= MOST && !self.marks.contains_key(&hash) {
            return false;
        }
        self.marks.insert(hash, mark).is_none()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    #[cfg(test)]
    pub(super) fn tags(&self) -> usize {
        self.tags.len()
    }

    pub(super) fn holds(&self, hash: u64, of: u64) -> bool {
        self.marks.get(&hash).is_some_and(|mark| mark.of == of)
    }

    /// Ends the mark of a key, if it has one that is meant, and says whether it has.
    pub(super) fn remove_if(&mut self, hash: u64, is_meant: impl FnOnce(&Mark<K>) -> bool) -> bool {
        self.marks.get(&hash).is_some_and(is_meant) && self.marks.remove(&hash).is_some()
    }

    /// Ends the marks whose time is over, so seldom that a call pays for the look at two marks in the mean.
    pub(super) fn sweep(&mut self, now: Time, ended: impl Fn(u64)) {
        if let Some(fewer) = self.until_sweep.checked_sub(1) {
            self.until_sweep = fewer;
            return;
        }
        self.remove_those(|mark| mark.end <= now, ended);
        self.until_sweep = self.marks.len().max(FEW);
    }

    /// Ends the marks that are meant, and tells of each.
    pub(super) fn remove_those(&mut self, are_meant: impl Fn(&Mark<K>) -> bool, ended: impl Fn(u64)) {
        self.marks.extract_if(|_, mark| are_meant(mark)).for_each(|(hash, _)| ended(hash));
    }

    /// Notes that a tag was sealed. Before the first mark there is nobody to ask for it.
    pub(super) fn note_tag(&mut self, hash: u64, moment: u64) {
        if self.marks.is_empty() || self.tags.len() >= MOST {
            (self.tags, self.tags_since) = (HashMap::new(), moment);
        } else {
            self.tags.insert(hash, moment);
        }
    }

    /// Tells whether a tag is known not to have been sealed since.
    pub(super) fn is_tag_open(&self, hash: u64, since: u64) -> bool {
        since >= self.tags_since && self.tags.get(&hash).is_none_or(|moment| *moment <= since)
    }
}
