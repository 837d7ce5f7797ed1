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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// What must not be dropped before nobody reads it.
    struct Watched(Arc<AtomicBool>);

    impl Drop for Watched {
        fn drop(&mut self) {
            assert!(self.0.load(SeqCst), "somebody still reads it");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "time for what must not happen to happen")]
    fn what_is_replaced_or_dropped_is_freed_when_nobody_reads_it() {
        type Act = fn(Table<Watched>);
        let acts: [Act; 3] = [
            drop,
            |mut table| table.replace(Vec::new()),
            |mut table| {
                // The items move; the memory where they were is what is waited for.
                table.reserve_exact(100);
                assert!(table[0].0.load(SeqCst), "somebody still reads it");
            },
        ];
        for act in acts {
            let readers = Readers::of::<u64, u64>(true);
            assert!(!readers.is_empty(), "this system has no barrier for other cores");
            let reading = readers.enter(0).expect("there is a mark");
            let is_over = Arc::new(AtomicBool::new(false));
            let mut table = Table::new(readers.clone());
            table.push(Watched(Arc::clone(&is_over)));
            let thread = thread::spawn(move || act(table));
            thread::sleep(Duration::from_millis(20));
            is_over.store(true, SeqCst);
            reading.end().count_miss();
            thread.join().expect("it waited");
        }
    }

    #[test]
    fn a_table_tells_where_its_items_are() {
        for readers in [Readers::none(), Readers::of::<u64, u64>(true)] {
            let mut table = Table::new(readers);
            for number in 0..1000_u64 {
                table.push(number);
                assert!(table.capacity() >= table.len());
                let (start, room) = (table.span.start.load(SeqCst).cast_const(), table.span.room);
                let is_told = (start, room) == (table.as_ptr(), table.capacity());
                assert!(is_told || table.readers().is_empty(), "{number}");
            }
            assert_eq!((table.pop(), table.len()), (Some(999), 999));
            assert!(table.iter().copied().eq(0..999));
        }
    }
}
