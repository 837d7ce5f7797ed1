//! What W-TinyLFU and ADAPTIVE are made of, in the obvious way: queues that are searched, counters of a byte each, and
//! lists of who left.

use std::collections::VecDeque;

use cache_policy::Slot;

/// Three queues, the oldest first.
#[derive(Default)]
pub(super) struct NaiveStages {
    window: VecDeque<Held>,
    probation: VecDeque<Held>,
    protected: VecDeque<Held>,
    sketch: NaiveSketch,
    left: NaiveReturns,
    /// In 1024ths of the entries.
    memory: usize,
    warm_losers: u32,
}

#[derive(Clone, Copy)]
struct Held {
    slot: Slot,
    fingerprint: u32,
    used: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// In 1024ths of the entries.
    pub(super) window: usize,
    pub(super) admit: Admit,
}

#[derive(Clone, Copy)]
pub(super) enum Admit {
    Returning(usize),
    Frequent,
    Anyone,
}

impl Rule {
    fn room(self, held: usize) -> usize {
        (held * self.window / 1024).max(1)
    }
}

impl NaiveStages {
    pub(super) fn with_memory(memory: usize) -> Self {
        Self { memory, ..Self::default() }
    }

    pub(super) fn held(&self) -> usize {
        self.window.len() + self.main()
    }

    fn main(&self) -> usize {
        self.probation.len() + self.protected.len()
    }

    pub(super) fn insert(&mut self, slot: Slot, fingerprint: u32, rule: Rule) {
        let is_admitted = match rule.admit {
            Admit::Returning(soon) => self.left.take(fingerprint, soon),
            Admit::Frequent => {
                self.sketch.grow(self.held() + 1);
                self.sketch.add(fingerprint);
                false
            }
            Admit::Anyone => true,
        };
        let queue = if is_admitted { &mut self.probation } else { &mut self.window };
        queue.push_back(Held { slot, fingerprint, used: false });
    }

    /// Marks a slot and gives its fingerprint, if it is held.
    pub(super) fn touch(&mut self, slot: Slot) -> Option<u32> {
        let mut all = self.window.iter_mut().chain(&mut self.probation).chain(&mut self.protected);
        let held = all.find(|held| held.slot == slot)?;
        held.used = true;
        Some(held.fingerprint)
    }

    /// Takes out a slot and gives its fingerprint, if it is held.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<u32> {
        [&mut self.window, &mut self.probation, &mut self.protected].into_iter().find_map(|queue| {
            let at = queue.iter().position(|held| held.slot == slot)?;
            Some(queue.remove(at)?.fingerprint)
        })
    }

    pub(super) fn evict(&mut self, rule: Rule) -> Option<Slot> {
        self.left.fit(self.held() * self.memory / 1024);
        let victim = match rule.admit {
            Admit::Returning(_) => self.unused(rule),
            Admit::Frequent => self.loser(rule),
            Admit::Anyone => self.unvisited(),
        }?;
        if self.memory > 0 && self.window.iter().any(|held| held.slot == victim.slot) {
            self.left.insert(victim.fingerprint);
        }
        self.remove(victim.slot);
        if matches!(rule.admit, Admit::Anyone) {
            self.end_pass();
        }
        Some(victim.slot)
    }

    pub(super) fn drain_window(&mut self, rule: Rule) {
        for _ in 0..2 {
            if self.window.len() > rule.room(self.held()) {
                let oldest = oldest_unused(&mut self.window, &mut self.sketch).expect("it is not empty");
                self.window.pop_front();
                self.probation.push_back(oldest);
            }
        }
    }

    fn unused(&mut self, rule: Rule) -> Option<Held> {
        let room = rule.room(self.held());
        while self.window.len() >= room {
            let oldest = *self.window.front().expect("room for one at least");
            if !oldest.used {
                return Some(oldest);
            }
            self.window.pop_front();
            self.give_second_chance(oldest);
        }
        while let Some(oldest) = self.protected.front().or_else(|| self.probation.front()).copied() {
            if !oldest.used {
                return Some(oldest);
            }
            if self.protected.pop_front().is_none() {
                self.probation.pop_front();
            }
            self.give_second_chance(oldest);
        }
        oldest_unused(&mut self.window, &mut self.sketch)
    }

    /// The protected are those whom the hand has passed.
    fn unvisited(&mut self) -> Option<Held> {
        let leaving = self.window.len().min(2);
        self.probation.extend(self.window.drain(..leaving));
        self.end_pass();
        while self.probation.front()?.used {
            let passed = self.probation.pop_front()?;
            self.protected.push_back(Held { used: false, ..passed });
            self.end_pass();
        }
        self.probation.front().copied()
    }

    fn end_pass(&mut self) {
        if self.probation.is_empty() {
            std::mem::swap(&mut self.probation, &mut self.protected);
        }
    }

    fn give_second_chance(&mut self, used: Held) {
        self.sketch.add(used.fingerprint);
        self.probation.push_back(Held { used: false, ..used });
    }

    fn loser(&mut self, rule: Rule) -> Option<Held> {
        let full = self.window.len() >= rule.room(self.held());
        let candidate = if full { oldest_unused(&mut self.window, &mut self.sketch) } else { None };
        let victim = self.oldest_unused_of_main();
        match (candidate, victim) {
            (None, None) => oldest_unused(&mut self.window, &mut self.sketch),
            (Some(loser), None) | (None, Some(loser)) => Some(loser),
            (Some(candidate), Some(victim)) if self.wins(candidate, victim) => {
                self.window.pop_front();
                self.probation.push_back(candidate);
                Some(victim)
            }
            (Some(candidate), Some(_)) => Some(candidate),
        }
    }

    fn oldest_unused_of_main(&mut self) -> Option<Held> {
        while let Some(oldest) = self.probation.front().copied() {
            if !oldest.used {
                return Some(oldest);
            }
            self.probation.pop_front();
            self.sketch.add(oldest.fingerprint);
            self.protected.push_back(Held { used: false, ..oldest });
            if self.protected.len() * 5 > self.main() * 4 {
                let demoted =
                    oldest_unused(&mut self.protected, &mut self.sketch).expect("one was just added");
                self.protected.pop_front();
                self.probation.push_back(demoted);
            }
        }
        oldest_unused(&mut self.protected, &mut self.sketch)
    }

    fn wins(&mut self, candidate: Held, victim: Held) -> bool {
        let (challenger, defender) =
            (self.sketch.estimate(candidate.fingerprint), self.sketch.estimate(victim.fingerprint));
        if challenger > defender {
            return true;
        }
        if challenger < 6 {
            return false;
        }
        self.warm_losers += 1;
        let dice = self.warm_losers.wrapping_mul(0x9E37_79B9).wrapping_mul(self.warm_losers ^ 0x85EB_CA6B);
        dice < 1 << 25
    }
}

