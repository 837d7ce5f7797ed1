//! Who is reading without a lock: so that what may still be read is not freed.
//!
//! Each thread has a mark of its own, of which it makes an odd number while it reads. Whoever replaces a table waits, before
//! he frees the old one, until every mark that is odd has changed: who begins later finds the new table.
//!
//! ```text
//! reader   mark := odd ─ light ─ finds a table, reads it ─────────── mark := even
//! writer                 puts another in its place ─ heavy ─ is any mark odd? waits ─ frees the old one
//! ```
//!
//! That needs a barrier between the two steps on each side. It would cost the reader more than all of a hit, and the writer,
//! who seldom comes, could bear it; so he has the system run one on each core that runs a thread of this process
//! (`membarrier(2)`), and the reader only keeps its compiler from changing the order. Where the system has no such call there
//! are no marks, and all reads take the lock.
//!
//! Source: `McKenney` and Slingwine, "Read-copy update: using execution history to solve concurrency problems", 1998; the
//! barrier's halves are those of Dice, Huang and Yang, "Asymmetric Dekker synchronization", 2001.

use super::sync::{Arc, AtomicU64, Ordering, heavy, light, pause};

/// The marks of the threads that read one cache; none where all reads take the lock.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    marks: Arc<[Mark]>,
}

/// On a line of its own, because it is written in each read.
#[derive(Debug)]
#[repr(align(64))]
struct Mark {
    /// The lowest bit tells whether its thread is reading, the others count the hits.
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Readers {
    /// Marks for so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            marks: (0..threads)
                .map(|_| Mark { hits: AtomicU64::new(0), misses: AtomicU64::new(0) })
                .collect(),
        }
    }

    /// Tells whether there are no marks.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Begins a read of the thread with this number, which no other living thread has; `None` if there is no mark for it. A
    /// thread does not begin another one of the same readers before that has ended.
    #[inline]
    pub(crate) fn enter(&self, thread: usize) -> Option<Reading<'_>> {
        self.marks.get(thread).map(Reading::begin)
    }

    /// How many hits and misses were counted.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let counts = self
            .marks
            .iter()
            .map(|Mark { hits, misses }| (hits.load(Ordering::Relaxed) >> 1, misses.load(Ordering::Relaxed)));
        counts
            .fold((0, 0), |(hits, misses), (more_hits, more_misses)| (hits + more_hits, misses + more_misses))
    }

    /// Waits until everyone who is reading now has ended, and says whether that is certain. To be called after what they may
    /// have found has been put out of reach, and by nobody who reads himself.
    pub(crate) fn wait_out(&self) -> bool {
        if self.marks.is_empty() {
            return true;
        }
        if !heavy() {
            return false;
        }
        for Mark { hits: mark, .. } in self.marks.iter() {
            let seen = mark.load(Ordering::Acquire);
            let mut round = 0;
            while seen & 1 == 1 && mark.load(Ordering::Acquire) == seen {
                pause(round);
                round += 1;
            }
        }
        true
    }
}

/// A read on its way. What it has found is not freed before it ends.
pub(crate) struct Reading<'a> {
    mark: &'a Mark,
    idle: u64,
}

/// A read that has ended.
pub(crate) struct Ended<'a> {
    mark: &'a Mark,
}

impl<'a> Reading<'a> {
    #[inline]
    fn begin(mark: &'a Mark) -> Self {
        // Nobody else writes it, so two plain steps are one, and what was read of it stays true.
        let idle = mark.hits.load(Ordering::Relaxed);
        debug_assert!(idle & 1 == 0, "this thread is reading already: nobody would wait for it any more");
        mark.hits.store(idle + 1, Ordering::Relaxed);
        light();
        Self { mark, idle }
    }

    #[inline]
    pub(crate) fn end(self) -> Ended<'a> {
        Ended { mark: self.mark }
    }
}

impl Drop for Reading<'_> {
    #[inline]
    fn drop(&mut self) {
        self.mark.hits.store(self.idle, Ordering::Release);
    }
}

impl<'a> Ended<'a> {
    #[inline]
    pub(crate) fn count_hits(self, hits: u64) {
        add(&self.mark.hits, 2 * hits);
    }

    #[inline]
    pub(crate) fn count_miss(self) {
        add(&self.mark.misses, 1);
    }

    /// Goes on reading.
    #[inline]
    pub(crate) fn resume(self) -> Reading<'a> {
        Reading::begin(self.mark)
    }
}

/// Adds to a number that nobody else writes.
#[inline]
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}
