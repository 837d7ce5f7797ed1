//! The bound on keys, shared by all shards: a number that is taken from before a key is kept.
//!
//! It is exact at every moment. A share per shard would refuse keys in one while another has room.

use super::sync::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(crate) struct Room {
    taken: AtomicUsize,
    most: usize,
}

impl Room {
    pub(crate) fn new(most: usize) -> Self {
        Self { taken: AtomicUsize::new(0), most }
    }

    /// Takes the room of one key, if there is any.
    pub(crate) fn take(&self) -> bool {
        let mut taken = self.taken.load(Ordering::Relaxed);
        while taken < self.most {
            match self.taken.compare_exchange_weak(taken, taken + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => taken = now,
            }
        }
        false
    }

    /// Gives the room of so many keys back.
    pub(crate) fn give_back(&self, keys: usize) {
        self.taken.fetch_sub(keys, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}
