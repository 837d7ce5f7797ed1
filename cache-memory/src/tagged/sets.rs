//! The different sets of tags of a shard's entries, and which of them contain a tag.
//!
//! ```text
//! [red]  ──→ member ⇄ member          the sets that contain "red" besides [red] itself
//!              │        │
//!       [blue, red]  [green, red]     each of them knows its members too, one per tag
//! ```
//!
//! A tag is known by the set of it alone, which is here as long as an entry has that set or another set contains the tag.
//! So an entry whose one tag no other entry has, as a user's own, takes a set and nothing else.

use std::hash::{BuildHasher, Hash, Hasher};

use cache_core::{Tag, Tags};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::pool::Pool;

#[derive(Debug, Default)]
pub(super) struct Sets {
    rows: Pool<Set>,
    numbers: HashTable<u32>,
    hasher: RandomState,
    members: Pool<Member>,
}

#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) tags: Tags,
    /// How many entries have this set, and the block of slots that the last of them came into.
    pub(super) entries: u32,
    pub(super) block: u32,
    /// Of a set of one tag, the first place of the tag in a larger set; of a larger one, its own first member; of a dead
    /// one, the set that died before it.
    pub(super) member: u32,
    /// Whether its entries have been removed. Then no tag leads here any more, and whoever comes with these tags gets
    /// another set.
    pub(super) is_dead: bool,
}

/// That a tag is in a set of several.
#[derive(Debug, Default)]
struct Member {
    set: u32,
    /// The set of the tag alone.
    tag: u32,
    /// The neighbours among the places of the same tag. Both ways, since the sets of one tag may be millions.
    next_of_tag: u32,
    previous_of_tag: u32,
    next_of_set: u32,
}

impl Sets {
    pub(super) fn get(&self, number: u32) -> &Set {
        &self.rows[number]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut Set {
        &mut self.rows[number]
    }

    /// The sets that contain this tag.
    pub(super) fn with_tag(&self, tag: &str) -> impl Iterator<Item = &Set> {
        let alone = self.alone(tag).map(|number| &self.rows[number]);
        let first = alone.map_or(0, |set| set.member);
        let members = std::iter::successors(Some(first), |member| Some(self.members[*member].next_of_tag));
        let larger =
            members.take_while(|member| *member != 0).map(|member| &self.rows[self.members[member].set]);
        alone.into_iter().chain(larger)
    }

    /// A set that contains this tag: that of the tag alone last, because the others are found by it.
    pub(super) fn any_with_tag(&self, tag: &str) -> Option<u32> {
        let alone = self.alone(tag)?;
        match self.rows[alone].member {
            0 => Some(alone),
            member => Some(self.members[member].set),
        }
    }

    /// The number of this set, which is not empty. Whoever asks for it gives it an entry or retires it.
    pub(super) fn number_of(&mut self, tags: Tags) -> u32 {
        let hash = self.hash(tags.iter().map(Tag::as_str));
        if let Some(number) = self.numbers.find(hash, |number| self.rows[*number].tags == tags) {
            return *number;
        }
        let several = (tags.as_slice().len() > 1).then(|| tags.clone());
        let number = self.rows.put(Set { tags, ..Set::default() });
        let rehash = |number: &u32| hash_of(&self.hasher, self.rows[*number].tags.iter().map(Tag::as_str));
        self.numbers.insert_unique(hash, number, rehash);
        for tag in several.iter().flatten() {
            let alone = self.number_of(Tags::from(tag.clone()));
            self.enlist(number, alone);
        }
        number
    }

    /// Forgets a set that no entry has any more, and each of its tags that is in no other.
    pub(super) fn retire(&mut self, number: u32) {
        let Set { tags, entries, member, .. } = &self.rows[number];
        let is_alone = tags.as_slice().len() == 1;
        if *entries > 0 || is_alone && *member != 0 {
            return;
        }
        self.delist(number);
        self.rows.take(number);
    }

    /// Lets a set die that is found by no other one's tag. Its row stays until [`bury`](Self::bury).
    pub(super) fn kill(&mut self, number: u32) {
        self.delist(number);
        self.rows[number].is_dead = true;
    }

    /// Forgets a dead set that no entry has any more.
    pub(super) fn bury(&mut self, number: u32) -> Set {
        self.rows.take(number)
    }

    /// Lets no tag lead to this set any more.
    fn delist(&mut self, number: u32) {
        let hash = self.hash(self.rows[number].tags.iter().map(Tag::as_str));
        if let Ok(place) = self.numbers.find_entry(hash, |held| *held == number) {
            place.remove();
        }
        let mut next = std::mem::take(&mut self.rows[number].member);
        while next != 0 {
            let member = self.strike(next);
            next = member.next_of_set;
            self.retire(member.tag);
        }
    }

    /// The set of this tag alone.
    fn alone(&self, tag: &str) -> Option<u32> {
        let is_alone = |tags: &Tags| matches!(tags.as_slice(), [only] if only.as_str() == tag);
        self.numbers.find(self.hash([tag]), |number| is_alone(&self.rows[*number].tags)).copied()
    }

    fn enlist(&mut self, set: u32, tag: u32) {
        let (next_of_tag, next_of_set) = (self.rows[tag].member, self.rows[set].member);
        let member = self.members.put(Member { set, tag, next_of_tag, previous_of_tag: 0, next_of_set });
        if next_of_tag != 0 {
            self.members[next_of_tag].previous_of_tag = member;
        }
        self.rows[tag].member = member;
        self.rows[set].member = member;
    }

    /// Takes a member out of the list of its tag.
    fn strike(&mut self, number: u32) -> Member {
        let member = self.members.take(number);
        let Member { next_of_tag: next, previous_of_tag: previous, .. } = member;
        if next != 0 {
            self.members[next].previous_of_tag = previous;
        }
        if previous != 0 {
            self.members[previous].next_of_tag = next;
        } else {
            self.rows[member.tag].member = next;
        }
        member
    }

    fn hash<'t>(&self, tags: impl IntoIterator<Item = &'t str>) -> u64 {
        hash_of(&self.hasher, tags)
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.rows.len(), self.numbers.len(), self.members.len())
    }
}

/// The same for a tag as for the set of it alone.
fn hash_of<'t>(hasher: &RandomState, tags: impl IntoIterator<Item = &'t str>) -> u64 {
    let mut state = hasher.build_hasher();
    tags.into_iter().for_each(|tag| tag.hash(&mut state));
    state.finish()
}
