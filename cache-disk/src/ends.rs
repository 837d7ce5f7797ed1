//! Who ends next. Ends that changed stay in the queue until they come up, or until they are more than those that count.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::record::NEVER;

/// So few are not worth tidying.
const FEW: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Ends {
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    /// How many entries have an end.
    mortal: usize,
}

impl Ends {
    /// Notes the end of an entry, if it has one.
    pub(crate) fn note(&mut self, gone: u64, hash: u64) {
        if gone != NEVER {
            self.mortal += 1;
            self.queue.push(Reverse((gone, hash)));
        }
    }

    /// Notes that an entry with this end has gone, or has another end now.
    pub(crate) fn forget(&mut self, gone: u64) {
        self.mortal -= usize::from(gone != NEVER);
    }

    /// The next end that has come, and whose it is, or was.
    pub(crate) fn next(&mut self, now: u64) -> Option<(u64, u64)> {
        let Reverse((gone, _)) = self.queue.peek()?;
        if *gone > now {
            return None;
        }
        self.queue.pop().map(|Reverse(end)| end)
    }

    /// Drops what does not count any more, if that is most.
    pub(crate) fn tidy(&mut self, counts: impl Fn(u64, u64) -> bool) {
        if self.queue.len() > 2 * self.mortal + FEW {
            self.queue.retain(|Reverse((gone, hash))| counts(*gone, *hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_takes_no_more_room_than_what_counts() {
        let mut ends = Ends::default();
        for round in 0..100_000 {
            ends.note(round, 7);
            ends.tidy(|gone, _| gone == round);
            ends.forget(round);
        }
        assert!(ends.queue.len() <= FEW + 2, "{}", ends.queue.len());
    }

    #[test]
    fn ends_come_in_order_and_not_before_their_time() {
        let mut ends = Ends::default();
        for (gone, hash) in [(30, 3), (10, 1), (NEVER, 9), (20, 2)] {
            ends.note(gone, hash);
        }
        assert_eq!(
            [ends.next(9), ends.next(20), ends.next(20), ends.next(20)],
            [None, Some((10, 1)), Some((20, 2)), None]
        );
        assert_eq!([ends.next(NEVER - 1), ends.next(NEVER - 1)], [Some((30, 3)), None]);
    }
}
