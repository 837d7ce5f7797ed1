//! A vector that others may still be reading without a lock when it grows or is dropped: its memory is returned when nobody
//! does.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::AtomicPtr;

use super::Readers;

/// Where the vector is comes first, because that is all that a read without the lock looks at.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Table<T> {
    pub(super) span: Span<T>,
    items: Vec<T>,
    readers: Readers,
}

/// Memory for so many items, of which only some may be there.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Span<T> {
    /// Never changed but with exclusive access; atomic only so that it may be sent to other threads.
    start: AtomicPtr<T>,
    room: usize,
}

impl<T> Span<T> {
    const fn none() -> Self {
        Self { start: AtomicPtr::new(ptr::null_mut()), room: 0 }
    }

    #[inline]
    pub(super) fn parts(self) -> (*const T, usize) {
        (self.start.into_inner(), self.room)
    }
}

impl<T> Table<T> {
    /// An empty table for these readers.
    pub(crate) const fn new(readers: Readers) -> Self {
        Self { span: Span::none(), items: Vec::new(), readers }
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// How many items it has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// Makes room for exactly so many more, in other memory unless nobody reads without the lock.
    pub(crate) fn reserve_exact(&mut self, more: usize) {
        let mut items = mem::take(&mut self.items);
        if self.readers.is_empty() {
            items.reserve_exact(more);
            self.items = items;
        } else {
            let mut wider = Vec::new();
            wider.reserve_exact(items.len() + more);
            wider.append(&mut items);
            self.items = items;
            self.replace(wider);
        }
    }

    /// Goes on with these items.
    pub(crate) fn replace(&mut self, mut items: Vec<T>) {
        self.span = Span { start: AtomicPtr::new(items.as_mut_ptr()), room: items.capacity() };
        let old = mem::replace(&mut self.items, items);
        drop(Self { span: Span::none(), items: old, readers: self.readers.clone() });
    }

    /// Adds an item behind the others.
    #[inline]
    pub(crate) fn push(&mut self, item: T) {
        if self.items.len() == self.items.capacity() {
            self.reserve_exact(self.items.len() / 2 + 1);
        }
        self.items.push(item);
    }

    /// Takes the last item out.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.items.pop()
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        if self.items.capacity() > 0 && !self.readers.wait_out() {
            // The system did not say that nobody reads it: it is lost rather than freed too early. Where items have to be
            // dropped nobody reads without a lock, so none of them is lost.
            mem::forget(mem::take(&mut self.items));
        }
    }
}

impl<T> Deref for Table<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> DerefMut for Table<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}
