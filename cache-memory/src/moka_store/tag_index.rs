//! Which keys carry a tag, beside a cache that knows no tags.
//!
//! A write is known by its stamp, so that a key that was written again, and whose older entry is announced as gone only
//! afterwards, keeps the tags of its newer one. A tag without entries takes no room.

use std::collections::HashMap;

use cache_core::{Key, Tag, Tags};
use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(super) struct TagIndex {
    carriers: Mutex<HashMap<Tag, HashMap<u64, Key>>>,
}

impl TagIndex {
    /// Notes that the entry that was written with this stamp has these tags.
    pub(super) fn insert(&self, tags: &Tags, stamp: u64, key: &Key) {
        if tags.is_empty() {
            return;
        }
        let mut carriers = self.carriers.lock();
        for tag in tags {
            carriers.entry(tag.clone()).or_default().insert(stamp, key.clone());
        }
    }

    /// Forgets the entry that was written with this stamp.
    pub(super) fn remove(&self, tags: &Tags, stamp: u64) {
        if tags.is_empty() {
            return;
        }
        let mut carriers = self.carriers.lock();
        for tag in tags {
            if let Some(entries) = carriers.get_mut(tag) {
                entries.remove(&stamp);
                if entries.is_empty() {
                    carriers.remove(tag);
                }
            }
        }
    }

    /// The entries that carry a tag, as they are now: their stamps and keys.
    pub(super) fn carriers(&self, tag: &Tag) -> Vec<(u64, Key)> {
        let carriers = self.carriers.lock();
        let entries = carriers.get(tag).into_iter().flatten();
        entries.map(|(stamp, key)| (*stamp, key.clone())).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.carriers.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_entry_that_leaves_late_takes_nothing_of_the_newer_one() {
        let index = TagIndex::default();
        let key = Key::new("k").expect("legal");
        let [both, one] = [Tags::new(["a", "b"]), Tags::new(["a"])].map(|tags| tags.expect("legal"));
        index.insert(&both, 1, &key);
        index.insert(&one, 2, &key);
        index.remove(&both, 1);
        assert_eq!(index.carriers(&Tag::new("a").expect("legal")), [(2, key)]);
        assert_eq!(index.len(), 1, "nobody carries b any more");
        index.remove(&one, 2);
        assert_eq!(index.len(), 0);
    }
}
