//! HYBRID in the obvious way: all entries in one list, searched for the least; and what its classes promise.

use std::cmp::Ordering;

use super::{Bench, CASES, Entry, Naive, agrees, ops};
use cache_policy::{Objective, Policy, Slot};
use proptest::prelude::*;

struct NaiveHybrid {
    objective: Objective,
    /// In the order in which they were put into their class.
    entries: Vec<Held>,
    classes: [Class; 4],
    log2_of_typical_cost: Option<f32>,
}

#[derive(Clone, Copy)]
struct Held {
    slot: Slot,
    entry: Entry,
    /// The class that it is in, which may be below its own.
    class: u8,
    uses: u8,
    new_uses: u8,
    since: f32,
    worth: f32,
}

#[derive(Clone, Copy, Default)]
struct Class {
    age: f32,
    looks: usize,
    due: usize,
}

impl NaiveHybrid {
    fn new(objective: Objective) -> Self {
        Self { objective, entries: Vec::new(), classes: [Class::default(); 4], log2_of_typical_cost: None }
    }

    fn worth(&self, entry: &Entry, uses: u8) -> f32 {
        let weight = if entry.weight == 0 { 1.0 } else { as_float(entry.weight) };
        let typical = self.log2_of_typical_cost.map_or(1.0, f32::exp2);
        let cost = if entry.cost > 0.0 { entry.cost.min(f32::MAX) } else { typical };
        let value = match self.objective {
            Objective::Hits => 1.0,
            Objective::Bytes => weight,
            _ => cost,
        };
        let exact = f32::from(uses) * (value / weight);
        (0..255).map(worth_of).filter(|step| *step <= exact).fold(worth_of(0), f32::max)
    }

    fn put(&mut self, held: Held, class: u8, uses: u8) {
        let since = rounded_down(self.classes[usize::from(class)].age);
        let worth = self.worth(&held.entry, uses);
        self.entries.push(Held { class, uses, since, worth, ..held });
    }

    fn position(&self, slot: Slot) -> usize {
        self.entries.iter().position(|held| held.slot == slot).expect("it is held")
    }

    fn len_of(&self, class: u8) -> usize {
        self.entries.iter().filter(|held| held.class == class).count()
    }

    fn lowest(&self) -> Option<u8> {
        self.entries.iter().map(|held| held.class).min()
    }

    /// Takes out the least of a class. Of equal ones, `min_by` finds the first.
    fn pop(&mut self, class: u8) -> Option<Held> {
        let in_class = self.entries.iter().filter(|held| held.class == class);
        let first = in_class.copied().min_by(order)?;
        self.entries.remove(self.position(first.slot));
        let left = self.len_of(class);
        let of = &mut self.classes[usize::from(class)];
        of.age = of.age.max(first.since + first.worth);
        of.looks += 1;
        if of.looks >= 16 * left {
            let passed = std::mem::take(&mut of.age);
            of.looks = 0;
            let in_class = self.entries.iter_mut().filter(|held| held.class == class);
            in_class.for_each(|held| held.since = rounded_down(held.since - passed));
        }
        Some(first)
    }

    /// Puts it back into its own class if it was used.
    fn renew(&mut self, held: Held) -> bool {
        if held.new_uses > 0 {
            let uses = (held.uses + held.new_uses).min(63);
            self.put(Held { new_uses: 0, ..held }, held.entry.class, uses);
        }
        held.new_uses > 0
    }
}

impl Naive for NaiveHybrid {
    fn insert(&mut self, slot: Slot, entry: Entry) {
        if entry.cost > 0.0 {
            let log2 = entry.cost.min(f32::MAX).log2();
            let mean = self.log2_of_typical_cost.unwrap_or(log2);
            self.log2_of_typical_cost = Some(mean + (log2 - mean) / 64.0);
        }
        let new = Held { slot, entry, class: 0, uses: 0, new_uses: 0, since: 0.0, worth: 0.0 };
        self.put(new, entry.class, 1);
    }

