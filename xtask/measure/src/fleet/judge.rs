//! The judge: what processes have written and read, laid side by side afterwards.
//!
//! A write is **complete** when its call returns. A read must not answer with anything older than
//!
//! 1. what the same process had completed before the read began;
//! 2. what any process had completed the bound before that;
//! 3. what a read of the same process has answered that had ended before, if that was complete when that read began.
//!
//! Nor with what never was, or what had not begun to be when the read ended.

use std::time::Duration;

use super::log::{Deed, Entry};

/// Everything about one key.
#[derive(Default)]
struct Page {
    writes: Vec<Write>,
    /// With the number of the process.
    reads: Vec<(usize, Entry)>,
}

#[derive(Clone, Copy)]
struct Write {
    node: usize,
    entry: Entry,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) writes: u64,
    pub(super) removals: u64,
    pub(super) reads: u64,
    /// Older than what the process had written itself.
    pub(super) forgot_own: u64,
    /// Older than what all have to know.
    pub(super) beyond_bound: u64,
    /// Of both: older than a removal.
    pub(super) resurrected: u64,
    /// Older than what the process had answered before.
    pub(super) went_back: u64,
    /// What never was.
    pub(super) nonsense: u64,
    /// Older than a complete write of another process, and how much later than that each such read began, in nanoseconds.
    pub(super) late: Vec<u64>,
    pub(super) examples: Vec<String>,
}

/// How many of the things that are wrong are told in words.
const EXAMPLES: usize = 5;

pub(super) struct Judge {
    pages: Vec<Page>,
    bound: u64,
}

impl Judge {
    /// Takes the logs of all processes, in the order of their numbers.
    pub(super) fn new(logs: Vec<Vec<Entry>>, bound: Duration) -> Self {
        let keys = logs.iter().flatten().map(|entry| entry.key as usize + 1).max().unwrap_or(0);
        let mut pages: Vec<Page> = (0..keys).map(|_| Page::default()).collect();
        for (node, log) in logs.into_iter().enumerate() {
            for entry in log {
                let page = &mut pages[entry.key as usize];
                if entry.deed == Deed::Read {
                    page.reads.push((node, entry));
                } else {
                    page.writes.push(Write { node, entry });
                }
            }
        }
        Self { pages, bound: u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX) }
    }

    pub(super) fn verdict(mut self) -> Verdict {
        let mut verdict = Verdict::default();
        for page in &mut self.pages {
            page.writes.sort_unstable_by_key(|write| write.entry.version);
            page.reads.sort_unstable_by_key(|(_, read)| read.begun);
            verdict.writes += page.writes.len() as u64;
            verdict.removals +=
                page.writes.iter().filter(|write| write.entry.deed == Deed::Remove).count() as u64;
            verdict.reads += page.reads.len() as u64;
            if let Some(fault) = page.fault() {
                verdict.nonsense += 1;
                verdict.tell(fault);
            }
            page.judge(self.bound, &mut verdict);
        }
        verdict.late.sort_unstable();
        verdict
    }
}

impl Page {
    /// What is wrong with the writes, if they are not one after the other from one on.
    fn fault(&self) -> Option<String> {
        let mut before = 0;
        for (number, Write { entry, .. }) in (1..).zip(&self.writes) {
            if entry.version != number || entry.begun < before || entry.ended < entry.begun {
                return Some(format!("write {number} of key {} is {entry:?} after {before}", entry.key));
            }
            before = entry.ended;
        }
        None
    }

    fn judge(&self, bound: u64, verdict: &mut Verdict) {
        let nodes = self.reads.iter().map(|(node, _)| node + 1).max().unwrap_or(0);
        for node in 0..nodes {
            let own: Vec<&Write> = self.writes.iter().filter(|write| write.node == node).collect();
            let reads: Vec<&Entry> =
                self.reads.iter().filter(|(by, _)| *by == node).map(|(_, it)| it).collect();
            let mut by_end = reads.clone();
            by_end.sort_unstable_by_key(|read| read.ended);
            let (mut ended, mut seen) = (by_end.into_iter().peekable(), 0);
            for read in reads {
                while let Some(before) = ended.next_if(|before| before.ended <= read.begun) {
                    if before.version <= self.complete(before.begun) {
                        seen = seen.max(before.version);
                    }
                }
                let of_own = own.partition_point(|write| write.entry.ended <= read.begun);
                let newest_own = of_own.checked_sub(1).and_then(|at| own.get(at));
                let floors = Floors {
                    own: newest_own.map_or(0, |write| write.entry.version),
                    all: read.begun.checked_sub(bound).map_or(0, |moment| self.complete(moment)),
                    seen,
                };
                self.judge_read((node, read), &floors, verdict);
            }
        }
    }

    /// The newest version that was complete at this moment.
    fn complete(&self, moment: u64) -> u64 {
        self.writes.partition_point(|write| write.entry.ended <= moment) as u64
    }

