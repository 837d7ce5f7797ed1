//! What can go wrong beyond a seam: one type, with a kind to branch on, a flag to retry by and a source to print.
//!
//! A miss is not an error. Messages name the operation and the place, never a value, a secret or a whole key.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything that crosses a seam.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation on a store, transport, counter or lease.
///
/// ```
/// use cache_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Unavailable, "redis", "get").with_source(std::io::Error::other("reset"));
/// assert!(error.is_retryable());
/// assert_eq!(error.to_string(), "redis is unavailable during get");
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    place: &'static str,
    operation: &'static str,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The place cannot be reached or is shutting down; it may be back soon.
    Unavailable,
    /// No answer within the deadline; the operation may or may not have taken effect.
    TimedOut,
    /// The place answered and refused: over its limits, read-only or not permitted.
    Refused,
    /// What was found there cannot be read; a reader treats it as a miss.
    Corrupt,
    /// The request itself can never succeed.
    Invalid,
    /// The place has failed too often a moment ago and is left alone for a while.
    Suspended,
}

impl Error {
    /// An error of this kind at a place (`"redis"`) in an operation (`"get"`).
    pub fn new(kind: ErrorKind, place: &'static str, operation: &'static str) -> Self {
        Self { kind, place, operation, source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Tells whether the same request may succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::TimedOut)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ErrorKind::Unavailable => "is unavailable",
            ErrorKind::TimedOut => "did not answer in time",
            ErrorKind::Refused => "refused",
            ErrorKind::Corrupt => "holds something unreadable",
            ErrorKind::Invalid => "cannot do this",
            ErrorKind::Suspended => "is left alone for a while",
        };
        write!(f, "{} {what} during {}", self.place, self.operation)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_retryable() {
        let retryable = |kind| Error::new(kind, "disk", "put").is_retryable();
        assert!(retryable(ErrorKind::Unavailable) && retryable(ErrorKind::TimedOut));
        assert!(
            !retryable(ErrorKind::Refused)
                && !retryable(ErrorKind::Corrupt)
                && !retryable(ErrorKind::Invalid)
                && !retryable(ErrorKind::Suspended)
        );
    }

    #[test]
    fn the_cause_is_the_source_and_not_in_the_message() {
        let error = Error::new(ErrorKind::Corrupt, "disk", "get").with_source("secret bytes");
        assert_eq!(error.to_string(), "disk holds something unreadable during get");
        assert_eq!(error.source().expect("set above").to_string(), "secret bytes");
    }
}
