//! Every policy against its naive twin: the obvious implementation, slow and short.

#[path = "evict/adaptive.rs"]
mod adaptive;
#[path = "evict/all.rs"]
mod all;
#[path = "evict/hybrid.rs"]
mod hybrid;
#[path = "evict/lfu.rs"]
mod lfu;
#[path = "evict/queues.rs"]
mod queues;
#[path = "evict/recognition.rs"]
mod recognition;
#[path = "evict/sorted.rs"]
mod sorted;
#[path = "evict/stages.rs"]
mod stages;

use std::collections::BTreeSet;

use cache_policy::{Evictor, Policy, Slab, Slot, Slots};
use proptest::prelude::*;

/// Enough cases that a rare order of three or four operations comes up.
const CASES: u32 = 3000;

#[derive(Clone, Debug)]
enum Op {
    Insert(Slot, Entry),
    Touch(Slot),
    /// The fingerprint stays what it was: the key is the same.
    Update(Slot, Entry),
    Remove(Slot),
    Evict,
}

/// Everything that a policy may ask about an entry.
#[derive(Clone, Copy, Debug)]
struct Entry {
    fingerprint: u32,
    class: u8,
    weight: u64,
    cost: f32,
    deadline: u64,
}

fn entries() -> impl Strategy<Value = Entry> {
    let costs = prop::sample::select(vec![0.0_f32, 0.001, 0.001, 0.05, 3.0, -1.0, f32::NAN, f32::INFINITY]);
    let weights = prop::sample::select(vec![0_u64, 1, 1, 2, 3, 100, 100, 5_000, u64::MAX]);
    let deadlines = prop::sample::select(vec![0_u64, 5, 5, 6, 1_000, u64::MAX, u64::MAX]);
    (0_u32..20, 0_u8..4, weights, costs, deadlines).prop_map(|(key, class, weight, cost, deadline)| Entry {
        fingerprint: key.wrapping_mul(0x9E37_79B9),
        class,
        weight,
        cost,
        deadline,
    })
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let slot = 0_u32..12;
    let op = prop_oneof![
        6 => (slot.clone(), entries()).prop_map(|(slot, entry)| Op::Insert(slot, entry)),
        6 => slot.clone().prop_map(Op::Touch),
        1 => (slot.clone(), entries()).prop_map(|(slot, entry)| Op::Update(slot, entry)),
        1 => slot.prop_map(Op::Remove),
        5 => Just(Op::Evict),
    ];
    prop::collection::vec(op, 0..200)
}

/// The obvious form of a policy.
trait Naive {
    fn insert(&mut self, slot: Slot, entry: Entry);
    fn touch(&mut self, _slot: Slot) {}
    fn update(&mut self, _slot: Slot, _entry: Entry) {}
    fn remove(&mut self, slot: Slot);
    fn evict(&mut self) -> Option<Slot>;
}

/// A policy at work, and which slots it was told of.
struct Bench {
    slots: Slots,
    evictor: Evictor,
    held: BTreeSet<Slot>,
}

impl Bench {
    fn new(policy: Policy) -> Self {
        Self { slots: Slots::default(), evictor: Evictor::new(policy), held: BTreeSet::new() }
    }

    fn insert(&mut self, slot: Slot, entry: Entry) {
        self.slots.put(slot, entry.fingerprint, entry.class);
        self.describe(slot, entry);
        self.evictor.insert(&mut self.slots, slot);
        assert!(self.held.insert(slot));
    }

    fn touch(&mut self, slot: Slot) {
        self.evictor.touch(&mut self.slots, slot);
    }

    fn update(&mut self, slot: Slot, entry: Entry) {
        self.describe(slot, entry);
        self.slots.node_mut(slot).set_class(entry.class);
        self.evictor.update(&mut self.slots, slot);
    }

    fn remove(&mut self, slot: Slot) {
        self.evictor.remove(&mut self.slots, slot);
        self.held.remove(&slot);
    }

    fn evict(&mut self) -> Option<Slot> {
        let victim = self.evictor.evict(&mut self.slots);
        assert_eq!(
            victim.is_none(),
            self.held.is_empty(),
            "there is a victim if and only if there is an entry"
        );
        assert!(victim.is_none_or(|slot| self.held.remove(&slot)), "{victim:?} is not held");
        victim
    }

    fn describe(&mut self, slot: Slot, entry: Entry) {
        self.slots.set_weight(slot, entry.weight);
        self.slots.set_cost(slot, entry.cost);
        self.slots.set_deadline(slot, entry.deadline);
    }
}

fn agrees(policy: Policy, mut naive: impl Naive, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut real = Bench::new(policy);
    for op in ops {
        match *op {
            Op::Insert(slot, entry) if !real.held.contains(&slot) => {
                real.insert(slot, entry);
                naive.insert(slot, entry);
            }
            Op::Touch(slot) if real.held.contains(&slot) => {
                real.touch(slot);
                naive.touch(slot);
            }
            Op::Update(slot, entry) if real.held.contains(&slot) => {
                real.update(slot, entry);
                naive.update(slot, entry);
            }
            Op::Remove(slot) if real.held.contains(&slot) => {
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
