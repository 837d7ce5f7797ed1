//! Slots for tests, which notice what a policy has fetched.

use std::cell::RefCell;

use proptest::prelude::*;

use super::{Adaptive, Evict, Evictor, Lru, Policy, S3Fifo, Sieve, TinyLfu};
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
        assert!(rule.prepare(&slab, 7).is_some(), "somebody will be next");
        slab.places.take()
    }
    assert_eq!(places(&mut Lru::default()), 0);
    assert_eq!(places(&mut S3Fifo::default()), 4, "three chains, and what one of them leads to");
    assert_eq!(places(&mut TinyLfu::default()), 3, "three blocks of the sketch");
    assert_eq!(places(&mut Adaptive::new(false)), 2, "two buckets of those who left");
}

#[test]
fn the_hand_of_sieve_says_who_is_next() {
    let (mut slab, mut sieve) = (filled(6), Sieve::default());
    (0..6).for_each(|slot| sieve.insert(&mut slab, slot));
    (0..2).for_each(|slot| slab.node_mut(slot).uses = 1);
    assert_eq!(sieve.evict(&mut slab), Some(2));
    assert_eq!((sieve.prepare(&slab, 7), slab.entries.take()), (Some(4), vec![5]));
}

#[test]
fn the_main_queue_says_who_is_next_while_nobody_is_in_the_small_one() {
    let (mut slab, mut rule) = (filled(13), S3Fifo::default());
    (0..10).for_each(|slot| rule.insert(&mut slab, slot));
    (0..10).for_each(|slot| slab.node_mut(slot).uses = 2);
    assert_eq!(rule.evict(&mut slab), Some(0));
    assert_eq!((rule.prepare(&slab, 7), slab.entries.take()), (Some(2), vec![3]));
    (10..13).for_each(|slot| rule.insert(&mut slab, slot));
    assert_eq!((rule.prepare(&slab, 7), slab.entries.take()), (Some(11), vec![12]));
}

#[test]
fn an_evictor_says_what_its_rule_foresees() {
    for policy in [Policy::Lru, Policy::Sieve, Policy::S3Fifo] {
        let (mut slab, mut evictor) = (filled(3), Evictor::new(policy));
        (0..3).for_each(|slot| evictor.insert(&mut slab, slot));
        assert_eq!((evictor.prepare(&slab, 7), slab.entries.take()), (Some(1), vec![2]), "{policy}");
    }
}

/// With a fingerprint of its own in each of so many slots.
fn filled(slots: Slot) -> Watched {
    let mut slab = Watched::default();
    (0..slots).for_each(|slot| slab.slots.put(slot, slot, 0));
    slab
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Few keys, so that some come back while they are remembered; now and then all leave.
    #[test]
    fn only_who_is_here_is_named_or_fetched(
        policy in prop::sample::select(Policy::ALL.to_vec()),
        steps in prop::collection::vec((0_u8..16, 0_u32..40), 0..400),
    ) {
        let (mut slab, mut evictor) = (Watched::default(), Evictor::new(policy));
        let mut held: Vec<Option<u32>> = vec![None; 24];
        for (act, key) in steps {
            let is_here = |slot: &Slot| held[*slot as usize].is_some();
            prop_assert!(evictor.prepare(&slab, key).iter().all(is_here), "named");
            prop_assert!(slab.entries.take().iter().all(is_here), "fetched");
            let place_of = |wanted| (0..).zip(&held).find_map(|(slot, held)| (*held == wanted).then_some(slot));
            match (act, place_of(Some(key))) {
                (0, _) => {
                    while let Some(victim) = evictor.evict(&mut slab) {
                        held[victim as usize] = None;
                    }
                }
                (1, Some(slot)) => {
                    evictor.remove(&mut slab, slot);
                    held[slot as usize] = None;
                }
                (_, Some(slot)) => evictor.touch(&mut slab, slot),
                (_, None) => {
                    let slot = place_of(None).or_else(|| evictor.evict(&mut slab)).expect("all are held");
                    held[slot as usize] = Some(key);
                    slab.slots.put(slot, key, 0);
                    evictor.insert(&mut slab, slot);
                }
            }
        }
    }
}
