//! Things by number, whose numbers are given again. Number 0 is none of them, so that a link needs no `Option`.
//!
//! They stand in chunks, which never move: a table that grew by moving would leave holes of its size behind it, and end half as large again
//! as what is in it.

use std::ops::{Index, IndexMut};

#[derive(Debug)]
pub(super) struct Pool<T> {
    /// All are full but the last. The first thing is none: it answers for number 0.
    chunks: Vec<Vec<T>>,
    vacant: Vec<u32>,
}

/// Things in a chunk: with twenty to forty bytes each, some kilobytes.
const CHUNK: usize = 256;

impl<T: Default> Default for Pool<T> {
    fn default() -> Self {
        Self { chunks: vec![vec![T::default()]], vacant: Vec::new() }
    }
}

impl<T: Default> Pool<T> {
    pub(super) fn put(&mut self, thing: T) -> u32 {
        if let Some(number) = self.vacant.pop() {
            self[number] = thing;
            return number;
        }
        let number = self.numbers();
        if number.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks[number / CHUNK].push(thing);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "2^32 of what takes 20 bytes do not fit beside a shard's entries"
        )]
        let number = number as u32;
        number
    }

    pub(super) fn take(&mut self, number: u32) -> T {
        let thing = std::mem::take(&mut self[number]);
        if self.vacant.len() + 2 == self.numbers() {
            *self = Self::default();
        } else {
            self.vacant.push(number);
        }
        thing
    }

    /// How many numbers there are, with 0 and the vacant ones.
    fn numbers(&self) -> usize {
        let (last, full) = (self.chunks.last().map_or(0, Vec::len), self.chunks.len().saturating_sub(1));
        full * CHUNK + last
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.numbers() - 1 - self.vacant.len()
    }
}

impl<T> Index<u32> for Pool<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

impl<T> IndexMut<u32> for Pool<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_to_their_things_over_the_ends_of_chunks_and_are_given_again() {
        let mut pool = Pool::default();
        let count = u32::try_from(CHUNK * 3).expect("few");
        for number in 1..=count {
            assert_eq!(pool.put(number * 10), number);
        }
        assert_eq!((pool.len(), pool[0]), (CHUNK * 3, 0));
        assert!((1..=count).all(|number| pool[number] == number * 10));
        assert_eq!(pool.take(7), 70);
        assert_eq!((pool.put(71), pool[7], pool.put(72)), (7, 71, count + 1));
        for number in 1..=count + 1 {
            assert!(pool.take(number) > 0, "{number}");
        }
        assert_eq!((pool.len(), pool.chunks.len(), pool.vacant.len()), (0, 1, 0), "nothing is kept");
    }

    #[test]
    fn what_is_there_takes_little_more_than_itself() {
        let mut pool = Pool::default();
        for number in 1..=10_000_u32 {
            pool.put(number);
            let room: usize = pool.chunks.iter().map(Vec::capacity).sum();
            assert!(room <= pool.numbers().next_multiple_of(CHUNK), "{number}: {room}");
        }
    }
}
