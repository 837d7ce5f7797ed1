//! What those who read and the one who writes have in common: the index, and the clock it lives by.

use std::sync::Arc;

use cache_core::{Clock, Key, Notes};
use parking_lot::Mutex;

use crate::index::Index;
use crate::stamp::STATE;
use crate::stats::{Start, Stats};

#[derive(Debug)]
pub(crate) struct Shared {
    /// Held for moments only, and never while a file is read or written.
    pub(crate) index: Arc<Mutex<Index>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Taken by callers, and forgotten and looked at by the one who writes: as he does one thing after another, a note that
    /// holds when its write begins holds until that has ended.
    pub(crate) notes: Mutex<Notes>,
}

/// So many keys are remembered by their notes: a few mebibytes if all are.
const MAX_NOTED: usize = 32_768;

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { index: Arc::default(), clock, notes: Mutex::new(Notes::new(MAX_NOTED)) }
    }

    /// The time by which entries live and end, in milliseconds since 1970.
    pub(crate) fn now(&self, index: &Index) -> u64 {
        index.moment(self.clock.now())
    }

    /// Tells whether there may be something to read for any of these keys; counts the misses if not.
    pub(crate) fn may_hold_any(&self, keys: &[Key]) -> bool {
        let mut index = self.index.lock();
        let now = self.now(&index);
        let holds = |key: &Key| index.slot(index.key_hash(key.as_str())).is_some_and(|slot| slot.lives(now));
        let found = keys.iter().any(holds);
        index.stats.misses += if found { 0 } else { keys.len() as u64 };
        found
    }

    pub(crate) fn stats(&self) -> Stats {
        let index = self.index.lock();
        let state = if index.start == Start::Waiting { 0 } else { STATE as u64 };
        Stats { entries: index.len() as u64, bytes: index.bytes() + state, ..index.stats }
    }
}