    fn judge_read(&self, (node, read): (usize, &Entry), floors: &Floors, verdict: &mut Verdict) {
        let version = read.version;
        let at = |version: u64| self.writes.get(usize::try_from(version.checked_sub(1)?).ok()?);
        let exists = version == 0 || at(version).is_some_and(|write| write.entry.begun <= read.ended);
        let mut is_wrong = !exists;
        verdict.nonsense += u64::from(!exists);
        if exists {
            if let Some(next) = at(version + 1).filter(|next| next.entry.ended < read.begun) {
                verdict.late.push(read.begun - next.entry.ended);
            }
            let floor = floors.own.max(floors.all);
            verdict.forgot_own += u64::from(version < floors.own);
            verdict.beyond_bound += u64::from(version < floors.all);
            verdict.went_back += u64::from(version < floors.seen);
            let removals = (version + 1..=floor).filter_map(at);
            let is_back = removals.clone().any(|write| write.entry.deed == Deed::Remove);
            verdict.resurrected += u64::from(is_back);
            is_wrong = version < floor.max(floors.seen);
        }
        if is_wrong {
            verdict.tell(format!("process {node} has read {read:?}; right is {floors:?}"));
        }
    }
}

/// The oldest that a read may answer.
#[derive(Debug)]
struct Floors {
    own: u64,
    all: u64,
    seen: u64,
}

impl Verdict {
    /// How many answers were not as promised.
    pub(super) fn wrong(&self) -> u64 {
        self.forgot_own + self.beyond_bound + self.resurrected + self.went_back + self.nonsense
    }

    fn tell(&mut self, what: String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(deed: Deed, version: u64, times: (u64, u64)) -> Entry {
        Entry { deed, key: 0, version, begun: times.0, ended: times.1 }
    }

    fn write(version: u64, times: (u64, u64)) -> Entry {
        entry(Deed::Insert, version, times)
    }

    fn read(version: u64, times: (u64, u64)) -> Entry {
        entry(Deed::Read, version, times)
    }

    /// Process 0 writes at 100 to 110 and at 200 to 210, and removes at 300 to 310. The bound is 50 ns.
    fn verdict(reads: [Vec<Entry>; 2]) -> Verdict {
        let [mut of_writer, of_other] = reads;
        let third = entry(Deed::Remove, 3, (300, 310));
        of_writer.extend([write(1, (100, 110)), write(2, (200, 210)), third]);
        Judge::new(vec![of_writer, of_other], Duration::from_nanos(50)).verdict()
    }

    #[test]
    fn what_is_as_promised_is_not_wrong() {
        let own = vec![read(0, (105, 115)), read(1, (105, 120)), read(2, (211, 220)), read(2, (305, 320))];
        let other = vec![read(0, (159, 200)), read(1, (201, 202)), read(3, (301, 302)), read(1, (259, 260))];
        let verdict = verdict([own, other]);
        assert_eq!((verdict.wrong(), verdict.reads, verdict.writes, verdict.removals), (0, 8, 3, 1));
        assert_eq!(verdict.late, [49, 49], "{verdict:?}");
    }

    #[test]
    fn a_process_may_not_answer_what_is_older_than_its_own() {
        let verdict = verdict([vec![read(1, (211, 212))], vec![]]);
        assert_eq!((verdict.forgot_own, verdict.beyond_bound, verdict.resurrected), (1, 0, 0));
        assert_eq!(verdict.examples.len(), 1);
    }

    #[test]
    fn after_the_bound_nobody_may() {
        let found = verdict([vec![], vec![read(1, (260, 261))]]);
        assert_eq!((found.forgot_own, found.beyond_bound, found.resurrected), (0, 1, 0));
        let found = verdict([vec![], vec![read(2, (360, 361))]]);
        assert_eq!((found.beyond_bound, found.resurrected), (1, 1), "it had been removed");
    }

    #[test]
    fn who_has_answered_what_was_complete_does_not_go_back() {
        let found = verdict([vec![], vec![read(2, (220, 225)), read(1, (226, 227))]]);
        assert_eq!((found.went_back, found.wrong()), (1, 1));
        // It was on its way then, or the two reads overlap.
        for first in [read(2, (205, 225)), read(2, (220, 227))] {
            assert_eq!(verdict([vec![], vec![first, read(1, (226, 228))]]).wrong(), 0);
        }
    }

    #[test]
    fn what_never_was_is_wrong() {
        let never = [read(4, (400, 401)), read(u64::MAX, (400, 401)), read(2, (150, 199))];
        assert_eq!(verdict([vec![], never.to_vec()]).nonsense, 3);
        let twice = vec![write(1, (0, 1)), write(1, (2, 3))];
        assert_eq!(Judge::new(vec![twice], Duration::ZERO).verdict().nonsense, 1);
    }
}
