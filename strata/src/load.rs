//! Get or load, one key: a hit is ready on the first poll; a miss boards a flight.
//!
//! ```text
//! memory ── hit ──► ready: no box, no spawn, no waker
//!    │ miss
//! ticket ► board ── someone loads already ──► wait for the landing
//!             │ lead
//!          memory again (the last flight may just have landed) ► spawn the loader ► store if the ticket is valid ► land
//! ```

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cache_core::{CacheKey, Tags};
use cache_memory::{Found, Inserted};
use tokio::runtime::Handle;

use crate::cache::{Cache, Shared};
use crate::fence::Ticket;
use crate::flight::{Failure, Follower, Landing, Leader, Seat};
use crate::hit::{Hit, Source};
use crate::loaded::{LoadError, Loaded};
use crate::options::Options;
use crate::stats::LoadCounts;

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Answers from the cache, or runs the loader once for all who ask, stores what it brings and answers with that.
    ///
    /// The loader runs as a task of its own, on the current tokio runtime. Its error is shared by all who waited and
    /// never cached. A load that an invalidation has overtaken still answers those who waited for it, but is not
    /// stored, and later callers do not join it.
    ///
    /// # Errors
    /// [`LoadError::Failed`] with the loader's error; the other kinds if the load was lost.
    ///
    /// # Cancel safety
    /// Safe: dropping the future neither cancels the load nor restarts it.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use strata::{Cache, Options, Ttl};
    /// let prices: Cache<String, f64> = Cache::builder("prices").build()?;
    /// let fetch = || async { Ok::<_, std::io::Error>(101.5) };
    /// let price = prices.get_or_load("BTC", fetch).with(Options::new().with_ttl(Ttl::from_secs(5))).await?;
    /// assert_eq!(*price, 101.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_load<'a, Q, F, Fut, L, E>(&'a self, key: &'a Q, loader: F) -> GetOrLoad<'a, K, V, Q, F, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        GetOrLoad { cache: self, key, loader: Some(loader), options: Options::new(), flying: None }
    }
}

/// The future of [`Cache::get_or_load`].
#[must_use = "a future does nothing until it is awaited"]
pub struct GetOrLoad<'a, K, V, Q: ?Sized, F, E> {
    cache: &'a Cache<K, V>,
    key: &'a Q,
    loader: Option<F>,
    options: Options,
    flying: Option<Flying<'a, V, E>>,
}

type Flying<'a, V, E> = Pin<Box<dyn Future<Output = Result<Hit<V>, LoadError<E>>> + Send + 'a>>;

impl<K, V, Q: ?Sized, F, E> GetOrLoad<'_, K, V, Q, F, E> {
    /// Sets options for this call, over those set before and those of the cache.
    pub fn with(mut self, options: Options) -> Self {
        self.options = options.over(&self.options);
        self
    }
}

// Nothing is pinned structurally: the one future inside is boxed.
impl<K, V, Q: ?Sized, F, E> Unpin for GetOrLoad<'_, K, V, Q, F, E> {}

impl<K, V, Q, F, Fut, L, E> Future for GetOrLoad<'_, K, V, Q, F, E>
where
    K: CacheKey + Clone + Borrow<Q>,
    V: Send + Sync + 'static,
    Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<L, E>> + Send + 'static,
    L: Into<Loaded<V>>,
    E: fmt::Display + Send + Sync + 'static,
{
    type Output = Result<Hit<V>, LoadError<E>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(flying) = &mut this.flying {
            return flying.as_mut().poll(context);
        }
        let shared = &this.cache.shared;
        let forced = this.options.force_refresh().or(shared.options.force_refresh()).unwrap_or(false);
        if !forced && let Some(hit) = shared.find(this.key) {
            return Poll::Ready(Ok(hit));
        }
        let Some(loader) = this.loader.take() else {
            return Poll::Ready(Err(LoadError::Aborted));
        };
        let options = std::mem::take(&mut this.options).over(&shared.options);
        let load = async move { loader().await.map(Into::into) };
        let flying = this.flying.insert(Box::pin(Arc::clone(shared).fly(this.key.to_owned(), options, load)));
        flying.as_mut().poll(context)
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    async fn fly<E>(
        self: Arc<Self>,
        key: K,
        options: Options,
        load: impl Future<Output = Result<Loaded<V>, E>> + Send + 'static,
    ) -> Result<Hit<V>, LoadError<E>>
    where
        E: fmt::Display + Send + Sync + 'static,
    {
        let leader = loop {
            let own_tags_allow = |begun| options.tags().is_none_or(|tags| self.fence.may_share(begun, tags));
            let may_join = |begun| self.fence.may_join(begun, &key) && own_tags_allow(begun);
            match self.board(&key, &options, may_join) {
                Seat::Lead(leader) => break leader,
                Seat::Follow(follower) => {
                    if let Some(answer) = self.joined(follower).await {
                        return answer;
                    }
                }
            }
        };
        if let Some((hit, tags)) = self.landed_before(&leader, &options) {
            leader.land(Landing::Value(hit.clone(), tags));
            return Ok(hit);
        }
        let Ok(runtime) = Handle::try_current() else { return Err(LoadError::NoRuntime) };
        let own = leader.follow();
        self.spawn_load(&runtime, load, move |shared, loaded| {
            let landing = match loaded {
                Ok(loaded) => shared.store_loaded(&leader, loaded, &options),
                Err(error) => Landing::Failed(Arc::new(Failure::new(error))),
            };
            leader.land(landing);
        });
        own.landing().await.into_answer(Source::Loader).unwrap_or(Err(LoadError::Aborted))
    }

    /// Waits for another call's load; `None` if it has no answer for this one: a load of many keys did not bring this
    /// one, or a tag of what it brought was removed since it began.
    async fn joined<E: Send + Sync + 'static>(
        &self,
        follower: Follower<V>,
    ) -> Option<Result<Hit<V>, LoadError<E>>> {
        let begun = follower.ticket();
        let landing = follower.landing().await;
        if let Landing::Value(_, tags) = &landing
            && !self.fence.may_share(begun, tags)
        {
            return None;
        }
        landing.into_answer(Source::Joined)
    }
}

