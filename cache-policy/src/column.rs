//! A property that only some slots have: a table that takes memory only where it is set.
//!
//! Slots come in chunks of 1024. A chunk in which no slot has the property takes a pointer.

use crate::node::Slot;

/// A value per slot, the default where none was set.
///
/// ```
/// use cache_policy::Column;
/// let mut costs: Column<f32> = Column::default();
/// costs.set(5000, 1.5);
/// assert_eq!((costs.get(5000), costs.get(7)), (1.5, 0.0));
/// ```
#[derive(Debug, Default)]
pub struct Column<T> {
    chunks: Vec<Vec<T>>,
}

const CHUNK: usize = 1024;

impl<T: Copy + Default + PartialEq> Column<T> {
    /// The value of a slot.
    #[inline]
    pub fn get(&self, slot: Slot) -> T {
        let index = slot as usize;
        let chunk = self.chunks.get(index / CHUNK);
        chunk.and_then(|chunk| chunk.get(index % CHUNK)).copied().unwrap_or_default()
    }

    /// Sets the value of a slot.
    #[inline]
    pub fn set(&mut self, slot: Slot, value: T) {
        let index = slot as usize;
        let held = self.chunks.get_mut(index / CHUNK).and_then(|chunk| chunk.get_mut(index % CHUNK));
        match held {
            Some(held) => *held = value,
            None if value == T::default() => {}
            None => *self.grow_to(index) = value,
        }
    }

    #[cold]
    fn grow_to(&mut self, index: usize) -> &mut T {
        let (chunk, within) = (index / CHUNK, index % CHUNK);
        if chunk >= self.chunks.len() {
            self.chunks.resize_with(chunk + 1, Vec::new);
        }
        let values = &mut self.chunks[chunk];
        if within >= values.len() {
            // Up to a chunk, a table grows as any vector does; chunks that follow a full one are wanted whole.
            let wanted = if chunk == 0 { (within + 1).next_power_of_two() } else { CHUNK };
            values.reserve_exact(wanted - values.len());
            values.resize(wanted, T::default());
        }
        &mut values[within]
    }
}
