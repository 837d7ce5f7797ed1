//! Refreshing ahead of need: a load of what may still be fresh, for whoever keeps something warm.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use cache_core::CacheKey;

use crate::cache::{Cache, Shared};
use crate::flight::{Landing, Seat};
use crate::hit::{Hit, Source};
use crate::load::{Loader, Outcome, boxed};
use crate::loaded::{LoadError, Loaded};
use crate::options::Options;
use crate::stats::LoadCounts;
use crate::sync::{Handle, Instant};
use crate::wait::Wait;

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Runs the loader though what the cache has may be fresh, unless a load of the key is on its way: then it waits for that one, as
    /// a reader does. So something that is kept warm is never loaded twice at the same time.
    ///
    /// What it brings is stored everywhere, and told to other processes. The value that is there serves readers until then, and after a
    /// failure as well, until its own end; the answer is then marked with what went wrong, if a stale value may stand in. For a load that
    /// may not join an older one, as after a change at the source, there is [`Options::with_force_refresh`].
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load); [`LoadError::Aborted`] if the cache is closed.
    ///
    /// # Cancel safety
    /// Safe: dropping the future neither cancels the load nor restarts it.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use strata::{Cache, Options};
    /// let prices: Cache<String, f64> = Cache::builder("prices").build()?;
    /// prices.insert("BTC".to_owned(), 101.5).await?;
    /// let fetch = || async { Ok::<_, std::io::Error>(102.0) };
    /// assert_eq!(*prices.refresh("BTC", fetch, Options::new()).await?, 102.0);
    /// assert_eq!(prices.get("BTC").await?.as_deref(), Some(&102.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn refresh<Q, F, Fut, L, E>(
        &self,
        key: &Q,
        loader: F,
        options: Options,
    ) -> Result<Hit<V>, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        let options = options.over(&self.shared.defaults.get()).with_force_refresh(true);
        let loader = boxed(|_| loader());
        Arc::clone(&self.shared).renew(key.to_owned(), options, loader).await.map_err(LoadError::known)
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    async fn renew(self: Arc<Self>, key: K, options: Options, load: Loader<V>) -> Outcome<V> {
        let since = options.hard_timeout().map(|_| Instant::now());
        let board = || {
            let begin = |abandoned| self.begin(&key, abandoned);
            let seat = self.flights.board(&key, |begun| self.may_join(begun, &key, &options), begin);
            if let Seat::Follow(_) = seat {
                LoadCounts::count(&self.loads.coalesced);
            }
            seat
        };
        let leader = match self.lead_or_join((&key, &options), since, board).await {
            Ok(leader) => leader,
            Err(answer) => return answer,
        };
        let Ok(runtime) = Handle::try_current() else { return Err(LoadError::NoRuntime) };
        let Some(place) = self.enter(runtime) else {
            leader.land(Landing::Closed);
            return Err(LoadError::Aborted);
        };
        LoadCounts::count(&self.loads.refreshes);
        let (own, last) = (leader.follow(), self.last(&key, leader.ticket()));
        let wait = Wait { key: &key, options: &options, last: last.as_ref(), source: Source::Loader, since };
        self.load(place, leader, (options.clone(), last.clone()), load);
        self.landed(own, &wait).await.unwrap_or(Err(LoadError::Aborted))
    }
}
