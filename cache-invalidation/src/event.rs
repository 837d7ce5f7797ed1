//! Events: what is no longer true. Names only, never values.

use cache_core::{Key, KeyError, Pattern, PatternError, Tag, TagError};
use thiserror::Error;

/// The longest name of a namespace in an event, in bytes: room for that of a cache and its version.
pub const MAX_NAMESPACE_BYTES: usize = 128;

/// The longest prefix, in bytes: as long as the longest key.
const MAX_PREFIX_BYTES: usize = cache_core::MAX_KEY_BYTES;

/// Something that changed: whose it is, what it is, and what is to become of the copies. Always legal, as it is checked
/// when it is made.
///
/// ```
/// use cache_invalidation::{Action, Event, Target};
/// let event = Event::new("users", Target::Key("users:42".into()), Action::Remove)?.with_version(7);
/// assert_eq!((event.namespace(), event.version()), ("users", 7));
/// assert!(Event::new("users", Target::Tag(String::new()), Action::Expire).is_err());
/// # Ok::<(), cache_invalidation::EventError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    namespace: String,
    target: Target,
    action: Action,
    version: u64,
}

/// Which entries of a namespace an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The one of this key, as it is rendered.
    Key(String),
    /// All that carry this tag.
    Tag(String),
    /// All whose key begins like this.
    Prefix(String),
    /// All whose key this glob matches ([`Pattern`]).
    Pattern(String),
    /// All.
    All,
}

/// What is to become of the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// They are no longer fresh; they may still stand in for a load that fails.
    Expire,
    /// They are gone.
    Remove,
}

impl Event {
    /// An event that nothing orders (version 0).
    ///
    /// # Errors
    /// A namespace that is empty, longer than [`MAX_NAMESPACE_BYTES`] or has a control character; a target that is no legal
    /// key, tag, prefix or pattern. A retry fails the same way.
    pub fn new(namespace: impl Into<String>, target: Target, action: Action) -> Result<Self, EventError> {
        let namespace = namespace.into();
        let is_legal = (1..=MAX_NAMESPACE_BYTES).contains(&namespace.len());
        if !is_legal || namespace.contains(char::is_control) {
            return Err(EventError::Namespace { bytes: namespace.len() });
        }
        target.check()?;
        Ok(Self { namespace, target, action, version: 0 })
    }

    /// Says which write this is about; larger is newer. 0, the default, means that nothing orders it.
    #[must_use]
    pub fn with_version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// Whose entries they are.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Which of them.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What is to become of them.
    pub fn action(&self) -> Action {
        self.action
    }

    /// Which write it is about; 0 if nothing orders it.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes over what an earlier event of the same target demands: the stronger action, the newer version.
    pub(crate) fn absorb(&mut self, earlier: &Self) {
        self.action = self.action.max(earlier.action);
        self.version = self.version.max(earlier.version);
    }
}

impl Target {
    /// Its text; empty for [`Target::All`].
    pub fn text(&self) -> &str {
        match self {
            Self::Key(text) | Self::Tag(text) | Self::Prefix(text) | Self::Pattern(text) => text,
            Self::All => "",
        }
    }

    fn check(&self) -> Result<(), EventError> {
        match self {
            Self::Key(key) => drop(Key::new(key)?),
            Self::Tag(tag) => drop(Tag::new(tag)?),
            Self::Pattern(pattern) => drop(Pattern::new(pattern)?),
            Self::Prefix(prefix) if prefix.len() > MAX_PREFIX_BYTES => {
                return Err(EventError::PrefixTooLong { bytes: prefix.len() });
            }
            Self::Prefix(prefix) => {
                let control = prefix.find(char::is_control);
                return control.map_or(Ok(()), |at| Err(EventError::PrefixControl { at }));
            }
            Self::All => {}
        }
        Ok(())
    }
}

/// Why something is not an event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EventError {
    /// The namespace has no legal name.
    #[error(
        "the namespace has {bytes} bytes or a control character; it needs 1 to {MAX_NAMESPACE_BYTES} bytes of printable text"
    )]
    Namespace {
        /// How long it is.
        bytes: usize,
    },
    /// The key is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The tag is none.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The pattern is none.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The prefix is longer than any key.
    #[error("the prefix has {bytes} bytes; at most {MAX_PREFIX_BYTES} are allowed")]
    PrefixTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// No key begins like this.
    #[error("the prefix has a control character at byte {at}; use printable text")]
    PrefixControl {
        /// Where it stands.
        at: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(namespace: &str, target: Target) -> EventError {
        Event::new(namespace, target, Action::Remove).expect_err("it is not legal")
    }

    #[test]
    fn only_what_is_legal_becomes_an_event() -> Result<(), EventError> {
        let long = "x".repeat(1025);
        assert_eq!(refused("", Target::All), EventError::Namespace { bytes: 0 });
        assert_eq!(refused(&"x".repeat(129), Target::All), EventError::Namespace { bytes: 129 });
        assert_eq!(refused("a\n", Target::All), EventError::Namespace { bytes: 2 });
        assert_eq!(refused("n", Target::Key(String::new())), EventError::Key(KeyError::Empty));
        assert_eq!(refused("n", Target::Tag("a\0".into())), EventError::Tag(TagError::Control { at: 1 }));
        assert_eq!(refused("n", Target::Prefix(long)), EventError::PrefixTooLong { bytes: 1025 });
        assert_eq!(refused("n", Target::Prefix("a\r".into())), EventError::PrefixControl { at: 1 });
        assert!(matches!(refused("n", Target::Pattern("[".into())), EventError::Pattern(_)));
        Event::new("n@2", Target::Prefix(String::new()), Action::Expire)?;
        Event::new("n".repeat(128), Target::Prefix("x".repeat(1024)), Action::Expire)?;
        Ok(())
    }

    #[test]
    fn a_later_event_demands_no_less_than_the_earlier_one_it_stands_for() -> Result<(), EventError> {
        let event =
            |action, version| Event::new("n", Target::All, action).map(|event| event.with_version(version));
        let mut later = event(Action::Expire, 3)?;
        later.absorb(&event(Action::Remove, 2)?);
        assert_eq!(later, event(Action::Remove, 3)?);
        later.absorb(&event(Action::Expire, 9)?);
        assert_eq!(later, event(Action::Remove, 9)?);
        Ok(())
    }
}
