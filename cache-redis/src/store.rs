//! The store on Redis: an entry is one key, a tag is one key, and a removal by tag is one command.
//!
//! ```text
//! get       GET entry ── has it tags? ── GET their marks ── all as they were written? ─► entry
//! put       marks of its tags, made where there are none ── SET entry PX life
//! remove    STRLEN, UNLINK entry │ by tag: UNLINK the mark │ by prefix, all: SCAN 250, STRLEN, UNLINK 500
//! noted     see notes.rs
//! ```
//!
//! A **mark** is a random number that an entry takes along when it is written. To remove a tag is to remove its mark: the
//! next one is another number, and every entry with the old one is dead. So it costs the same for ten entries and for ten
//! million, works across the slots of a Cluster, and a mark that Redis loses, by whatever, errs to a miss.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{
    Entry, Error, ErrorKind, FrameError, Key, Note, Part, Removed, Rest, Result, Store, StoreInfo, Tag, Tags,
    Ttl,
};
use redis::{Cmd, Value};

use crate::clock::Moment;
use crate::conn::{Connection, Keyed, command};
use crate::fault::{Fault, PLACE};
use crate::marks;
use crate::notes::{self, PLACEHOLDER, exchange, identity};
use crate::record::{self, Record};
use crate::script::Script;

/// How many keys one MGET asks for.
const MAX_KEYS: usize = 512;
/// What is larger is written by itself, so that nobody waits for it.
const SMALL: usize = 4096;
/// How often a touch looks again when others write meanwhile.
const MAX_TOUCHES: usize = 8;
pub(crate) static EXCHANGE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("script/exchange.lua")));

/// A store of entries on Redis.
///
/// A read of entries without tags is one round trip, of entries with tags two. Lives are whole milliseconds, counted by the
/// server's clock; those of other machines do not matter. Removals by tag say [`Removed::Unknown`]; what such a removal has
/// ended counts as there for `remove_many` until it is written anew or its life ends.
///
/// What cannot be read is a miss and counted ([`stats`](Self::stats)); what is damaged is removed, what a newer release has
/// written is left alone.
///
/// A note is one round trip, and so is a noted write unless it carries tags that the note did not name, which are another one.
/// The note of a missing key leaves a placeholder of 16 bytes there, for [`Config::with_note_life`](crate::Config::with_note_life)
/// from the last note on. Whoever writes later than that is refused, and so is whoever has lost the connection meanwhile, or
/// whose key has moved to another server. A touch counts as a change, and so does the end of an entry. Removals that a failover
/// loses, because the new primary had not heard of them, are lost for the marks of tags as for entries.
///
/// ```no_run
/// use cache_core::{Entry, Key, StoreExt, Ttl};
/// use cache_redis::{Config, Connection, RedisStore};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::new(Connection::open(Config::from_url("redis://localhost")?)?);
/// let key = Key::new("user:42")?;
/// store.put(key.clone(), Entry::new("Ada").with_ttl(Ttl::from_secs(60))).await?;
/// assert_eq!(store.get(&key).await?.expect("just stored").value, "Ada");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisStore {
    connection: Connection,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    unreadable: AtomicU64,
    untagged: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// Counts of a [`RedisStore`] since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStoreStats {
    /// Reads that found something that is no entry of that key: damaged, foreign or of a newer release.
    pub unreadable: u64,
    /// Reads that found an entry whose tag has been removed.
    pub removed_by_tag: u64,
    /// Noted writes that something else has overtaken, or whose note was lost.
    pub refused: u64,
}

impl RedisStore {
    /// A store over this connection.
    pub fn new(connection: Connection) -> Self {
        Self { connection, counts: Arc::default() }
    }

