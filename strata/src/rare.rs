//! An option that hardly ever holds anything.

/// What is there only off the common way. Dropping it costs that way a comparison, in place, instead of a call: what drops
/// the value stands apart.
#[derive(Debug)]
pub(crate) struct Rare<T>(Option<T>);

impl<T> Rare<T> {
    #[inline]
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn some(value: T) -> Self {
        Self(Some(value))
    }

    #[inline]
    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Drop for Rare<T> {
    #[inline]
    fn drop(&mut self) {
        if self.0.is_some() {
            // Taken out, so that it is seen here that nothing is left to be dropped.
            discard(self.0.take());
        }
    }
}

#[cold]
#[inline(never)]
fn discard<T>(value: Option<T>) {
    drop(value);
}
