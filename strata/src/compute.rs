//! For callers without a runtime: computes a value where it is asked for, behind the same fence as a load.
//!
//! Who computes waits for nobody, so callers who miss one key at the same time each compute it. There is no task to
//! refresh in, to time out or to remember an error for; what is stored, and what keeps it out, is as for a load.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use cache_core::CacheKey;
use cache_memory::Inserted;

use crate::cache::{Cache, Shared};
use crate::hit::{Hit, Source};
use crate::loaded::About;
use crate::options::Options;
use crate::stats::LoadCounts;

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Answers from memory, or computes the value on this thread, stores it with these options over the cache's and answers
    /// with it. Needs no runtime.
    ///
    /// Callers who miss a key at the same time each compute it: use [`get_or_load`](Self::get_or_load) where one load has to do
    /// for all. A value that an invalidation has overtaken while it was computed is returned and not stored, nor is any by a
    /// [closed](Self::close) cache. Stale values,
    /// timeouts, budgets and remembered errors are for loads: here a stale value is none.
    ///
    /// # Errors
    /// That of `compute`, which is not cached.
    ///
    /// ```
    /// use strata::{Cache, Options, Ttl};
    /// let squares: Cache<u64, u64> = Cache::builder("squares").build()?;
    /// let options = Options::new().with_ttl(Ttl::from_secs(60));
    /// let square = squares.get_or_compute(&7, options, || Ok::<_, std::convert::Infallible>(49))?;
    /// assert_eq!(*square, 49);
    /// assert!(squares.remove_local(&7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_compute<Q, E>(
        &self,
        key: &Q,
        options: Options,
        compute: impl FnOnce() -> Result<V, E>,
    ) -> Result<Hit<V>, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let options = self.shared.defaults.under(options);
        if options.force_refresh() != Some(true)
            && let Some(hit) = self.get_local(key)
        {
            return Ok(hit);
        }
        self.shared.compute(key, &options, || Ok((compute()?, About::default())))
    }

    /// Removes a value from memory without a runtime, as [`remove`](Self::remove) does, and says whether it was there.
    pub fn remove_local<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.remove(key)
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Computes a value that memory does not have, with all options resolved.
    pub(crate) fn compute<Q, E>(
        &self,
        key: &Q,
        options: &Options,
        compute: impl FnOnce() -> Result<(V, About), E>,
    ) -> Result<Hit<V>, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let forced = options.force_refresh() == Some(true);
        if forced {
            // What this call brings is newer than whatever is on its way.
            self.fence.seal_key(key);
        }
        let ticket = self.fence.ticket(key);
        let began = self.memory.clock().now();
        // A sync caller cannot be turned away, but it counts as what it is.
        let run = LoadCounts::begin(&self.loads, u64::MAX);
        let outcome = compute();
        let took = self.memory.clock().now().since(began);
        if let Some(run) = run {
            run.end(outcome.is_ok(), took);
        }
        let (value, mut about) = outcome?;
        if let Some(beta) = options.early_beta() {
            about.lead = self.chance.lead(took, beta);
        }
        let is_open = self.is_open();
        let record = self.record(Arc::new(value), about, options);
        let permit = || is_open && self.fence.may_store(ticket, key, &record.tags);
        let inserted = self.keep(key, &record, permit);
        let hit = record.hit(Source::Loader);
        if !is_open {
            return Ok(hit);
        }
        if inserted == Inserted::Refused {
            LoadCounts::count(&self.loads.fenced);
            if forced {
                // As for a load: whatever is there is older than what was just computed.
                self.memory.remove(key);
            }
        } else {
            self.failures.forget(key);
        }
        Ok(hit)
    }
}
