//! The tier as its users see it.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use cache_core::{Entry, Key, Note, Part, Removed, Rest, Result, Store, StoreInfo, Tag, Tags, Ttl};

use crate::builder::{BuildError, Builder};
use crate::index::Spot;
use crate::log::Log;
use crate::read;
use crate::shared::Shared;
use crate::stats::{Start, Stats};
use crate::work::Work;
use crate::writer::{PLACE, Writer};

/// A store of entries in a folder of the file system.
///
/// Clones are the same store. The folder belongs to one store at a time, and to it alone: what else lies there may be in
/// the way of its files. Work on files is done by threads of the store, so the futures need no runtime and block none. A
/// future that is dropped takes nothing back: what it asked for may still happen.
///
/// When the last clone goes, the thread that drops it waits until everything that was asked for is done and the
/// folder is closed, which may take as long as a sync of the file system. [`close`](Self::close) does the same without
/// blocking.
///
/// # Cost
/// A miss looks into memory and is answered at once. A hit is a hop to another thread and one read of a file, a write a hop
/// and a part of one write. A removal of keys or by tag writes a few bytes for each entry, a clear removes files. A removal by
/// prefix reads the head of every entry, and writes wait meanwhile: two seconds for a million. Memory: about 120 bytes
/// for each entry, 16 more if it has an end, 24 more for each tag.
///
/// A note costs a look into memory, and is remembered with those of about 32,000 other keys until the tier is closed.
///
/// # Errors
/// A call fails as `Unavailable` if too many calls wait already, if the folder cannot be used, or after a close; as
/// `Refused` if the disk is full or read-only; as `Invalid` if an entry has more labels or longer ones than a frame holds.
/// A write that fails leaves nothing that was under its keys before. A read never fails because of files: what cannot be read is missing, and
/// counted.
///
/// # Example
/// ```
/// use cache_core::{Entry, Key, StoreExt, Ttl};
/// use cache_disk::Disk;
/// # let temporary = tempfile::tempdir()?;
/// # let folder = temporary.path().join("cache");
/// # pollster::block_on(async {
/// let key = Key::new("user:42")?;
/// let disk = Disk::builder(&folder).with_max_bytes(64 << 20).build()?;
/// disk.put(key.clone(), Entry::new("Ada").with_ttl(Ttl::from_secs(60))).await?;
/// disk.close().await?;
///
/// let disk = Disk::open(&folder)?;
/// assert_eq!(disk.get(&key).await?.expect("it survived").value, "Ada");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Disk {
    shared: Arc<Shared>,
    work: Arc<Work>,
    max_bytes: u64,
}

impl Disk {
    /// Opens the store in this folder with all settings as they are by default.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, BuildError> {
        Self::builder(folder).build()
    }

    /// Sets up a store in this folder.
    pub fn builder(folder: impl Into<PathBuf>) -> Builder {
        Builder::new(folder)
    }

    pub(crate) fn new(shared: Arc<Shared>, work: Work, max_bytes: u64) -> Self {
        Self { shared, work: Arc::new(work), max_bytes }
    }

    /// What happened since it was opened, and what it holds now. Reads no file.
    pub fn stats(&self) -> Stats {
        let overflows = self.work.overflows();
        Stats { overflows, ..self.shared.stats() }
    }

    /// What its files may take, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// How it found its folder.
    pub fn start(&self) -> Start {
        self.shared.index.lock().start
    }

    /// Ends all use of the folder, once everything that was asked for before is done. Reads miss and writes fail
    /// from then on, on all clones.
    ///
    /// What was acknowledged before survives whatever comes, a power cut too, and the next start finds all of it.
    ///
    /// # Errors
    /// The file system could not promise that.
    ///
    /// # Cancel safety
    /// It goes on if the future is dropped.
    pub async fn close(&self) -> Result<()> {
        self.work.write("close", 0, Writer::close).await
    }
}

#[async_trait]
impl Store for Disk {
    fn info(&self) -> StoreInfo {
        let mut info = StoreInfo::new(PLACE);
        info.survives_restart = true;
        info
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        // A miss is known from the index alone.
        if !self.shared.may_hold_any(keys) {
            return Ok(vec![None; keys.len()]);
        }
        let (shared, keys) = (Arc::clone(&self.shared), keys.to_vec());
        self.work.read("get", 0, move || read::entries(&shared, &keys)).await
    }

