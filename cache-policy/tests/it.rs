//! Every decision against its naive twin: the obvious implementation, slow and short.

use std::collections::{BTreeMap, VecDeque};

use cache_policy::{Facts, Policy, Slot, Step, Wheel};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Insert(Slot),
    Touch(Slot),
    Update(Slot),
    Remove(Slot),
    Evict,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let slot = 0_u32..12;
    let op = prop_oneof![
        6 => slot.clone().prop_map(Op::Insert),
        6 => slot.clone().prop_map(Op::Touch),
        1 => slot.clone().prop_map(Op::Update),
        2 => slot.prop_map(Op::Remove),
        5 => Just(Op::Evict),
    ];
    prop::collection::vec(op, 0..200)
}

/// The obvious form of a policy over a queue from newest to oldest.
trait Naive {
    fn insert(&mut self, slot: Slot);
    fn touch(&mut self, slot: Slot);
    fn remove(&mut self, slot: Slot);
    fn evict(&mut self) -> Option<Slot>;
    fn holds(&self, slot: Slot) -> bool;
}

#[derive(Default)]
struct NaiveLru(VecDeque<Slot>);

impl Naive for NaiveLru {
    fn insert(&mut self, slot: Slot) {
        self.0.push_front(slot);
    }
    fn touch(&mut self, slot: Slot) {
        self.remove(slot);
        self.insert(slot);
    }
    fn remove(&mut self, slot: Slot) {
        self.0.retain(|held| *held != slot);
    }
    fn evict(&mut self) -> Option<Slot> {
        self.0.pop_back()
    }
    fn holds(&self, slot: Slot) -> bool {
        self.0.contains(&slot)
    }
}

/// The pseudo-code of the SIEVE paper over a vector: `hand` is an index, counted from the oldest entry.
#[derive(Default)]
struct NaiveSieve {
    oldest_first: Vec<(Slot, bool)>,
    hand: usize,
}

impl Naive for NaiveSieve {
    fn insert(&mut self, slot: Slot) {
        // A hand that has passed the newest entry starts again at the oldest, whatever comes in meanwhile.
        if self.hand >= self.oldest_first.len() {
            self.hand = 0;
        }
        self.oldest_first.push((slot, false));
    }
    fn touch(&mut self, slot: Slot) {
        self.oldest_first.iter_mut().filter(|held| held.0 == slot).for_each(|held| held.1 = true);
    }
    fn remove(&mut self, slot: Slot) {
        if let Some(at) = self.oldest_first.iter().position(|held| held.0 == slot) {
            self.oldest_first.remove(at);
            self.hand -= usize::from(at < self.hand);
        }
    }
    fn evict(&mut self) -> Option<Slot> {
        if self.oldest_first.is_empty() {
            return None;
        }
        loop {
            self.hand %= self.oldest_first.len();
            if !std::mem::replace(&mut self.oldest_first[self.hand].1, false) {
                return Some(self.oldest_first.remove(self.hand).0);
            }
            self.hand += 1;
        }
    }
    fn holds(&self, slot: Slot) -> bool {
        self.oldest_first.iter().any(|held| held.0 == slot)
    }
}

fn agrees<N: Naive + Default>(policy: Policy, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut real = policy.build();
    let mut naive = N::default();
    let facts = Facts::default();
    for op in ops {
        match *op {
            Op::Insert(slot) if !naive.holds(slot) => {
                real.insert(slot, &facts);
                naive.insert(slot);
            }
            Op::Touch(slot) if naive.holds(slot) => {
                real.touch(slot);
                naive.touch(slot);
            }
            Op::Update(slot) if naive.holds(slot) => {
                real.update(slot, &facts);
                naive.touch(slot);
            }
            Op::Remove(slot) if naive.holds(slot) => {
                real.remove(slot);
                naive.remove(slot);
            }
            Op::Evict => prop_assert_eq!(real.evict(), naive.evict()),
            _ => {}
        }
    }
    while let Some(victim) = naive.evict() {
        prop_assert_eq!(real.evict(), Some(victim));
    }
    prop_assert_eq!(real.evict(), None);
    Ok(())
}

#[derive(Clone, Debug)]
enum Tick {
    Schedule(Slot, u64),
    Cancel(Slot),
    Advance(u64, usize),
}

fn ticks() -> impl Strategy<Value = Vec<Tick>> {
    // Deadlines and leaps of every magnitude, so that every level of the wheel is used.
    let reach = (0_u32..44, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1));
    let op = prop_oneof![
        5 => (0_u32..16, reach.clone()).prop_map(|(slot, after)| Tick::Schedule(slot, after)),
        1 => (0_u32..16).prop_map(Tick::Cancel),
        4 => (reach, 0_usize..12).prop_map(|(by, steps)| Tick::Advance(by, steps)),
    ];
    prop::collection::vec(op, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn lru_agrees_with_its_twin(ops in ops()) {
        agrees::<NaiveLru>(Policy::Lru, &ops)?;
    }

    #[test]
    fn sieve_agrees_with_its_twin(ops in ops()) {
        agrees::<NaiveSieve>(Policy::Sieve, &ops)?;
    }

    #[test]
    fn the_wheel_expires_what_is_due_and_nothing_else(ops in ticks()) {
        let mut wheel = Wheel::new();
        let mut due: BTreeMap<Slot, u64> = BTreeMap::new();
        let mut now = 0_u64;
        for op in ops {
            match op {
                Tick::Schedule(slot, after) => {
                    wheel.schedule(slot, now + after);
                    due.insert(slot, now + after);
                    if now + after >= 1 << 42 {
                        due.remove(&slot);
                    }
                }
                Tick::Cancel(slot) => {
                    wheel.cancel(slot);
                    due.remove(&slot);
                }
                Tick::Advance(by, steps) => {
                    now = (now + by).min((1 << 42) - 1);
                    let earliest = due.values().min().copied();
                    prop_assert_eq!(wheel.next_tick().is_some(), earliest.is_some());
                    prop_assert!(wheel.next_tick() <= earliest || earliest.is_none());
                    // A bounded number of steps may leave work behind, but never expires anything early.
                    for _ in 0..steps {
                        if let Step::Expired(slot) = wheel.step(now) {
                            prop_assert!(due.remove(&slot).is_some_and(|deadline| deadline <= now));
                        }
                    }
                }
            }
        }
        let mut steps = 0;
        loop {
            match wheel.step(now) {
                Step::Expired(slot) => prop_assert!(due.remove(&slot).is_some_and(|deadline| deadline <= now)),
                Step::Moved => {}
                Step::Idle => break,
            }
            steps += 1;
            prop_assert!(steps <= 16 * 7, "each slot moves at most once per level");
        }
        prop_assert!(due.values().all(|deadline| *deadline > now), "left behind: {due:?} at {now}");
    }
}
