//! The caches that are timed and take any key: ours, moka, foyer.
//!
//! Each is set up as its documentation shows; all of these hash with foldhash, so that caches are compared and not the hash functions
//! that they come with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cache_memory::Memory;
use foldhash::fast::RandomState;
use foyer_memory::CacheBuilder;
use serde::{Deserialize, Serialize};
use strata::{Cache, Options, Tags};

use super::keys::Keys;
use super::lane::{Lane, Name, on_lane};
use crate::Outcome;
use crate::bench::timing::{at_once, finish};

/// The value: what a service has in its cache. Every hit reads its number.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct User {
    pub(super) id: u64,
    team: u32,
    name: String,
}

impl User {
    pub(super) fn new(id: u64) -> Self {
        Self { id, team: 7, name: "Ada Lovelace".to_owned() }
    }
}

/// A cache that is asked for values which it has.
pub(super) trait Subject<K: Keys> {
    fn store(&mut self, key: &K::Asked, user: User);

    /// Reads the number of the user there, as a caller with a loader would.
    fn hit(&mut self, key: &K::Asked) -> Option<u64>;
}

/// What no loader here ever gets to say.
#[derive(Debug)]
pub(super) struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("down")
    }
}

impl std::error::Error for Down {}

/// The cache of this name, if it is one of these.
pub(super) fn build<K: Keys>(name: Name, capacity: u64) -> Outcome<Option<Box<dyn Lane<K>>>> {
    let size = usize::try_from(capacity)?;
    Ok(Some(match name {
        Name::Strata => on_lane(name, Strata::<K>::new(capacity, Options::new())?),
        Name::StrataTtl => on_lane(name, Strata::<K>::new(capacity, Options::new().with_ttl(HOUR))?),
        Name::StrataAges => {
            let aged = Options::new().with_ttl(HOUR).with_stale_for(HOUR).with_fail_safe_for(HOUR);
            on_lane(name, Strata::<K>::new(capacity, aged)?)
        }
        Name::StrataTags => on_lane(name, Strata::<K>::new(capacity, Options::new().with_tags(tags()?))?),
        Name::StrataTagsAsked => {
            let cache = Strata::<K>::new(capacity, Options::new())?;
            on_lane(name, Asked { cache, options: Options::new().with_tags(tags()?) })
        }
        Name::StrataLocal => on_lane(name, Local(Strata::<K>::new(capacity, Options::new())?)),
        Name::Memory => on_lane(name, Bare::<K>(Memory::new().with_max_entries(capacity))),
        Name::Moka => on_lane(name, Moka::<K>::new(capacity, None)),
        Name::MokaTtl => on_lane(name, Moka::<K>::new(capacity, Some(HOUR))),
        Name::MokaWith => on_lane(name, MokaWith(Moka::<K>::new(capacity, None))),
        Name::Foyer => on_lane(name, Foyer::<K>::new(size)),
        Name::FoyerFetch => on_lane(name, FoyerFetch(Foyer::<K>::new(size))),
        #[cfg(feature = "cache")]
        _ => return Ok(None),
    }))
}

/// Ours, as shipped: the default policy, limited by entries, statistics as always.
struct Strata<K: Keys>(Cache<K::Own, User>);

impl<K: Keys> Strata<K> {
    fn new(capacity: u64, options: Options) -> Outcome<Self> {
        let memory = Memory::new().with_max_entries(capacity);
        Ok(Self(Cache::builder("bench").memory(memory).options(options).build()?))
    }
}

impl<K: Keys> Subject<K> for Strata<K> {
    fn store(&mut self, key: &K::Asked, user: User) {
        let _inserted = finish(self.0.insert(key.to_owned(), user));
    }

    fn hit(&mut self, key: &K::Asked) -> Option<u64> {
        let load = || async { Err::<User, _>(Down) };
        at_once(self.0.get_or_load(key, load))?.ok().map(|hit| hit.id)
    }
}

/// The same, each call with its options.
struct Asked<K: Keys> {
    cache: Strata<K>,
    options: Options,
}

