//! The notes of a store whose writers are threads: what each write has to do before and after, so that a noted write
//! is ordered with it.
//!
//! ```text
//! any write    begins: forgets the notes it concerns ── happens ── ends: notes taken meanwhile are refused
//! noted write  is a write too, which keeps a note of its own: if that is gone when it becomes visible, it was overtaken
//! ```
//!
//! No lock is held while a write happens: it may call a listener, which may do what it likes.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use cache_core::{Key, Note, Notes, Tags};
use parking_lot::{Mutex, MutexGuard};

/// Writers of different keys seldom meet in as many groups.
const GROUPS: usize = 64;
/// About 32,000 keys in all, and a few mebibytes if they are all noted.
const MAX_NOTED: usize = 512;

#[derive(Debug)]
pub(crate) struct Noted {
    groups: Box<[Mutex<Group>]>,
    hasher: RandomState,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Group {
    notes: Notes,
    /// How many writes of keys of this group are happening.
    writing: usize,
}

impl Noted {
    pub(crate) fn new() -> Self {
        let group = |_| Mutex::new(Group { notes: Notes::new(MAX_NOTED), writing: 0 });
        let groups = (0..GROUPS).map(group).collect();
        Self { groups, hasher: RandomState::new(), refused: AtomicU64::new(0) }
    }

    /// How many noted writes were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(crate) fn note(&self, key: &Key, tags: &Tags) -> Note {
        let mut group = self.group(key).lock();
        // Whoever reads now may still see what is being written over.
        if group.writing > 0 { group.notes.refused() } else { group.notes.note(key, tags) }
    }

    /// Has a write of this key happen.
    pub(crate) fn write<T>(&self, key: &Key, write: impl FnOnce() -> T) -> T {
        let group = self.group(key);
        let mut begun = group.lock();
        begun.notes.forget(key);
        let _ends = Ends::of(group, begun);
        write()
    }

    /// Has a write of all happen that it `covers`, by their keys and the tags that their notes name.
    pub(crate) fn write_all<T>(&self, covers: impl Fn(&Key, &Tags) -> bool, write: impl FnOnce() -> T) -> T {
        let begin = |group| {
            let mut begun: MutexGuard<'_, Group> = Mutex::lock(group);
            begun.notes.forget_if(&covers);
            Ends::of(group, begun)
        };
        let _ends: Vec<Ends<'_>> = self.groups.iter().map(begin).collect();
        write()
    }

    /// Has a write of this key happen if the note holds, and says whether it has. `write` is given what tells it, at the
    /// moment when it becomes visible, whether it still may, and says whether it was kept from it.
    pub(crate) fn write_noted(
        &self,
        key: &Key,
        note: &Note,
        write: impl FnOnce(&dyn Fn() -> bool) -> bool,
    ) -> bool {
        let group = self.group(key);
        let mut begun = group.lock();
        let stored = begun.notes.exchange(key, note).is_some_and(|own| {
            let _ends = Ends::of(group, begun);
            let stored = write(&|| group.lock().notes.holds(key, &own));
            group.lock().notes.forget(key);
            stored
        });
        if !stored {
            self.refused.fetch_add(1, Relaxed);
        }
        stored
    }

    fn group(&self, key: &Key) -> &Mutex<Group> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let hash = self.hasher.hash_one(key) as usize;
        &self.groups[hash % GROUPS]
    }
}

/// Ends a write of a group when it is dropped, even by a panic.
struct Ends<'a>(&'a Mutex<Group>);

impl<'a> Ends<'a> {
    fn of(group: &'a Mutex<Group>, mut begun: MutexGuard<'_, Group>) -> Self {
        begun.writing += 1;
        Self(group)
    }
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.lock().writing -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name).expect("legal")
    }

    #[test]
    fn what_is_noted_while_something_is_written_is_refused() {
        let noted = Noted::new();
        for all in [false, true] {
            let mut note = Note::NONE;
            let mut write = || note = noted.note(&key("k"), &Tags::NONE);
            if all {
                noted.write_all(|_, _| false, write);
            } else {
                noted.write(&key("k"), &mut write);
            }
            assert!(!noted.write_noted(&key("k"), &note, |_| true));
        }
        let later = noted.note(&key("k"), &Tags::NONE);
        assert!(noted.write_noted(&key("k"), &later, |may| may()));
        assert_eq!(noted.refused(), 2);
    }

    #[test]
    fn a_noted_write_is_kept_from_becoming_visible_by_whatever_comes_before_that() {
        let noted = Noted::new();
        let tags = Tags::new(["t"]).expect("legal");
        let ways: [&dyn Fn(); 3] = [
            &|| noted.write(&key("k"), || {}),
            &|| noted.write_all(|key, _| key.as_str() == "k", || {}),
            &|| noted.write_all(|_, tags| tags.contains("t"), || {}),
        ];
        for way in ways {
            let [one, other] = [0, 0].map(|_| noted.note(&key("k"), &tags));
            let stored = noted.write_noted(&key("k"), &one, |may| {
                assert!(may() && may(), "it may be asked more than once");
                assert!(!noted.write_noted(&key("k"), &other, |_| true), "the first of two wins");
                way();
                may()
            });
            assert!(!stored);
        }
    }

    #[test]
    fn a_write_that_panics_has_ended() {
        let noted = Noted::new();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            noted.write(&key("k"), || panic!("as told"));
        }));
        assert!(panicked.is_err());
        let note = noted.note(&key("k"), &Tags::NONE);
        assert!(noted.write_noted(&key("k"), &note, |may| may()));
    }
}