    fn touch(&mut self, slot: Slot) {
        let at = self.position(slot);
        self.entries[at].new_uses = (self.entries[at].new_uses + 1).min(15);
    }

    fn update(&mut self, slot: Slot, entry: Entry) {
        let at = self.position(slot);
        self.entries[at].entry = entry;
        let held = self.entries[at];
        let uses = held.uses.max(1);
        if entry.class != held.class || self.worth(&entry, uses).total_cmp(&held.worth).is_ne() {
            self.entries.remove(at);
            self.put(held, entry.class, uses);
        }
    }

    fn remove(&mut self, slot: Slot) {
        self.entries.remove(self.position(slot));
    }

    fn evict(&mut self) -> Option<Slot> {
        let held = self.entries.len();
        for class in self.lowest()? + 1..4 {
            let of_this = self.len_of(class);
            let due = &mut self.classes[usize::from(class)].due;
            *due += of_this;
            if *due >= 4 * held {
                *due -= 4 * held;
                if let Some(least) = self.pop(class)
                    && !self.renew(least)
                {
                    self.put(least, class - 1, 0);
                }
            }
        }
        loop {
            let least = self.pop(self.lowest()?)?;
            if !self.renew(least) {
                return Some(least.slot);
            }
        }
    }
}

fn order(one: &Held, other: &Held) -> Ordering {
    let by_priority = (one.since + one.worth).total_cmp(&(other.since + other.worth));
    by_priority.then(one.worth.total_cmp(&other.worth))
}

/// From 2^-44 on, by quarters of each power of two.
fn worth_of(step: u16) -> f32 {
    (1.0 + f32::from(step % 4) / 4.0) * 2.0_f32.powi(i32::from(step / 4) - 44)
}

/// Sixteen digits, counted from the first that is set.
fn rounded_down(age: f32) -> f32 {
    if age == 0.0 {
        return age;
    }
    let unit = 2.0_f32.powi(15 - exponent(age));
    (age * unit).floor() / unit
}

#[expect(clippy::cast_possible_truncation, reason = "of a float, at most 128")]
fn exponent(number: f32) -> i32 {
    f64::from(number).abs().log2().floor() as i32
}

#[expect(clippy::cast_precision_loss, reason = "that is what happens to weights")]
fn as_float(weight: u64) -> f32 {
    weight as f32
}

fn any_objective() -> impl Strategy<Value = Objective> {
    prop::sample::select(vec![Objective::Cost, Objective::Hits, Objective::Bytes])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn hybrid_agrees_with_its_twin(objective in any_objective(), ops in ops()) {
        agrees(Policy::Hybrid(objective), NaiveHybrid::new(objective), &ops)?;
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES / 10))]

    /// Long enough that age is counted from 0 again several times, and uses reach the most.
    #[test]
    fn hybrid_agrees_with_its_twin_for_long(ops in prop::collection::vec(ops(), 10)) {
        let ops = ops.concat();
        agrees(Policy::Hybrid(Objective::Cost), NaiveHybrid::new(Objective::Cost), &ops)?;
    }
}

const PLAIN: Entry = Entry { fingerprint: 7, class: 1, weight: 1, cost: 0.0, deadline: u64::MAX };

/// The order in which entries in slots 0, 1, 2 ... leave.
fn order_of(objective: Objective, entries: &[Entry]) -> Vec<Slot> {
    let mut bench = Bench::new(Policy::Hybrid(objective));
    (0..).zip(entries).for_each(|(slot, entry)| bench.insert(slot, *entry));
    std::iter::from_fn(|| bench.evict()).collect()
}

