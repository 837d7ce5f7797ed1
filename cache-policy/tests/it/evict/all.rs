//! What holds for every policy, whatever its order.

use super::{Bench, CASES, Op, ops};
use cache_policy::{Objective, Policy, Slot};
use proptest::prelude::*;

fn any_policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(Policy::ALL.to_vec())
}

/// Keeps at most `capacity` entries, as an owner does.
fn apply(bench: &mut Bench, op: &Op, capacity: usize) {
    match *op {
        Op::Insert(slot, entry) if !bench.held.contains(&slot) => {
            while bench.held.len() >= capacity {
                bench.evict();
            }
            bench.insert(slot, entry);
        }
        Op::Touch(slot) if bench.held.contains(&slot) => bench.touch(slot),
        Op::Update(slot, entry) if bench.held.contains(&slot) => bench.update(slot, entry),
        Op::Remove(slot) if bench.held.contains(&slot) => bench.remove(slot),
        Op::Evict => {
            bench.evict();
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    /// The bench checks each victim: it was inserted, has not left since, and there is one if there is an entry.
    #[test]
    fn every_entry_leaves_exactly_once(
        policies in prop::collection::vec((any_policy(), ops()), 1..4),
        capacity in 1_usize..=12,
    ) {
        let mut bench = Bench::new(Policy::default());
        for (policy, ops) in policies {
            bench.evictor.change(policy, &mut bench.slots);
            prop_assert_eq!(bench.evictor.policy(), policy);
            for op in &ops {
                apply(&mut bench, op, capacity);
            }
        }
        let left = bench.held.clone();
        let mut victims: Vec<Slot> = std::iter::from_fn(|| bench.evict()).collect();
        victims.sort_unstable();
        prop_assert!(victims.into_iter().eq(left));
    }
}

#[test]
fn every_policy_is_found_by_its_name() {
    for policy in Policy::ALL {
        assert_eq!(policy.to_string().to_uppercase().parse(), Ok(policy));
    }
    assert_eq!("hybrid-cost".parse(), Ok(Policy::Hybrid(Objective::Cost)));
}
