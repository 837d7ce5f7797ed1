//! What the attribute macros write calls of: looking first, and what an answer is worth.
//!
//! ```text
//! look ── hit ──► the answer; nothing else has been made for it
//!   │ else
//! options, arguments of its own ► load (a task) or compute (here)
//! ```
//!
//! The macros decide nothing; whatever happens at run time is here or in the verbs of the cache.

use std::fmt;
use std::sync::Arc;

use cache_core::{CacheKey, Tags, Ttl};

use crate::Memory;
use crate::cache::Cache;
use crate::call::CallKey;
use crate::fresh::{Seen, Verdict};
use crate::hit::Hit;
use crate::load::boxed;
use crate::loaded::{About, LoadError, Loaded};
use crate::options::Options;

/// A cache that has been asked and had no fresh answer.
#[derive(Debug)]
pub struct Asked<K, V> {
    cache: Cache<K, V>,
    /// There is a value of which the age matters.
    aged: bool,
}

/// Answers with what is fresh, if this call does not say otherwise.
#[inline]
pub fn look<K, V>(cache: &Cache<K, V>, key: &K, forced: bool) -> Result<Hit<V>, Asked<K, V>>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    let seen = if forced { Seen::Nothing } else { cache.shared.find(key) };
    let aged = match seen {
        Seen::Fresh(hit) => return Ok(hit),
        Seen::Aged => true,
        Seen::Nothing => false,
    };
    Err(Asked { cache: cache.clone(), aged })
}

impl<K, V> Asked<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Goes on as [`Cache::get_or_load`] does after its own look.
    ///
    /// # Errors
    /// As there.
    pub async fn load<L, E, Fut>(
        self,
        key: &K,
        options: Options,
        loader: impl FnOnce() -> Fut + Send + 'static,
    ) -> Result<Hit<V>, LoadError<E>>
    where
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        let shared = &self.cache.shared;
        let options = shared.defaults.under(options);
        let loader = boxed(|_| loader());
        if self.aged {
            match shared.judge(key, options.throttle()) {
                Verdict::Answer(hit) => return Ok(hit),
                Verdict::AnswerAndRefresh(hit) => {
                    shared.refresh_behind(key, options, loader);
                    return Ok(hit);
                }
                Verdict::Load => {}
            }
        }
        // Boxed, so that the caller's future is not as large as a load where it finds its answer.
        Box::pin(Arc::clone(shared).fly(key.clone(), options, loader)).await.map_err(LoadError::known)
    }

    /// Goes on as [`Cache::get_or_compute`] does.
    ///
    /// # Errors
    /// That of `compute`.
    pub fn compute<E>(
        self,
        key: &K,
        options: Options,
        compute: impl FnOnce() -> Result<Answer<V>, E>,
    ) -> Result<Hit<V>, E> {
        let shared = &self.cache.shared;
        if self.aged
            && let Some(hit) = shared.without_loader(key, false)
        {
            return Ok(hit);
        }
        let options = shared.defaults.under(options);
        shared.compute(key, &options, || compute().map(|answer| (answer.value, answer.about)))
    }
}

/// Removes an answer.
pub fn remove<K, V>(cache: &Cache<K, V>, key: &K) -> bool
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    cache.remove_local(key)
}

/// A value with what it is worth.
#[derive(Debug)]
pub struct Answer<V> {
    value: V,
    about: About,
}

impl<V> Answer<V> {
    /// The answer of a loader.
    pub fn loaded(self) -> Loaded<V> {
        Loaded { value: Some(self.value), about: self.about }
    }
}

/// A value that is kept, whatever it is.
pub fn any<V>(value: V) -> Answer<V> {
    Answer { value, about: About::default() }
}

/// A value of which only `Some` is kept.
pub fn only_some<T>(value: Option<T>) -> Answer<Option<T>> {
    let about = About { ttl: value.is_none().then_some(Ttl::ZERO), ..About::default() };
    Answer { value, about }
}

/// A value of which `None` says that there is nothing, and lives for the negative time-to-live.
pub fn negative_none<T>(value: Option<T>) -> Answer<Option<T>> {
    let about = About { is_negative: value.is_none(), ..About::default() };
    Answer { value, about }
}

/// Adds tags. What cannot be tagged could not be invalidated by its tags, so it is not kept at all.
pub fn tagged<const N: usize>(options: Options, tags: [String; N]) -> Options {
    match Tags::new(tags) {
        Ok(tags) => options.with_tags(tags),
        Err(_) => options.with_ttl(Ttl::ZERO).with_negative_ttl(Ttl::ZERO),
    }
}

/// The cache of a function that names none.
#[expect(clippy::expect_used, reason = "nothing given here can be wrong")]
pub fn own_cache<V: Send + Sync + 'static>(max_entries: u64) -> Cache<CallKey, V> {
    let builder = Cache::builder("cached").memory(Memory::new().with_max_entries(max_entries));
    builder.build().expect("the name is a legal one, and no option is set")
}
