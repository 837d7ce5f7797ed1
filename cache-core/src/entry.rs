//! Entries: what a store keeps under a key, and what it has to know about it.
//!
//! An entry carries durations, not moments: what is left of its life when it is handed over. So two machines never
//! compare their clocks, and whoever receives an entry counts from its own now.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{Tags, Ttl};

/// Bytes, and when and why they die.
///
/// ```
/// use cache_core::{Entry, Ttl};
/// let entry = Entry::new("hello").with_ttl(Ttl::from_secs(60));
/// assert_eq!(&entry.value[..], b"hello");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was stored.
    pub value: Bytes,
    /// What is known about it.
    pub meta: Meta,
}

impl Entry {
    /// An entry that lives for ever, untagged, of normal priority.
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self { value: value.into(), meta: Meta::default() }
    }

    /// Limits its life.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Ttl) -> Self {
        self.meta.ttl = ttl;
        self
    }

    /// Names its groups.
    #[must_use]
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.meta.tags = tags;
        self
    }
}

/// What a store knows about an entry besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// How much longer it is fresh.
    pub ttl: Ttl,
    /// How much longer than that it may be kept, as stale.
    pub stale_for: Duration,
    /// Orders writes of one key; larger is newer. 0 where nothing orders them.
    pub version: u64,
    /// The groups it belongs to.
    pub tags: Tags,
    /// Whom to evict first.
    pub priority: Priority,
    /// How long it took, or would take, to make again.
    pub cost: Duration,
    /// Free text of the owner.
    pub labels: Arc<BTreeMap<String, String>>,
}

impl Meta {
    /// How much longer a store has to keep the entry: its fresh life and its stale one.
    pub fn keep_for(&self) -> Ttl {
        self.ttl.finite().map_or(Ttl::FOREVER, |ttl| Ttl::from(ttl.saturating_add(self.stale_for)))
    }
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            ttl: Ttl::FOREVER,
            stale_for: Duration::ZERO,
            version: 0,
            tags: Tags::NONE,
            priority: Priority::default(),
            cost: Duration::ZERO,
            labels: Arc::default(),
        }
    }
}

/// How long an entry should withstand eviction: of two, the one with the lower priority goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Evict before all others.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Evict after normal ones.
    High,
    /// Evict last.
    Critical,
}

impl Priority {
    /// All priorities, lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Critical];

    /// The name in configuration and HTTP bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let same = |priority: &Self| priority.as_str().eq_ignore_ascii_case(text);
        let unknown = || format!("{text:?} is not a priority; use low, normal, high or critical");
        Self::ALL.into_iter().find(same).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_kept_through_its_stale_life() {
        let meta = Meta { ttl: Ttl::from_secs(5), stale_for: Duration::from_secs(2), ..Meta::default() };
        assert_eq!(meta.keep_for(), Ttl::from_secs(7));
        assert_eq!(Meta { stale_for: Duration::from_secs(2), ..Meta::default() }.keep_for(), Ttl::FOREVER);
    }

    #[test]
    fn priorities_are_ordered_and_named() {
        assert!(Priority::ALL.is_sorted());
        for priority in Priority::ALL {
            assert_eq!(priority.to_string().parse(), Ok(priority));
        }
        assert!("urgent".parse::<Priority>().expect_err("unknown").contains("low, normal, high"));
    }
}
