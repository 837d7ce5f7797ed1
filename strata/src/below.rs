//! What a cache does with the tiers below memory: looks there before it loads, and tells them what it stores and removes.
//!
//! The steps are in `tiers`, in terms of bytes; here are values, ages, and the fence. Everything that reads below memory takes a
//! ticket first, and what it finds goes into memory only while that is valid.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use cache_core::{
    CacheKey, Entry, Header, Key, KeyWriter, Life, Meta, Namespace, Pattern, Tag, Tags, Time, Ttl,
};

use cache_invalidation::{Action, Target};
use futures_util::future::join_all;

use crate::cache::Shared;
use crate::close::Place;
use crate::codec::{Framed, Framer};
use crate::fence::Ticket;
use crate::fleet::{Claim, Fleet, Held, Patience};
use crate::flight::{Landing, Leader};
use crate::hit::{Hit, Source, Stale};
use crate::kept::Last;
use crate::monitor::Stamps;
use crate::options::Options;
use crate::sync::{Handle, select};
use crate::task::Stored;
use crate::tiers::{Fetched, Group, Notes, Reading, Silent, Tiers, Versions};
use crate::windows::Windows;
use crate::write::Record;

/// The label of what `Loaded::with_validator` said.
const VALIDATOR: &str = "validator";
/// The label of a value that says that there is nothing.
const NEGATIVE: &str = "negative";

/// The tiers, and how values become bytes.
pub(crate) struct Below<V> {
    pub(crate) framer: Framer<V>,
    pub(crate) tiers: Arc<Tiers>,
    pub(crate) versions: Arc<Versions>,
    pub(crate) fleet: Option<Arc<Fleet>>,
    /// Reads which write an entry is of, if the cache is monitored.
    pub(crate) stamps: Option<Stamps>,
    /// How long memory keeps as fresh what is loaded while a tier is away, if memory keeps nothing as fresh otherwise.
    pub(crate) fallback_ttl: Option<Ttl>,
    /// The cache's name and a colon, which tags have before them below: caches that share a tier do not share groups.
    scope: Arc<str>,
}

/// A value that was found below memory.
pub(crate) type Found<V> = Fetched<Record<V>>;

