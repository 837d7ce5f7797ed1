//! The entries of one priority class by worth and age: a priority queue made of first-in-first-out queues.
//!
//! Worth is rounded to one of 255 steps, four to each doubling, and each step has a queue. Age never falls, so within
//! a queue the oldest has the least priority, and a heap of at most 255 heads finds the least of all. An insert, a
//! change and a victim cost O(1) but for that heap, and a use costs nothing.
//!
//! Source: Li and Cox, "CAMP: a cost adaptive multi-queue eviction policy for key-value stores", Middleware 2014.

use std::num::NonZeroU8;

use super::ranked::Ranked;
use crate::column::Column;
use crate::node::{Slab, Slot};
use crate::queue::Queue;

#[derive(Debug, Default)]
pub(super) struct Aged {
    /// One for each step, up to the highest in use.
    queues: Vec<Queue>,
    /// The steps that have entries, by the priority of the oldest.
    heads: Ranked,
    /// The priority of the last one that was looked at.
    age: f32,
    len: u32,
    looks: u32,
}

/// Looks per entry after which age is counted from 0 again: often enough that it keeps its digits beside small worths,
/// seldom enough that walking over all entries does not count.
const LOOKS_PER_ENTRY: u32 = 16;

impl Aged {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Adds an entry of so much worth, and tells since which age it is there.
    pub(super) fn push(&mut self, slab: &mut impl Slab, slot: Slot, step: NonZeroU8) -> f32 {
        let since = rounded_down(self.age);
        let index = usize::from(step.get()) - 1;
        if index >= self.queues.len() {
            self.queues.resize_with(index + 1, Queue::default);
        }
        slab.node_mut(slot).queue = step;
        self.queues[index].push(slab, slot);
        if self.queues[index].len() == 1 {
            self.heads.insert(step.get().into(), rank(since, step));
        }
        self.len += 1;
        since
    }

    /// Takes out an entry.
    pub(super) fn remove(&mut self, slab: &mut impl Slab, standings: &Column<Standing>, slot: Slot) {
        let step = slab.node(slot).queue;
        let queue = &mut self.queues[usize::from(step.get()) - 1];
        let was_oldest = queue.oldest() == Some(slot);
        queue.remove(slab, slot);
        self.len -= 1;
        match queue.oldest() {
            _ if !was_oldest => {}
            None => self.heads.remove(step.get().into()),
            Some(next) => self.heads.update(step.get().into(), rank(standings.get(next).since(), step)),
        }
    }

    /// Takes out the entry with the least priority, which is the age of the others from now on.
    pub(super) fn pop(&mut self, slab: &mut impl Slab, standings: &mut Column<Standing>) -> Option<Slot> {
        let (step, _) = self.heads.first()?;
        let slot = self.queues[step as usize - 1].oldest()?;
        let priority = standings.get(slot).since() + worth_of(slab.node(slot).queue);
        self.age = self.age.max(priority);
        self.remove(slab, standings, slot);
        self.looks += 1;
        if self.looks >= self.len.saturating_mul(LOOKS_PER_ENTRY) {
            self.start_anew(slab, standings);
        }
        Some(slot)
    }

    /// Counts age from 0 again; entries have been there since before.
    #[cold]
    fn start_anew(&mut self, slab: &impl Slab, standings: &mut Column<Standing>) {
        let passed = std::mem::take(&mut self.age);
        self.looks = 0;
        for queue in &self.queues {
            for slot in queue.iter(slab) {
                standings.set(slot, standings.get(slot).before(passed));
            }
            if let Some(oldest) = queue.oldest() {
                let step = slab.node(oldest).queue;
                self.heads.update(step.get().into(), rank(standings.get(oldest).since(), step));
            }
        }
    }
}

/// The order of priorities; of equal ones, the lower step is first.
fn rank(since: f32, step: NonZeroU8) -> u64 {
    let bits = (since + worth_of(step)).to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(ordered) << 8 | u64::from(step.get())
}

/// Four to each doubling: the exponent of a float and the highest two bits of its fraction.
const STEP_SHIFT: u32 = 21;
/// The step below the first. The first is 2^-44: a microsecond spread over 16 MiB. The last is 2^19.5: 200 hours for a
/// byte. What is beyond counts as the end.
const BASE: u32 = (127 - 44) * 4 - 1;

