//! Notes: what a store knew of a key before its value was read at the source, so that the value is stored only if nothing
//! has happened to the key since.
//!
//! ```text
//! note ─► read the source ─► put_noted          stored
//! note ─► read the source ─┬► put_noted          refused: what was read is older than the removal
//!                remove ───┘
//! ```
//!
//! A [`Note`] means something only to the store that gave it. Stores in one process keep theirs in [`Notes`].

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use bytes::Bytes;

use crate::{Key, Tags};

/// What a store knew of a key at a moment: a few bytes that only this store can read. A clone is the same note.
///
/// ```
/// use cache_core::Note;
/// assert!(Note::NONE.is_none() && !Note::new("7").is_none());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Note(Bytes);

impl Note {
    /// No condition: what is written under it is written as [`put_many`](crate::Store::put_many) writes.
    pub const NONE: Self = Self(Bytes::new());

    /// The note of these bytes; [`Note::NONE`] if there are none.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// What the store has written into it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tells whether it makes no condition.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    fn of(number: u64) -> Self {
        Self(Bytes::copy_from_slice(&number.to_le_bytes()))
    }

    fn number(&self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.0.first_chunk().filter(|_| self.0.len() == 8)?))
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Note").field(&format_args!("{} bytes", self.0.len())).finish()
    }
}

/// The notes of a store that lives in one process, as a plain value behind the store's own lock.
///
/// It remembers keys about which somebody has taken a note, until something happens to them. At its bound it forgets who was
/// noted longest ago, and what is forgotten is refused.
///
/// ```
/// use cache_core::{Key, Notes, Tags};
/// let (mut notes, key) = (Notes::new(1000), Key::new("user:42")?);
/// let [early, late] = [notes.note(&key, &Tags::NONE), notes.note(&key, &Tags::NONE)];
/// assert!(notes.holds(&key, &early) && notes.holds(&key, &late));
/// notes.forget(&key);
/// assert!(!notes.holds(&key, &early) && !notes.holds(&key, &late));
/// # Ok::<(), cache_core::KeyError>(())
/// ```
#[derive(Debug)]
pub struct Notes {
    max: usize,
    noted: HashMap<Key, Noted>,
    /// Each key by its last note, so that the oldest is found.
    by_age: BTreeMap<u64, Key>,
    next: u64,
}

/// All notes of a key since something last happened to it.
#[derive(Debug)]
struct Noted {
    first: u64,
    last: u64,
    tags: Tags,
}

impl Notes {
    /// Room for notes of so many keys; at least one.
    pub fn new(max: usize) -> Self {
        // Numbers begin anywhere, so that a note of another store, or of this one before a restart, is none of these.
        let next = RandomState::new().hash_one(()) >> 1;
        Self { max: max.max(1), noted: HashMap::new(), by_age: BTreeMap::new(), next }
    }

    /// Takes a note of a key and of the tags that what is written under it may carry.
    ///
    /// It shares the tags of earlier notes of the key; where those would be too many together, the earlier ones are forgotten.
    pub fn note(&mut self, key: &Key, tags: &Tags) -> Note {
        let number = self.fresh();
        if let Some(noted) = self.noted.get_mut(key) {
            self.by_age.remove(&noted.last);
            noted.last = number;
            if let Some(tags) = together(&noted.tags, tags) {
                noted.tags = tags;
            } else {
                (noted.first, noted.tags) = (number, tags.clone());
            }
        } else {
            if self.noted.len() == self.max
                && let Some((_, oldest)) = self.by_age.pop_first()
            {
                self.noted.remove(&oldest);
            }
            self.noted.insert(key.clone(), Noted { first: number, last: number, tags: tags.clone() });
        }
        self.by_age.insert(number, key.clone());
        Note::of(number)
    }

    /// A note that is refused: for who asks while something happens to the key.
    pub fn refused(&mut self) -> Note {
        Note::of(self.fresh())
    }

    /// Tells whether nothing has happened to the key since this note was taken.
    pub fn holds(&self, key: &Key, note: &Note) -> bool {
        let Some(noted) = self.noted.get(key) else { return false };
        note.number().is_some_and(|number| (noted.first..=noted.last).contains(&number))
    }

    /// Exchanges a note that holds for one that is the only one of its key that does, until the next one is taken.
    pub fn exchange(&mut self, key: &Key, note: &Note) -> Option<Note> {
        if !self.holds(key, note) {
            return None;
        }
        let number = self.fresh();
        let noted = self.noted.get_mut(key)?;
        self.by_age.remove(&noted.last);
        (noted.first, noted.last) = (number, number);
        self.by_age.insert(number, key.clone());
        Some(Note::of(number))
    }

    /// Something happens to this key: forgets its notes.
    pub fn forget(&mut self, key: &Key) {
        // Most writes come when nobody has noted anything.
        if !self.noted.is_empty()
            && let Some(noted) = self.noted.remove(key)
        {
            self.by_age.remove(&noted.last);
        }
    }