impl<V: Send + Sync + 'static> Below<V> {
    pub(crate) fn new(
        namespace: &Namespace,
        framer: Framer<V>,
        tiers: Arc<Tiers>,
        versions: Arc<Versions>,
    ) -> Self {
        let scope = format!("{}:", namespace.key().as_str()).into();
        Self { framer, tiers, versions, fleet: None, stamps: None, fallback_ttl: None, scope }
    }

    /// How long memory keeps anything as fresh while it stands in for a tier that is away.
    pub(crate) fn ttl_while_away(&self) -> Option<Ttl> {
        self.fallback_ttl.filter(|_| self.tiers.is_any_away())
    }

    /// What the tiers have of these keys, and which of them did not answer.
    pub(crate) async fn fetch(
        &self,
        keys: &[Key],
        options: &Options,
        now: impl Fn() -> Time,
    ) -> (Vec<Option<Found<V>>>, Silent) {
        let read = |key: &Key, entry: &Entry| match self.record(key, entry, options, now()) {
            Some(record) if record.life.stale() > now() => Reading::Answer(record),
            Some(record) => Reading::Reserve(record),
            None => Reading::Unreadable,
        };
        self.tiers.fetch(keys, read).await
    }

    /// The value in an entry, with what is left of its life by the clock of the tier that it comes from.
    fn record(&self, key: &Key, entry: &Entry, options: &Options, now: Time) -> Option<Record<V>> {
        let Framed { value, header, .. } = self.framer.decode(key, &entry.value).ok()?;
        self.versions.see(header.version);
        let tags = entry.meta.tags.iter().map(|tag| tag.as_str().strip_prefix(&*self.scope));
        let tags = Tags::new(tags.collect::<Option<Vec<_>>>()?).ok()?;
        let windows = Windows::read(&header);
        Some(Record {
            value: Arc::new(value),
            life: windows.life(&entry.meta, &header, options, now),
            keep: true,
            tags,
            priority: entry.meta.priority,
            cost: entry.meta.cost,
            validator: header.labels.get(VALIDATOR).map(|text| text.as_str().into()),
            windows,
            is_negative: header.labels.contains_key(NEGATIVE),
            mark: self.stamp(key, &entry.value).map(|stamp| Arc::new(stamp.into())),
        })
    }

    /// The entry for a value, if it has an encoding and anything of its life is left.
    pub(crate) fn entry(&self, key: &Key, record: &Record<V>, now: Time) -> Option<Entry> {
        let Record { life, validator, is_negative, .. } = record;
        if !record.keep {
            return None;
        }
        let ttl = Ttl::between(now, life.stale());
        let stale_for = life.gone().since(life.stale().max(now));
        let mut labels = BTreeMap::new();
        labels.extend(validator.as_ref().map(|text| (VALIDATOR.to_owned(), text.to_string())));
        labels.extend(record.windows.labels());
        labels.extend(is_negative.then(|| (NEGATIVE.to_owned(), String::new())));
        let (fresh, due) = (life.stale().since(now), life.due().since(now));
        let stored =
            Life::new(self.versions.wall(), ttl).with_due_at(due.as_secs_f64() / fresh.as_secs_f64());
        let mut header = Header::new(stored.with_stale_for(stale_for));
        header.version = self.versions.next();
        header.labels = Arc::new(labels);
        let value = self.framer.encode(key, &record.value, &header).ok()?;
        let meta = Meta {
            ttl,
            stale_for,
            version: header.version,
            // One that is too long to stand below keeps the value from there.
            tags: self.all_scoped(&record.tags)?,
            priority: record.priority,
            cost: record.cost,
            ..Meta::default()
        };
        (!meta.keep_for().is_zero()).then_some(Entry { value, meta })
    }

    /// A tag as it stands below; `None` for one that is too long to, which no entry there has.
    fn scoped(&self, tag: &str) -> Option<Tag> {
        Tag::new(format!("{}{tag}", self.scope)).ok()
    }

    fn all_scoped(&self, tags: &Tags) -> Option<Tags> {
        Tags::new(tags.iter().map(|tag| format!("{}{tag}", self.scope))).ok()
    }

    /// Another process has changed this: the tiers that it does not have are told.
    pub(crate) fn hear(&self, target: &Target) {
        match target {
            Target::Key(text) => self.tiers.hear(Key::new(text).ok().as_ref(), None),
            Target::Tag(tag) => self.tiers.hear(None, self.tagged(tag).as_ref()),
            Target::Prefix(prefix) => self.tiers.hear(None, Some(&Group::Prefix(prefix.as_str().into()))),
            Target::Pattern(_) | Target::All => self.tiers.hear(None, Some(&self.all())),
        }
    }

    fn name(&self) -> &str {
        self.scope.strip_suffix(':').unwrap_or(&self.scope)
    }

    /// All with this tag.
    pub(crate) fn tagged(&self, tag: &str) -> Option<Group> {
        self.scoped(tag).map(Group::Tag)
    }

    /// All whose rendered key begins like this.
    pub(crate) fn prefixed(&self, prefix: &KeyWriter) -> Group {
        if prefix.as_str() == self.name() { self.all() } else { Group::Prefix(prefix.as_str().into()) }
    }

    /// All that may match: a tier knows no patterns, only how keys begin.
    pub(crate) fn matched(&self, pattern: &Pattern) -> Group {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/".contains(letter);
        let plain = pattern
            .prefix()
            .find(|letter| !is_plain(letter))
            .map_or(pattern.prefix(), |at| &pattern.prefix()[..at]);
        if plain.is_empty() { self.all() } else { Group::Prefix(format!("{}{plain}", self.scope).into()) }
    }

    /// All of the cache.
    pub(crate) fn all(&self) -> Group {
        Group::All(self.name().into())
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// A key as it stands below; `None` if there is nothing below, or the key is too long to stand there.
    pub(crate) fn below_key<Q: CacheKey + ?Sized>(&self, key: &Q) -> Option<(&Arc<Below<V>>, Key)> {
        let below = self.below.as_ref()?;
        Some((below, self.namespace.render(key).ok()?))
    }

    /// Reads what memory does not have from the tiers below, into memory. Where they do not answer, a copy in memory does, if one may
    /// stand in.
    pub(crate) async fn get_below(self: &Arc<Self>, key: K) -> Option<Hit<V>> {
        let (below, rendered) = self.below_key(&key)?;
        let ticket = self.fence.ticket(&key);
        let (asked, now) = (std::slice::from_ref(&rendered), || self.memory.clock().now());
        let (mut found, silent) = below.fetch(asked, &self.defaults.get(), now).await;
        let found = found.pop().flatten();
        let answer = found.and_then(|found| self.take_found((key.clone(), rendered), found, ticket));
        answer.or_else(|| self.copy(&key, silent))
    }

    /// Takes what a read without a loader has found below into memory; the answer, if it may be one.
    pub(crate) fn take_found(
        self: &Arc<Self>,
        (key, rendered): (K, Key),
        found: Found<V>,
        ticket: Ticket,
    ) -> Option<Hit<V>> {
        self.fill(&key, ticket, &found.what);
        let hit = if found.is_answer { Some(found.what.hit(Source::Tier)) } else { self.served(&found.what) };
        self.promote_behind((key, rendered), found, ticket);
        hit
    }

    /// A stale value as an answer to a read without a loader, if those are served.
    fn served(&self, record: &Record<V>) -> Option<Hit<V>> {
        let answers = self.serves_stale && record.life.answers(self.memory.clock().now());
        answers.then(|| self.stale(record.hit(Source::Tier), Stale::Served))
    }

    /// What is left of a value's fresh life below, which is not read into memory.
    pub(crate) async fn peek_below<Q: CacheKey + ?Sized>(&self, key: &Q) -> Option<Ttl> {
        let (below, rendered) = self.below_key(key)?;
        let asked = std::slice::from_ref(&rendered);
        let now = || self.memory.clock().now();
        let found = below.fetch(asked, &self.defaults.get(), now).await.0.pop()??;
        let answers = found.is_answer || self.serves_stale && found.what.life.answers(now());
        answers.then(|| Ttl::between(now(), found.what.life.stale()))
    }

    /// Puts what was found below into memory, unless an invalidation has overtaken it.
    pub(crate) fn fill(&self, key: &K, ticket: Ticket, record: &Record<V>) {
        self.keep(key, record, || self.is_open() && self.fence.may_store(ticket, key, &record.tags));
    }

    /// Writes what was found below into the tiers above it, behind the answer.
    pub(crate) fn promote_behind(
        self: &Arc<Self>,
        (key, rendered): (K, Key),
        found: Found<V>,
        ticket: Ticket,
    ) {
        let Some(place) = Handle::try_current().ok().and_then(|runtime| self.enter(runtime)) else { return };
        let shared = Arc::clone(self);
        place.runtime.clone().spawn(async move {
            let _place = place;
            let Some(below) = &shared.below else { return };
            let permit = || shared.fence.may_store(ticket, &key, &found.what.tags);
            below.tiers.promote(&rendered, &found, permit).await;
        });
    }

    /// Writes what a load has stored to the tiers below, unless an invalidation has overtaken it meanwhile, and tells of it
    /// where that is news.
    pub(crate) async fn write_back(&self, stored: Vec<Stored<K, V>>, notes: &HashMap<Key, Notes>) {
        let news: Vec<K> = stored.iter().filter(|it| it.is_news).map(|it| it.key.clone()).collect();
        if let Some(below) = &self.below {
            let rendered = |stored: Stored<K, V>| Some((self.namespace.render(&stored.key).ok()?, stored));
            let stored: Vec<(Key, Stored<K, V>)> = stored.into_iter().filter_map(rendered).collect();
            let keys: Vec<Key> = stored.iter().map(|(key, _)| key.clone()).collect();
            let turn = below.tiers.turn(&keys).await;
            let now = self.memory.clock().now();
            let put = async |(rendered, stored): (Key, Stored<K, V>)| {
                let Stored { key, ticket, record, is_news } = stored;
                if !self.fence.may_store(ticket, &key, &record.tags) {
                    return;
                }
                let entry = below.entry(&rendered, &record, now);
                let is_newest = match entry.zip(notes.get(&rendered)) {
                    Some((entry, notes)) => {
                        let stamp = below.stamp(&rendered, &entry.value);
                        let entry = (rendered.clone(), entry);
                        let written = below.tiers.put_noted(&turn, entry, notes, below.tiers.levels()).await;
                        record.told(stamp.map(|stamp| stamp.overtaken_if(written.is_overtaken)));
                        written.is_newest
                    }
                    None => false,
                };
                if is_news && !is_newest {
                    // What stands there is known to be older.
                    below.tiers.remove(&turn, &[rendered], self.versions.next()).await;
                }
            };
            join_all(stored.into_iter().map(put)).await;
        }
        self.tell_keys(&news, Action::Expire).await;
    }
}

