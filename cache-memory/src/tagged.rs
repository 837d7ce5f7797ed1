//! Which slots of a shard carry which tag. An untagged entry never comes here.

use std::collections::{HashMap, HashSet};

use cache_core::{Tag, Tags};
use cache_policy::Slot;
use foldhash::fast::RandomState;

#[derive(Debug, Default)]
pub(crate) struct Tagged {
    slots: HashMap<Tag, HashSet<Slot, RandomState>, RandomState>,
}

impl Tagged {
    pub(crate) fn insert(&mut self, slot: Slot, tags: &Tags) {
        for tag in tags {
            self.slots.entry(tag.clone()).or_default().insert(slot);
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot, tags: &Tags) {
        for tag in tags {
            if let Some(slots) = self.slots.get_mut(tag) {
                slots.remove(&slot);
                if slots.is_empty() {
                    self.slots.remove(tag);
                }
            }
        }
    }

    /// The slots that carry this tag, as they are now.
    pub(crate) fn snapshot(&self, tag: &str) -> Vec<Slot> {
        self.slots.get(tag).map(|slots| slots.iter().copied().collect()).unwrap_or_default()
    }
}
