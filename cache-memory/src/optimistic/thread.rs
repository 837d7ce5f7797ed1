//! A small number for each thread, which no other living thread has, and which another one is given after its end.

use std::cell::Cell;
use std::collections::BTreeSet;

use parking_lot::Mutex;

/// The numbers that were given back, and the lowest one that was never given.
static FREE: Mutex<(BTreeSet<usize>, usize)> = Mutex::new((BTreeSet::new(), 0));

/// Higher than any number: of a thread that has none yet, or no more.
const NONE: usize = usize::MAX;

thread_local! {
    /// Apart from what gives it back, because what has nothing to drop is read without a question whether it still lives.
    static NUMBER: Cell<usize> = const { Cell::new(NONE) };
    static LEASE: Lease = Lease::new();
}

/// This thread's number, or a higher one than any if it has none yet: see [`assign`].
#[inline]
pub(super) fn number() -> usize {
    NUMBER.get()
}

/// Gives this thread a number, unless it is about to end.
#[cold]
pub(super) fn assign() {
    // Fails after the lease has been given back, as this thread ends.
    let _ended = LEASE.try_with(|lease| NUMBER.set(lease.0));
}

struct Lease(usize);

impl Lease {
    fn new() -> Self {
        let (free, next) = &mut *FREE.lock();
        // The lowest one, because there are marks for the lowest only.
        Self(free.pop_first().unwrap_or_else(|| {
            *next += 1;
            *next - 1
        }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        NUMBER.set(NONE);
        FREE.lock().0.insert(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn living_threads_have_different_numbers() {
        let numbers = Mutex::new(BTreeSet::new());
        let barrier = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    assert_eq!(number(), NONE);
                    assign();
                    assert!(numbers.lock().insert(number()), "{} was given twice", number());
                    assign();
                    barrier.wait();
                    assert!(numbers.lock().contains(&number()));
                });
            }
        });
        assert_eq!(numbers.lock().len(), 8);
    }

    #[test]
    fn a_number_is_given_again_after_its_thread_has_ended() {
        let highest = || std::thread::spawn(|| (assign(), number()).1).join().expect("no panic");
        let most = (0..1000).map(|_| highest()).max();
        assert!(most < Some(500), "{most:?}");
    }

    #[test]
    fn a_thread_that_is_about_to_end_has_none() {
        struct AtEnd;
        impl Drop for AtEnd {
            fn drop(&mut self) {
                assign();
                SEEN.lock().push(number());
            }
        }
        thread_local!(static AT_END: AtEnd = const { AtEnd });
        static SEEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());
        let thread = std::thread::spawn(|| {
            // Dropped in the opposite order.
            AT_END.with(|_| ());
            assign();
            assert_ne!(number(), NONE);
        });
        thread.join().expect("no panic");
        assert_eq!(SEEN.lock().as_slice(), [NONE]);
    }
}