/// The step of so much worth.
pub(super) fn step_of(worth: f32) -> NonZeroU8 {
    let steps = (worth.max(0.0).to_bits() >> STEP_SHIFT).saturating_sub(BASE);
    let step = u8::try_from(steps).unwrap_or(u8::MAX);
    NonZeroU8::new(step).unwrap_or(NonZeroU8::MIN)
}

/// The least worth of a step.
fn worth_of(step: NonZeroU8) -> f32 {
    f32::from_bits((u32::from(step.get()) + BASE) << STEP_SHIFT)
}

/// Where an entry stands among the others, in four bytes: the age since which it is there in the highest 24 bits, its
/// class in the next two, how often it was used in the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Standing(u32);

const AGE: u32 = !0xFF;
const CLASS_SHIFT: u32 = 6;

impl Standing {
    /// A higher number of uses counts as this.
    pub(super) const MOST_USES: u8 = (1 << CLASS_SHIFT) - 1;

    pub(super) fn new(since: f32, class: u8, uses: u8) -> Self {
        let uses = uses.min(Self::MOST_USES);
        Self(rounded_down(since).to_bits() | u32::from(class) << CLASS_SHIFT | u32::from(uses))
    }

    pub(super) fn since(self) -> f32 {
        f32::from_bits(self.0 & AGE)
    }

    pub(super) fn class(self) -> u8 {
        self.lowest_byte() >> CLASS_SHIFT
    }

    pub(super) fn uses(self) -> u8 {
        self.lowest_byte() & Self::MOST_USES
    }

    fn lowest_byte(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    fn before(self, passed: f32) -> Self {
        Self::new(self.since() - passed, self.class(), self.uses())
    }
}

/// An age in 24 bits. Down, not to the nearest: else one that is old enough would not grow older any more.
fn rounded_down(age: f32) -> f32 {
    let bits = age.to_bits();
    let bits = if age < 0.0 { bits + !AGE } else { bits };
    f32::from_bits(bits & AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_takes_four_bytes_and_keeps_its_parts_apart() {
        assert_eq!(size_of::<Standing>(), 4);
        for (since, class, uses) in [(0.0, 0, 0), (1.5, 3, 63), (-1024.0, 2, 1), (2.0_f32.powi(-44), 1, 40)] {
            let standing = Standing::new(since, class, uses);
            assert_eq!((standing.since(), standing.class(), standing.uses()), (since, class, uses));
        }
        assert_eq!(Standing::new(0.0, 1, 200).uses(), 63);
    }

    #[test]
    fn ages_are_rounded_down_by_less_than_a_part_in_thirty_thousand() {
        for age in [0.1_f32, -0.1, 1e-12, -1e-12, 123_456.7, -123_456.7] {
            let rounded = rounded_down(age);
            assert!(rounded <= age && age - rounded <= age.abs() / 30_000.0, "{age}: {rounded}");
            assert_eq!(rounded_down(rounded).to_bits(), rounded.to_bits());
        }
    }

    #[test]
    fn steps_rise_with_worth_and_are_never_more_than_a_quarter_off() {
        let worths =
            (-44..19).flat_map(|power| [1.0_f32, 1.2, 1.5, 1.9].map(|part| part * 2.0_f32.powi(power)));
        let mut last = 0;
        for worth in worths {
            let step = step_of(worth);
            assert!(step.get() >= last);
            last = step.get();
            assert!(worth_of(step) <= worth && worth < worth_of(step) * 1.25, "{worth}: {}", worth_of(step));
        }
    }

    #[test]
    fn odd_worths_have_a_step() {
        let steps = [0.0, -1.0, f32::NAN, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY].map(step_of);
        assert_eq!(steps.map(NonZeroU8::get), [1, 1, 1, 1, 255, 255]);
    }

    #[test]
    fn ranks_are_in_the_order_of_priorities() {
        let step = step_of(1.0);
        let ranks = [-1e6, -2.0, -1.0, -0.5, 0.0, 1e-6, 3.0, 1e6].map(|since| rank(since, step));
        assert!(ranks.is_sorted());
        assert!(rank(1.0, step_of(2.0)) < rank(2.0, step_of(1.0)) || step_of(1.0) < step_of(2.0));
    }
}
