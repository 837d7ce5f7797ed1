//! The monitor's book: how often copies disagree with the place that they are copies of, and for how long. Pure: no I/O, no clock.
//!
//! ```text
//! look ─► finding ─┬─ agrees, alike ─► counted; what disagreed until now has ended
//!                  └─ older, newer, missing, unknown ─► counted, and followed until it agrees or is gone
//! ```
//!
//! Copies are compared by which write they come from, and only then by what they hold: two writes of the same value are not the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use cache_core::Time;

/// Which write a copy comes from, and what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Orders writes of one key; larger is newer.
    pub version: u64,
    /// A hash of all that was written, which no other write has.
    pub write: u64,
    /// A hash of the value alone, as it was written.
    pub content: u64,
}

impl Stamp {
    /// As it is, or older than any other, if it is known that the place has something newer, whatever the versions say.
    #[must_use]
    pub fn overtaken_if(self, is_overtaken: bool) -> Self {
        if is_overtaken { Self { version: 0, ..self } } else { self }
    }
}

/// What a look at a copy and at its place has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Finding {
    /// Both come from the same write.
    Agrees,
    /// They come from different writes of the same value.
    Alike,
    /// The copy comes from an older write than what the place has.
    Older,
    /// The copy comes from a newer write than what the place has.
    Newer,
    /// The place has nothing that could be read.
    Missing,
    /// They differ, and nothing tells which of the two is newer.
    Unknown,
}

impl Finding {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Agrees, Self::Alike, Self::Older, Self::Newer, Self::Missing, Self::Unknown];

    /// Compares a copy with what its place has; `None` if that has nothing.
    ///
    /// That the two differ is certain. Which one is older is said by the versions, and two processes whose clocks are apart and
    /// that have not heard of each other make those in the wrong order.
    ///
    /// ```
    /// use cache_invalidation::{Finding, Stamp};
    /// let [old, new] = [1, 2].map(|version| Stamp { version, write: version, content: version });
    /// assert_eq!(Finding::of(old, Some(new)), Finding::Older);
    /// assert_eq!(Finding::of(old, Some(Stamp { content: old.content, ..new })), Finding::Alike);
    /// ```
    pub fn of(copy: Stamp, there: Option<Stamp>) -> Self {
        let Some(there) = there else { return Self::Missing };
        if copy.write == there.write {
            Self::Agrees
        } else if copy.content == there.content {
            Self::Alike
        } else {
            match copy.version.cmp(&there.version) {
                std::cmp::Ordering::Less => Self::Older,
                std::cmp::Ordering::Greater => Self::Newer,
                std::cmp::Ordering::Equal => Self::Unknown,
            }
        }
    }

    /// Tells whether who reads the copy gets something else than who reads the place.
    pub const fn is_disagreement(self) -> bool {
        !matches!(self, Self::Agrees | Self::Alike)
    }

    /// Its name in metrics and logs: one lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Alike => "alike",
            Self::Older => "older",
            Self::Newer => "newer",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How often copies disagreed with one place, and for how long.
///
/// A disagreement lasts from the look that found it to the one that found it ended: it may have begun up to one round of looks
/// before, and its end is seen a little late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Consistency {
    found: [u64; Finding::ALL.len()],
    /// Looks that came to nothing, because the copy changed during them.
    pub unsettled: u64,
    /// Looks that came to nothing, because the place failed.
    pub unanswered: u64,
    /// Disagreements that are followed now.
    pub open: u64,
    /// Disagreements that have ended: the copy agrees, or is not believed any more, or is gone.
    pub ended: u64,
    /// Disagreements that were counted and not followed, because too many were already.
    pub unfollowed: u64,
    /// The time within which half of those that have ended did so, at most a quarter too long; zero before the first.
    pub p50: Duration,
    /// The time within which 99 of 100 did so, at most a quarter too long.
    pub p99: Duration,
    /// How long the longest of them took, exactly.
    pub longest: Duration,
}

impl Consistency {
    /// How many samples have found this. Looks at what is followed already are none.
    pub fn found(&self, finding: Finding) -> u64 {
        self.found[finding as usize]
    }

    /// How many samples there were.
    pub fn samples(&self) -> u64 {
        self.found.iter().sum()
    }

    /// How many of them disagreed.
    pub fn disagreements(&self) -> u64 {
        let disagree = Finding::ALL.into_iter().filter(|finding| finding.is_disagreement());
        disagree.map(|finding| self.found(finding)).sum()
    }
}

/// A key of which a copy and its place disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disagreement<K> {
    /// Which key.
    pub key: K,
    /// What the last look at it has found.
    pub finding: Finding,
    /// When it was found.
    pub since: Time,
}