/// Moves used entries to the back, counts their use, and shows the first other one.
fn oldest_unused(queue: &mut VecDeque<Held>, sketch: &mut NaiveSketch) -> Option<Held> {
    while queue.front()?.used {
        let oldest = queue.pop_front()?;
        sketch.add(oldest.fingerprint);
        queue.push_back(Held { used: false, ..oldest });
    }
    queue.front().copied()
}

/// Four rows of 32 counters: a sketch of one block, which is enough for fifteen entries, or thirty-one if it is coarse.
#[derive(Default)]
struct NaiveSketch {
    rows: [[u8; 32]; 4],
    added: usize,
    /// 0 until it is known for how many entries it is.
    period: usize,
}

impl NaiveSketch {
    fn grow(&mut self, entries: usize) {
        assert!(entries < 32, "one block is not enough");
        self.period = entries.max(8) * 10;
    }

    fn add(&mut self, fingerprint: u32) {
        if self.period == 0 {
            return;
        }
        for (row, counter) in counters(fingerprint).into_iter().enumerate() {
            self.rows[row][counter] = (self.rows[row][counter] + 1).min(15);
        }
        self.added += 1;
        if self.added >= self.period {
            self.rows.iter_mut().flatten().for_each(|counter| *counter /= 2);
            self.added /= 2;
        }
    }

    fn estimate(&self, fingerprint: u32) -> u8 {
        let counts =
            counters(fingerprint).into_iter().enumerate().map(|(row, counter)| self.rows[row][counter]);
        counts.min().expect("four rows")
    }
}

fn counters(fingerprint: u32) -> [usize; 4] {
    [44, 49, 54, 59].map(|bit| usize::try_from((hash(fingerprint) >> bit) % 32).expect("less than 32"))
}

fn hash(fingerprint: u32) -> u128 {
    (u128::from(fingerprint) + 1) * 0x9E37_79B9_7F4A_7C15 % (1 << 64)
}

/// Whole fingerprints, the newest first: no two of the few keys of a test have the same half of it. Whoever came back leaves
/// a gap.
#[derive(Default)]
struct NaiveReturns(Vec<VecDeque<Option<u32>>>);

const RING: usize = 31;

impl NaiveReturns {
    fn fit(&mut self, fingerprints: usize) {
        let buckets = fingerprints.div_ceil(RING);
        let fitted = self.0.len() * RING;
        let too_small = fingerprints > fitted + fitted / 4;
        if too_small || (fingerprints < fitted / 2 && buckets < self.0.len()) {
            self.0 = vec![VecDeque::new(); buckets];
        }
    }

    fn bucket(&mut self, fingerprint: u32) -> Option<&mut VecDeque<Option<u32>>> {
        let bucket = ((hash(fingerprint) >> 32) * self.0.len() as u128) >> 32;
        self.0.get_mut(usize::try_from(bucket).expect("fewer than there are"))
    }

    fn insert(&mut self, fingerprint: u32) {
        let bucket = self.bucket(fingerprint).expect("it was just fitted");
        bucket.push_front(Some(fingerprint));
        bucket.truncate(RING);
    }

    fn take(&mut self, fingerprint: u32, share: usize) -> bool {
        let Some(bucket) = self.bucket(fingerprint) else { return false };
        let Some(later) = bucket.iter().position(|left| *left == Some(fingerprint)) else { return false };
        bucket[later] = None;
        later * 1024 < RING * share
    }
}
