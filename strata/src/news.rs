//! News of other processes, and for them: what changed here is told on the bus, what changed elsewhere ends in memory.
//!
//! ```text
//! changed here        tiers ► memory ► bus         names only: who needs the value looks for it below
//! changed elsewhere   bus ► seal ► memory
//! in doubt            everything in memory is stale, and nothing new is fresh for long, until the bus is whole again
//! ```
//!
//! The value in the shared tier is the truth; a copy in memory is as good as the news that it has changed.

use std::sync::{Arc, Weak};
use std::time::Duration;

use cache_core::{CacheKey, Pattern};
use cache_invalidation::{Action, Bus, Doubt, Event, Listener, Target};

use crate::cache::Shared;
use crate::expire::matches;
use crate::fence::Fence;
use crate::tiers::Group;

/// How long a value is fresh in memory at most that was stored while the bus was in doubt, unless set otherwise.
pub(crate) const DEFAULT_DOUBT_TTL: Duration = Duration::from_secs(5);

/// Tells other processes what has changed.
pub(crate) struct Teller {
    bus: Bus,
    namespace: Arc<str>,
    doubt_ttl: Duration,
    /// What has been heard, in order with what is written meanwhile.
    heard: Fence,
}

impl Teller {
    pub(crate) fn new(bus: Bus, namespace: &str, doubt_ttl: Duration) -> Self {
        Self { bus, namespace: namespace.into(), doubt_ttl, heard: Fence::new() }
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Tells what has been heard by when.
    pub(crate) fn heard(&self) -> &Fence {
        &self.heard
    }

    /// How long a value may be fresh in memory that is stored now; `None` if nothing is to be feared.
    pub(crate) fn doubt(&self) -> Option<Duration> {
        (!self.bus.is_whole()).then_some(self.doubt_ttl)
    }

    /// Tells of what has changed. Nothing of this can fail: what the transport does not take is queued.
    pub(crate) async fn tell(&self, targets: Vec<Target>, action: Action, version: u64) {
        let event = |target| match Event::new(&*self.namespace, target, action) {
            Ok(event) => Some(event.with_version(version)),
            Err(error) => {
                tracing::debug!(%error, "this can be told to nobody, and nobody else can have it");
                None
            }
        };
        let events: Vec<Event> = targets.into_iter().filter_map(event).collect();
        if !events.is_empty() {
            self.bus.publish_all(events).await;
        }
    }

    /// A group of a tier, as other processes know it.
    pub(crate) fn target(&self, group: &Group) -> Target {
        match group {
            Group::Tag(tag) => {
                let own = tag.as_str().strip_prefix(&*self.namespace).and_then(|rest| rest.strip_prefix(':'));
                Target::Tag(own.unwrap_or(tag.as_str()).to_owned())
            }
            Group::Prefix(prefix) => Target::Prefix(prefix.to_string()),
            Group::All(_) => Target::All,
        }
    }
}

/// A cache as a listener, for as long as there is one.
pub(crate) struct Hearing<K, V>(pub(crate) Weak<Shared<K, V>>);

impl<K, V> Listener for Hearing<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    fn invalidated(&self, event: &Event) {
        if let Some(shared) = self.0.upgrade() {
            shared.versions.see(event.version());
            if let Some(below) = &shared.below {
                below.hear(event.target());
            }
            shared.hear(event.target(), event.action());
        }
    }

    fn distrust(&self, why: Doubt) {
        if let Some(shared) = self.0.upgrade() {
            if let Some(below) = &shared.below {
                below.hear(&Target::All);
            }
            shared.seal_heard(None);
            let expired = shared.expire_if(&|_| true);
            tracing::debug!(cache = shared.namespace.name(), %why, expired, "news may be missing");
        }
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Tells whether neither a tier nor another process is to know what happens in memory.
    pub(crate) fn is_alone(&self) -> bool {
        self.below.is_none() && self.teller.is_none()
    }

    /// Tells other processes, if there is a bus, which keys have changed.
    pub(crate) async fn tell_keys<'a>(&self, keys: impl IntoIterator<Item = &'a K>, action: Action) {
        if let Some(teller) = &self.teller {
            let text = |key: &K| Target::Key(self.rendered(key).as_str().to_owned());
            let targets = keys.into_iter().map(text).collect();
            teller.tell(targets, action, self.versions.next()).await;
        }
    }

    /// Ends in memory what has changed elsewhere.
    fn hear(&self, target: &Target, action: Action) {
        let is_removal = action == Action::Remove;
        self.seal_heard(Some(target));
        match target {
            Target::Key(text) => match self.namespace.read::<K>(text) {
                Some(key) if is_removal => drop(self.remove(&key)),
                Some(key) => drop(self.expire(&key)),
                // Of keys that cannot be read back all have to be looked at.
                None => self.hear_of(is_removal, |key| self.rendered(key).as_str() == text),
            },
            Target::Tag(tag) if is_removal => drop(self.remove_tag(tag)),
            Target::Tag(tag) => drop(self.expire_tag(tag)),
            Target::Prefix(prefix) => {
                self.hear_of(is_removal, |key| self.rendered(key).as_str().starts_with(&**prefix));
            }
            Target::Pattern(pattern) => match Pattern::new(pattern) {
                Ok(pattern) => self.hear_of(is_removal, matches(&pattern)),
                Err(_) => self.hear_of(is_removal, |_| true),
            },
            Target::All if is_removal => drop(self.clear()),
            Target::All => drop(self.expire_if(&|_| true)),
        }
    }

    /// Whoever is writing what is meant finds that it has been heard of meanwhile.
    fn seal_heard(&self, target: Option<&Target>) {
        let Some(teller) = &self.teller else { return };
        match target {
            Some(Target::Key(text)) => match self.namespace.read::<K>(text) {
                Some(key) => teller.heard.seal_key(&key),
                None => teller.heard.seal_all(),
            },
            Some(Target::Tag(tag)) => teller.heard.seal_tag(tag),
            _ => teller.heard.seal_all(),
        }
    }

    fn hear_of(&self, is_removal: bool, is_meant: impl Fn(&K) -> bool) {
        if is_removal {
            self.remove_if(&is_meant);
        } else {
            self.expire_if(&is_meant);
        }
    }
}
