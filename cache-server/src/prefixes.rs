//! Reads of a region by what its keys begin with, up to the first delimiter: which kinds of keys are found, and which are not.
//!
//! The first 64 prefixes that are read have counts of their own for as long as the region lives, and all others share one. So what is held is
//! bounded, no count ever falls, and together they are those of the region to the last read. Space-Saving would let late prefixes in, for
//! counts that are estimates and that vanish with their prefix; a hit ratio is of use only if it is exact.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use cache_core::Key;
use foldhash::fast::RandomState;
use strata::{Hit, Source};

use crate::blob::Blob;
use crate::regions::BlobCache;

/// How many prefixes of a region have counts of their own.
const MAX_PREFIXES: usize = 64;

/// What is longer is hardly a kind of keys; so all prefixes of a region take some kilobytes at most.
const MAX_PREFIX_BYTES: usize = 64;

/// Counts of a region's reads.
#[derive(Debug)]
pub(crate) struct Prefixes {
    delimiter: char,
    /// Replaced as a whole when a prefix is added, which happens 64 times at most, so that a read waits for nobody.
    named: ArcSwap<HashMap<Box<str>, Arc<Reads>, RandomState>>,
    adding: Mutex<()>,
    others: Arc<Reads>,
}

/// How reads ended.
#[derive(Debug, Default)]
struct Reads {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How the reads of one prefix ended, or those of all that have no counts of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// With the delimiter, and empty for keys without one; `None` for all others.
    pub(crate) text: Option<Box<str>>,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl Prefixes {
    pub(crate) fn new(delimiter: char) -> Self {
        Self { delimiter, named: ArcSwap::default(), adding: Mutex::default(), others: Arc::default() }
    }

    /// Counts the read of a key that memory had, or had not.
    pub(crate) fn count(&self, key: &str, is_hit: bool) {
        let prefix = key.find(self.delimiter).map_or("", |at| &key[..at + self.delimiter.len_utf8()]);
        if prefix.len() > MAX_PREFIX_BYTES {
            return self.others.count(is_hit);
        }
        let named = self.named.load();
        match named.get(prefix) {
            Some(reads) => reads.count(is_hit),
            None if named.len() >= MAX_PREFIXES => self.others.count(is_hit),
            None => self.add(prefix).count(is_hit),
        }
    }

    /// Reads an entry of memory alone, and counts that.
    pub(crate) fn get_local(&self, cache: &BlobCache, key: &str) -> Option<Hit<Blob>> {
        let answer = cache.get_local(key);
        self.count(key, answer.is_some());
        answer
    }

    /// What was counted so far, the prefixes that are read most first, and what all others share at the end.
    pub(crate) fn all(&self) -> Vec<Prefix> {
        let named = self.named.load();
        let mut all: Vec<Prefix> = named.iter().map(|(text, reads)| reads.of(Some(text.clone()))).collect();
        all.sort_unstable_by(|one, other| (other.reads(), &one.text).cmp(&(one.reads(), &other.text)));
        all.extend(Some(self.others.of(None)).filter(|others| others.reads() > 0));
        all
    }

    /// The counts of a prefix that has had none; those of all others if there is no place any more.
    #[cold]
    fn add(&self, prefix: &str) -> Arc<Reads> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        // As it is now that nobody else adds any.
        let named = self.named.load_full();
        if let Some(reads) = named.get(prefix) {
            return Arc::clone(reads);
        }
        if named.len() >= MAX_PREFIXES {
            return Arc::clone(&self.others);
        }
        let mut named = HashMap::clone(&named);
        let reads = Arc::clone(named.entry(prefix.into()).or_default());
        self.named.store(Arc::new(named));
        reads
    }
}

impl Reads {
    fn count(&self, is_hit: bool) {
        let counter = if is_hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Relaxed);
    }

    fn of(&self, text: Option<Box<str>>) -> Prefix {
        Prefix { text, hits: self.hits.load(Relaxed), misses: self.misses.load(Relaxed) }
    }
}

impl Prefix {
    pub(crate) fn reads(&self) -> u64 {
        self.hits + self.misses
    }
}

