//! The caches that are timed and take only some keys, or come as macros over functions of one type.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use amalgam::EntryOptions;
use cached::ConcurrentCached as _;
use cached::macros::concurrent_cached;
use hitbox::concurrency::NoopConcurrencyManager;
use hitbox::policy::PolicyConfig;
use hitbox_core::DisabledOffload;
use hitbox_fn::CacheableResponse;
use hitbox_moka::MokaBackend;
use multi_tier_cache::{
    CacheError, CacheManager, CacheStrategy, CacheSystemBuilder, L1Cache, MokaCacheConfig, TierConfig,
};
use serde::{Deserialize, Serialize};
use tick::Clock;

use super::keys::Keys;
use super::lane::{Lane, Name, on_lane};
use super::subject::{Down, HOUR, Subject, User};
use crate::Outcome;
use crate::bench::memory::kind::{Integers, Strings};
use crate::bench::timing::{at_once, finish};

/// The cache of this name with numbers for keys, if it is one of these.
pub(super) fn for_integers(name: Name, capacity: u64) -> Outcome<Option<Box<dyn Lane<Integers>>>> {
    Ok(Some(match name {
        Name::Cached => {
            if let Some(filled) = BY_NUMBER.get() {
                filled.cache_clear()?;
            }
            on_lane(name, Macro)
        }
        Name::Hitbox => on_lane(name, Hitbox::new(capacity)),
        Name::Cachet => on_lane(name, Cachet::<Integers>::new(capacity, false)),
        Name::CachetFlight => on_lane(name, Cachet::<Integers>::new(capacity, true)),
        _ => return Ok(None),
    }))
}

/// The same with text for keys.
pub(super) fn for_text(name: Name, capacity: u64) -> Outcome<Option<Box<dyn Lane<Strings>>>> {
    let amalgam =
        |options| amalgam::Cache::builder().max_capacity(capacity).default_options(options).try_build();
    let plain = || EntryOptions::new(HOUR);
    let aged = || plain().with_fail_safe(true, Some(HOUR * 2), None);
    Ok(Some(match name {
        Name::Cached => {
            if let Some(filled) = BY_TEXT.get() {
                filled.cache_clear()?;
            }
            on_lane(name, Macro)
        }
        Name::Hitbox => on_lane(name, Hitbox::new(capacity)),
        Name::Cachet => on_lane(name, Cachet::<Strings>::new(capacity, false)),
        Name::CachetFlight => on_lane(name, Cachet::<Strings>::new(capacity, true)),
        Name::Amalgam => on_lane(name, Amalgam(amalgam(plain())?)),
        Name::AmalgamAges => on_lane(name, Amalgam(amalgam(aged())?)),
        Name::AmalgamTags => on_lane(name, AmalgamTags(amalgam(plain())?)),
        Name::AmalgamGet => on_lane(name, AmalgamGet(Amalgam(amalgam(plain())?))),
        Name::MultiTier => on_lane(name, MultiTier::new(capacity)?),
        _ => return Ok(None),
    }))
}

/// `cached`, as its macro for functions that are shared. It keeps its entries in statics.
struct Macro;

#[concurrent_cached(max_size = 1_250_000, name = "BY_NUMBER")]
async fn by_number(id: u64) -> Arc<User> {
    ready(Arc::new(User::new(id))).await
}

#[concurrent_cached(max_size = 1_250_000, name = "BY_TEXT", key = "String", convert = { id.to_owned() })]
async fn by_text(id: &str) -> Arc<User> {
    ready(Arc::new(User::new(id.len() as u64))).await
}

impl Subject<Integers> for Macro {
    fn store(&mut self, key: &u64, _user: User) {
        finish(by_number(*key));
    }

    fn hit(&mut self, key: &u64) -> Option<u64> {
        Some(at_once(by_number(*key))?.id)
    }
}

impl Subject<Strings> for Macro {
    fn store(&mut self, key: &str, _user: User) {
        finish(by_text(key));
    }

    fn hit(&mut self, key: &str) -> Option<u64> {
        Some(at_once(by_text(key))?.id)
    }
}

/// cachet, over its own memory tier.
struct Cachet<K: Keys>(cachet::Cache<K::Own, Arc<User>>);

impl<K: Keys> Cachet<K> {
    fn new(capacity: u64, prevents_stampedes: bool) -> Self {
        let builder = cachet::Cache::builder::<K::Own, Arc<User>>(Clock::new_tokio());
        let builder = builder.memory_with(|memory| memory.max_capacity(capacity));
        Self(if prevents_stampedes { builder.stampede_protection().build() } else { builder.build() })
    }
}

impl<K: Keys> Subject<K> for Cachet<K> {
    fn store(&mut self, key: &K::Asked, user: User) {
        let _inserted = finish(self.0.insert(key.to_owned(), Arc::new(user)));
    }

