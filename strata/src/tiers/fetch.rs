//! Reading: each tier is asked for what those before it did not have.

use std::sync::Arc;

use cache_core::{Entry, Key};

use super::{Level, Tiers, count};

/// What an entry is to whoever asked for it.
pub(crate) enum Reading<T> {
    /// An answer: no further tier is asked.
    Answer(T),
    /// Something to fall back on, if no further tier has an answer.
    Reserve(T),
    /// Nothing that could be used.
    Unreadable,
}

/// What was found, and where.
pub(crate) struct Fetched<T> {
    pub(crate) what: T,
    /// As it was found, with what is left of its life.
    pub(crate) entry: Entry,
    pub(crate) is_answer: bool,
    level: usize,
}

/// Which tiers did not answer, of the first 64. Whoever has waited for one in vain does not ask it again in the same call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Silent(u64);

impl Silent {
    fn add(&mut self, level: usize) {
        self.0 |= 1_u64.checked_shl(u32::try_from(level).unwrap_or(u32::MAX)).unwrap_or(0);
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn contains(self, level: usize) -> bool {
        self.0.checked_shr(u32::try_from(level).unwrap_or(u32::MAX)).unwrap_or(0) & 1 == 1
    }
}

impl Tiers {
    /// Reads keys, each from the first tier that has an answer. A tier that fails has nothing, and is said to be silent.
    pub(crate) async fn fetch<T>(
        self: &Arc<Self>,
        keys: &[Key],
        read: impl Fn(&Key, &Entry) -> Reading<T>,
    ) -> (Vec<Option<Fetched<T>>>, Silent) {
        let mut silent = Silent::default();
        let mut found: Vec<Option<Fetched<T>>> = keys.iter().map(|_| None).collect();
        for (level, place) in self.levels.iter().enumerate() {
            let is_open = |at: &usize| found[*at].as_ref().is_none_or(|found| !found.is_answer);
            let asked: Vec<usize> = (0..keys.len()).filter(is_open).collect();
            if asked.is_empty() {
                break;
            }
            if place.is_local && self.is_in_doubt() {
                continue;
            }
            let entries = if asked.len() == keys.len() {
                place.get(keys).await
            } else {
                let keys: Vec<Key> = asked.iter().map(|at| keys[*at].clone()).collect();
                place.get(&keys).await
            };
            let Some(entries) = entries else {
                silent.add(level);
                self.attend();
                continue;
            };
            for (at, entry) in asked.into_iter().zip(entries) {
                let Some(entry) = entry else { continue };
                let (what, is_answer) = match read(&keys[at], &entry) {
                    Reading::Answer(what) => (what, true),
                    Reading::Reserve(what) => (what, false),
                    Reading::Unreadable => {
                        count(&place.counts.unreadable, 1);
                        continue;
                    }
                };
                if is_answer || found[at].is_none() {
                    found[at] = Some(Fetched { what, entry, is_answer, level });
                }
            }
        }
        (found, silent)
    }

    /// Tells whether a tier that others have too is among these.
    pub(crate) fn is_shared_among(&self, silent: Silent) -> bool {
        self.levels.iter().enumerate().any(|(at, level)| silent.contains(at) && !level.is_local)
    }

    /// Writes what was found further down into the tiers above, with what is left of its life, if it is still there.
    pub(crate) async fn promote<T>(
        self: &Arc<Self>,
        key: &Key,
        found: &Fetched<T>,
        permit: impl Fn() -> bool + Send + Sync,
    ) {
        if found.level == 0 {
            return;
        }
        let turn = self.turn(std::slice::from_ref(key)).await;
        let notes = self.note(key, &found.entry.meta.tags, Silent::default()).await;
        // A removal begins below: if what was found is still there, whoever removes it comes here after the note.
        let level = &self.levels[found.level];
        let present = level.get(std::slice::from_ref(key)).await.and_then(|mut entries| entries.pop()?);
        if let Some(entry) = present.filter(|entry| entry.value == found.entry.value && permit()) {
            self.put_noted(&turn, (key.clone(), entry), &notes, 0..found.level).await;
        }
    }

    /// What a tier has of these keys, for whoever compares: it is neither counted nor promoted, and what the tier is still owed makes no
    /// difference, as others read it all the same. `None` if the tier fails, or if nobody would believe it now.
    pub(crate) async fn look(&self, at: usize, keys: &[Key]) -> Option<Vec<Option<Entry>>> {
        let level = self.levels.get(at).filter(|level| !(level.is_local && self.is_in_doubt()))?;
        level.store.get_many(keys).await.ok()
    }

    /// Tells whether other processes may have changed something of which nothing has been heard.
    fn is_in_doubt(&self) -> bool {
        self.teller.as_ref().is_some_and(|teller| teller.doubt().is_some())
    }
}

impl Level {
    /// What the tier has of these keys, as far as it can be believed; `None` if it does not answer.
    async fn get(&self, keys: &[Key]) -> Option<Vec<Option<Entry>>> {
        let doubted = self.backlog.doubted(keys);
        let mut entries = match self.store.get_many(keys).await {
            Ok(entries) if entries.len() == keys.len() => entries,
            Ok(_) => Vec::new(),
            Err(error) => {
                self.failed(&error, keys.len());
                count(&self.counts.misses, keys.len());
                return None;
            }
        };
        entries.resize_with(keys.len(), || None);
        for (key, slot) in keys.iter().zip(&mut entries) {
            let is_doubted = |entry: &Entry| {
                let tags = &entry.meta.tags;
                doubted.contains(key, tags) || self.backlog.doubts(key, tags)
            };
            if slot.as_ref().is_some_and(is_doubted) {
                *slot = None;
            }
        }
        let hits = entries.iter().flatten().count();
        count(&self.counts.hits, hits);
        count(&self.counts.misses, keys.len() - hits);
        Some(entries)
    }
}