    /// What it is connected by.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What has happened so far.
    pub fn stats(&self) -> RedisStoreStats {
        RedisStoreStats {
            unreadable: self.counts.unreadable.load(Ordering::Relaxed),
            removed_by_tag: self.counts.untagged.load(Ordering::Relaxed),
            refused: self.counts.refused.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn note_life_ms(&self) -> u64 {
        u64::try_from(self.connection.config().note_life.as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn name(&self, key: &Key) -> Vec<u8> {
        self.connection.name('e', key.as_str())
    }

    /// What stands under these names: bytes, or nothing, also where it is no bytes.
    async fn fetch(&self, operation: &'static str, names: &[Vec<u8>]) -> Result<Vec<Value>> {
        if let [name] = names {
            return match self.connection.get(operation, name).await {
                Err(error) if Fault::is_of_wrong_type(&error) => Ok(vec![self.unreadable()]),
                answer => Ok(vec![answer?]),
            };
        }
        if self.connection.is_cluster() {
            let get = |name: &Vec<u8>| Keyed::new(name, command("GET", [name]), name.len());
            let mut answers = self.connection.batch(operation, names.iter().map(get).collect()).await?;
            for answer in &mut answers {
                if matches!(answer, Value::ServerError(error) if error.code() == "WRONGTYPE") {
                    *answer = self.unreadable();
                }
            }
            return answers.into_iter().map(|answer| self.connection.accept(operation, answer)).collect();
        }
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(MAX_KEYS) {
            let mut mget = redis::cmd("MGET");
            mget.arg(names);
            let Value::Array(answers) = self.connection.call(operation, &names[0], mget).await? else {
                return Err(Fault::Odd.during(operation, false));
            };
            found.extend(answers);
        }
        if found.len() == names.len() { Ok(found) } else { Err(Fault::Odd.during(operation, false)) }
    }

    /// The records under these keys whose tags are as they were, and the bytes they were read from.
    async fn read(&self, operation: &'static str, keys: &[Key]) -> Result<Vec<Option<(Record, Bytes)>>> {
        let names: Vec<Vec<u8>> = keys.iter().map(|key| self.name(key)).collect();
        let answers = self.fetch(operation, &names).await?;
        let (mut records, mut damaged) = (Vec::with_capacity(keys.len()), Vec::new());
        for ((key, name), answer) in keys.iter().zip(&names).zip(answers) {
            let Value::BulkString(bytes) = answer else {
                records.push(None);
                continue;
            };
            if notes::is_placeholder(&bytes) {
                records.push(None);
                continue;
            }
            let bytes = Bytes::from(bytes);
            let record = Record::read(key, &bytes);
            if let Err(error) = &record {
                self.unreadable();
                if !matches!(error, FrameError::Version { .. }) {
                    damaged.push(exchange(name, identity(&bytes), None));
                }
            }
            records.push(record.ok().map(|record| (record, bytes)));
        }
        if !damaged.is_empty() {
            // A read that has its answer does not fail because it could not clear up behind it.
            let _ = self.connection.run_many(operation, &EXCHANGE, &damaged).await;
        }
        self.look_at_tags(operation, &mut records).await?;
        Ok(records)
    }

    /// Takes out what has a tag that was removed since.
    async fn look_at_tags(
        &self,
        operation: &'static str,
        records: &mut [Option<(Record, Bytes)>],
    ) -> Result<()> {
        let found = records.iter().flatten();
        let mut marks: BTreeMap<Tag, Option<u64>> =
            found.flat_map(|(record, _)| record.marks()).map(|(tag, _)| (tag.clone(), None)).collect();
        if marks.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = marks.keys().map(|tag| self.connection.name('t', tag.as_str())).collect();
        for (present, answer) in marks.values_mut().zip(self.fetch(operation, &names).await?) {
            *present = marks::number(&answer);
        }
        for slot in records {
            let is_alive = |(record, _): &(Record, Bytes)| {
                record.marks().all(|(tag, mark)| marks.get(tag).copied().flatten() == Some(mark))
            };
            if slot.as_ref().is_some_and(|record| !is_alive(record)) {
                self.counts.untagged.fetch_add(1, Ordering::Relaxed);
                *slot = None;
            }
        }
        Ok(())
    }

    /// Removes names and says under how many there was an entry: what was as long as a placeholder was one. Whoever writes one
    /// of them between these two looks makes the number wrong, and nothing else.
    pub(crate) async fn unlink(&self, operation: &'static str, mut names: Vec<Vec<u8>>) -> Result<u64> {
        let at_once = if self.connection.is_cluster() { 1 } else { UNLINKED };
        let lane = |name: &Vec<u8>| self.connection.lane(name);
        names.sort_by_cached_key(lane);
        let together = names.chunk_by(|one, other| lane(one) == lane(other));
        let together: Vec<&[Vec<u8>]> = together.flat_map(|names| names.chunks(at_once)).collect();
        let mut commands = Vec::with_capacity(names.len() + together.len());
        for names in &together {
            commands.extend(names.iter().map(|name| Keyed::new(name, strlen(name), name.len())));
            let bytes = names.iter().map(Vec::len).sum();
            commands.push(Keyed::new(&names[0], unlink(*names), bytes));
        }
        let mut answers = self.connection.batch(operation, commands).await?.into_iter();
        let mut removed = 0;
        for names in together {
            let is_placeholder = |(_, length): &(_, Value)| {
                let Value::Int(length) = length else { return false };
                usize::try_from(*length) == Ok(PLACEHOLDER)
            };
            let measured = names.iter().zip(answers.by_ref()).filter(is_placeholder);
            let placeholders: HashSet<_> = measured.map(|(name, _)| name).collect();
            let answer = self.connection.accept(operation, answers.next().unwrap_or(Value::Nil))?;
            let gone: u64 = redis::from_redis_value(answer).map_err(odd(operation))?;
            removed += gone.saturating_sub(placeholders.len() as u64);
        }
        Ok(removed)
    }

    /// Counts something that is not ours, and makes a miss of it.
    fn unreadable(&self) -> Value {
        self.counts.unreadable.fetch_add(1, Ordering::Relaxed);
        Value::Nil
    }
}

/// How many keys go with one UNLINK: about 170 µs of a server that then listens to others.
const UNLINKED: usize = 500;

#[async_trait]
impl Store for RedisStore {
    fn info(&self) -> StoreInfo {
        let mut info = StoreInfo::new(PLACE);
        (info.survives_restart, info.counts_removals) = (true, false);
        info
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        match keys {
            [] => Ok(Vec::new()),
            [key] => Ok(vec![self.get_one(key).await?]),
            // Boxed, so that the futures of single reads stay small: there may be thousands of them.
            keys => Box::pin(self.get_several(keys)).await,
        }
    }

    async fn put_many(&self, entries: Vec<(Key, Entry)>) -> Result<()> {
        if let [(key, entry)] = &entries[..]
            && entry.meta.tags.is_empty()
        {
            return self.put_one(key, entry).await;
        }
        Box::pin(self.put_several(entries)).await
    }

    async fn remove_many(&self, keys: &[Key]) -> Result<u64> {
        self.unlink("remove", keys.iter().map(|key| self.name(key)).collect()).await
    }

    async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool> {
        let name = self.name(key);
        for _ in 0..MAX_TOUCHES {
            let found = self.read("touch", std::slice::from_ref(key)).await?.pop().flatten();
            let Some((record, bytes)) = found else { return Ok(false) };
            let now = self.now("touch", key).await?;
            let touched =
                if ttl.is_zero() { None } else { record.touched(key, ttl, now).map_err(invalid("touch"))? };
            if record.entry(now).is_none() {
                return Ok(false);
            }
            let call = exchange(&name, identity(&bytes), touched);
            let answer = self.connection.run("touch", &EXCHANGE, &call).await?;
            if redis::from_redis_value::<u64>(answer).map_err(odd("touch"))? == 1 {
                return Ok(true);
            }
        }
        // Others write so fast that what was read is never there any more.
        Err(Error::new(ErrorKind::Unavailable, PLACE, "touch"))
    }

    async fn remove_tag(&self, tag: &Tag) -> Result<Removed> {
        let name = self.connection.name('t', tag.as_str());
        self.connection.call("remove_tag", &name, unlink([&name])).await?;
        Ok(Removed::Unknown)
    }

    async fn remove_prefix(&self, prefix: &str) -> Result<Removed> {
        let (mut removed, mut rest) = (0, None);
        loop {
            let part = self.remove_page(prefix, rest.as_ref()).await?;
            if let Removed::Exactly(here) = part.removed {
                removed += here;
            }
            rest = part.rest;
            if rest.is_none() {
                return Ok(Removed::Exactly(removed));
            }
        }
    }

    async fn remove_prefix_part(&self, prefix: &str, from: Option<&Rest>) -> Result<Part> {
        self.remove_page(prefix, from).await
    }

    async fn clear(&self) -> Result<Removed> {
        self.remove_prefix("").await
    }

    async fn note(&self, key: &Key, tags: &Tags) -> Result<Note> {
        self.take_note(key, tags).await
    }

    async fn put_noted(&self, key: Key, entry: Entry, note: &Note) -> Result<bool> {
        if note.is_none() {
            self.put_many(vec![(key, entry)]).await?;
            return Ok(true);
        }
        self.put_under(&key, &entry, note).await
    }
}

impl RedisStore {
    async fn get_one(&self, key: &Key) -> Result<Option<Entry>> {
        let bytes = match self.connection.get_named("get", 'e', key.as_str()).await {
            Ok(Value::BulkString(bytes)) => Bytes::from(bytes),
            Err(error) if !Fault::is_of_wrong_type(&error) => return Err(error),
            Err(_) => {
                self.unreadable();
                return Ok(None);
            }
            Ok(_) => return Ok(None),
        };
        if notes::is_placeholder(&bytes) {
            return Ok(None);
        }
        let Ok(record) = Record::read(key, &bytes) else {
            // Read once more, as one of several: what is damaged is counted and removed there.
            return Ok(Box::pin(self.get_several(std::slice::from_ref(key))).await?.pop().flatten());
        };
        if record.marks().len() > 0 {
            return Box::pin(self.get_tagged(key, (record, bytes))).await;
        }
        let now = match self.connection.known_now() {
            Some(now) => now,
            None => Box::pin(self.now("get", key)).await?,
        };
        Ok(record.entry(now))
    }

    async fn get_tagged(&self, key: &Key, found: (Record, Bytes)) -> Result<Option<Entry>> {
        let mut found = [Some(found)];
        self.look_at_tags("get", &mut found).await?;
        let [found] = found;
        match found {
            Some((record, _)) => Ok(record.entry(self.now("get", key).await?)),
            None => Ok(None),
        }
    }

    async fn get_several(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let mut entries = Vec::with_capacity(keys.len());
        for (key, record) in keys.iter().zip(self.read("get", keys).await?) {
            entries.push(match record {
                Some((record, _)) => record.entry(self.now("get", key).await?),
                None => None,
            });
        }
        Ok(entries)
    }

    async fn put_one(&self, key: &Key, entry: &Entry) -> Result<()> {
        let name = self.name(key);
        let (command, bytes) = match record::life_ms(&entry.meta) {
            None => (unlink([&name]), 0),
            Some(life_ms) => {
                let now = self.now_at("put", &name).await?;
                let frame = record::write(key, entry, now, life_ms, |_| 0).map_err(invalid("put"))?;
                (set(&name, &frame, life_ms), frame.len())
            }
        };
        let answer = if bytes <= SMALL {
            self.connection.call_small("put", &name, command).await
        } else {
            self.connection.call("put", &name, command).await
        };
        answer.map(drop)
    }

    async fn put_several(&self, entries: Vec<(Key, Entry)>) -> Result<()> {
        // A later one of the same key replaces an earlier one here, because on the way they may overtake each other.
        let entries: HashMap<Key, Entry> = entries.into_iter().collect();
        let mut lives: BTreeMap<&Tag, u64> = BTreeMap::new();
        for entry in entries.values() {
            let Some(life) = record::life_ms(&entry.meta) else { continue };
            for tag in &entry.meta.tags {
                let longest = lives.entry(tag).or_insert(life);
                *longest = if *longest == 0 || life == 0 { 0 } else { (*longest).max(life) };
            }
        }
        let marks = self.marks("put", lives).await?;
        let mut commands = Vec::with_capacity(entries.len());
        for (key, entry) in &entries {
            let name = self.name(key);
            let Some(life_ms) = record::life_ms(&entry.meta) else {
                commands.push(Keyed::new(&name, unlink([&name]), name.len()));
                continue;
            };
            let now = self.now("put", key).await?;
            let marked = |tag: &Tag| marks.get(tag).copied().unwrap_or_default();
            let frame = record::write(key, entry, now, life_ms, marked).map_err(invalid("put"))?;
            let bytes = name.len() + frame.len();
            commands.push(Keyed::new(&name, set(&name, &frame, life_ms), bytes));
        }
        self.connection.each("put", commands).await.map(drop)
    }

    async fn now(&self, operation: &'static str, key: &Key) -> Result<Moment> {
        self.now_at(operation, &self.name(key)).await
    }

    pub(crate) async fn now_at(&self, operation: &'static str, name: &[u8]) -> Result<Moment> {
        match self.connection.known_now() {
            Some(now) => Ok(now),
            None => Box::pin(self.connection.now(operation, name)).await,
        }
    }
}

fn unlink<N: redis::ToRedisArgs>(names: impl IntoIterator<Item = N>) -> Cmd {
    let mut command = redis::cmd("UNLINK");
    for name in names {
        command.arg(name);
    }
    command
}

fn strlen(name: &[u8]) -> Cmd {
    command("STRLEN", [name])
}

fn set(name: &[u8], frame: &[u8], life_ms: u64) -> Cmd {
    // As many digits as the largest number has.
    let mut command = Cmd::with_capacity(5, name.len() + frame.len() + 25);
    command.arg("SET").arg(name).arg(frame);
    if life_ms > 0 {
        command.arg("PX").arg(life_ms);
    }
    command
}

pub(crate) fn odd<E: std::error::Error + Send + Sync + 'static>(
    operation: &'static str,
) -> impl Fn(E) -> Error {
    move |error| Error::new(ErrorKind::Corrupt, PLACE, operation).with_source(error)
}

pub(crate) fn invalid(operation: &'static str) -> impl Fn(FrameError) -> Error {
    move |error| Error::new(ErrorKind::Invalid, PLACE, operation).with_source(error)
}
