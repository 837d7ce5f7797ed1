//! The seam of places: a store keeps bytes under keys for a while.
//!
//! Required methods come in batches, so that no implementation can make one and many disagree; the conveniences for
//! one key are in [`StoreExt`]. A store may lose any entry at any time; it may never return a wrong or an expired one.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Entry, Key, Note, Result, Tag, Tags, Ttl};

/// A place that keeps entries.
///
/// Missing keys are not errors. Each method acts on each key atomically; nothing is promised across keys.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Says what this place is and what it can do.
    fn info(&self) -> StoreInfo;

    /// Reads entries: one answer per key, in the order of the keys, `None` for what is missing or expired.
    ///
    /// An entry comes with what is left of its life.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>>;

    /// Writes entries, replacing what was there. Of one key given twice the later wins.
    ///
    /// An entry whose life is zero is removed instead.
    async fn put_many(&self, entries: Vec<(Key, Entry)>) -> Result<()>;

    /// Removes entries and says how many were there.
    async fn remove_many(&self, keys: &[Key]) -> Result<u64>;

    /// Gives an entry a new life from now and says whether it was there. A life of zero removes it.
    async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool>;

    /// Removes all entries with this tag.
    async fn remove_tag(&self, tag: &Tag) -> Result<Removed>;

    /// Removes all entries whose key begins with this text. The empty prefix begins every key.
    async fn remove_prefix(&self, prefix: &str) -> Result<Removed>;

    /// Removes everything.
    async fn clear(&self) -> Result<Removed>;

    /// Removes a part of what [`remove_prefix`](Self::remove_prefix) removes, and says from where on the rest is to be removed. Nothing is
    /// given up that way, however many keys there are: a part takes no longer than any other operation.
    ///
    /// Whoever begins with `None`, and goes on from each rest until there is none, has removed what was there when he began, as
    /// by `remove_prefix`; notes of these keys hold no longer then. What is written meanwhile may go too. A rest that does not fit, because it is of
    /// another store or of another prefix, or because its place is not what it was, is as good as none: then the removal begins anew.
    ///
    /// The default is for a store that removes as many as there may be within the time of one operation: all of them.
    ///
    /// # Errors
    /// The same part may be removed again.
    async fn remove_prefix_part(&self, prefix: &str, from: Option<&Rest>) -> Result<Part> {
        let _ = from;
        Ok(Part { removed: self.remove_prefix(prefix).await?, rest: None })
    }

    /// Notes what is known of a key, before its value is read at the source, for [`put_noted`](Self::put_noted). `tags` are
    /// those that are known already of what will be written. Nobody else sees that a note was taken.
    ///
    /// A store that others may change, or through which several caches share what they load, implements both. The default is
    /// for one that a single cache has to itself, with its own order of loads and removals: [`Note::NONE`], no condition.
    ///
    /// # Errors
    /// Whoever gets no note writes nothing that was read without one.
    async fn note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        let _ = (key, tags);
        Ok(Note::NONE)
    }

    /// Writes an entry as [`put_many`](Self::put_many) does, if nothing has happened to its key since the note was taken, and
    /// says whether it has.
    ///
    /// It is refused, and everything left as it is, if since then the key was written by anybody, under a note too, or was
    /// removed, by itself or with a prefix or everything, whether or not there was anything to remove. It is refused, or goes
    /// with the tag, if a tag was removed that the note names and the entry carries. Other tags count from the write on. Under
    /// [`Note::NONE`] nothing is refused.
    ///
    /// A touch, the end of the old entry by time or for want of room, and the removal of a tag that only the note names, may
    /// count as changes or not. A store that has lost a note, or is asked for one while something happens to the key, refuses.
    ///
    /// # Errors
    /// It may have been written. If it was, a second try under the same note is refused, as by any other write: after an
    /// error, a refusal says only that nothing older than what is there was written.
    async fn put_noted(&self, key: Key, entry: Entry, note: &Note) -> Result<bool> {
        let _ = note;
        self.put_many(vec![(key, entry)]).await?;
        Ok(true)
    }
}

/// What a store says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// Its name in logs and metrics.
    pub name: &'static str,
    /// Whether it keeps its entries through a restart of this process.
    pub survives_restart: bool,
    /// Whether a removal by tag, by prefix or of everything says exactly how many entries went.
    pub counts_removals: bool,
}

impl StoreInfo {
    /// A store in this process that counts what it removes.
    pub fn new(name: &'static str) -> Self {
        Self { name, survives_restart: false, counts_removals: true }
    }
}

/// How many entries a removal has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// Exactly this many.
    Exactly(u64),
    /// The place marks groups as dead instead of visiting them, and cannot tell.
    Unknown,
}

/// What a [part of a removal](Store::remove_prefix_part) has come to.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it has removed.
    pub removed: Removed,
    /// Where to go on; `None` if that was the last part.
    pub rest: Option<Rest>,
}

/// From where on a removal is to go on: something that only the store can read that gave it, for as long as the process lives.
///
/// ```
/// use cache_core::Rest;
/// let rest = Rest::new(7_u64);
/// assert_eq!(rest.downcast_ref::<u64>(), Some(&7));
/// assert_eq!(rest.downcast_ref::<String>(), None, "it is of another store");
/// ```
#[derive(Clone)]
pub struct Rest(Arc<dyn Any + Send + Sync>);

impl Rest {
    /// A rest that the store will know again by this.
    pub fn new(place: impl Any + Send + Sync) -> Self {
        Self(Arc::new(place))
    }

    /// What the store knows it by, if it is one of its own.
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").finish_non_exhaustive()
    }
}

/// Conveniences over every [`Store`]. They add no box to the store's own.
pub trait StoreExt: Store {
    /// Reads one entry.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Entry>>> + Send {
        async move { Ok(self.get_many(std::slice::from_ref(key)).await?.pop().flatten()) }
    }

    /// Writes one entry.
    fn put(&self, key: Key, entry: Entry) -> impl Future<Output = Result<()>> + Send {
        self.put_many(vec![(key, entry)])
    }

    /// Removes one entry and says whether it was there.
    fn remove(&self, key: &Key) -> impl Future<Output = Result<bool>> + Send {
        async move { Ok(self.remove_many(std::slice::from_ref(key)).await? > 0) }
    }
}

impl<S: Store + ?Sized> StoreExt for S {}