#[test]
fn each_objective_keeps_what_serves_it() {
    let entries = [
        Entry { weight: 100, cost: 1.0, ..PLAIN },
        Entry { weight: 10, cost: 0.01, ..PLAIN },
        Entry { weight: 10_000, cost: 1_000.0, ..PLAIN },
    ];
    assert_eq!(order_of(Objective::Cost, &entries), [1, 0, 2]);
    assert_eq!(order_of(Objective::Hits, &entries), [2, 0, 1]);
    assert_eq!(order_of(Objective::Bytes, &entries), [0, 1, 2]);
}

#[test]
fn an_unknown_cost_is_neither_the_least_nor_the_most() {
    let costs = [4.0, 0.0, 0.25, f32::NAN, -1.0, 100.0];
    let order = order_of(Objective::Cost, &costs.map(|cost| Entry { cost, ..PLAIN }));
    assert_eq!((order.first(), order.last()), (Some(&2), Some(&5)), "{order:?}");
}

#[test]
fn what_was_worth_much_leaves_in_the_end_if_nobody_uses_it() {
    let mut bench = Bench::new(Policy::Hybrid(Objective::Cost));
    bench.insert(0, Entry { cost: 100.0, ..PLAIN });
    (1..10).for_each(|slot| bench.insert(slot, Entry { cost: 1.0, ..PLAIN }));
    let mut evictions = 0;
    loop {
        let victim = bench.evict().expect("there are ten");
        evictions += 1;
        if victim == 0 {
            break;
        }
        bench.insert(victim, Entry { cost: 1.0, ..PLAIN });
    }
    // A hundred rounds of nine, and a quarter more or less.
    assert!((675..1_125).contains(&evictions), "{evictions}");
}

/// A cache full of high entries, into which normal ones come. How many high ones are left after so many evictions?
fn high_ones_left(entries: u32, evictions: u32, is_used: impl Fn(Slot) -> bool) -> usize {
    let mut bench = Bench::new(Policy::Hybrid(Objective::Cost));
    let high = Entry { class: 2, cost: 1_000.0, ..PLAIN };
    (0..entries).for_each(|slot| bench.insert(slot, high));
    let mut is_high = vec![true; entries as usize];
    for _ in 0..evictions {
        (0..entries)
            .filter(|slot| is_high[*slot as usize] && is_used(*slot))
            .for_each(|slot| bench.touch(slot));
        let victim = bench.evict().expect("it is full");
        is_high[victim as usize] = false;
        bench.insert(victim, Entry { cost: 0.001, ..PLAIN });
    }
    is_high.into_iter().filter(|high| *high).count()
}

#[test]
fn a_class_does_not_fill_the_cache_for_ever() {
    // The first normal entry takes the place of a high one: there is nobody else.
    assert_eq!(high_ones_left(100, 1, |_| false), 99);
    // At first, every fourth eviction is of one that has gone down; the fewer are left, the more seldom.
    let left = high_ones_left(100, 100, |_| false);
    assert!((75..85).contains(&left), "{left}");
    assert_eq!(high_ones_left(100, 3_000, |_| false), 0);
}

#[test]
fn what_is_used_keeps_its_class() {
    assert_eq!(high_ones_left(100, 3_000, |_| true), 99);
    let half = high_ones_left(100, 3_000, |slot| slot % 2 == 1);
    assert_eq!(half, 50);
}

#[test]
fn of_a_lower_class_all_go_first() {
    let mut bench = Bench::new(Policy::Hybrid(Objective::Cost));
    // Too few evictions for a look at a class that is spared.
    (0..40).for_each(|slot| bench.insert(slot, Entry { class: 3, cost: 0.001, ..PLAIN }));
    bench.insert(40, Entry { class: 0, cost: 1_000.0, ..PLAIN });
    bench.insert(41, Entry { class: 2, cost: 1_000.0, ..PLAIN });
    bench.update(0, Entry { class: 1, cost: 1_000.0, ..PLAIN });
    assert_eq!([(); 3].map(|()| bench.evict()), [Some(40), Some(0), Some(41)]);
}
