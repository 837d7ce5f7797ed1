//! How to store: what may be said of an entry besides its key and value, and what became of it.

use std::time::Duration;

use cache_core::{Priority, Tags, Ttl};

/// What to know about a new entry. Everything is optional.
///
/// ```
/// use cache_core::{Tags, Ttl};
/// use cache_memory::{Memory, Put};
/// let users: Memory<u64, String> = Memory::new();
/// users.insert_with(7, "Ada".into(), Put::new().with_ttl(Ttl::from_secs(60)).with_tags(Tags::new(["team:1"])?));
/// assert_eq!(users.remove_tag("team:1"), 1);
/// # Ok::<(), cache_core::TagError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Put {
    pub(crate) ttl: Option<Ttl>,
    pub(crate) tags: Tags,
    pub(crate) priority: Priority,
    /// In seconds.
    pub(crate) cost: f32,
}

impl Put {
    /// Nothing special: the cache's own time-to-live, no tags, normal priority, unknown cost.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the entry lives. Default: the cache's own time-to-live.
    #[must_use]
    pub fn with_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// The groups it belongs to. Default: none.
    #[must_use]
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.tags = tags;
        self
    }

    /// Whom to evict first, for policies that look at it. Default: [`Priority::Normal`].
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How long it takes to make the value again, for policies that look at it. Default: unknown.
    #[must_use]
    pub fn with_cost(mut self, cost: Duration) -> Self {
        self.cost = cost.as_secs_f32();
        self
    }
}

/// What became of an insert. In every case but [`Inserted::Refused`] no older value of the key is left: it would no longer
/// be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is stored.
    Stored,
    /// It alone exceeds the limits and is not stored.
    TooLarge,
    /// Its life is zero and it is not stored.
    Expired,
    /// All room was held by other inserts on their way, for longer than makes sense to wait, and it is not stored.
    NoRoom,
    /// The permit was withdrawn while it was on its way, and it is not stored. What had to make room for it by then, an
    /// older value of the key among them, is gone.
    Refused,
}

impl Inserted {
    /// Tells whether the value is now in the cache.
    pub fn is_stored(self) -> bool {
        self == Self::Stored
    }
}
