//! Options: what may be asked of a call, a cache or a preset, each overlaying the next.
//!
//! Unset differs from the default, so a call that sets one field keeps the cache's others.

use std::time::Duration;

use cache_core::{Priority, Tags, Ttl};
use cache_memory::Put;

/// How to store and when to load. Every field is optional and cheap to copy.
///
/// ```
/// use strata::{Options, Ttl};
/// let of_cache = Options::new().with_ttl(Ttl::from_secs(300)).with_force_refresh(false);
/// let of_call = Options::new().with_ttl(Ttl::from_secs(5));
/// let resolved = of_call.over(&of_cache);
/// assert_eq!(resolved.ttl(), Some(Ttl::from_secs(5)));
/// assert_eq!(resolved.force_refresh(), Some(false));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    ttl: Option<Ttl>,
    tags: Option<Tags>,
    priority: Option<Priority>,
    cost: Option<Duration>,
    force_refresh: Option<bool>,
}

impl Options {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the value is fresh. Default: the memory tier's own time-to-live, which is for ever unless set.
    #[must_use]
    pub fn with_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// The groups the value belongs to. Default: none.
    #[must_use]
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.tags = Some(tags);
        self
    }

    /// Whom to evict first. Default: [`Priority::Normal`].
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// How long it takes to make the value again, for policies that weigh it. Default: unknown.
    #[must_use]
    pub fn with_cost(mut self, cost: Duration) -> Self {
        self.cost = Some(cost);
        self
    }

    /// Loads even if the value is there, and never joins a load that is already running. Default: `false`.
    #[must_use]
    pub fn with_force_refresh(mut self, force: bool) -> Self {
        self.force_refresh = Some(force);
        self
    }

    /// These options where set, and `base` where not.
    #[must_use]
    pub fn over(self, base: &Self) -> Self {
        Self {
            ttl: self.ttl.or(base.ttl),
            tags: self.tags.or_else(|| base.tags.clone()),
            priority: self.priority.or(base.priority),
            cost: self.cost.or(base.cost),
            force_refresh: self.force_refresh.or(base.force_refresh),
        }
    }

    /// The time-to-live, if set.
    pub fn ttl(&self) -> Option<Ttl> {
        self.ttl
    }

    /// The tags, if set.
    pub fn tags(&self) -> Option<&Tags> {
        self.tags.as_ref()
    }

    /// Whether to load in any case, if set.
    pub fn force_refresh(&self) -> Option<bool> {
        self.force_refresh
    }

    /// What the memory tier is told.
    pub(crate) fn put(&self, ttl: Ttl) -> Put {
        Put::new()
            .with_ttl(ttl)
            .with_tags(self.tags.clone().unwrap_or_default())
            .with_priority(self.priority.unwrap_or_default())
            .with_cost(self.cost.unwrap_or_default())
    }
}