/// A key that is to be loaded, unless it is found below memory.
pub(crate) struct Sought<K: CacheKey, V> {
    pub(crate) leader: Leader<K, V>,
    /// What memory still has of it.
    pub(crate) last: Option<Last<V>>,
    /// Whether that has just come from below, where it was stale.
    pub(crate) is_copy: bool,
}

impl<K: CacheKey, V> Sought<K, V> {
    pub(crate) fn new(leader: Leader<K, V>, last: Option<Last<V>>) -> Self {
        Self { leader, last, is_copy: false }
    }
}

/// Looking before loading.
impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Looks below memory for what is to be loaded, as a task of its own, lands what is found, and hands on the rest, noted: at once, if
    /// there is nothing below.
    pub(crate) fn look_below(
        self: &Arc<Self>,
        mut place: Place,
        sought: Vec<Sought<K, V>>,
        options: Options,
        go_on: impl FnOnce(&Arc<Self>, Place, Vec<Sought<K, V>>, &Options) + Send + 'static,
    ) {
        let Some(below) = self.below.clone() else { return go_on(self, place, sought, &options) };
        let forced = options.force_refresh() == Some(true);
        let cache = Arc::downgrade(self);
        place.runtime.clone().spawn(async move {
            let looked = async {
                if forced {
                    return ((sought, Silent::default()), None);
                }
                let looked = Self::look_and_land(&cache, &below, sought, &options).await;
                match &below.fleet {
                    Some(fleet) if looked.0.len() == 1 => {
                        Self::claim(&cache, (&below, fleet), looked, &options).await
                    }
                    _ => (looked, None),
                }
            };
            let prepared = async {
                let ((rest, silent), held) = looked.await;
                let notes = Self::note(&cache, &below, (&rest, silent), &options).await;
                (rest, held, notes)
            };
            let (rest, held, notes) = select! {
                prepared = prepared => prepared,
                () = place.ended() => return,
            };
            if let Some(shared) = cache.upgrade().filter(|_| !rest.is_empty()) {
                (place.held, place.notes) = (held, notes);
                go_on(&shared, place, rest, &options);
            }
        });
    }

    /// What the tiers know of keys that are to be loaded.
    async fn note(
        cache: &Weak<Self>,
        below: &Below<V>,
        (rest, silent): (&[Sought<K, V>], Silent),
        options: &Options,
    ) -> HashMap<Key, Notes> {
        let rendered = |shared: Arc<Self>| {
            let key = |sought: &Sought<K, V>| shared.namespace.render(sought.leader.key()).ok();
            rest.iter().filter_map(key).collect::<Vec<Key>>()
        };
        let keys = cache.upgrade().map(rendered).unwrap_or_default();
        let tags = options.tags().and_then(|tags| below.all_scoped(tags)).unwrap_or_default();
        let note = async |key: Key| {
            let notes = below.tiers.note(&key, &tags, silent).await;
            (key, notes)
        };
        join_all(keys.into_iter().map(note)).await.into_iter().collect()
    }

    /// Looks below, lands what is found, and returns the rest, which is nothing if the cache is gone, with the tiers that did not answer.
    async fn look_and_land(
        cache: &Weak<Self>,
        below: &Below<V>,
        sought: Vec<Sought<K, V>>,
        options: &Options,
    ) -> (Vec<Sought<K, V>>, Silent) {
        let Some((keys, clock)) = cache.upgrade().map(|shared| {
            let key = |sought: &Sought<K, V>| shared.namespace.render(sought.leader.key()).ok();
            (sought.iter().map(key).collect::<Vec<_>>(), Arc::clone(shared.memory.clock()))
        }) else {
            return (Vec::new(), Silent::default());
        };
        let rendered: Vec<Key> = keys.iter().flatten().cloned().collect();
        let (found, silent) = below.fetch(&rendered, options, || clock.now()).await;
        let (Some(shared), mut found) = (cache.upgrade(), found.into_iter()) else {
            return (Vec::new(), silent);
        };
        let land = |(sought, key): (Sought<K, V>, Option<Key>)| match key
            .and_then(|key| Some((key, found.next()??)))
        {
            Some((key, found)) => shared.land_found(sought, key, found),
            None => Some(sought),
        };
        (sought.into_iter().zip(keys).filter_map(land).collect(), silent)
    }

    /// Waits until this process may load the one key that is left, or another one has loaded it, or what others store cannot be
    /// seen.
    async fn claim(
        cache: &Weak<Self>,
        (below, fleet): (&Below<V>, &Arc<Fleet>),
        (mut rest, mut silent): (Vec<Sought<K, V>>, Silent),
        options: &Options,
    ) -> ((Vec<Sought<K, V>>, Silent), Option<Held>) {
        let (mut patience, mut held) = (Patience::new(), None);
        while held.is_none() && !below.tiers.is_shared_among(silent) {
            let key = rest.first().and_then(|only| cache.upgrade()?.namespace.render(only.leader.key()).ok());
            let (Some(key), Ok(runtime)) = (key, Handle::try_current()) else { break };
            match fleet.claim(&key, &runtime).await {
                Claim::Mine(mine) => held = Some(mine),
                Claim::Unknown => break,
                Claim::Theirs => {
                    let meanwhile = cache.upgrade().and_then(|shared| shared.meanwhile(rest.first()?));
                    if let Some(landing) = meanwhile {
                        for only in rest {
                            only.leader.land(landing.clone());
                        }
                        return ((Vec::new(), silent), None);
                    }
                    patience.wait().await;
                }
            }
            // Whoever had it may just have stored what it was for.
            (rest, silent) = Self::look_and_land(cache, below, rest, options).await;
        }
        ((rest, silent), held)
    }

    /// What may answer while another process loads.
    fn meanwhile(&self, sought: &Sought<K, V>) -> Option<Landing<V>> {
        let last = sought.last.as_ref().filter(|last| last.stands_in(self.memory.clock().now()))?;
        self.loads.count_stale(Stale::Refreshing);
        Some(Landing::Value(last.hit().with_stale(Stale::Refreshing), last.tags.clone()))
    }

    /// Lands a load with what was found below. If that does not end it, returns it with what memory has now.
    fn land_found(
        self: &Arc<Self>,
        sought: Sought<K, V>,
        rendered: Key,
        found: Found<V>,
    ) -> Option<Sought<K, V>> {
        let (key, ticket) = (sought.leader.key().clone(), sought.leader.ticket());
        let now = self.memory.clock().now();
        // What memory has is to be refreshed before its end, and not by another copy of it.
        let is_better = match &sought.last {
            Some(last) if last.kept.is_fresh(|| now) => now < found.what.life.due(),
            Some(_) => found.is_answer,
            None => true,
        };
        if !is_better {
            return Some(sought);
        }
        self.fill(&key, ticket, &found.what);
        if !found.is_answer {
            let last = self.last(&key, ticket);
            return Some(Sought { is_copy: last.is_some(), last, ..sought });
        }
        sought.leader.land(Landing::Value(found.what.hit(Source::Tier), found.what.tags.clone()));
        self.promote_behind((key, rendered), found, ticket);
        None
    }

    /// The landing of a load that has found a stale value below, if that may answer while it is refreshed.
    pub(crate) fn served_from_below(&self, sought: &Sought<K, V>) -> Option<Landing<V>> {
        let last = sought.last.as_ref().filter(|_| sought.is_copy)?;
        let now = self.memory.clock().now();
        last.kept.life().filter(|life| life.answers(now))?;
        self.loads.count_stale(Stale::Refreshing);
        let hit = last.hit().with_source(Source::Tier).with_stale(Stale::Refreshing);
        Some(Landing::Value(hit, last.tags.clone()))
    }
}
