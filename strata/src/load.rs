//! Get or load, one key: a hit is ready on the first poll; a miss boards a flight.
//!
//! ```text
//! memory ── hit ──► ready: no box, no spawn, no waker
//!    │         └─ due, or stale in its window: refresh behind it
//!    │ miss
//! ticket ► board ── someone loads already ──► wait for the landing, at most for the timeouts
//!             │ lead
//!          memory again (the last flight may just have landed) ► spawn the loader ► store if the ticket is valid ► land
//!                                                                       │ fails, too slow, over budget
//!                                                                  what is kept stands in, if it may
//! ```

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::hint::cold_path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use cache_core::CacheKey;

use crate::cache::{Cache, Shared};
use crate::fence::Ticket;
use crate::flight::{Failure, Landing, Leader, Seat};
use crate::fresh::{Seen, Verdict};
use crate::hit::{Hit, Source, Stale};
use crate::kept::Last;
use crate::loaded::{LoadError, Loaded};
use crate::options::Options;
use crate::rare::Rare;
use crate::stats::LoadCounts;
use crate::sync::{Handle, Instant};
use crate::wait::Wait;

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Answers from the cache, or runs the loader once for all who ask, stores what it brings and answers with that.
    ///
    /// The loader runs as a task of its own, on the current tokio runtime. Its error is shared by all who waited and
    /// not cached unless asked. A load that an invalidation has overtaken still answers those who waited for it, but is not
    /// stored, and later callers do not join it. What may be answered when there is nothing fresh, and how long to wait,
    /// is up to [`Options`]; [`Hit::stale`] tells what came of it.
    ///
    /// # Errors
    /// [`LoadError::Failed`] with the loader's error; the other kinds if the load was lost, too slow or not admitted. None of
    /// them if a stale value may stand in.
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
    pub fn get_or_load<'a, Q, F, Fut, L, E>(
        &'a self,
        key: &'a Q,
        loader: F,
    ) -> GetOrLoad<'a, K, V, Q, impl FnOnce(Option<Last<V>>) -> Fut + Send + use<Q, F, Fut, L, E, K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        self.get_or_refresh(key, move |_| loader())
    }

    /// As [`get_or_load`](Self::get_or_load), with a loader that is shown what the cache still has, most often a stale value
    /// with its validator, and may answer that it was [not modified](Loaded::not_modified).
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load).
    ///
    /// # Cancel safety
    /// As [`get_or_load`](Self::get_or_load).
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use std::time::Duration;
    /// use strata::{Cache, Last, Loaded, Options};
    /// let pages: Cache<String, String> = Cache::builder("pages")
    ///     .options(Options::new().with_fail_safe_for(Duration::from_secs(3600)))
    ///     .build()?;
    /// let fetch = |last: Option<Last<String>>| async move {
    ///     Ok::<_, std::io::Error>(match last.as_ref().and_then(Last::validator) {
    ///         Some("v1") => Loaded::not_modified(),
    ///         _ => Loaded::new("hello".to_owned()).with_validator("v1"),
    ///     })
    /// };
    /// pages.get_or_refresh("/", fetch).await?;
    /// pages.expire("/").await?;
    /// assert_eq!(&**pages.get_or_refresh("/", fetch).await?, "hello");
    /// assert_eq!(pages.stats().not_modified, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_refresh<'a, Q, F, Fut, L, E>(&'a self, key: &'a Q, loader: F) -> GetOrLoad<'a, K, V, Q, F>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
        F: FnOnce(Option<Last<V>>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        GetOrLoad { cache: self, key, loader: Some(loader), options: (), flying: Rare::none() }
    }
}

/// The future of [`Cache::get_or_load`] and [`Cache::get_or_refresh`]. A call without options of its own is five words, so that
/// it costs little to hand on.
#[must_use = "a future does nothing until it is awaited"]
pub struct GetOrLoad<'a, K, V, Q: ?Sized, F, O = ()> {
    cache: &'a Cache<K, V>,
    key: &'a Q,
    loader: Option<F>,
    options: O,
    /// A miss, on its way.
    flying: Rare<Flying<'a, V>>,
}