/// What loads of one key and of many share.
impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Joins the load of this key that is in flight, if `may_join` accepts when it began, or begins one.
    pub(crate) fn board(
        &self,
        key: &K,
        options: &Options,
        may_join: impl FnOnce(Ticket) -> bool,
    ) -> Seat<K, V> {
        let forced = options.force_refresh().unwrap_or(false);
        if forced {
            // What this call brings is newer than whatever is on its way.
            self.fence.seal_key(key);
        }
        // The ticket comes before every read of this load, the second look at memory included.
        let ticket = self.fence.ticket(key);
        let seat = self.flights.board(key, ticket, |begun| !forced && may_join(begun));
        if let Seat::Follow(_) = seat {
            LoadCounts::count(&self.loads.coalesced);
        }
        seat
    }

    /// What a flight has stored that landed after this call had asked memory and before it boarded.
    pub(crate) fn landed_before(&self, leader: &Leader<K, V>, options: &Options) -> Option<(Hit<V>, Tags)> {
        let wanted = !options.force_refresh().unwrap_or(false);
        let found = |found: Found<'_, K, Arc<V>>| {
            (Hit::new(Arc::clone(found.value()), Source::Memory, found.expires()), found.tags().clone())
        };
        if wanted { self.memory.peek_with(leader.key(), found) } else { None }
    }

    /// Stores what a load has brought, unless an invalidation has overtaken it, and lands with it.
    pub(crate) fn store_loaded(
        &self,
        leader: &Leader<K, V>,
        loaded: Loaded<V>,
        options: &Options,
    ) -> Landing<V> {
        let key = leader.key();
        let tags = loaded.tags.as_ref().or(options.tags()).cloned().unwrap_or_default();
        let permit = || self.fence.may_store(leader.ticket(), key, &tags);
        let (hit, inserted) = self.store(key.clone(), loaded, options, permit);
        if inserted == Inserted::Refused && options.force_refresh() == Some(true) {
            // Whatever is there is older than what was just loaded, and the caller has asked to be rid of it.
            self.memory.remove(key);
        }
        Landing::Value(hit, tags)
    }

    /// Runs a load as a task of its own, which ends with the cache, and hands what it brings to `land`.
    pub(crate) fn spawn_load<T, E>(
        self: &Arc<Self>,
        runtime: &Handle,
        load: impl Future<Output = Result<T, E>> + Send + 'static,
        land: impl FnOnce(&Self, Result<T, E>) + Send + 'static,
    ) where
        T: Send + 'static,
        E: Send + 'static,
    {
        let cache = Arc::downgrade(self);
        let run = LoadCounts::begin(&self.loads);
        let mut alive = self.alive.subscribe();
        runtime.spawn(async move {
            let outcome = tokio::select! {
                outcome = load => outcome,
                _dropped = alive.changed() => return,
            };
            run.end(outcome.is_ok());
            if let Some(shared) = cache.upgrade() {
                land(&shared, outcome);
            }
        });
    }
}

impl<V> Landing<V> {
    /// The answer to a caller who waited; `None` if the load did not bring its key.
    pub(crate) fn into_answer<E: Send + Sync + 'static>(
        self,
        source: Source,
    ) -> Option<Result<Hit<V>, LoadError<E>>> {
        Some(match self {
            Self::Value(hit, _) => Ok(hit.with_source(source)),
            Self::Absent => return None,
            Self::Failed(failure) => Err(failure.as_load_error()),
            Self::Panicked => Err(LoadError::Panicked),
            Self::Aborted => Err(LoadError::Aborted),
        })
    }
}

impl<K, V, Q: ?Sized, F, E> fmt::Debug for GetOrLoad<'_, K, V, Q, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrLoad")
            .field("cache", self.cache)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_that_landed_before_boarding_is_taken_and_not_loaded_again() {
        let cache: Cache<u8, u8> = Cache::builder("late").build().expect("legal");
        // As after a flight that landed between this call's look at memory and its boarding.
        cache.insert(1, 7).await.expect("memory");
        let load = async { Err::<Loaded<u8>, _>("must not run") };
        let hit = Arc::clone(&cache.shared).fly(1, Options::new(), load).await.expect("there");
        assert_eq!((*hit, cache.stats().loads_failed, cache.stats().in_flight), (7, 0, 0));
    }
}
