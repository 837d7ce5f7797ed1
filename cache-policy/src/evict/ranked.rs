//! A sorted set of small numbers, for rules whose order no queue keeps: an indexed heap.
//!
//! The lowest rank is first, and of equal ranks the one that came first. Finding the first costs O(1), every change
//! O(log n). Each item has four children: 64 bytes, and half the levels of a heap with two.

use crate::column::Column;
use crate::node::Slot;

/// Numbers by rank: slots, or whatever else a rule numbers densely. 20 bytes for each.
#[derive(Debug, Default)]
pub(super) struct Ranked {
    heap: Vec<Item>,
    /// Where in the heap a number is, counted from 1; 0 if it is not there.
    places: Column<u32>,
    arrivals: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    rank: u64,
    arrival: u32,
    id: Slot,
}

const CHILDREN: usize = 4;

impl Ranked {
    /// The number with the lowest rank, and its rank.
    pub(super) fn first(&self) -> Option<(Slot, u64)> {
        self.heap.first().map(|item| (item.id, item.rank))
    }

    /// Adds a number that is not there yet.
    pub(super) fn insert(&mut self, id: Slot, rank: u64) {
        let item = Item { rank, arrival: self.arrive(), id };
        self.heap.push(item);
        self.rise(self.heap.len() - 1, item);
    }

    /// Gives a number that is there another rank. It does not arrive anew.
    pub(super) fn update(&mut self, id: Slot, rank: u64) {
        let place = self.place_of(id);
        let Item { rank: former, arrival, .. } = self.heap[place];
        if rank != former {
            self.settle(place, Item { rank, arrival, id });
        }
    }

    /// Takes out a number that is there.
    pub(super) fn remove(&mut self, id: Slot) {
        let place = self.place_of(id);
        self.places.set(id, 0);
        if let Some(last) = self.heap.pop().filter(|last| last.id != id) {
            self.settle(place, last);
        }
    }

    /// Takes out the first.
    pub(super) fn pop(&mut self) -> Option<Slot> {
        let (id, _) = self.first()?;
        self.remove(id);
        Some(id)
    }

    fn place_of(&self, id: Slot) -> usize {
        self.places.get(id) as usize - 1
    }

    /// Puts an item into a free place, then moves it to where it belongs.
    fn settle(&mut self, place: usize, item: Item) {
        if place > 0 && item < self.heap[(place - 1) / CHILDREN] {
            self.rise(place, item);
        } else {
            self.sink(place, item);
        }
    }

    fn rise(&mut self, mut place: usize, item: Item) {
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.heap[parent] <= item {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, item);
    }

    fn sink(&mut self, mut place: usize, item: Item) {
        loop {
            let first = place * CHILDREN + 1;
            let children = first..(first + CHILDREN).min(self.heap.len());
            let least = children.min_by_key(|child| self.heap[*child]);
            let Some(child) = least.filter(|child| self.heap[*child] < item) else { break };
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, item);
    }

    fn put(&mut self, place: usize, item: Item) {
        self.heap[place] = item;
        #[expect(clippy::cast_possible_truncation, reason = "there are fewer items than slots")]
        self.places.set(item.id, place as u32 + 1);
    }

    /// The next number of arrival.
    fn arrive(&mut self) -> u32 {
        if self.arrivals == u32::MAX {
            self.count_anew();
        }
        self.arrivals += 1;
        self.arrivals
    }

    /// Numbers the arrivals from 1 again, in the same order: O(n log n), once in four milliards. Wider numbers would
    /// make each item half as large again.
    #[cold]
    fn count_anew(&mut self) {
        let mut by_arrival: Vec<usize> = (0..self.heap.len()).collect();
        by_arrival.sort_unstable_by_key(|place| self.heap[*place].arrival);
        self.arrivals = 0;
        for place in by_arrival {
            self.arrivals += 1;
            self.heap[place].arrival = self.arrivals;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_ranks_leave_as_they_came_also_after_the_count_starts_anew() {
        let mut ranked = Ranked { arrivals: u32::MAX - 3, ..Ranked::default() };
        for id in [9, 4, 7, 1, 8, 2] {
            ranked.insert(id, 5);
        }
        ranked.update(7, 6);
        ranked.update(7, 5);
        assert_eq!(std::iter::from_fn(|| ranked.pop()).collect::<Vec<_>>(), [9, 4, 7, 1, 8, 2]);
        assert!(ranked.arrivals < 10);
    }

    #[test]
    fn an_item_takes_sixteen_bytes() {
        assert_eq!(size_of::<Item>(), 16);
    }

    proptest! {
        #[test]
        fn the_heap_is_the_sorted_vector(ops in prop::collection::vec((0_u32..40, 0_u64..12, 0..4), 0..300)) {
            let mut ranked = Ranked::default();
            let mut sorted: Vec<(u64, usize, Slot)> = Vec::new();
            for (at, (id, rank, op)) in ops.into_iter().enumerate() {
                let held = sorted.iter().position(|item| item.2 == id);
                match (op, held) {
                    (0, _) => {
                        let first = (!sorted.is_empty()).then(|| sorted.remove(0).2);
                        prop_assert_eq!(ranked.pop(), first);
                    }
                    (1, Some(held)) => {
                        sorted.remove(held);
                        ranked.remove(id);
                    }
                    (_, Some(held)) => {
                        sorted[held].0 = rank;
                        ranked.update(id, rank);
                    }
                    (_, None) => {
                        sorted.push((rank, at, id));
                        ranked.insert(id, rank);
                    }
                }
                sorted.sort_unstable();
                prop_assert_eq!(ranked.first(), sorted.first().map(|item| (item.2, item.0)));
                prop_assert_eq!(ranked.heap.len(), sorted.len());
            }
        }
    }
}
