//! Writing and removing: the last tier first, so that a reader never finds something older above something newer.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Entry, Key, Note, Rest, Result, Tag, Tags, Ttl};
use cache_invalidation::Action;
use futures_util::future::join_all;

use super::backlog::{Moment, Owed};
use super::fetch::Silent;
use super::{Level, Tiers, Turn, count};
use crate::sync::{Instant, timeout};

/// What each tier knew of a key; nothing where it could not be asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Notes(Vec<Option<Note>>);

/// In place of the length of a note that there is not.
const NO_NOTE: u16 = u16::MAX;

impl Notes {
    /// Writes each behind its length; one that is too long is none.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for note in &self.0 {
            let bytes = note.as_ref().map_or(&[][..], Note::as_bytes);
            let length = u16::try_from(bytes.len()).ok().filter(|_| note.is_some());
            let length = length.unwrap_or(NO_NOTE);
            out.extend(length.to_le_bytes());
            out.extend(bytes.iter().take(if length == NO_NOTE { 0 } else { bytes.len() }));
        }
    }

    /// Reads what [`write`](Self::write) has written.
    pub(crate) fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut notes = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk() {
            let length = u16::from_le_bytes(*length);
            let taken = if length == NO_NOTE { 0 } else { usize::from(length) };
            let (note, rest) = rest.split_at_checked(taken)?;
            notes.push((length != NO_NOTE).then(|| Note::new(note.to_vec())));
            bytes = rest;
        }
        bytes.is_empty().then_some(Self(notes))
    }
}