/// A loader, its type forgotten: what is done around a load is compiled once for a kind of value, and not for every loader.
pub(crate) type Loader<V> = Box<dyn FnOnce(Option<Last<V>>) -> Loading<V> + Send>;

/// A load, which ends with a value or with an error of any type.
type Loading<V> = Pin<Box<dyn Future<Output = Result<Loaded<V>, Failure>> + Send>>;

/// What comes of a load for one who asked.
pub(crate) type Outcome<V> = Result<Hit<V>, LoadError<Failure>>;

pub(crate) fn boxed<V, F, Fut, L, E>(loader: F) -> Loader<V>
where
    V: Send + Sync + 'static,
    F: FnOnce(Option<Last<V>>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<L, E>> + Send + 'static,
    L: Into<Loaded<V>>,
    E: fmt::Display + Send + Sync + 'static,
{
    // Called by the task that loads, as what is boxed is called and not run before.
    Box::new(|last| Box::pin(async { loader(last).await.map(Into::into).map_err(Failure::new) }))
}

type Flying<'a, V> = Pin<Box<dyn Future<Output = Outcome<V>> + Send + 'a>>;

/// The options of one call: none, or some.
pub trait Asked: sealed::Sealed {
    #[doc(hidden)]
    fn options(&self) -> Option<&Options>;
}

impl Asked for () {
    #[inline]
    fn options(&self) -> Option<&Options> {
        None
    }
}

impl Asked for Options {
    #[inline]
    fn options(&self) -> Option<&Options> {
        Some(self)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl Sealed for crate::Options {}
}

impl<'a, K, V, Q: ?Sized, F, O: Asked> GetOrLoad<'a, K, V, Q, F, O> {
    /// Sets options for this call, over those set before and those of the cache. To be called before the first poll.
    pub fn with(self, options: Options) -> GetOrLoad<'a, K, V, Q, F, Options> {
        let options = match self.options.options() {
            Some(before) => options.over(before),
            None => options,
        };
        let Self { cache, key, loader, flying, .. } = self;
        GetOrLoad { cache, key, loader, options, flying }
    }
}

// Nothing is pinned structurally: the one future inside is boxed.
impl<K, V, Q: ?Sized, F, O> Unpin for GetOrLoad<'_, K, V, Q, F, O> {}

impl<K, V, Q, F, Fut, L, E, O> Future for GetOrLoad<'_, K, V, Q, F, O>
where
    K: CacheKey + Clone + Borrow<Q>,
    V: Send + Sync + 'static,
    Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    F: FnOnce(Option<Last<V>>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<L, E>> + Send + 'static,
    L: Into<Loaded<V>>,
    E: fmt::Display + Send + Sync + 'static,
    O: Asked,
{
    type Output = Result<Hit<V>, LoadError<E>>;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an answer or an error is returned through memory: a call that finds its answer at once costs half as much again as in place"
    )]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = if let Some(flying) = this.flying.take() {
            cold_path();
            poll(flying, context.waker())
        } else {
            let forced = this.options.options().and_then(Options::force_refresh).unwrap_or(false);
            let seen = if forced { Seen::Nothing } else { this.cache.shared.find(this.key) };
            let is_aged = match seen {
                // Returns by itself: joined with the others, the answer would be copied.
                Seen::Fresh(hit) => return Poll::Ready(Ok(hit)),
                Seen::Aged => true,
                Seen::Nothing => false,
            };
            cold_path();
            let Some(loader) = this.loader.take() else { return Poll::Ready(Err(LoadError::Aborted)) };
            let call = Call { cache: this.cache, key: this.key, asked: this.options.options(), loader };
            call.go_on(is_aged, context.waker())
        };
        match polled {
            Polled::Hit(hit) => Poll::Ready(Ok(*hit)),
            Polled::Failed(error) => Poll::Ready(Err(*error)),
            Polled::Flying(flying) => {
                this.flying = Rare::some(flying);
                Poll::Pending
            }
        }
    }
}

/// What has come of a flight: an answer or an error, boxed, or the flight itself, if it is still on its way.
enum Polled<'a, V, E> {
    Hit(Box<Hit<V>>),
    Failed(Box<LoadError<E>>),
    Flying(Flying<'a, V>),
}

