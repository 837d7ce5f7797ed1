//! Tags: names for groups of entries that are invalidated together.
//!
//! An entry carries a small sorted set of them. Cloning a tag or a set copies a pointer, and the empty set is free,
//! so an untagged entry pays nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The longest tag, in bytes. Bounds what one entry can make an index hold.
pub const MAX_TAG_BYTES: usize = 256;

/// The most tags one entry can carry.
pub const MAX_TAGS: usize = 64;

/// The name of a group. Any text of 1 to [`MAX_TAG_BYTES`] bytes without control characters.
///
/// ```
/// use cache_core::Tag;
/// let team = Tag::new("team:7")?;
/// assert_eq!(team.as_str(), "team:7");
/// assert!(Tag::new("").is_err());
/// # Ok::<(), cache_core::TagError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Checks a text and makes it a tag.
    ///
    /// # Errors
    /// Empty, longer than [`MAX_TAG_BYTES`], or with a control character.
    pub fn new(text: impl AsRef<str>) -> Result<Self, TagError> {
        let text = text.as_ref();
        if text.is_empty() {
            return Err(TagError::Empty);
        }
        if text.len() > MAX_TAG_BYTES {
            return Err(TagError::TooLong { bytes: text.len() });
        }
        match text.find(char::is_control) {
            Some(at) => Err(TagError::Control { at }),
            None => Ok(Self(text.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::borrow::Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// The tags of one entry: sorted, without duplicates, at most [`MAX_TAGS`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<[Tag]>>);

impl Tags {
    /// No tags.
    pub const NONE: Self = Self(None);

    /// Checks and collects tags.
    ///
    /// # Errors
    /// A tag that is not valid, or more than [`MAX_TAGS`] different ones.
    pub fn new<I>(tags: I) -> Result<Self, TagError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut checked = BTreeSet::new();
        for tag in tags {
            checked.insert(Tag::new(tag)?);
            if checked.len() > MAX_TAGS {
                return Err(TagError::TooMany);
            }
        }
        Ok(Self((!checked.is_empty()).then(|| checked.into_iter().collect())))
    }

    /// The tags, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Tag> {
        self.as_slice().iter()
    }

    /// The tags as a slice, in order.
    pub fn as_slice(&self) -> &[Tag] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Tells whether this tag is among them.
    pub fn contains(&self, tag: &str) -> bool {
        self.as_slice().binary_search_by(|own| own.as_str().cmp(tag)).is_ok()
    }
}

impl From<Tag> for Tags {
    fn from(tag: Tag) -> Self {
        Self(Some([tag].into()))
    }
}

impl<'a> IntoIterator for &'a Tags {
    type Item = &'a Tag;
    type IntoIter = std::slice::Iter<'a, Tag>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.as_slice()).finish()
    }
}

/// Why a text is not a tag, or a list not a set of tags.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TagError {
    /// No text.
    #[error("a tag is empty; it needs 1 to {MAX_TAG_BYTES} bytes")]
    Empty,
    /// Too much text.
    #[error("a tag has {bytes} bytes; at most {MAX_TAG_BYTES} are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A control character, which would break logs and line protocols.
    #[error("a tag has a control character at byte {at}; use printable text")]
    Control {
        /// Where it stands.
        at: usize,
    },
    /// More than one entry may carry.
    #[error("an entry has more than {MAX_TAGS} tags; group them under fewer")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_a_tag() {
        assert_eq!(Tag::new(""), Err(TagError::Empty));
        assert_eq!(Tag::new("a\nb"), Err(TagError::Control { at: 1 }));
        assert_eq!(Tag::new("x".repeat(257)), Err(TagError::TooLong { bytes: 257 }));
        assert!(Tag::new("x".repeat(256)).is_ok());
    }

    #[test]
    fn a_set_is_sorted_and_without_duplicates() -> Result<(), TagError> {
        let tags = Tags::new(["b", "a", "b"])?;
        assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert!(tags.contains("a") && !tags.contains("c"));
        assert!(Tags::new(Vec::<&str>::new())?.is_empty());
        Ok(())
    }

    #[test]
    fn a_set_is_bounded_by_its_different_tags() {
        let numbers = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert!(Tags::new(numbers(MAX_TAGS)).is_ok());
        assert_eq!(Tags::new(numbers(MAX_TAGS + 1)), Err(TagError::TooMany));
        assert!(Tags::new(std::iter::repeat_n("same", 1000)).is_ok());
    }
}
