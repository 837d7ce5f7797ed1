//! What a loader may answer, and how a load can fail.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use cache_core::{Tags, Ttl};
use thiserror::Error;

use crate::flight::Failure;

/// A loaded value with what its loader knows better than the caller: its life and its tags.
///
/// A loader that has nothing to add returns the plain value.
///
/// ```
/// use strata::{Loaded, Ttl};
/// let quote = Loaded::new(101.5).with_ttl(Ttl::from_secs(5));
/// let unsure = Loaded::new(0.0).do_not_store();
/// # let _ = (quote, unsure);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded<V> {
    pub(crate) value: V,
    pub(crate) ttl: Option<Ttl>,
    pub(crate) tags: Option<Tags>,
}

impl<V> Loaded<V> {
    /// A value to be stored as the caller asked.
    pub fn new(value: V) -> Self {
        Self { value, ttl: None, tags: None }
    }

    /// Overrides the caller's time-to-live.
    #[must_use]
    pub fn with_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// Overrides the caller's tags.
    #[must_use]
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.tags = Some(tags);
        self
    }

    /// Returns the value to whoever waits for it, and keeps nothing.
    #[must_use]
    pub fn do_not_store(self) -> Self {
        self.with_ttl(Ttl::ZERO)
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Self::new(value)
    }
}

/// Why a value could not be loaded. Shared by all who waited for the same load; nothing is cached.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed with this error.
    #[error("the loader failed: {0}")]
    Failed(Arc<E>),
    /// The loader of another caller, with an error of another type, failed. This is its text.
    #[error("the loader of another caller failed: {0}")]
    FailedElsewhere(String),
    /// The loader panicked. The next call runs it again.
    #[error("the loader panicked")]
    Panicked,
    /// The load was ended from outside, as by a runtime that shuts down.
    #[error("the load was aborted")]
    Aborted,
    /// There is no tokio runtime to run the loader on.
    #[error("a loader needs a tokio runtime; call from within one")]
    NoRuntime,
}

impl<E> LoadError<E> {
    /// The loader's own error, if it is this caller's type.
    pub fn into_failure(self) -> Option<Arc<E>> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::FailedElsewhere(message) => Self::FailedElsewhere(message.clone()),
            Self::Panicked => Self::Panicked,
            Self::Aborted => Self::Aborted,
            Self::NoRuntime => Self::NoRuntime,
        }
    }
}

impl Failure {
    pub(crate) fn new<E: fmt::Display + Send + Sync + 'static>(error: E) -> Self {
        Self { message: error.to_string(), error: Arc::new(error) }
    }

    /// The error as this caller knows it.
    pub(crate) fn as_load_error<E: Send + Sync + 'static>(&self) -> LoadError<E> {
        let error: Arc<dyn Any + Send + Sync> = Arc::clone(&self.error);
        error.downcast().map_or_else(|_| LoadError::FailedElsewhere(self.message.clone()), LoadError::Failed)
    }
}
