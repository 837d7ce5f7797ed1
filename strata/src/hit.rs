//! What a read answers: the value, shared and uncopied, and what is known of it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use cache_core::{Time, Ttl};

/// An answer. Reads as the value itself; cloning it shares the value.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// use strata::{Cache, Source};
/// let lengths: Cache<String, usize> = Cache::builder("lengths").build()?;
/// let hit = lengths.get_or_load("abc", || async { Ok::<_, std::io::Error>(3) }).await?;
/// assert_eq!(*hit, 3);
/// assert_eq!(hit.source(), Source::Loader);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Hit<V> {
    value: Arc<V>,
    source: Source,
    expires: Time,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The memory tier.
    Memory,
    /// The loader, run for this call.
    Loader,
    /// A loader that was already running for another call.
    Joined,
}

impl<V> Hit<V> {
    pub(crate) fn new(value: Arc<V>, source: Source, expires: Time) -> Self {
        Self { value, source, expires }
    }

    pub(crate) fn with_source(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// Where it came from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Tells whether a loader was run for this call.
    pub fn is_loaded(&self) -> bool {
        self.source == Source::Loader
    }

    /// How much longer it lives, at this moment of the cache's clock.
    pub fn remaining(&self, now: Time) -> Ttl {
        Ttl::between(now, self.expires)
    }

    /// The value, shared with the cache.
    pub fn into_value(self) -> Arc<V> {
        self.value
    }
}

impl<V> Deref for Hit<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V> Clone for Hit<V> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), ..*self }
    }
}

impl<V: fmt::Debug> fmt::Debug for Hit<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hit")
            .field("value", &self.value)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl<V: PartialEq> PartialEq<V> for Hit<V> {
    fn eq(&self, other: &V) -> bool {
        *self.value == *other
    }
}