impl<K: Keys> Subject<K> for Asked<K> {
    fn store(&mut self, key: &K::Asked, user: User) {
        let _inserted = finish(self.cache.0.insert_with(key.to_owned(), user, self.options.clone()));
    }

    fn hit(&mut self, key: &K::Asked) -> Option<u64> {
        let load = || async { Err::<User, _>(Down) };
        at_once(self.cache.0.get_or_load(key, load).with(self.options.clone()))?.ok().map(|hit| hit.id)
    }
}

/// The same, read without a loader.
struct Local<K: Keys>(Strata<K>);

impl<K: Keys> Subject<K> for Local<K> {
    fn store(&mut self, key: &K::Asked, user: User) {
        self.0.store(key, user);
    }

    fn hit(&mut self, key: &K::Asked) -> Option<u64> {
        self.0.0.get_local(key).map(|hit| hit.id)
    }
}

/// The memory tier alone, which counts its hits as well.
struct Bare<K: Keys>(Memory<K::Own, Arc<User>>);

impl<K: Keys> Subject<K> for Bare<K> {
    fn store(&mut self, key: &K::Asked, user: User) {
        self.0.insert(key.to_owned(), Arc::new(user));
    }

    fn hit(&mut self, key: &K::Asked) -> Option<u64> {
        self.0.get(key).map(|user| user.id)
    }
}

/// moka for tasks.
struct Moka<K: Keys>(moka::future::Cache<K::Own, Arc<User>, RandomState>);

impl<K: Keys> Moka<K> {
    fn new(capacity: u64, ttl: Option<Duration>) -> Self {
        let mut builder = moka::future::Cache::builder().max_capacity(capacity);
        if let Some(ttl) = ttl {
            builder = builder.time_to_live(ttl);
        }
        Self(builder.build_with_hasher(RandomState::default()))
    }
}

impl<K: Keys> Subject<K> for Moka<K> {
    fn store(&mut self, key: &K::Asked, user: User) {
        finish(self.0.insert(key.to_owned(), Arc::new(user)));
    }

    fn hit(&mut self, key: &K::Asked) -> Option<u64> {
        at_once(self.0.get(key))?.map(|user| user.id)
    }
}

/// The same, with a loader.
struct MokaWith<K: Keys>(Moka<K>);

impl<K: Keys> Subject<K> for MokaWith<K> {
    fn store(&mut self, key: &K::Asked, user: User) {
        self.0.store(key, user);
    }

    fn hit(&mut self, key: &K::Asked) -> Option<u64> {
        let load = async { Err::<Arc<User>, _>(Down) };
        at_once(self.0.0.try_get_with_by_ref(key, load))?.ok().map(|user| user.id)
    }
}

/// foyer's tier in memory. What it reads is a handle on the entry, so the value needs no pointer of its own.
struct Foyer<K: Keys>(foyer_memory::Cache<K::Own, User, RandomState>);

impl<K: Keys> Foyer<K> {
    fn new(capacity: usize) -> Self {
        Self(CacheBuilder::new(capacity).with_hash_builder(RandomState::default()).build())
    }
}

impl<K: Keys> Subject<K> for Foyer<K> {
    fn store(&mut self, key: &K::Asked, user: User) {
        self.0.insert(key.to_owned(), user);
    }

    fn hit(&mut self, key: &K::Asked) -> Option<u64> {
        self.0.get(key).map(|entry| entry.value().id)
    }
}

/// The same, with a loader.
struct FoyerFetch<K: Keys>(Foyer<K>);

impl<K: Keys> Subject<K> for FoyerFetch<K> {
    fn store(&mut self, key: &K::Asked, user: User) {
        self.0.store(key, user);
    }

    fn hit(&mut self, key: &K::Asked) -> Option<u64> {
        let load = || async { Err::<User, _>(Down) };
        at_once(self.0.0.get_or_fetch(key, load))?.ok().map(|entry| entry.value().id)
    }
}

fn tags() -> Outcome<Tags> {
    Ok(Tags::new(["team:7", "role:2"])?)
}

pub(super) const HOUR: Duration = Duration::from_hours(1);
