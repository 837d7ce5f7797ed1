//! The lock of a shard, in every schedule of its threads: its own source, over the model's atomics in place of the real
//! ones.

mod sync {
    pub(super) use loom::sync::atomic::{Ordering, fence};

    /// The model's number, which writes nothing where it would write what is there.
    ///
    /// Nobody can tell the difference: a step that reads and writes stands right behind what it has read, and publishes the same. But
    /// loom does not know that it does. It puts writes in order only where one thread has heard of the other, so it would let the
    /// count that a waiter has found odd, and left so, come after the even one of a holder who has not looked since.
    pub(super) struct AtomicU64(loom::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub(super) fn new(value: u64) -> Self {
            Self(loom::sync::atomic::AtomicU64::new(value))
        }

        pub(super) fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
            let wanted = |held| Some(held | bits).filter(|wanted| *wanted != held);
            self.0.fetch_update(order, Ordering::Relaxed, wanted).unwrap_or_else(|held| held)
        }

        pub(super) fn load(&self, order: Ordering) -> u64 {
            self.0.load(order)
        }

        pub(super) fn store(&self, value: u64, order: Ordering) {
            self.0.store(value, order);
        }
    }

    /// Who waits lets others run.
    pub(super) fn pause(_round: u32) {
        loom::thread::yield_now();
    }
}

#[path = "../../src/lock/seq.rs"]
mod seq;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use seq::Seq;

/// What the flag guards: a number that is read and written in two steps, neither of which publishes anything. A second
/// thread in between, or one that does not see what the last has written, loses a count.
struct Guarded {
    flag: Seq,
    count: AtomicU32,
}

impl Guarded {
    fn new() -> Arc<Self> {
        let flag = Seq { steps: sync::AtomicU64::new(0) };
        Arc::new(Self { flag, count: AtomicU32::new(0) })
    }

    fn add_one(&self) {
        let count = self.count.load(Relaxed);
        self.count.store(count + 1, Relaxed);
    }
}

#[test]
fn two_threads_are_never_in_it_together_and_see_what_the_other_wrote() {
    loom::model(|| {
        let guarded = Guarded::new();
        let other = Arc::clone(&guarded);
        let thread = thread::spawn(move || {
            other.flag.take();
            other.add_one();
            other.flag.release();
        });
        guarded.flag.take();
        guarded.add_one();
        guarded.flag.release();
        thread.join().expect("no panic in the model");
        guarded.flag.take();
        assert_eq!(guarded.count.load(Relaxed), 2);
    });
}

#[test]
fn who_only_tries_gets_it_or_leaves() {
    loom::model(|| {
        let guarded = Guarded::new();
        let other = Arc::clone(&guarded);
        let thread = thread::spawn(move || {
            if other.flag.try_take() {
                other.add_one();
                other.flag.release();
            }
        });
        if guarded.flag.try_take() {
            guarded.add_one();
            guarded.flag.release();
        }
        thread.join().expect("no panic in the model");
        assert!(guarded.flag.try_take(), "whoever had it has given it back");
    });
}

/// Two numbers that a holder changes one after the other, so that a reader may find them half changed.
struct Halves {
    flag: Seq,
    halves: [AtomicU32; 2],
}

#[test]
fn who_reads_without_it_either_finds_one_moment_or_knows_that_he_does_not() {
    loom::model(|| {
        let flag = Seq { steps: sync::AtomicU64::new(0) };
        let guarded = Arc::new(Halves { flag, halves: [AtomicU32::new(0), AtomicU32::new(0)] });
        let other = Arc::clone(&guarded);
        let thread = thread::spawn(move || {
            other.flag.take();
            other.halves.iter().for_each(|half| half.store(1, Relaxed));
            other.flag.release();
        });
        // A second time, because the model lets no one else go before the first step.
        for begun in (0..2).filter_map(|_| guarded.flag.begin()) {
            let [one, two] = [0, 1].map(|half: usize| guarded.halves[half].load(Relaxed));
            if guarded.flag.is_still(begun) {
                assert_eq!(one, two, "half changed at {begun}");
                assert_eq!(u64::from(one) * 2, begun, "as the holder before has left it");
            }
        }
        thread.join().expect("no panic in the model");
    });
}
