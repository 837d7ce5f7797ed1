//! S3-FIFO: three first-in-first-out queues. Most entries are read once, so they get a tenth of the room to prove more.
//!
//! ```text
//!  new ────────> small ── used twice or more ──> main ──┐ used: once more around
//!    \             │                             ^ │ <──┘
//!     \            v not used twice              │ v not used
//!      \         ghosts (fingerprints only)      │ gone
//!       └── is a ghost ──────────────────────────┘
//! ```
//! A use only counts, up to 3, and nothing moves before it comes to the end of its queue.
//!
//! Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023, algorithm 1, with the parameters
//! of the authors' simulator libCacheSim (commit aa0fc409): a small queue of 10 %, as many ghosts as 90 % of the
//! entries, two uses to enter the main queue. A test pins its miss counts. Here each share is taken of the entries
//! held when one is evicted: the policy is told of no limit, and by weight the number changes.

use std::num::NonZeroU8;

use super::Evict;
use super::ghost::Ghosts;
use crate::node::{Slab, Slot};
use crate::queue::Queue;

#[derive(Debug, Default)]
pub(super) struct S3Fifo {
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
}

const SMALL: NonZeroU8 = NonZeroU8::MIN;
const MAIN: NonZeroU8 = NonZeroU8::MIN.saturating_add(1);
const USES_TO_ENTER_MAIN: u8 = 2;

impl Evict for S3Fifo {
    const MOST_USES: u8 = 3;

    #[inline(never)]
    fn insert(&mut self, slab: &mut impl Slab, slot: Slot) {
        let returns = self.ghosts.take(slab.fingerprint(slot));
        slab.node_mut(slot).queue = if returns { MAIN } else { SMALL };
        let queue = if returns { &mut self.main } else { &mut self.small };
        queue.push(slab, slot);
    }

    fn prepare(&self, slab: &impl Slab, fingerprint: u32) -> Option<Slot> {
        self.ghosts.prepare(slab, fingerprint);
        let second = self.small.prepare(slab).or_else(|| self.main.prepare(slab))?;
        self.ghosts.fetch(slab, slab.fingerprint(second));
        Some(second)
    }

    fn remove(&mut self, slab: &mut impl Slab, slot: Slot) {
        let queue = if slab.node(slot).queue == MAIN { &mut self.main } else { &mut self.small };
        queue.remove(slab, slot);
    }

    #[inline(never)]
    fn evict(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        let held = self.small.len() + self.main.len();
        // With fewer than ten entries, one is small: else the main queue would have all the room and never be full.
        let room_in_main = held - (held / 10).max(1).min(held);
        if self.main.len() <= room_in_main
            && let Some(victim) = self.evict_from_small(slab, held)
        {
            return Some(victim);
        }
        self.evict_from_main(slab).or_else(|| self.evict_from_small(slab, held))
    }
}

impl S3Fifo {
    /// `None` if all that was left in the small queue went to the main one.
    fn evict_from_small(&mut self, slab: &mut impl Slab, held: u32) -> Option<Slot> {
        while let Some(slot) = self.small.pop(slab) {
            let node = slab.node_mut(slot);
            if std::mem::take(&mut node.uses) < USES_TO_ENTER_MAIN {
                let ghosts = u64::from(held) * 9 / 10;
                self.ghosts.insert(slab.fingerprint(slot), usize::try_from(ghosts).unwrap_or(usize::MAX));
                return Some(slot);
            }
            node.queue = MAIN;
            self.main.push(slab, slot);
        }
        None
    }

    fn evict_from_main(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        loop {
            let oldest = self.main.oldest()?;
            let uses = &mut slab.node_mut(oldest).uses;
            if *uses == 0 {
                return self.main.pop(slab);
            }
            *uses -= 1;
            self.main.rotate(slab);
        }
    }
}
