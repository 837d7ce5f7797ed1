//! What is true, what may still be answered, and what was: the judge of a trial.
//!
//! A change is **acknowledged** when its call returns. From then on nothing older may be answered at that node, and nowhere once
//! the bound has passed since then and, where its node could not tell of it, since that was over. What was binding once stays so.

use std::array;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache_core::{Clock, SystemClock, Time};

pub(super) const NODES: usize = 3;
pub(super) const KEYS: u32 = 64;
/// How many of the things that went wrong are told in words.
const EXAMPLES: usize = 5;

pub(super) struct Book {
    clock: SystemClock,
    bound: Duration,
    /// Since when others can know of what each node changes: never while it cannot tell the tier, or the other nodes.
    heard_since: Mutex<[Time; NODES]>,
    pages: [Mutex<Page>; KEYS as usize],
    /// Whether what takes long counts: not while connections are made for the first time.
    is_on: AtomicBool,
    pub(super) counts: Counts,
    examples: Mutex<Vec<String>>,
}

/// What is known of a key.
struct Page {
    /// The version at the source.
    source: u64,
    /// When each version was acknowledged, and by which node; the first one at the beginning.
    acknowledged: Vec<(Time, usize)>,
    /// The newest version acknowledged by each node.
    own: [u64; NODES],
    /// The newest version that all have to know.
    bound: u64,
}

/// Times are in microseconds.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) reads: AtomicU64,
    pub(super) changes: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) wrong: AtomicU64,
    pub(super) overtaken: AtomicU64,
    pub(super) longest_overtaken: AtomicU64,
    pub(super) longest_read: AtomicU64,
    pub(super) longest_change: AtomicU64,
}

/// What a read that begins now may answer at the oldest.
pub(super) struct Floor {
    begun: Time,
    version: u64,
}

impl Book {
    pub(super) fn new(bound: Duration) -> Arc<Self> {
        let clock = SystemClock::new();
        let now = clock.now();
        let page = || Page { source: 0, acknowledged: vec![(now, 0)], own: [0; NODES], bound: 0 };
        Arc::new(Self {
            clock,
            bound,
            heard_since: Mutex::new([Time::ZERO; NODES]),
            pages: array::from_fn(|_| Mutex::new(page())),
            is_on: AtomicBool::new(false),
            counts: Counts::default(),
            examples: Mutex::default(),
        })
    }

    /// The fault begins, and these nodes cannot tell everybody what they change.
    pub(super) fn breaks(&self, mute: [bool; NODES]) {
        self.is_on.store(true, SeqCst);
        for (since, _) in lock(&self.heard_since).iter_mut().zip(mute).filter(|(_, is_mute)| *is_mute) {
            *since = Time::NEVER;
        }
    }

