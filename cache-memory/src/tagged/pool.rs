//! Things by number, whose numbers are given again. Number 0 is none of them, so that a link needs no `Option`.

use std::ops::{Index, IndexMut};

#[derive(Debug)]
pub(super) struct Pool<T> {
    /// The first one is not a thing: it answers for number 0.
    things: Vec<T>,
    vacant: Vec<u32>,
}

impl<T: Default> Default for Pool<T> {
    fn default() -> Self {
        Self { things: vec![T::default()], vacant: Vec::new() }
    }
}

impl<T: Default> Pool<T> {
    pub(super) fn put(&mut self, thing: T) -> u32 {
        if let Some(number) = self.vacant.pop() {
            self[number] = thing;
            return number;
        }
        self.things.push(thing);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "2^32 of what takes 20 bytes do not fit beside a shard's entries"
        )]
        let number = (self.things.len() - 1) as u32;
        number
    }

    pub(super) fn take(&mut self, number: u32) -> T {
        let thing = std::mem::take(&mut self[number]);
        if self.vacant.len() + 2 == self.things.len() {
            *self = Self::default();
        } else {
            self.vacant.push(number);
        }
        thing
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.things.len() - 1 - self.vacant.len()
    }
}

impl<T> Index<u32> for Pool<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.things[number as usize]
    }
}

impl<T> IndexMut<u32> for Pool<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.things[number as usize]
    }
}
