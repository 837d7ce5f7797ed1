//! Whose request it is, as the application says.

use cache_core::KeyError;
use cache_ratelimit::{Class, Subject};
use http::request::Parts;

/// Whose request it is, and how much that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who is counted.
    Limited {
        /// How much he may.
        class: Class,
        /// By what he is counted, and what is written of him.
        subject: Subject,
    },
    /// Nobody who is counted, such as whoever asks whether the service is well. The request passes as it is.
    Exempt,
}

impl Caller {
    /// Somebody who is counted.
    pub fn new(class: Class, subject: Subject) -> Self {
        Self::Limited { class, subject }
    }
}

/// Tells whose request it is. Any function from the head of a request to a [`Caller`] does.
///
/// It looks and does not wait: what has to be asked elsewhere, such as whose token this is, is for an outer layer, which
/// leaves its answer in the extensions of the request. It is called before anything is charged, so what it does is done for
/// attackers too.
pub trait Identify: Send + Sync + 'static {
    /// Whose request this is. One of whom that cannot be told is refused by 503, as letting it pass would be no limit.
    ///
    /// # Errors
    /// A name that is no part of a key; the constructors of [`Subject`] give none for what a request holds.
    fn caller(&self, request: &Parts) -> Result<Caller, KeyError>;
}

impl<F> Identify for F
where
    F: Fn(&Parts) -> Result<Caller, KeyError> + Send + Sync + 'static,
{
    fn caller(&self, request: &Parts) -> Result<Caller, KeyError> {
        self(request)
    }
}