/// What was seen of copies beside one place: counts, and the keys that disagree now, at most so many.
///
/// ```
/// use cache_core::Time;
/// use cache_invalidation::{Book, Finding};
/// let (mut book, second) = (Book::new(100), std::time::Duration::from_secs(1));
/// book.sample(&7, Finding::Older, Time::ZERO);
/// assert_eq!(book.open().next().map(|it| it.key), Some(7));
/// book.follow(&7, Some(Finding::Agrees), Time::ZERO.after(second));
/// assert_eq!((book.consistency().open, book.consistency().longest), (0, second));
/// ```
#[derive(Debug)]
pub struct Book<K> {
    most: usize,
    open: HashMap<K, Open>,
    counts: Consistency,
    lasted: Lasted,
    /// The number of the next look.
    looks: u64,
}

#[derive(Debug)]
struct Open {
    finding: Finding,
    since: Time,
    /// The number of the last look at it.
    looked: u64,
}

impl<K: Hash + Eq + Clone> Book<K> {
    /// An empty book that follows at most so many keys at once; each takes some 50 bytes beside its own.
    pub fn new(most: usize) -> Self {
        let (counts, lasted) = (Consistency::default(), Lasted::default());
        Self { most, open: HashMap::new(), counts, lasted, looks: 0 }
    }

    /// Notes what a look at a key that was chosen by chance has found.
    pub fn sample(&mut self, key: &K, finding: Finding, now: Time) {
        self.counts.found[finding as usize] += 1;
        self.note(key, Some(finding), now, true);
    }

    /// Notes what another look at a key that is followed has found; `None` if there is no copy any more that anybody believes.
    pub fn follow(&mut self, key: &K, finding: Option<Finding>, now: Time) {
        self.note(key, finding, now, false);
    }

    fn note(&mut self, key: &K, finding: Option<Finding>, now: Time, may_open: bool) {
        self.looks += 1;
        let looked = self.looks;
        let Some(finding) = finding.filter(|finding| finding.is_disagreement()) else {
            if let Some(open) = self.open.remove(key) {
                self.lasted.add(now.since(open.since));
            }
            return;
        };
        let is_full = self.open.len() >= self.most;
        match self.open.entry(key.clone()) {
            Entry::Occupied(mut open) => {
                let open = open.get_mut();
                (open.finding, open.looked) = (finding, looked);
            }
            Entry::Vacant(_) if !may_open => {}
            Entry::Vacant(_) if is_full => self.counts.unfollowed += 1,
            Entry::Vacant(place) => drop(place.insert(Open { finding, since: now, looked })),
        }
    }

    /// Notes that a look came to nothing, because the copy changed during it.
    pub fn unsettled(&mut self) {
        self.counts.unsettled += 1;
    }

    /// Notes that a look came to nothing, because the place failed.
    pub fn unanswered(&mut self) {
        self.counts.unanswered += 1;
    }

    /// The keys to be looked at again, those looked at longest ago first; at most so many. Costs the number of those followed.
    pub fn due(&mut self, most: usize) -> Vec<K> {
        let mut due: Vec<(u64, K)> = self.open.iter().map(|(key, open)| (open.looked, key.clone())).collect();
        due.sort_unstable_by_key(|(looked, _)| *looked);
        due.truncate(most);
        for (_, key) in &due {
            self.looks += 1;
            // Whatever comes of the look: those that nothing comes of do not keep others waiting.
            if let Some(open) = self.open.get_mut(key) {
                open.looked = self.looks;
            }
        }
        due.into_iter().map(|(_, key)| key).collect()
    }

    /// The keys that disagree now, as far as is known, in no particular order.
    pub fn open(&self) -> impl Iterator<Item = Disagreement<K>> {
        let told = |(key, open): (&K, &Open)| Disagreement {
            key: key.clone(),
            finding: open.finding,
            since: open.since,
        };
        self.open.iter().map(told)
    }

    /// The counts so far.
    pub fn consistency(&self) -> Consistency {
        Consistency {
            open: self.open.len() as u64,
            ended: self.lasted.count,
            p50: self.lasted.within(50),
            p99: self.lasted.within(99),
            longest: self.lasted.longest,
            ..self.counts
        }
    }
}

/// How long disagreements lasted: counts by length, four for each power of two of microseconds, so none is told by more than a
/// quarter too long.
#[derive(Debug)]
struct Lasted {
    counts: [u64; LENGTHS],
    count: u64,
    longest: Duration,
}

const LENGTHS: usize = 4 * 64;

impl Default for Lasted {
    fn default() -> Self {
        Self { counts: [0; LENGTHS], count: 0, longest: Duration::ZERO }
    }
}

impl Lasted {
    fn add(&mut self, length: Duration) {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        self.counts[class(micros)] += 1;
        self.count += 1;
        self.longest = self.longest.max(length);
    }

    /// The length that so many of a hundred do not exceed.
    fn within(&self, percent: u64) -> Duration {
        let wanted = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= wanted
        };
        let class = self.counts.iter().position(reaches).unwrap_or(0);
        Duration::from_micros(longest_of(class)).min(self.longest)
    }
}