    /// The fault is over.
    pub(super) fn heals(&self) {
        let now = self.clock.now();
        for since in lock(&self.heard_since).iter_mut().filter(|since| **since == Time::NEVER) {
            *since = now;
        }
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// The version at the source.
    pub(super) fn source(&self, key: u32) -> u64 {
        self.page(key).source
    }

    /// Changes the source, and gives its new version. Who does so is the only one to change this key.
    pub(super) fn change(&self, key: u32) -> u64 {
        let mut page = self.page(key);
        page.source += 1;
        page.source
    }

    /// The node has been told of the version, from this moment on.
    pub(super) fn acknowledge(&self, node: usize, key: u32, begun: Time) {
        let mut page = self.page(key);
        let now = self.clock.now();
        page.acknowledged.push((now, node));
        page.own[node] = page.source;
        drop(page);
        self.counts.changes.fetch_add(1, SeqCst);
        self.took(&self.counts.longest_change, now.since(begun));
    }

    pub(super) fn floor(&self, node: usize, key: u32) -> Floor {
        let heard_since = *lock(&self.heard_since);
        let mut page = self.page(key);
        let begun = self.clock.now();
        let binds = |(at, by): &(Time, usize)| {
            let since = heard_since[*by];
            since != Time::NEVER && (*at).max(since).after(self.bound) <= begun
        };
        let from = page.bound + 1;
        let later = page.acknowledged.iter().skip(usize::try_from(from).unwrap_or(usize::MAX));
        let newest = (from..).zip(later).filter(|(_, change)| binds(change)).last();
        page.bound = newest.map_or(page.bound, |(version, _)| version);
        Floor { begun, version: page.bound.max(page.own[node]) }
    }

    /// Judges an answer: its key, and a version that may be answered and exists.
    pub(super) fn judge(&self, node: usize, key: u32, floor: &Floor, answer: &str) {
        self.took(&self.counts.longest_read, self.clock.now().since(floor.begun));
        self.counts.reads.fetch_add(1, SeqCst);
        let read = answer.split_once(' ').filter(|(of, _)| *of == key.to_string());
        let version = read.and_then(|(_, version)| version.parse::<u64>().ok());
        let page = self.page(key);
        let newer = version.and_then(|it| page.acknowledged.get(usize::try_from(it).ok()? + 1).copied());
        if let Some(since) = newer.map(|(at, _)| at).filter(|at| *at < floor.begun) {
            self.counts.overtaken.fetch_add(1, SeqCst);
            self.took(&self.counts.longest_overtaken, floor.begun.since(since));
        }
        let source = page.source;
        let least = page.acknowledged.get(usize::try_from(floor.version).unwrap_or(usize::MAX)).copied();
        drop(page);
        if !version.is_some_and(|it| (floor.version..=source).contains(&it)) {
            self.counts.wrong.fetch_add(1, SeqCst);
            let mut what = format!(
                "node {node} answers key {key} with `{answer}`; right is {} to {source}",
                floor.version
            );
            if let Some((at, by)) = least {
                let ago = floor.begun.since(at);
                what = format!("{what}, which node {by} was told {ago:?} before");
            }
            self.note(what);
        }
    }

    /// A caller has seen an error.
    pub(super) fn fails(&self, error: &dyn std::error::Error) {
        self.counts.errors.fetch_add(1, SeqCst);
        self.note(error.to_string());
    }

    pub(super) fn examples(&self) -> Vec<String> {
        lock(&self.examples).clone()
    }

    fn note(&self, what: String) {
        let mut examples = lock(&self.examples);
        if examples.len() < EXAMPLES {
            examples.push(what);
        }
    }

    fn took(&self, longest: &AtomicU64, time: Duration) {
        if self.is_on.load(SeqCst) {
            longest.fetch_max(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), SeqCst);
        }
    }

    fn page(&self, key: u32) -> MutexGuard<'_, Page> {
        lock(&self.pages[key as usize])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(book: &Book) -> u64 {
        book.counts.wrong.load(SeqCst)
    }

    fn changed(book: &Book, node: usize, key: u32) {
        book.change(key);
        book.acknowledge(node, key, book.now());
    }

    #[test]
    fn a_node_may_not_answer_what_it_has_changed_itself() {
        let book = Book::new(Duration::from_hours(1));
        let before = book.floor(0, 7);
        changed(&book, 0, 7);
        book.judge(0, 7, &before, "7 0");
        book.judge(1, 7, &book.floor(1, 7), "7 0");
        assert_eq!(wrong(&book), 0, "one has begun before, the other need not know yet");
        assert_eq!(book.counts.overtaken.load(SeqCst), 1);
        book.judge(0, 7, &book.floor(0, 7), "7 0");
        assert_eq!(wrong(&book), 1);
        assert!(book.examples()[0].contains("right is 1 to 1"));
    }

    #[test]
    fn after_the_bound_nobody_may_unless_its_node_could_not_tell() {
        let book = Book::new(Duration::ZERO);
        changed(&book, 0, 7);
        book.judge(1, 7, &book.floor(1, 7), "7 0");
        assert_eq!(wrong(&book), 1);
        book.breaks([true, true, false]);
        changed(&book, 0, 7);
        book.judge(1, 7, &book.floor(1, 7), "7 1");
        assert_eq!(wrong(&book), 1);
        book.judge(1, 7, &book.floor(1, 7), "7 0");
        assert_eq!(wrong(&book), 2, "what all knew before stays known");
        changed(&book, 2, 8);
        book.judge(1, 8, &book.floor(1, 8), "8 0");
        assert_eq!(wrong(&book), 3, "this one could");
        book.heals();
        book.judge(1, 7, &book.floor(1, 7), "7 1");
        assert_eq!(wrong(&book), 4);
    }

    #[test]
    fn what_never_was_is_wrong() {
        let book = Book::new(Duration::from_hours(1));
        for answer in ["7 1", "8 0", "7", "7 x", ""] {
            book.judge(0, 7, &book.floor(0, 7), answer);
        }
        assert_eq!(wrong(&book), 5);
    }
}
