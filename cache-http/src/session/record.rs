//! What stands in the store of a session.

use serde::{Deserialize, Serialize};
use strata::Wall;

/// A session: whose it is, since when, and what the application keeps in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session<T> {
    pub(super) user: Option<Box<str>>,
    pub(super) since: Millis,
    /// When it ends if nothing happens, where that is not for the store to say.
    pub(super) ends: Option<Millis>,
    pub(super) data: T,
}

/// Milliseconds since the beginning of 1970.
pub(super) type Millis = u64;

impl<T> Session<T> {
    pub(super) fn new(user: Option<&str>, since: Millis, data: T) -> Self {
        Self { user: user.map(Into::into), since, ends: None, data }
    }

    /// Whose it is; `None` if nobody has logged in.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Since when it is, by the clock of the node that began it.
    pub fn since(&self) -> Wall {
        Wall::from_unix_millis(self.since)
    }

    /// What the application keeps in it.
    pub fn data(&self) -> &T {
        &self.data
    }
}
