//! Who reads without a lock, in every schedule: nothing that a reader may still look at is freed.

mod sync {
    pub(super) use std::sync::Arc;

    use loom::sync::atomic::fence;
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};

    /// The whole barrier on both sides: that one of its halves may be run by the system on the other's behalf is the system's
    /// promise.
    pub(super) fn light() {
        fence(Ordering::SeqCst);
    }

    pub(super) fn heavy() -> bool {
        fence(Ordering::SeqCst);
        true
    }

    pub(super) fn pause(_round: u32) {
        loom::thread::yield_now();
    }
}

#[path = "../../src/optimistic/readers.rs"]
mod marks;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use loom::thread;
use marks::Readers;

/// Two tables, of which the first is replaced by the second and freed.
struct Shelf {
    readers: Readers,
    /// Which table there is to be found.
    table: AtomicU64,
    is_freed: AtomicBool,
}

impl Shelf {
    fn new(threads: usize) -> Arc<Self> {
        loom::sync::Arc::new(Self {
            readers: Readers::new(threads),
            table: AtomicU64::new(0),
            is_freed: AtomicBool::new(false),
        })
    }

    fn read(&self, thread: usize) {
        let reading = self.readers.enter(thread).expect("there is a mark");
        let found = self.table.load(Relaxed);
        assert!(found == 1 || !self.is_freed.load(Relaxed), "it was freed while it was read");
        reading.end().count_hits(1);
    }

    fn replace(&self) {
        self.table.store(1, Relaxed);
        assert!(self.readers.wait_out());
        self.is_freed.store(true, Relaxed);
    }
}

#[test]
fn what_is_read_is_not_freed() {
    loom::model(|| {
        let shelf = Shelf::new(1);
        let reader = {
            let shelf = Arc::clone(&shelf);
            thread::spawn(move || {
                shelf.read(0);
                shelf.read(0);
            })
        };
        shelf.replace();
        reader.join().expect("no panic in the model");
        assert_eq!(shelf.readers.counts(), (2, 0));
    });
}

#[test]
fn all_who_read_are_waited_for() {
    // Three threads have too many schedules to try all: those with up to three preemptions.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let shelf = Shelf::new(2);
        let readers: Vec<_> = (0..2)
            .map(|number| {
                let shelf = Arc::clone(&shelf);
                thread::spawn(move || shelf.read(number))
            })
            .collect();
        shelf.replace();
        for reader in readers {
            reader.join().expect("no panic in the model");
        }
        assert_eq!(shelf.readers.counts(), (2, 0));
    });
}

#[test]
fn who_goes_on_reading_looks_again() {
    loom::model(|| {
        let shelf = Shelf::new(1);
        let reader = {
            let shelf = Arc::clone(&shelf);
            thread::spawn(move || {
                let reading = shelf.readers.enter(0).expect("there is a mark");
                let found = shelf.table.load(Relaxed);
                let reading = reading.end().resume();
                // What was found before may be gone; if it still is there now, it stays.
                assert!(shelf.table.load(Relaxed) != found || found == 1 || !shelf.is_freed.load(Relaxed));
                reading.end().count_miss();
            })
        };
        shelf.replace();
        reader.join().expect("no panic in the model");
        assert_eq!(shelf.readers.counts(), (0, 1));
    });
}

#[test]
fn a_thread_without_a_mark_does_not_read_so() {
    loom::model(|| {
        let readers = Readers::new(1);
        assert!(readers.enter(1).is_none() && !readers.is_empty());
        assert!(
            Readers::new(0).enter(0).is_none() && Readers::new(0).is_empty() && Readers::new(0).wait_out()
        );
    });
}