    async fn put_many(&self, entries: Vec<(Key, Entry)>) -> Result<()> {
        let keys: Vec<Key> = entries.iter().map(|(key, _)| key.clone()).collect();
        let bytes = bytes(&entries);
        let put = move |log: &mut Log, now| log.put(entries, now);
        self.work.write("put", bytes, move |writer| writer.change("put", &keys, put)).await
    }

    async fn remove_many(&self, keys: &[Key]) -> Result<u64> {
        let keys = keys.to_vec();
        let remove = |keys: &[Key], log: &mut Log, now| {
            let keys = log.hashes(keys);
            log.remove(&keys, now)
        };
        let act =
            move |writer: &mut Writer| writer.change("remove", &keys, |log, now| remove(&keys, log, now));
        self.work.write("remove", 0, act).await
    }

    async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool> {
        let keys = [key.clone()];
        let act = move |writer: &mut Writer| {
            let touch = |log: &mut Log, now| {
                let hashes = log.hashes(&keys);
                hashes.first().map_or(Ok(false), |hash| log.touch(*hash, ttl, now))
            };
            let changed = if ttl.is_zero() { &keys[..] } else { &[] };
            writer.change("touch", changed, touch)
        };
        self.work.write("touch", 0, act).await
    }

    async fn remove_tag(&self, tag: &Tag) -> Result<Removed> {
        let tag = tag.clone();
        let removed = self.work.write("remove_tag", 0, move |writer| {
            let carries = |_: &Key, tags: &Tags| tags.contains(tag.as_str());
            writer.change_all("remove_tag", carries, |log, now| log.remove_tag(&tag, now))
        });
        removed.await.map(Removed::Exactly)
    }

    async fn remove_prefix(&self, prefix: &str) -> Result<Removed> {
        let (mut removed, mut next) = (0, Some(Spot::default()));
        while let Some(from) = next {
            let (here, after) = self.remove_from(prefix, from).await?;
            (removed, next) = (removed + here, after);
        }
        Ok(Removed::Exactly(removed))
    }

    async fn remove_prefix_part(&self, prefix: &str, from: Option<&Rest>) -> Result<Part> {
        let from = from.and_then(Rest::downcast_ref::<At>);
        let from =
            from.filter(|at| at.prefix == prefix && Weak::as_ptr(&at.disk) == Arc::as_ptr(&self.shared));
        let (removed, next) = self.remove_from(prefix, from.map_or(Spot::default(), |at| at.spot)).await?;
        let at = |spot| At { disk: Arc::downgrade(&self.shared), prefix: prefix.to_owned(), spot };
        Ok(Part { removed: Removed::Exactly(removed), rest: next.map(|spot| Rest::new(at(spot))) })
    }

    async fn clear(&self) -> Result<Removed> {
        let act = |writer: &mut Writer| writer.change_all("clear", |_, _| true, Log::clear);
        self.work.write("clear", 0, act).await.map(Removed::Exactly)
    }

    async fn note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        Ok(self.shared.notes.lock().note(key, tags))
    }

    async fn put_noted(&self, key: Key, entry: Entry, note: &Note) -> Result<bool> {
        let entries = vec![(key.clone(), entry)];
        if note.is_none() {
            self.put_many(entries).await?;
            return Ok(true);
        }
        let (bytes, note) = (bytes(&entries), note.clone());
        let put = move |log: &mut Log, now| log.put(entries, now);
        let act = move |writer: &mut Writer| writer.change_noted("put", (&key, &note), put);
        self.work.write("put", bytes, act).await
    }
}

impl Disk {
    /// Removes a part of what begins like this, and says where the next one begins.
    async fn remove_from(&self, prefix: &str, from: Spot) -> Result<(u64, Option<Spot>)> {
        let prefix = prefix.to_owned();
        let act = move |writer: &mut Writer| {
            let begins = |key: &Key, _: &Tags| key.as_str().starts_with(&prefix);
            writer.change_all("remove_prefix", begins, |log, now| log.remove_part(&prefix, from, now))
        };
        self.work.write("remove_prefix", 0, act).await
    }
}

/// Where a removal has come to.
struct At {
    disk: Weak<Shared>,
    prefix: String,
    spot: Spot,
}

/// What these hold in memory while they wait to be written.
fn bytes(entries: &[(Key, Entry)]) -> u64 {
    entries.iter().map(|(_, entry)| entry.value.len() as u64).sum()
}