/// Apart, so that a call that finds its answer carries nothing of this; by value and boxed, so that the places of flight and answer are
/// lent to nobody and may be registers. Nor is the context lent, of which nothing but the waker is known.
#[cold]
#[inline(never)]
fn poll<'a, V, E: fmt::Display + Send + Sync + 'static>(
    mut flying: Flying<'a, V>,
    waker: &Waker,
) -> Polled<'a, V, E> {
    match flying.as_mut().poll(&mut Context::from_waker(waker)) {
        Poll::Ready(Ok(hit)) => Polled::Hit(Box::new(hit)),
        Poll::Ready(Err(error)) => Polled::Failed(Box::new(error.known())),
        Poll::Pending => Polled::Flying(flying),
    }
}

/// A call that was not answered at once. It is handed on by value: what a future lends to somebody has to stand in memory, also
/// where it finds its answer at once.
struct Call<'a, 'o, K, V, Q: ?Sized, F> {
    cache: &'a Cache<K, V>,
    key: &'a Q,
    asked: Option<&'o Options>,
    loader: F,
}

impl<'a, K, V, Q, F, Fut, L, E> Call<'a, '_, K, V, Q, F>
where
    K: CacheKey + Clone + Borrow<Q>,
    V: Send + Sync + 'static,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    F: FnOnce(Option<Last<V>>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<L, E>> + Send + 'static,
    L: Into<Loaded<V>>,
    E: fmt::Display + Send + Sync + 'static,
{
    /// Answers from an aged value, if there is one that may, or goes for another one, which is on its way then.
    #[cold]
    #[inline(never)]
    fn go_on(self, is_aged: bool, waker: &Waker) -> Polled<'a, V, E> {
        let verdict = if is_aged { self.judge() } else { Verdict::Load };
        let (shared, options) = (&self.cache.shared, self.options());
        match verdict {
            Verdict::Answer(hit) => Polled::Hit(Box::new(hit)),
            Verdict::AnswerAndRefresh(hit) => {
                shared.refresh_behind(&self.key.to_owned(), options, boxed(self.loader));
                Polled::Hit(Box::new(hit))
            }
            Verdict::Load => poll(
                Box::pin(Arc::clone(shared).fly(self.key.to_owned(), options, boxed(self.loader))),
                waker,
            ),
        }
    }

    /// What an aged value is good for.
    fn judge(&self) -> Verdict<V> {
        let shared = &self.cache.shared;
        let throttle = self.asked.and_then(Options::fail_safe_throttle);
        shared.judge(self.key, throttle.unwrap_or_else(|| shared.defaults.get().throttle()))
    }

    /// The options of this call over those of the cache.
    fn options(&self) -> Options {
        let defaults = &self.cache.shared.defaults;
        self.asked.map_or_else(|| (*defaults.get()).clone(), |asked| defaults.under(asked.clone()))
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Boards a flight and waits for its landing. Thousands may wait, so what each of them carries counts: the arguments once, which an
    /// `async fn` would hold twice, and nothing of what only the one needs who loads.
    pub(crate) fn fly(
        self: Arc<Self>,
        key: K,
        options: Options,
        load: Loader<V>,
    ) -> impl Future<Output = Outcome<V>> + Send + use<K, V> {
        let since = options.hard_timeout().map(|_| Instant::now());
        async move {
            let board = || self.board(&key, &options, |begun| self.may_join(begun, &key, &options));
            match self.lead_or_join((&key, &options), since, board).await {
                Ok(leader) => Box::pin(self.lead(leader, (&key, &options), since, load)).await,
                Err(answer) => answer,
            }
        }
    }

    /// Loads for all who ask, and waits like any of them.
    async fn lead(
        self: &Arc<Self>,
        leader: Leader<K, V>,
        (key, options): (&K, &Options),
        since: Option<Instant>,
        load: Loader<V>,
    ) -> Outcome<V> {
        let last = self.last(key, leader.ticket());
        if let Some(last) = last.as_ref().filter(|last| self.is_served(last, options)) {
            leader.land(Landing::Value(last.hit(), last.tags.clone()));
            return Ok(last.hit());
        }
        let wait = Wait { key, options, last: last.as_ref(), source: Source::Loader, since };
        if last.as_ref().is_some_and(|last| self.is_resting(last))
            && options.force_refresh() != Some(true)
            && let Some(hit) = self.rescue(&wait, Stale::Throttled)
        {
            leader.land(Landing::Resting);
            return Ok(hit);
        }
        let Ok(runtime) = Handle::try_current() else { return Err(LoadError::NoRuntime) };
        let Some(place) = self.enter(runtime) else {
            leader.land(Landing::Closed);
            let landing = self.load_alone(load(last.clone()), &wait).await;
            return self.answer(landing, &wait).unwrap_or(Err(LoadError::Aborted));
        };
        let own = leader.follow();
        self.load(place, leader, (options.clone(), last.clone()), load);
        self.landed(own, &wait).await.unwrap_or(Err(LoadError::Aborted))
    }

    /// Boards until this caller leads a load, or has the answer of one that he could join.
    pub(crate) async fn lead_or_join(
        &self,
        (key, options): (&K, &Options),
        since: Option<Instant>,
        board: impl Fn() -> Seat<K, V>,
    ) -> Result<Leader<K, V>, Outcome<V>> {
        loop {
            if let Some(answer) = self.remembered(key, options) {
                return Err(answer);
            }
            match board() {
                Seat::Lead(leader) => return Ok(leader),
                Seat::Follow(mut follower) => {
                    let last = self.last(key, follower.ticket());
                    let wait = Wait { key, options, last: last.as_ref(), source: Source::Joined, since };
                    if let Some(answer) = self.joined(&mut follower, &wait).await {
                        return Err(answer);
                    }
                }
            }
        }
    }

    /// Begins a load that nobody waits for, if none of the key is running.
    pub(crate) fn refresh_behind(self: &Arc<Self>, key: &K, options: Options, load: Loader<V>) {
        let Some(place) = Handle::try_current().ok().and_then(|runtime| self.enter(runtime)) else { return };
        let begin = |abandoned| self.begin(key, abandoned);
        let Seat::Lead(leader) = self.flights.board(key, |begun| self.may_join(begun, key, &options), begin)
        else {
            return;
        };
        LoadCounts::count(&self.loads.refreshes);
        let last = self.last(key, leader.ticket());
        self.load(place, leader, (options, last), load);
    }

    pub(crate) fn may_join(&self, begun: Ticket, key: &K, options: &Options) -> bool {
        let own_tags_allow = || options.tags().is_none_or(|tags| self.fence.may_share(begun, tags));
        self.fence.may_join(begun, key) && own_tags_allow()
    }

    /// The answer to a call for a key whose last error is remembered.
    fn remembered(&self, key: &K, options: &Options) -> Option<Outcome<V>> {
        if options.force_refresh() == Some(true) {
            return None;
        }
        let failure = self.failures.get(key)?;
        let wait = Wait { key, options, last: None, source: Source::Joined, since: None };
        if let Some(hit) = self.rescue(&wait, Stale::Throttled) {
            return Some(Ok(hit));
        }
        LoadCounts::count(&self.loads.error_hits);
        Some(Err(LoadError::Failed(failure)))
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
        let begin = |abandoned| self.begin(key, abandoned);
        let seat = self.flights.board(key, |begun| !forced && may_join(begun), begin);
        if let Seat::Follow(_) = seat {
            LoadCounts::count(&self.loads.coalesced);
        }
        seat
    }

    /// The ticket of a load that begins now. It comes before every read of this load, the second look at memory included.
    pub(crate) fn begin(&self, key: &K, follows_abandoned: bool) -> Ticket {
        if follows_abandoned {
            // The load that was given up reads something older than this one will.
            self.fence.seal_key(key);
        }
        self.fence.ticket(key)
    }
}

impl<K, V, Q: ?Sized, F, O: Asked> fmt::Debug for GetOrLoad<'_, K, V, Q, F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrLoad")
            .field("cache", self.cache)
            .field("options", &self.options.options())
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
        let load = boxed(|_| async { Err::<Loaded<u8>, _>("must not run") });
        let hit = Arc::clone(&cache.shared).fly(1, Options::new(), load).await.expect("there");
        assert_eq!((*hit, cache.stats().loads_failed, cache.stats().in_flight), (7, 0, 0));
    }
}
