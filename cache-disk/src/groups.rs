//! Which entries carry a tag. Members that have left stay in the lists until those are tidied, or until they are more
//! than those that count.

use std::collections::HashMap;

/// So few are not worth tidying.
const FEW: usize = 1024;

/// Where a record stands: its segment and its offset.
type Place = (u64, u32);

#[derive(Debug, Default)]
pub(crate) struct Groups {
    members: HashMap<u64, Vec<(u64, Place)>>,
    /// How many members the lists have.
    noted: usize,
    /// How many of them count.
    live: usize,
}

impl Groups {
    /// Notes the tags of an entry.
    pub(crate) fn note(&mut self, tags: &[u64], hash: u64, place: Place) {
        for tag in tags {
            self.members.entry(*tag).or_default().push((hash, place));
        }
        self.noted += tags.len();
        self.live += tags.len();
    }

    /// Notes that an entry with so many tags has left.
    pub(crate) fn forget(&mut self, tags: usize) {
        self.live -= tags;
    }

    /// The members of a group that count.
    pub(crate) fn members(&self, tag: u64, counts: impl Fn(u64, Place) -> bool) -> Vec<u64> {
        let members = self.members.get(&tag).map_or(&[][..], Vec::as_slice);
        members.iter().filter(|(hash, place)| counts(*hash, *place)).map(|(hash, _)| *hash).collect()
    }

    /// Drops what does not count any more, if that is most.
    pub(crate) fn tidy(&mut self, counts: impl Fn(u64, Place) -> bool) {
        if self.noted > 2 * self.live + FEW {
            self.members.retain(|_, members| {
                members.retain(|(hash, place)| counts(*hash, *place));
                members.shrink_to(2 * members.len());
                !members.is_empty()
            });
            self.noted = self.members.values().map(Vec::len).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_the_members_that_count() {
        let mut groups = Groups::default();
        groups.note(&[1, 2], 10, (1, 0));
        groups.note(&[1], 10, (1, 50));
        groups.note(&[1], 11, (1, 99));
        let counts = |_, place| place != (1, 0);
        assert_eq!(groups.members(1, counts), [10, 11]);
        assert!(groups.members(2, counts).is_empty() && groups.members(3, counts).is_empty());
    }

    #[test]
    fn what_left_takes_no_more_room_than_what_counts() {
        let mut groups = Groups::default();
        for round in 0..100_000 {
            groups.note(&[u64::from(round)], 7, (1, round));
            groups.tidy(|_, place| place == (1, round));
            groups.forget(1);
        }
        assert!(groups.noted <= FEW + 2 && groups.members.len() <= FEW + 2, "{}", groups.noted);
    }
}
