//! Reads of a region by what its keys begin with, up to the first delimiter: which kinds of keys are found, and which are not.
//!
//! The first 64 prefixes that are read have counts of their own for as long as the region lives, and all others share one. So what is held is
//! bounded, no count ever falls, and together they are those of the region to the last read. Space-Saving would let late prefixes in, for
//! counts that are estimates and that vanish with their prefix; a hit ratio is of use only if it is exact.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

use cache_core::Key;
use foldhash::fast::RandomState;
use strata::{Hit, Source};

use crate::blob::Blob;
use crate::regions::BlobCache;

/// How many prefixes of a region have counts of their own.
const MAX_PREFIXES: usize = 64;

/// Where they stand. Half of these stay free, so that what is not there is not looked for long.
const SLOTS: usize = 2 * MAX_PREFIXES;

/// What is longer is hardly a kind of keys; so all prefixes of a region take some kilobytes at most.
const MAX_PREFIX_BYTES: usize = 64;

thread_local! {
    /// Where the last prefix stands that this thread has found: keys of one kind come in runs, and many regions have but one.
    static LAST: Cell<usize> = const { Cell::new(0) };
}

/// Counts of a region's reads.
#[derive(Debug)]
pub(crate) struct Prefixes {
    delimiter: char,
    hasher: RandomState,
    /// Each at the first place from its hash on that was free when it came, which it keeps: so a read waits for nobody.
    slots: Box<[OnceLock<Named>]>,
    count: AtomicUsize,
    adding: Mutex<()>,
    others: Reads,
}

