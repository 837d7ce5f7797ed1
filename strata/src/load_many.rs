//! Get or load, many keys: what is there is answered, what is missing is loaded in one call.
//!
//! Each missing key boards a flight of its own, so a key that someone else is loading is waited for and not loaded
//! again, and callers of single keys join this load. Only the keys that this call leads go to its loader.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use cache_core::CacheKey;
use tokio::runtime::Handle;

use crate::cache::{Cache, Shared};
use crate::flight::{Failure, Follower, Landing, Leader, Seat};
use crate::hit::{Hit, Source};
use crate::loaded::{LoadError, Loaded};
use crate::options::Options;

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Answers many keys, in their order, and runs the loader once for those that are missing and that nobody is
    /// loading. A key that its load does not bring, this call's or the one it was already part of, is answered with `None`; what
    /// was not asked for is ignored.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load), if any of the loads involved failed.
    ///
    /// # Cancel safety
    /// Safe: dropping the future neither cancels the load nor restarts it.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use strata::Cache;
    /// let squares: Cache<u64, u64> = Cache::builder("squares").build()?;
    /// squares.insert(2, 4).await?;
    /// let load = |missing: Vec<u64>| async move {
    ///     assert_eq!(missing, [3]);
    ///     Ok::<_, std::io::Error>(missing.into_iter().map(|n| (n, n * n)).collect::<Vec<_>>())
    /// };
    /// let answers = squares.get_or_load_many(&[2, 3], load).await?;
    /// assert_eq!(answers.iter().flatten().map(|hit| **hit).collect::<Vec<_>>(), [4, 9]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_load_many<'a, F, Fut>(&'a self, keys: &'a [K], loader: F) -> GetOrLoadMany<'a, K, V, F>
    where
        F: FnOnce(Vec<K>) -> Fut + Send + 'static,
    {
        GetOrLoadMany { cache: self, keys, loader, options: Options::new() }
    }
}

/// The question of [`Cache::get_or_load_many`], asked when it is awaited.
#[must_use = "nothing is asked until it is awaited"]
pub struct GetOrLoadMany<'a, K, V, F> {
    cache: &'a Cache<K, V>,
    keys: &'a [K],
    loader: F,
    options: Options,
}

impl<K, V, F> GetOrLoadMany<'_, K, V, F> {
    /// Sets options for this call, over those set before and those of the cache.
    pub fn with(mut self, options: Options) -> Self {
        self.options = options.over(&self.options);
        self
    }
}

impl<'a, K, V, F, Fut, I, L, E> IntoFuture for GetOrLoadMany<'a, K, V, F>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
    F: FnOnce(Vec<K>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<I, E>> + Send + 'static,
    I: IntoIterator<Item = (K, L)> + Send + 'static,
    L: Into<Loaded<V>> + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    type Output = Result<Vec<Option<Hit<V>>>, LoadError<E>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.ask())
    }
}

impl<K, V, F> GetOrLoadMany<'_, K, V, F>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    async fn ask<Fut, I, L, E>(self) -> Result<Vec<Option<Hit<V>>>, LoadError<E>>
    where
        F: FnOnce(Vec<K>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (K, L)> + Send + 'static,
        L: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        let Self { cache, keys, loader, options } = self;
        let shared = &cache.shared;
        let options = options.over(&shared.options);
        let Boarded { mut answers, leaders, waiting } = shared.board_many(keys, &options);
        if !leaders.is_empty() {
            let Ok(runtime) = Handle::try_current() else { return Err(LoadError::NoRuntime) };
            let wanted = leaders.iter().map(|leader| leader.key().clone()).collect();
            let load = async move { loader(wanted).await };
            shared.spawn_load(&runtime, load, move |shared, brought| {
                shared.land_all(leaders, brought, &options);
            });
        }
        for Waiting { follower, source, positions } in waiting.into_values() {
            let answer = follower.landing().await.into_answer(source).transpose()?;
            for position in positions {
                answers[position].clone_from(&answer);
            }
        }
        Ok(answers)
    }
}

impl<K, V, F> fmt::Debug for GetOrLoadMany<'_, K, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrLoadMany")
            .field("cache", self.cache)
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

/// What asking for many keys has come to, before anything is loaded.
struct Boarded<K: CacheKey, V> {
    answers: Vec<Option<Hit<V>>>,
    leaders: Vec<Leader<K, V>>,
    waiting: HashMap<K, Waiting<V>>,
}

/// A key that is being loaded, and where in the answers it stands.
struct Waiting<V> {
    follower: Follower<V>,
    source: Source,
    positions: Vec<usize>,
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    fn board_many(&self, keys: &[K], options: &Options) -> Boarded<K, V> {
        let forced = options.force_refresh().unwrap_or(false);
        let mut boarded = Boarded { answers: Vec::new(), leaders: Vec::new(), waiting: HashMap::new() };
        for (position, key) in keys.iter().enumerate() {
            let answer = match boarded.waiting.get_mut(key) {
                Some(waiting) => {
                    waiting.positions.push(position);
                    None
                }
                None if forced => self.board_one(position, key, options, &mut boarded),
                None => self.find(key).or_else(|| self.board_one(position, key, options, &mut boarded)),
            };
            boarded.answers.push(answer);
        }
        boarded
    }

    fn board_one(
        &self,
        position: usize,
        key: &K,
        options: &Options,
        boarded: &mut Boarded<K, V>,
    ) -> Option<Hit<V>> {
        // The one loader call of this question may be spent by the time a joined load tells its tags, so a load is joined
        // only if none of them can have been removed.
        let may_join = |begun| self.fence.may_join(begun, key) && self.fence.no_tag_since(begun);
        let (follower, source) = match self.board(key, options, may_join) {
            Seat::Follow(follower) => (follower, Source::Joined),
            Seat::Lead(leader) => {
                if let Some((hit, tags)) = self.landed_before(&leader, options) {
                    leader.land(Landing::Value(hit.clone(), tags));
                    return Some(hit);
                }
                let follower = leader.follow();
                boarded.leaders.push(leader);
                (follower, Source::Loader)
            }
        };
        boarded.waiting.insert(key.clone(), Waiting { follower, source, positions: vec![position] });
        None
    }

    fn land_all<I, L, E>(&self, leaders: Vec<Leader<K, V>>, brought: Result<I, E>, options: &Options)
    where
        I: IntoIterator<Item = (K, L)>,
        L: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        match brought {
            Ok(entries) => {
                let mut brought: HashMap<K, L> = entries.into_iter().collect();
                for leader in leaders {
                    let landing = match brought.remove(leader.key()) {
                        Some(loaded) => self.store_loaded(&leader, loaded.into(), options),
                        None => Landing::Absent,
                    };
                    leader.land(landing);
                }
            }
            Err(error) => {
                let failure = Arc::new(Failure::new(error));
                for leader in leaders {
                    leader.land(Landing::Failed(Arc::clone(&failure)));
                }
            }
        }
    }
}