/// What has come of a write under notes.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    /// No tier has anything older now.
    pub(crate) is_newest: bool,
    /// A tier has something newer.
    pub(crate) is_overtaken: bool,
}

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
    pub(super) fn contains(&self, key: &Key, tags: &Tags) -> bool {
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
    /// Notes at all tiers, but for those that have been silent, what they know of a key before its value is read at the source.
    pub(crate) async fn note(self: &Arc<Self>, key: &Key, tags: &Tags, silent: Silent) -> Notes {
        let note = async |(at, level): (usize, &Level)| {
            if silent.contains(at) {
                return None;
            }
            let noted = level.store.note(key, tags).await;
            noted.inspect_err(|error| level.failed(error, 1)).ok()
        };
        let notes = join_all(self.levels.iter().enumerate().map(note)).await;
        self.attend();
        Notes(notes)
    }

    /// Writes an entry to these tiers, as far as nothing has happened to its key there since the note. What a tier does not take
    /// is not told it later: it is no more than could be read at the source again.
    pub(crate) async fn put_noted(
        self: &Arc<Self>,
        _: &Turn<'_>,
        (key, entry): (Key, Entry),
        Notes(notes): &Notes,
        levels: Range<usize>,
    ) -> Written {
        let mut written = Written { is_newest: true, is_overtaken: false };
        for at in levels.rev() {
            let (level, note) = (&self.levels[at], notes.get(at).and_then(Option::as_ref));
            let Some(note) = note.filter(|_| !level.backlog.doubts(&key, &entry.meta.tags)) else {
                written.is_newest = false;
                continue;
            };
            match level.store.put_noted(key.clone(), level.shortened(entry.clone()), note).await {
                Ok(true) => count(&level.counts.writes, 1),
                Ok(false) => {
                    written.is_overtaken = true;
                    count(&level.counts.overtaken, 1);
                }
                Err(error) => {
                    written.is_newest = false;
                    level.failed(&error, 1);
                }
            }
        }
        self.attend();
        written
    }

    /// How many tiers there are.
    pub(crate) fn levels(&self) -> Range<usize> {
        0..self.levels.len()
    }

    /// Another process has changed a key or a group: the tiers that it does not have are told.
    pub(crate) fn hear(self: &Arc<Self>, key: Option<&Key>, group: Option<&Group>) {
        for level in self.levels.iter().filter(|level| level.is_local) {
            if let Some(key) = key {
                level.backlog.owe(key.clone(), Owed { entry: None, version: 0, since: self.clock.now() });
            }
            if let Some(group) = group {
                level.backlog.owe_group(group.clone(), Action::Remove, None);
            }
        }
        self.attend();
    }

    /// Writes entries to all tiers.
    pub(crate) async fn put(self: &Arc<Self>, _: &Turn<'_>, entries: Vec<(Key, Entry)>) {
        let levels = if entries.is_empty() { &[] } else { &*self.levels };
        let begun: Vec<Moment> = levels.iter().map(|level| level.backlog.moment()).collect();
        for (level, begun) in levels.iter().zip(begun).rev() {
            level.put(entries.clone(), begun, self).await;
        }
        self.attend();
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

    /// Removes a group from all tiers. Whoever calls has seen to it that nobody writes what was made before, and tells others of this `action`.
    pub(crate) async fn remove_group(self: &Arc<Self>, group: &Group, action: Action) {
        for level in self.levels.iter().rev() {
            let mut rest = None;
            match level.remove_group(group, &mut rest).await {
                Ok(()) if rest.is_none() => level.backlog.overtake(group),
                outcome => {
                    if let Err(error) = outcome {
                        level.failed(&error, 1);
                    }
                    level.backlog.owe_group(group.clone(), action, rest);
                }
            }
        }
        self.attend();
    }

    /// Gives an entry a new life in all tiers and says whether any of them had it.
    pub(crate) async fn touch(self: &Arc<Self>, _: &Turn<'_>, key: &Key, ttl: Ttl) -> bool {
        let mut touched = false;
        for level in self.levels.iter().rev() {
            match level.store.touch(key, ttl.min(level.max_ttl)).await {
                Ok(here) => touched |= here && !level.backlog.doubts(key, &Tags::NONE),
                Err(error) => level.failed(&error, 1),
            }
        }
        self.attend();
        touched
    }
}

impl Level {
    /// An entry with the life that it may have here.
    fn shortened(&self, mut entry: Entry) -> Entry {
        entry.meta.ttl = entry.meta.ttl.min(self.max_ttl);
        entry
    }

    async fn put(&self, entries: Vec<(Key, Entry)>, begun: Moment, tiers: &Tiers) {
        let shortened = |(key, entry)| (key, self.shortened(entry));
        let entries: Vec<(Key, Entry)> = entries.into_iter().map(shortened).collect();
        match self.store.put_many(entries.clone()).await {
            Ok(()) => {
                count(&self.counts.writes, entries.len());
                for (key, _) in &entries {
                    self.backlog.written(key, begun);
                }
            }
            Err(error) => {
                self.failed(&error, entries.len());
                for (key, entry) in entries {
                    let version = entry.meta.version;
                    // What other processes do meanwhile cannot be known for certain. So where there are any, nothing is written
                    // late: what is older goes, and who needs the value asks for it.
                    let entry = tiers.teller.is_none().then_some(entry);
                    self.backlog.owe(key, Owed { entry, version, since: tiers.clock.now() });
                }
            }
        }
    }

    /// Removes a group part by part, until nothing is left, or until its caller has waited for as long as for any other operation; then
    /// there is a `rest`.
    async fn remove_group(&self, group: &Group, rest: &mut Option<Rest>) -> Result<()> {
        let began = Instant::now();
        *rest = self.remove_part(group, None).await?;
        let most = self.guarded.as_ref().map_or(Duration::MAX, |guarded| guarded.timeout);
        while rest.is_some() && began.elapsed() < most {
            let part = self.remove_part(group, rest.as_ref());
            // Who runs out of time has the part begun again by whoever attends to the tier, who gives it all the time that it may take.
            let Ok(left) = timeout(most.saturating_sub(began.elapsed()), part).await else { break };
            *rest = left?;
        }
        Ok(())
    }

    /// Removes a part of a group, and says where the rest begins.
    pub(super) async fn remove_part(&self, group: &Group, from: Option<&Rest>) -> Result<Option<Rest>> {
        let part = match group {
            Group::Tag(tag) => {
                self.store.remove_tag(tag).await?;
                return Ok(None);
            }
            Group::Prefix(prefix) => self.store.remove_prefix_part(prefix, from).await?,
            Group::All(name) => {
                if let (None, Ok(bare)) = (from, Key::new(&**name)) {
                    self.store.remove_many(&[bare]).await?;
                }
                self.store.remove_prefix_part(&format!("{name}:"), from).await?
            }
        };
        Ok(part.rest)
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
