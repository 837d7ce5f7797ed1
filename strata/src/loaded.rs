//! What a loader may answer, and how a load can fail.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Priority, Tags, Ttl};
use thiserror::Error;

use crate::flight::Failure;
use crate::options::Options;
use crate::windows::Windows;

/// A loaded value with what its loader knows better than the caller: its life, its tags, what it is worth.
///
/// A loader that has nothing to add returns the plain value.
///
/// ```
/// use strata::{Loaded, Ttl};
/// let quote = Loaded::new(101.5).with_ttl(Ttl::from_secs(5)).with_validator("W/\"7\"");
/// let unsure = Loaded::new(0.0).do_not_store();
/// let same = Loaded::<f64>::not_modified();
/// # let _ = (quote, unsure, same);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded<V> {
    /// `None`: what is there is still right.
    pub(crate) value: Option<V>,
    pub(crate) about: About,
}

/// What a loader says of its value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct About {
    pub(crate) ttl: Option<Ttl>,
    pub(crate) windows: Windows,
    pub(crate) tags: Option<Tags>,
    pub(crate) priority: Option<Priority>,
    pub(crate) cost: Option<Duration>,
    pub(crate) validator: Option<Arc<str>>,
    pub(crate) is_negative: bool,
    /// How long before its end it is to be refreshed, because of the time it took to load.
    pub(crate) lead: Duration,
}

impl About {
    /// What a call that stores a value says of it with these options. Its window to refresh in goes with it into every tier; that to fall
    /// back on need not, as no reader has one there that is longer than the tier keeps the value.
    pub(crate) fn of_call(options: &Options) -> Self {
        let windows = Windows { stale_for: options.stale_for(), fail_safe_for: None };
        Self { windows, ..Self::default() }
    }
}

impl<V> Loaded<V> {
    /// A value to be stored as the caller asked.
    pub fn new(value: V) -> Self {
        Self { value: Some(value), about: About::default() }
    }

    /// What the cache still has is right, and gets a new life. Keeps its tags and its validator unless others are given; windows of its
    /// own are to be given again.
    ///
    /// A loader that [`get_or_refresh`](crate::Cache::get_or_refresh) has shown nothing may not say so:
    /// [`LoadError::NothingToKeep`].
    pub fn not_modified() -> Self {
        Self { value: None, about: About::default() }
    }

    /// Overrides the caller's time-to-live.
    #[must_use]
    pub fn with_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.about.ttl = Some(ttl.into());
        self
    }

    /// Overrides [`Options::with_stale_for`](crate::Options::with_stale_for), for this value wherever it is read.
    #[must_use]
    pub fn with_stale_for(mut self, window: Duration) -> Self {
        self.about.windows.stale_for = Some(window);
        self
    }

    /// Overrides [`Options::with_fail_safe_for`](crate::Options::with_fail_safe_for), for this value wherever it is read.
    #[must_use]
    pub fn with_fail_safe_for(mut self, window: Duration) -> Self {
        self.about.windows.fail_safe_for = Some(window);
        self
    }

    /// Overrides the caller's tags.
    #[must_use]
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.about.tags = Some(tags);
        self
    }

    /// Overrides the caller's priority.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.about.priority = Some(priority);
        self
    }

    /// Overrides what the caller says it takes to make the value again.
    #[must_use]
    pub fn with_cost(mut self, cost: Duration) -> Self {
        self.about.cost = Some(cost);
        self
    }

    /// What the source calls this state of the value, such as an entity tag; the next loader is shown it.
    #[must_use]
    pub fn with_validator(mut self, validator: impl Into<Arc<str>>) -> Self {
        self.about.validator = Some(validator.into());
        self
    }

    /// Says that the value means that there is nothing: it lives for
    /// [`Options::with_negative_ttl`](crate::Options::with_negative_ttl).
    #[must_use]
    pub fn as_negative(mut self) -> Self {
        self.about.is_negative = true;
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

/// Why a value could not be loaded, and none stood in. Shared by all who waited for the same load; cached only if
/// [`Options::with_cache_errors_for`](crate::Options::with_cache_errors_for) says so.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed with this error.
    #[error("the loader failed: {0}")]
    Failed(Arc<E>),
    /// The loader of another caller, with an error of another type, failed. This is its text.
    #[error("the loader of another caller failed: {0}")]
    FailedElsewhere(Arc<String>),
    /// The load took longer than the hard timeout. It may still go on; the key is free for another one.
    #[error("the load took longer than its hard timeout")]
    TimedOut,
    /// The source may not be asked now: the budget is used up, or too many loads are running.
    #[error("the source may not be asked now, and nothing stands in")]
    OverBudget {
        /// When it may be, if the [gate](crate::Gate) could tell.
        retry_in: Option<Duration>,
    },
    /// The loader said "not modified", but there was nothing to keep.
    #[error("the loader answered that nothing was modified, but had been shown no value")]
    NothingToKeep,
    /// The loader panicked. The next call runs it again.
    #[error("the loader panicked")]
    Panicked,
    /// The load was ended from outside: by [`Cache::close`](crate::Cache::close), or by a runtime that shuts down.
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
            Self::FailedElsewhere(message) => Self::FailedElsewhere(Arc::clone(message)),
            Self::TimedOut => Self::TimedOut,
            Self::OverBudget { retry_in } => Self::OverBudget { retry_in: *retry_in },
            Self::NothingToKeep => Self::NothingToKeep,
            Self::Panicked => Self::Panicked,
            Self::Aborted => Self::Aborted,
            Self::NoRuntime => Self::NoRuntime,
        }
    }
}

impl Failure {
    pub(crate) fn new<E: fmt::Display + Send + Sync + 'static>(error: E) -> Self {
        Self { message: Arc::new(error.to_string()), error: Arc::new(error) }
    }
}

impl LoadError<Failure> {
    /// The error as this caller knows it.
    pub(crate) fn known<E: Send + Sync + 'static>(self) -> LoadError<E> {
        match self {
            Self::Failed(failure) => {
                let elsewhere = |_| LoadError::FailedElsewhere(Arc::clone(&failure.message));
                Arc::clone(&failure.error).downcast().map_or_else(elsewhere, LoadError::Failed)
            }
            Self::FailedElsewhere(message) => LoadError::FailedElsewhere(message),
            Self::TimedOut => LoadError::TimedOut,
            Self::OverBudget { retry_in } => LoadError::OverBudget { retry_in },
            Self::NothingToKeep => LoadError::NothingToKeep,
            Self::Panicked => LoadError::Panicked,
            Self::Aborted => LoadError::Aborted,
            Self::NoRuntime => LoadError::NoRuntime,
        }
    }
}
