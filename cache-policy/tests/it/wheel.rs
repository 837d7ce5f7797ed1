//! The timing wheel against a sorted map.

use std::collections::{BTreeMap, BTreeSet};

use cache_policy::{Slab, Slot, Slots, Step, Wheel};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Tick {
    Schedule(Slot, u64),
    Cancel(Slot),
    Watch(Slot),
    Advance(u64, usize),
}

fn ticks() -> impl Strategy<Value = Vec<Tick>> {
    // Deadlines and leaps of every magnitude, so that every level of the wheel is used.
    let reach = (0_u32..44, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1));
    let op = prop_oneof![
        5 => (0_u32..16, reach.clone()).prop_map(|(slot, after)| Tick::Schedule(slot, after)),
        1 => (0_u32..16).prop_map(Tick::Cancel),
        1 => (0_u32..16).prop_map(Tick::Watch),
        4 => (reach, 0_usize..12).prop_map(|(by, steps)| Tick::Advance(by, steps)),
    ];
    prop::collection::vec(op, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_wheel_expires_what_is_due_and_nothing_else(ops in ticks()) {
        let (mut slots, mut wheel) = (Slots::default(), Wheel::default());
        for slot in 0..16 {
            slots.put(slot, 0, 0);
        }
        let mut due: BTreeMap<Slot, u64> = BTreeMap::new();
        let mut watched = BTreeSet::new();
        let mut now = 0_u64;
        for op in ops {
            match op {
                Tick::Watch(slot) => {
                    wheel.watch(&mut slots, slot);
                    if !due.contains_key(&slot) {
                        watched.insert(slot);
                    }
                }
                Tick::Schedule(slot, after) => {
                    watched.remove(&slot);
                    slots.set_deadline(slot, now + after);
                    wheel.schedule(&mut slots, slot);
                    due.insert(slot, now + after);
                    if now + after >= 1 << 42 {
                        due.remove(&slot);
                        watched.insert(slot);
                    }
                }
                Tick::Cancel(slot) => {
                    wheel.cancel(&mut slots, slot);
                    watched.remove(&slot);
                    due.remove(&slot);
                }
                Tick::Advance(by, steps) => {
                    now = (now + by).min((1 << 42) - 1);
                    let earliest = due.values().min().copied();
                    prop_assert_eq!(wheel.next_tick().is_some(), earliest.is_some());
                    prop_assert!(wheel.next_tick() <= earliest || earliest.is_none());
                    for (slot, deadline) in &due {
                        let certain = wheel.outlives(slots.node(*slot), now);
                        prop_assert!(!certain || *deadline > now, "{slot} at {now}: {deadline}");
                    }
                    for slot in 0..16 {
                        let is_known = due.contains_key(&slot) || watched.contains(&slot);
                        prop_assert_eq!(wheel.outlives(slots.node(slot), Wheel::LATEST), !is_known);
                        prop_assert!(due.contains_key(&slot) || wheel.outlives(slots.node(slot), Wheel::LATEST - 1));
                    }
                    // A bounded number of steps may leave work behind, but never expires anything early.
                    for _ in 0..steps {
                        if let Step::Expired(slot) = wheel.step(&mut slots, now) {
                            prop_assert!(due.remove(&slot).is_some_and(|deadline| deadline <= now));
                        }
                    }
                }
            }
        }
        let mut steps = 0;
        loop {
            match wheel.step(&mut slots, now) {
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