    /// Something happens to all that it `covers`, by their keys and the tags that their notes name: forgets their notes.
    pub fn forget_if(&mut self, covers: impl Fn(&Key, &Tags) -> bool) {
        let gone = self.noted.extract_if(|key, noted| covers(key, &noted.tags));
        for (_, noted) in gone {
            self.by_age.remove(&noted.last);
        }
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// Both sets in one; `None` if those are too many tags for one.
fn together(some: &Tags, others: &Tags) -> Option<Tags> {
    if others.iter().all(|tag| some.contains(tag.as_str())) {
        return Some(some.clone());
    }
    Tags::new(some.iter().chain(others).map(crate::Tag::as_str)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_TAGS;

    fn key(name: &str) -> Key {
        Key::new(name).expect("legal")
    }

    fn tags(names: impl IntoIterator<Item = usize>) -> Tags {
        Tags::new(names.into_iter().map(|name| name.to_string())).expect("legal")
    }

    #[test]
    fn a_note_holds_for_its_key_until_something_happens_to_it() {
        let mut notes = Notes::new(10);
        let note = notes.note(&key("a"), &Tags::NONE);
        assert!(notes.holds(&key("a"), &note) && !notes.holds(&key("b"), &note));
        notes.forget(&key("b"));
        assert!(notes.holds(&key("a"), &note));
        notes.forget(&key("a"));
        let later = notes.note(&key("a"), &Tags::NONE);
        assert!(!notes.holds(&key("a"), &note) && notes.holds(&key("a"), &later));
        let refused = notes.refused();
        assert!(!notes.holds(&key("a"), &refused), "it was never noted");
    }

    #[test]
    fn whoever_exchanges_a_note_leaves_nothing_to_the_others() {
        let mut notes = Notes::new(10);
        let [one, two] = [0, 0].map(|_| notes.note(&key("a"), &Tags::NONE));
        let mine = notes.exchange(&key("a"), &one).expect("it holds");
        assert!(notes.holds(&key("a"), &mine) && !notes.holds(&key("a"), &two));
        assert_eq!(notes.exchange(&key("a"), &two), None);
        notes.forget(&key("a"));
        assert!(!notes.holds(&key("a"), &mine));
    }

    #[test]
    fn a_group_is_forgotten_by_its_keys_and_by_the_tags_that_were_named() {
        let mut notes = Notes::new(10);
        let [plain, one, two] =
            [(key("a:1"), tags([])), (key("a:2"), tags([1])), (key("b"), tags([2]))].map(|(key, tags)| {
                let note = notes.note(&key, &tags);
                (key, note)
            });
        let left = |notes: &Notes| [&plain, &one, &two].map(|(key, note)| notes.holds(key, note));
        notes.forget_if(|_, tags| tags.contains("1"));
        assert_eq!(left(&notes), [true, false, true]);
        notes.forget_if(|key, _| key.as_str().starts_with("a:"));
        assert_eq!(left(&notes), [false, false, true]);
        assert_eq!((notes.noted.len(), notes.by_age.len()), (1, 1));
    }

    #[test]
    fn notes_of_a_key_share_their_tags_as_long_as_those_are_few() {
        let mut notes = Notes::new(10);
        let early = notes.note(&key("a"), &tags([1]));
        let late = notes.note(&key("a"), &tags([2]));
        assert!(notes.holds(&key("a"), &early) && notes.holds(&key("a"), &late));
        let many = notes.note(&key("a"), &tags(100..100 + MAX_TAGS));
        assert!(!notes.holds(&key("a"), &early) && notes.holds(&key("a"), &many));
        notes.forget_if(|_, tags| tags.contains("100"));
        assert!(!notes.holds(&key("a"), &many));
    }

    #[test]
    fn at_the_bound_the_oldest_is_forgotten() {
        let mut notes = Notes::new(2);
        let [a, _] = ["a", "b"].map(|name| notes.note(&key(name), &Tags::NONE));
        let again = notes.note(&key("a"), &Tags::NONE);
        let c = notes.note(&key("c"), &Tags::NONE);
        assert!([&a, &again].into_iter().all(|note| notes.holds(&key("a"), note)), "it is not the oldest");
        assert!(notes.holds(&key("c"), &c));
        for number in 0..1000 {
            notes.note(&key(&number.to_string()), &Tags::NONE);
            assert_eq!((notes.noted.len(), notes.by_age.len()), (2, 2));
        }
        assert!(!notes.holds(&key("a"), &again));
    }

    #[test]
    fn what_is_no_note_of_this_book_holds_nothing() {
        let (mut notes, mut others) = (Notes::new(10), Notes::new(10));
        notes.note(&key("a"), &Tags::NONE);
        for note in [Note::NONE, Note::new("x"), Note::new("eight by"), others.note(&key("a"), &Tags::NONE)] {
            assert!(!notes.holds(&key("a"), &note), "{note:?}");
        }
    }
}