/// Lengths below four have classes of their own; of others, the highest bit and the two after it tell.
#[expect(clippy::cast_possible_truncation, reason = "a class is a small number")]
fn class(micros: u64) -> usize {
    if micros < 4 {
        return micros as usize;
    }
    let highest = micros.ilog2();
    let next_two = (micros >> (highest - 2)) & 3;
    4 * (highest as usize - 1) + next_two as usize
}

/// The longest length of a class.
fn longest_of(class: usize) -> u64 {
    if class < 4 {
        return class as u64;
    }
    let (highest, next_two) = (class / 4 + 1, class as u64 % 4);
    ((4 + next_two) << (highest - 2)).saturating_add((1 << (highest - 2)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(secs: u32) -> Time {
        Time::ZERO.after(SECOND * secs)
    }

    #[test]
    fn copies_are_told_apart_by_their_writes_and_not_by_their_values_alone() {
        let mine = Stamp { version: 5, write: 50, content: 500 };
        let there = |version, write, content| Some(Stamp { version, write, content });
        for (there, expected) in [
            (None, Finding::Missing),
            (there(5, 50, 500), Finding::Agrees),
            (there(6, 60, 500), Finding::Alike),
            (there(6, 60, 600), Finding::Older),
            (there(4, 40, 400), Finding::Newer),
            (there(5, 51, 501), Finding::Unknown),
        ] {
            assert_eq!(Finding::of(mine, there), expected);
        }
    }

    #[test]
    fn a_disagreement_lasts_from_the_look_that_found_it_to_the_one_that_did_not() {
        let mut book = Book::new(10);
        book.sample(&1, Finding::Older, at(10));
        book.sample(&2, Finding::Missing, at(11));
        book.follow(&1, Some(Finding::Unknown), at(12));
        book.sample(&1, Finding::Older, at(13));
        let open: Vec<_> = book.open().filter(|it| it.key == 1).collect();
        assert_eq!((open[0].finding, open[0].since), (Finding::Older, at(10)));
        book.follow(&1, Some(Finding::Alike), at(15));
        book.follow(&2, None, at(12));
        let seen = book.consistency();
        assert_eq!((seen.open, seen.ended, seen.longest), (0, 2, SECOND * 5));
        assert_eq!((seen.samples(), seen.disagreements(), seen.found(Finding::Older)), (3, 3, 2));
        assert!(seen.p50 >= SECOND && seen.p50 <= SECOND * 5 / 4, "{seen:?}");
        assert_eq!(seen.p99, SECOND * 5);
    }

    #[test]
    fn what_is_followed_no_longer_does_not_come_back_by_a_late_look() {
        let mut book = Book::new(10);
        book.sample(&1, Finding::Older, at(0));
        book.follow(&1, None, at(1));
        book.follow(&1, Some(Finding::Older), at(2));
        assert_eq!(book.consistency().open, 0);
    }

    #[test]
    fn no_more_are_followed_than_it_may_and_all_are_counted() {
        let mut book = Book::new(2);
        (0..5).for_each(|key| book.sample(&key, Finding::Newer, at(0)));
        book.sample(&1, Finding::Newer, at(1));
        let seen = book.consistency();
        assert_eq!((seen.open, seen.unfollowed, seen.found(Finding::Newer)), (2, 3, 6));
    }

    #[test]
    fn those_looked_at_longest_ago_are_due_first_though_nothing_comes_of_a_look() {
        let mut book = Book::new(10);
        (0..4).for_each(|key| book.sample(&key, Finding::Older, at(0)));
        assert_eq!((book.due(3), book.due(3)), (vec![0, 1, 2], vec![3, 0, 1]));
    }

    #[test]
    fn a_length_is_told_at_most_a_quarter_too_long() {
        for micros in (0..2000).chain([u64::MAX / 3, u64::MAX - 1, u64::MAX]) {
            let told = longest_of(class(micros));
            assert!(told >= micros && told - micros <= micros / 4, "{micros} is told as {told}");
        }
        let mut lasted = Lasted::default();
        assert_eq!(lasted.within(99), Duration::ZERO);
        (1..=100).for_each(|secs| lasted.add(SECOND * secs));
        assert!(lasted.within(50) >= SECOND * 50 && lasted.within(50) <= SECOND * 63);
        assert_eq!(lasted.within(100), SECOND * 100);
    }

    #[test]
    fn each_finding_is_counted_in_its_own_place() {
        let mut book = Book::new(0);
        for (at_place, finding) in Finding::ALL.into_iter().enumerate() {
            assert_eq!(finding as usize, at_place);
            (0..=at_place).for_each(|_| book.sample(&1, finding, at(0)));
        }
        let seen = book.consistency();
        assert_eq!(Finding::ALL.map(|finding| seen.found(finding)), [1, 2, 3, 4, 5, 6]);
        assert_eq!((seen.samples(), seen.disagreements()), (21, 18));
    }
}
