//! Writing and removing: the last tier first, so that a reader never finds something older above something newer.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Entry, Error, Key, Result, Tag, Tags, Ttl};

use super::backlog::Owed;
use super::{Level, Tiers, Turn, count};

/// Entries that are removed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// All with this tag.
    Tag(Tag),
    /// All whose key begins like this.
    Prefix(Arc<str>),
    /// All of a cache: what begins with its name and a colon, and what is its name alone.
    All(Arc<str>),
}

impl Group {
    pub(crate) fn contains(&self, key: &Key, tags: &Tags) -> bool {
        match self {
            Self::Tag(tag) => tags.contains(tag.as_str()),
            Self::Prefix(prefix) => key.as_str().starts_with(&**prefix),
            Self::All(name) => key
                .as_str()
                .strip_prefix(&**name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(':')),
        }
    }
}

impl Tiers {
    /// Writes entries to all tiers.
    pub(crate) async fn put(self: &Arc<Self>, turn: &Turn<'_>, entries: Vec<(Key, Entry)>) {
        self.put_into(0..self.levels.len(), turn, entries).await;
        self.attend();
    }

    /// Writes entries to these tiers. The turn is that for their keys.
    pub(super) async fn put_into(&self, levels: Range<usize>, _: &Turn<'_>, entries: Vec<(Key, Entry)>) {
        if entries.is_empty() {
            return;
        }
        for level in self.levels[levels].iter().rev() {
            level.put(entries.clone(), self.clock.now()).await;
        }
    }

    /// Removes entries from all tiers and says how many there were at most at one of them.
    pub(crate) async fn remove(self: &Arc<Self>, _: &Turn<'_>, keys: &[Key], version: u64) -> u64 {
        let mut removed = 0;
        let levels = if keys.is_empty() { &[] } else { &*self.levels };
        for level in levels.iter().rev() {
            match level.store.remove_many(keys).await {
                Ok(here) => {
                    for key in keys {
                        level.backlog.settled(key);
                    }
                    removed = removed.max(here);
                }
                Err(error) => {
                    level.failed(&error, keys.len());
                    for key in keys {
                        let owed = Owed { entry: None, version, since: self.clock.now() };
                        level.backlog.owe(key.clone(), owed);
                    }
                }
            }
        }
        self.attend();
        removed
    }

    /// Removes a group from all tiers. Whoever calls has seen to it that nobody writes what was made before.
    pub(crate) async fn remove_group(self: &Arc<Self>, group: &Group) {
        for level in self.levels.iter().rev() {
            if let Err(error) = level.remove_group(group).await {
                level.failed(&error, 1);
                level.backlog.owe_group(group.clone());
            }
        }
        self.attend();
    }

    /// Another process has changed these, or may have: a value that waits to be told is not told any more.
    pub(crate) fn overtake(&self, is_meant: impl Fn(&Key, &Tags) -> bool) {
        for level in &self.levels {
            level.backlog.overtake(&is_meant);
        }
    }

    /// Gives an entry a new life in all tiers and says whether any of them had it.
    pub(crate) async fn touch(&self, _: &Turn<'_>, key: &Key, ttl: Ttl) -> bool {
        let mut touched = false;
        for level in self.levels.iter().rev() {
            match level.store.touch(key, ttl.min(level.max_ttl)).await {
                Ok(here) => touched |= here && !level.backlog.doubts(key, &Tags::NONE),
                Err(error) => level.failed(&error, 1),
            }
        }
        touched
    }
}

impl Level {
    async fn put(&self, mut entries: Vec<(Key, Entry)>, now: cache_core::Time) {
        for (_, entry) in &mut entries {
            entry.meta.ttl = entry.meta.ttl.min(self.max_ttl);
        }
        match self.store.put_many(entries.clone()).await {
            Ok(()) => {
                count(&self.counts.writes, entries.len());
                for (key, _) in &entries {
                    self.backlog.settled(key);
                }
            }
            Err(error) => {
                self.failed(&error, entries.len());
                for (key, entry) in entries {
                    let version = entry.meta.version;
                    self.backlog.owe(key, Owed { entry: Some(entry), version, since: now });
                }
            }
        }
    }

    pub(super) async fn remove_group(&self, group: &Group) -> Result<(), Error> {
        match group {
            Group::Tag(tag) => self.store.remove_tag(tag).await.map(drop),
            Group::Prefix(prefix) => self.store.remove_prefix(prefix).await.map(drop),
            Group::All(name) => {
                self.store.remove_prefix(&format!("{name}:")).await?;
                match Key::new(&**name) {
                    Ok(bare) => self.store.remove_many(&[bare]).await.map(drop),
                    Err(_) => Ok(()),
                }
            }
        }
    }
}

/// An entry that has waited for so long, if anything of it is left.
pub(super) fn aged(mut entry: Entry, waited: Duration) -> Option<Entry> {
    if let Some(ttl) = entry.meta.ttl.finite() {
        let over = waited.saturating_sub(ttl);
        entry.meta.ttl = Ttl::from(ttl.saturating_sub(waited));
        entry.meta.stale_for = entry.meta.stale_for.saturating_sub(over);
    }
    (!entry.meta.keep_for().is_zero()).then_some(entry)
}