/// A prefix that has counts of its own.
#[derive(Debug)]
struct Named {
    text: Box<str>,
    reads: Reads,
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
        Self {
            delimiter,
            hasher: RandomState::default(),
            slots: (0..SLOTS).map(|_| OnceLock::new()).collect(),
            count: AtomicUsize::new(0),
            adding: Mutex::default(),
            others: Reads::default(),
        }
    }

    /// Counts the read of a key that memory had, or had not.
    pub(crate) fn count(&self, key: &str, is_hit: bool) {
        self.reads(key).count(is_hit);
    }

    /// The counts of a key's prefix.
    fn reads(&self, key: &str) -> &Reads {
        // A prefix has one delimiter, at its end, so it is that of each key which begins like it. If it is another region's, it is not.
        if let Some(last) = self.slots[LAST.get()].get()
            && !last.text.is_empty()
            && key.starts_with(&*last.text)
        {
            return &last.reads;
        }
        let prefix = self.prefix(key);
        if prefix.len() > MAX_PREFIX_BYTES {
            return &self.others;
        }
        let (at, named) = self.find(prefix);
        match named {
            Some(named) => {
                LAST.set(at);
                &named.reads
            }
            None if self.count.load(Relaxed) >= MAX_PREFIXES => &self.others,
            None => self.add(prefix),
        }
    }

    /// What a key begins with up to the first delimiter.
    fn prefix<'a>(&self, key: &'a str) -> &'a str {
        let begin = &key.as_bytes()[..key.len().min(MAX_PREFIX_BYTES)];
        // As it is short, a plain loop is done before a search has begun: 40 instructions where that takes 145.
        let ascii = u8::try_from(self.delimiter).ok().filter(u8::is_ascii);
        match ascii.and_then(|delimiter| begin.iter().position(|byte| *byte == delimiter)) {
            Some(at) => &key[..=at],
            None => key.find(self.delimiter).map_or("", |at| &key[..at + self.delimiter.len_utf8()]),
        }
    }

    /// Where a prefix stands, or could stand if it does not yet.
    fn find(&self, prefix: &str) -> (usize, Option<&Named>) {
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of the number of slots")]
        let mut at = self.hasher.hash_one(prefix) as usize % SLOTS;
        loop {
            match self.slots[at].get() {
                Some(named) if *named.text != *prefix => at = (at + 1) % SLOTS,
                named => return (at, named),
            }
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
        let named = self.slots.iter().filter_map(OnceLock::get);
        let mut all: Vec<Prefix> = named.map(|named| named.reads.of(Some(named.text.clone()))).collect();
        all.sort_unstable_by(|one, other| (other.reads(), &one.text).cmp(&(one.reads(), &other.text)));
        all.extend(Some(self.others.of(None)).filter(|others| others.reads() > 0));
        all
    }

    /// The counts of a prefix that has had none; those of all others if there is no place any more.
    #[cold]
    fn add(&self, prefix: &str) -> &Reads {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        // As it is now that nobody else adds any.
        let (at, named) = self.find(prefix);
        if let Some(named) = named {
            return &named.reads;
        }
        if self.count.load(Relaxed) >= MAX_PREFIXES {
            return &self.others;
        }
        self.count.fetch_add(1, Relaxed);
        let named = self.slots[at].get_or_init(|| Named { text: prefix.into(), reads: Reads::default() });
        &named.reads
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
    use std::collections::HashMap;

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
    fn the_counts_are_those_of_the_prefix_whatever_was_counted_before_and_in_which_region() {
        let kinds = ["", "a", "a:", "a:b:", "ab:", ":", "b:a:", "b", "bb:", "ä:", "aä:"];
        for delimiter in [':', 'ä', '→'] {
            let regions = [Prefixes::new(delimiter), Prefixes::new(delimiter)];
            let mut expected = [HashMap::new(), HashMap::new()];
            let mut random = 1_u64;
            for _ in 0..20_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let of = |shift: u32, many: usize| usize::try_from(random >> shift).expect("64 bits") % many;
                let (region, is_hit) = (of(40, 2), of(50, 3) > 0);
                let key = format!("{}{}", kinds[of(33, kinds.len())], of(55, 50));
                let prefix = key.split_inclusive(delimiter).next().filter(|it| it.ends_with(delimiter));
                let counts: &mut [u64; 2] =
                    expected[region].entry(prefix.unwrap_or("").to_owned()).or_default();
                counts[usize::from(is_hit)] += 1;
                regions[region].count(&key, is_hit);
            }
            for (region, expected) in regions.iter().zip(expected) {
                let all =
                    region.all().into_iter().map(|it| (it.text.expect("few").into(), [it.misses, it.hits]));
                assert_eq!(all.collect::<HashMap<String, [u64; 2]>>(), expected);
            }
        }
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
    fn who_comes_second_with_a_new_prefix_counts_with_the_first() {
        let prefixes = Prefixes::new(':');
        // As if none of them had found it yet.
        (0..3).for_each(|_| prefixes.add("a:").count(true));
        for at in 1..MAX_PREFIXES {
            prefixes.count(&format!("{at}:k"), true);
        }
        let all = prefixes.all();
        assert_eq!((all.len(), all[0].hits), (MAX_PREFIXES, 3));
        assert!(all.iter().all(|prefix| prefix.text.is_some()), "all have counts of their own");
    }

    #[test]
    fn no_read_is_lost_while_prefixes_are_added_by_many() {
        const THREADS: u64 = 4;
        const KEYS: u64 = 100;
        let (rounds, begin) = ((0..400).map(|_| Prefixes::new(':')), std::sync::Barrier::new(4));
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

    #[test]
    fn of_two_who_add_at_the_same_moment_each_counts_with_its_own_prefix_and_none_is_counted_twice() {
        // They meet before each key, so that none of them has found yet what the other adds.
        let (rounds, arrived): (Vec<_>, _) =
            ((0..400).map(|_| Prefixes::new(':')).collect(), AtomicUsize::new(0));
        let meets = |meeting: usize| {
            arrived.fetch_add(1, Relaxed);
            let mut looks = 0_u32;
            while arrived.load(Relaxed) < 2 * (meeting + 1) {
                looks += 1;
                // The other one may need this processor.
                if looks.is_multiple_of(256) { std::thread::yield_now() } else { std::hint::spin_loop() }
            }
        };
        let counts = |is_first: bool| {
            for (round, prefixes) in rounds.iter().enumerate() {
                for at in 0..MAX_PREFIXES {
                    meets(round * MAX_PREFIXES + at);
                    // The same prefix by turns, and one that is the other's next.
                    let of = if is_first || at % 2 == 0 { at } else { (at + 1) % MAX_PREFIXES };
                    prefixes.count(&format!("{of}:k"), is_first);
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| counts(false));
            counts(true);
        });
        for prefixes in rounds {
            let all = prefixes.all();
            assert!(all.iter().all(|prefix| prefix.text.is_some()), "all have counts of their own: {all:?}");
            assert_eq!(all.iter().map(|prefix| prefix.hits).collect::<Vec<_>>(), [1; MAX_PREFIXES]);
        }
    }
}
