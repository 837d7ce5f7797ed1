//! The lock of a shard, in every schedule of its threads: its own source, over the model's atomics in place of the real
//! ones.

mod sync {
    pub(super) use loom::sync::atomic::{AtomicBool, Ordering};

    /// Who waits lets others run.
    pub(super) fn pause(_round: u32) {
        loom::thread::yield_now();
    }
}

#[path = "../../src/lock/flag.rs"]
mod flag;

use flag::Flag;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;

/// What the flag guards: a number that is read and written in two steps, neither of which publishes anything. A second
/// thread in between, or one that does not see what the last has written, loses a count.
struct Guarded {
    flag: Flag,
    count: AtomicU32,
}

impl Guarded {
    fn new() -> Arc<Self> {
        let flag = Flag { taken: sync::AtomicBool::new(false) };
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
