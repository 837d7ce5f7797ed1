//! Get or load, many keys: what is there is answered, what is missing is loaded in one call.
//!
//! Each missing key boards a flight of its own, so a key that someone else is loading is waited for and not loaded
//! again, and callers of single keys join this load. Only the keys that this call leads go to its loader.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use cache_core::{CacheKey, Time};

use crate::below::Sought;
use crate::cache::{Cache, Shared};
use crate::close::Place;
use crate::flight::{Failure, Follower, Landing, Leader, Seat};
use crate::fresh::{Seen, Verdict};
use crate::hit::{Hit, Source, Stale};
use crate::kept::Last;
use crate::loaded::{LoadError, Loaded};
use crate::options::Options;
use crate::stats::LoadCounts;
use crate::sync::{Handle, Instant};
use crate::task::Stored;
use crate::wait::Wait;
use crate::write::Origin;

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
        let loader = boxed(loader);
        let shared = &cache.shared;
        let options = shared.defaults.under(options);
        let since = options.hard_timeout().map(|_| Instant::now());
        let Boarded { mut answers, leaders, waiting } = shared.board_many(keys, &options);
        let mut alone = HashMap::new();
        if !leaders.is_empty() {
            match Handle::try_current() {
                Ok(runtime) => match shared.enter(runtime) {
                    Some(place) => shared.load_many(place, leaders, &options, loader),
                    None => alone = shared.load_many_alone(leaders, &waiting, &options, loader).await,
                },
                // What is answered already does not need it.
                Err(_) if waiting.is_empty() => {}
                Err(_) => return Err(LoadError::NoRuntime),
            }
        }
        for (key, Waiting { follower, source, last, positions }) in waiting {
            let wait = Wait { key: &key, options: &options, last: last.as_ref(), source, since };
            let answer = match alone.remove(&key) {
                Some(landing) => shared.answer(landing, &wait),
                None => shared.landed(follower, &wait).await,
            };
            let answer = answer.transpose().map_err(LoadError::known)?;
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

/// A loader of many keys, [its type forgotten](crate::load::Loader).
type LoaderOfMany<K, V> = Box<dyn FnOnce(Vec<K>) -> LoadingOfMany<K, V> + Send>;

type LoadingOfMany<K, V> = Pin<Box<dyn Future<Output = Result<HashMap<K, Loaded<V>>, Failure>> + Send>>;

fn boxed<K, V, F, Fut, I, L, E>(loader: F) -> LoaderOfMany<K, V>
where
    K: CacheKey,
    F: FnOnce(Vec<K>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<I, E>> + Send + 'static,
    I: IntoIterator<Item = (K, L)> + Send + 'static,
    L: Into<Loaded<V>>,
    E: fmt::Display + Send + Sync + 'static,
{
    Box::new(|keys| {
        Box::pin(async {
            let brought = loader(keys).await.map_err(Failure::new)?;
            Ok(brought.into_iter().map(|(key, loaded)| (key, loaded.into())).collect())
        })
    })
}

/// What asking for many keys has come to, before anything is loaded.
struct Boarded<K: CacheKey, V> {
    answers: Vec<Option<Hit<V>>>,
    /// Keys to be loaded by this call: missing ones, and due ones that were answered.
    leaders: Vec<Leading<K, V>>,
    waiting: HashMap<K, Waiting<V>>,
}

/// A key that this call loads, and what is still there of it.
struct Leading<K: CacheKey, V> {
    leader: Leader<K, V>,
    last: Option<Last<V>>,
}

/// What is still there of the keys that are being loaded, in their order.
type Lasts<V> = Vec<Option<Last<V>>>;

/// A key that is being loaded, and where in the answers it stands.
struct Waiting<V> {
    follower: Follower<V>,
    source: Source,
    last: Option<Last<V>>,
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
                None => self
                    .find_or_refresh(key, options, &mut boarded)
                    .or_else(|| self.board_one(position, key, options, &mut boarded)),
            };
            boarded.answers.push(answer);
        }
        boarded
    }

    /// What memory answers. A key that is to be refreshed behind its answer is loaded with the missing ones.
    fn find_or_refresh(&self, key: &K, options: &Options, boarded: &mut Boarded<K, V>) -> Option<Hit<V>> {
        match self.find(key) {
            Seen::Fresh(hit) => return Some(hit),
            Seen::Aged => {}
            Seen::Nothing => return None,
        }
        match self.judge(key, options.throttle()) {
            Verdict::Answer(hit) => Some(hit),
            Verdict::AnswerAndRefresh(hit) => {
                let begin = |abandoned| self.begin(key, abandoned);
                let may_join = |begun| self.fence.may_join(begun, key);
                if let Seat::Lead(leader) = self.flights.board(key, may_join, begin) {
                    LoadCounts::count(&self.loads.refreshes);
                    let last = self.last(key, leader.ticket());
                    boarded.leaders.push(Leading { leader, last });
                }
                Some(hit)
            }
            Verdict::Load => None,
        }
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
        let (follower, source, last) = match self.board(key, options, may_join) {
            Seat::Follow(follower) => {
                let last = self.last(key, follower.ticket());
                (follower, Source::Joined, last)
            }
            Seat::Lead(leader) => {
                let last = self.last(key, leader.ticket());
                if let Some(last) = last.as_ref().filter(|last| self.is_served(last, options)) {
                    leader.land(Landing::Value(last.hit(), last.tags.clone()));
                    return Some(last.hit());
                }
                let wait = Wait { key, options, last: last.as_ref(), source: Source::Loader, since: None };
                if last.as_ref().is_some_and(|last| self.is_resting(last))
                    && options.force_refresh() != Some(true)
                    && let Some(hit) = self.rescue(&wait, Stale::Throttled)
                {
                    leader.land(Landing::Resting);
                    return Some(hit);
                }
                let follower = leader.follow();
                boarded.leaders.push(Leading { leader, last: last.clone() });
                (follower, Source::Loader, last)
            }
        };
        boarded.waiting.insert(key.clone(), Waiting { follower, source, last, positions: vec![position] });
        None
    }

    fn load_many(
        self: &Arc<Self>,
        place: Place,
        leading: Vec<Leading<K, V>>,
        options: &Options,
        loader: LoaderOfMany<K, V>,
    ) {
        let sought = leading.into_iter().map(|Leading { leader, last }| Sought::new(leader, last)).collect();
        self.look_below(place, sought, options.clone(), |shared, place, sought, options| {
            shared.load_many_from_source(place, sought, options, loader);
        });
    }

    /// As [`load_many`](Self::load_many), of what is not found below memory.
    fn load_many_from_source(
        self: &Arc<Self>,
        place: Place,
        sought: Vec<Sought<K, V>>,
        options: &Options,
        loader: LoaderOfMany<K, V>,
    ) {
        let began = self.memory.clock().now();
        let (leaders, lasts): (Vec<_>, Lasts<V>) =
            sought.into_iter().map(|sought| (sought.leader, sought.last)).unzip();
        let wanted = leaders.iter().map(|leader| leader.key().clone()).collect();
        let load = async move { loader(wanted).await };
        let terms = options.clone();
        self.spawn_load(place, (leaders, options), load, move |shared, leaders, brought| {
            shared.land_all((leaders, lasts), brought, &terms, began)
        });
    }

    /// As [`load_many`](Self::load_many) once the cache is closed: within the call, and nothing is stored. How each key
    /// ended that somebody waits for.
    async fn load_many_alone(
        &self,
        leading: Vec<Leading<K, V>>,
        waiting: &HashMap<K, Waiting<V>>,
        options: &Options,
        loader: LoaderOfMany<K, V>,
    ) -> HashMap<K, Landing<V>> {
        let mut wanted = HashMap::new();
        for Leading { leader, last } in leading {
            if waiting.contains_key(leader.key()) {
                wanted.insert(leader.key().clone(), last);
            }
            leader.land(Landing::Closed);
        }
        if wanted.is_empty() {
            return HashMap::new();
        }
        let keys = wanted.keys().cloned().collect();
        match self.alone(loader(keys), options).await {
            Ok(mut brought) => {
                let land = |(key, last): (K, Option<Last<V>>)| {
                    let landing = match brought.remove(&key) {
                        Some(value) => self.not_kept(value, last.as_ref(), options),
                        None => Landing::Absent,
                    };
                    (key, landing)
                };
                wanted.into_iter().map(land).collect()
            }
            Err(landing) => wanted.into_keys().map(|key| (key, landing.clone())).collect(),
        }
    }

    fn land_all(
        &self,
        (leaders, lasts): (Vec<Leader<K, V>>, Lasts<V>),
        brought: Result<HashMap<K, Loaded<V>>, Failure>,
        options: &Options,
        began: Time,
    ) -> Vec<Stored<K, V>> {
        let mut stored = Vec::new();
        match brought {
            Ok(mut brought) => {
                for (leader, last) in leaders.into_iter().zip(lasts) {
                    let landing = match brought.remove(leader.key()) {
                        Some(loaded) => {
                            let origin = Origin { last: last.as_ref(), began };
                            let (landing, record) = self.store_loaded(&leader, loaded, options, &origin);
                            stored.extend(record.map(|record| Stored::new(&leader, record, options)));
                            landing
                        }
                        None => Landing::Absent,
                    };
                    leader.land(landing);
                }
            }
            Err(failure) => {
                let failure = Arc::new(failure);
                for leader in leaders {
                    let landing = self.fail(&leader, &failure, options);
                    leader.land(landing);
                }
            }
        }
        stored
    }
}