/// Reads that are under way. What nobody waits for any more was a miss: memory was asked first, and what it has is answered at once.
pub(crate) struct Asked<'a> {
    prefixes: &'a Prefixes,
    keys: &'a [Key],
}

impl<'a> Asked<'a> {
    pub(crate) fn new(prefixes: &'a Prefixes, keys: &'a [Key]) -> Self {
        Self { prefixes, keys }
    }

    /// Counts what was answered, as memory has counted it: what a tier below has, or what stands in for it, was a miss; a stale value
    /// answers as a hit only where no tier is asked for a fresh one.
    pub(crate) fn answered(mut self, answers: &[Option<Hit<Blob>>], is_memory_alone: bool) {
        for (key, answer) in std::mem::take(&mut self.keys).iter().zip(answers) {
            let is_hit = answer
                .as_ref()
                .is_some_and(|hit| hit.source() == Source::Memory && (is_memory_alone || !hit.is_stale()));
            self.prefixes.count(key.as_str(), is_hit);
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.keys.iter().for_each(|key| self.prefixes.count(key.as_str(), false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefixes: &Prefixes, expected: &[(Option<&str>, u64, u64)]) {
        let all = prefixes.all();
        let all: Vec<_> = all.iter().map(|it| (it.text.as_deref(), it.hits, it.misses)).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_prefix_ends_with_the_first_delimiter_and_is_empty_without_one() {
        let prefixes = Prefixes::new('→');
        for (key, is_hit) in
            [("a→b→c", true), ("a→", false), ("a:b", true), ("a", true), ("→", false), ("a→b", true)]
        {
            prefixes.count(key, is_hit);
        }
        check(&prefixes, &[(Some("a→"), 2, 1), (Some(""), 2, 0), (Some("→"), 0, 1)]);
    }

    #[test]
    fn what_is_too_long_or_comes_too_late_is_among_the_others_and_no_count_falls() {
        let prefixes = Prefixes::new(':');
        prefixes.count(&format!("{}:", "x".repeat(MAX_PREFIX_BYTES)), true);
        check(&prefixes, &[(None, 1, 0)]);
        for at in 0..2 * MAX_PREFIXES {
            prefixes.count(&format!("{at}:k"), false);
        }
        let before = prefixes.all();
        assert_eq!((before.len(), before[MAX_PREFIXES].misses), (MAX_PREFIXES + 1, MAX_PREFIXES as u64));
        prefixes.count("63:k", true);
        prefixes.count("64:k", true);
        let after = prefixes.all();
        assert_eq!(after[0], Prefix { text: Some("63:".into()), hits: 1, misses: 1 });
        assert_eq!(after[MAX_PREFIXES].hits, 2);
    }

    #[test]
    fn what_nobody_waits_for_any_more_was_a_miss() {
        let prefixes = Prefixes::new(':');
        let keys = ["a:1", "a:2"].map(|key| Key::new(key).expect("legal"));
        drop(Asked::new(&prefixes, &keys));
        Asked::new(&prefixes, &keys[..1]).answered(&[None], true);
        check(&prefixes, &[(Some("a:"), 0, 3)]);
    }

    #[test]
    fn no_read_is_lost_while_prefixes_are_added_by_many() {
        const THREADS: u64 = 4;
        const KEYS: u64 = 100;
        let (rounds, begin) = ((0..200).map(|_| Prefixes::new(':')), std::sync::Barrier::new(4));
        let rounds: Vec<Prefixes> = rounds.collect();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (rounds, begin) = (&rounds, &begin);
                scope.spawn(move || {
                    for prefixes in rounds {
                        begin.wait();
                        (0..KEYS).for_each(|at| prefixes.count(&format!("{at}:k"), at % THREADS == thread));
                    }
                });
            }
        });
        for prefixes in rounds {
            let all = prefixes.all();
            assert_eq!(all.len(), MAX_PREFIXES + 1);
            assert_eq!(all.iter().map(|it| it.hits).sum::<u64>(), KEYS);
            assert_eq!(all.iter().map(Prefix::reads).sum::<u64>(), THREADS * KEYS);
        }
    }
}
