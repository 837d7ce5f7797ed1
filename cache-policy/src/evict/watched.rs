//! Slots for tests, which notice what a policy has fetched.

use std::cell::RefCell;

use super::{Adaptive, Evict, Lru, S3Fifo, Sieve, TinyLfu};
use crate::node::{Links, Node, Slab, Slot};
use crate::slots::Slots;

/// Notes which entries are fetched, and of how many places else.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) slots: Slots,
    pub(super) entries: RefCell<Vec<Slot>>,
    pub(super) places: RefCell<usize>,
}

impl Slab for Watched {
    fn node(&self, slot: Slot) -> &Node {
        self.slots.node(slot)
    }

    fn node_mut(&mut self, slot: Slot) -> &mut Node {
        self.slots.node_mut(slot)
    }

    fn links(&self, slot: Slot) -> &Links {
        self.slots.links(slot)
    }

    fn links_mut(&mut self, slot: Slot) -> &mut Links {
        self.slots.links_mut(slot)
    }

    fn fetch<T>(&self, _place: &T) {
        *self.places.borrow_mut() += 1;
    }

    fn fetch_entry(&self, slot: Slot) {
        self.entries.borrow_mut().push(slot);
    }

    fn weight(&self, slot: Slot) -> u64 {
        self.slots.weight(slot)
    }

    fn cost(&self, slot: Slot) -> f32 {
        self.slots.cost(slot)
    }

    fn deadline(&self, slot: Slot) -> u64 {
        self.slots.deadline(slot)
    }
}

/// Of entries that nobody uses, whoever is evicted was fetched two evictions before, and named one before.
fn foresees(name: &str, rule: &mut impl Evict) {
    let mut slab = Watched::default();
    for slot in 0..1000 {
        slab.slots.put(slot, slot, 0);
        rule.insert(&mut slab, slot);
    }
    let (mut named, mut fetched) = (Vec::new(), Vec::new());
    for step in 0..300 {
        named.push(rule.prepare(&slab, 5000 + step));
        fetched.push(slab.entries.take());
        let victim = rule.evict(&mut slab).expect("there are some");
        slab.slots.put(victim, 5000 + step, 0);
        rule.insert(&mut slab, victim);
        let before = named.iter().rev().nth(1);
        assert!(
            before.is_none_or(|slot| *slot == Some(victim)),
            "{name}: {victim} in step {step}, {before:?}"
        );
        let before_that = fetched.iter().rev().nth(2);
        assert!(before_that.is_none_or(|slots| slots.contains(&victim)), "{name}: {victim} in step {step}");
    }
}

#[test]
fn rules_that_go_by_turns_foresee_who_leaves() {
    foresees("lru", &mut Lru::default());
    foresees("sieve", &mut Sieve::default());
    foresees("s3-fifo", &mut S3Fifo::default());
    foresees("adaptive", &mut Adaptive::new(true));
}

/// What stands elsewhere is fetched, too: of the newcomer, of the next to leave, of the next to be forgotten.
#[test]
fn what_is_known_of_those_who_left_is_fetched() {
    fn places(rule: &mut impl Evict) -> usize {
        let mut slab = Watched::default();
        for slot in 0..1000 {
            slab.slots.put(slot, slot, 0);
            rule.insert(&mut slab, slot);
        }
        for step in 0..300 {
            let victim = rule.evict(&mut slab).expect("there are some");
            slab.slots.put(victim, 5000 + step, 0);
            rule.insert(&mut slab, victim);
        }
        rule.prepare(&slab, 7);
        slab.places.take()
    }
    assert_eq!(places(&mut Lru::default()), 0);
    assert_eq!(places(&mut S3Fifo::default()), 4, "three chains, and what one of them leads to");
    assert_eq!(places(&mut TinyLfu::default()), 3, "three blocks of the sketch");
    assert_eq!(places(&mut Adaptive::new(false)), 2, "two buckets of those who left");
}