    fn hit(&mut self, key: &K::Asked) -> Option<u64> {
        let load = || async { Err::<Arc<User>, _>(Down) };
        at_once(self.0.try_get_or_insert(key, load))?.ok().map(|entry| entry.value().id)
    }
}

/// amalgam-cache. Its keys are text.
struct Amalgam(amalgam::Cache<Arc<User>>);

impl Subject<Strings> for Amalgam {
    fn store(&mut self, key: &str, user: User) {
        let _set = finish(self.0.set(key, Arc::new(user)).into_future());
    }

    fn hit(&mut self, key: &str) -> Option<u64> {
        let load = |_| async { Err::<Arc<User>, _>(Down) };
        at_once(self.0.get_or_set(key, load).into_future())?.ok().map(|user| user.id)
    }
}

/// The same, entries and calls with two tags.
struct AmalgamTags(amalgam::Cache<Arc<User>>);

impl Subject<Strings> for AmalgamTags {
    fn store(&mut self, key: &str, user: User) {
        let _set = finish(self.0.set(key, Arc::new(user)).tags(TAGS).into_future());
    }

    fn hit(&mut self, key: &str) -> Option<u64> {
        let load = |_| async { Err::<Arc<User>, _>(Down) };
        at_once(self.0.get_or_set(key, load).tags(TAGS).into_future())?.ok().map(|user| user.id)
    }
}

/// The same, read without a loader.
struct AmalgamGet(Amalgam);

impl Subject<Strings> for AmalgamGet {
    fn store(&mut self, key: &str, user: User) {
        self.0.store(key, user);
    }

    fn hit(&mut self, key: &str) -> Option<u64> {
        at_once(self.0.0.try_get(key).into_future())?.ok().flatten().map(|user| user.id)
    }
}

/// multi-tier-cache over moka alone. It holds bytes, and every hit decodes them.
struct MultiTier(Arc<CacheManager>);

impl MultiTier {
    fn new(capacity: u64) -> Outcome<Self> {
        let config = MokaCacheConfig { max_capacity: capacity, time_to_live: HOUR, time_to_idle: HOUR };
        let memory = Arc::new(L1Cache::new(config)?);
        let builder = CacheSystemBuilder::new().with_tier(memory, TierConfig::as_l1());
        Ok(Self(Arc::clone(finish(builder.build())?.cache_manager())))
    }
}

impl Subject<Strings> for MultiTier {
    fn store(&mut self, key: &str, user: User) {
        let load = || async { Ok(user) };
        let _loaded = finish(self.0.get_or_compute_typed(key, CacheStrategy::LongTerm, load));
    }

    fn hit(&mut self, key: &str) -> Option<u64> {
        let load = || async { Err::<User, _>(CacheError::BackendError(Down.to_string())) };
        at_once(self.0.get_or_compute_typed(key, CacheStrategy::LongTerm, load))?.ok().map(|user| user.id)
    }
}

/// hitbox over moka, as its macro. It holds bytes, and every hit decodes them.
struct Hitbox(hitbox_fn::Cache<MokaBackend, NoopConcurrencyManager, DisabledOffload>);

/// The value, as its macro wants it.
#[derive(Clone, Debug, CacheableResponse, Deserialize, Serialize)]
struct Answer {
    user: User,
}

#[hitbox_fn::cached]
async fn answer_by_number(id: u64) -> Answer {
    ready(Answer { user: User::new(id) }).await
}

#[hitbox_fn::cached]
async fn answer_by_text(id: String) -> Answer {
    ready(Answer { user: User::new(id.len() as u64) }).await
}

impl Hitbox {
    fn new(capacity: u64) -> Self {
        let cache = hitbox_fn::Cache::builder()
            .backend(MokaBackend::builder().max_entries(capacity).build())
            .policy(PolicyConfig::builder().ttl(Duration::from_hours(1)).build())
            .build();
        Self(cache)
    }
}

impl Subject<Integers> for Hitbox {
    fn store(&mut self, key: &u64, _user: User) {
        <Self as Subject<Integers>>::hit(self, key);
    }

    fn hit(&mut self, key: &u64) -> Option<u64> {
        Some(at_once(async { answer_by_number(*key).cache(&self.0).await })?.user.id)
    }
}

impl Subject<Strings> for Hitbox {
    fn store(&mut self, key: &str, _user: User) {
        <Self as Subject<Strings>>::hit(self, key);
    }

    fn hit(&mut self, key: &str) -> Option<u64> {
        Some(at_once(async { answer_by_text(key.to_owned()).cache(&self.0).await })?.user.id)
    }
}

const TAGS: [&str; 2] = ["team:7", "role:2"];
