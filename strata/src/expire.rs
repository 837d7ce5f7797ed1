//! The two ways to invalidate: `expire_…` leaves a copy that may stand in when nothing can be loaded, `remove_…` leaves
//! nothing.
//!
//! Both seal the fence before and after, so that no load in flight brings back what was invalidated, as a copy or
//! otherwise. A value without a fail-safe window has no copy, so to expire it is to remove it.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use cache_core::{CacheKey, KeyWriter, Pattern, Result, Ttl};
use cache_invalidation::{Action, Target};

#[cfg(doc)]
use crate::Memory;
use crate::below::Below;
use crate::cache::{Cache, Shared};
use crate::kept::Kept;
use crate::tiers::Group;

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Ends the fresh life of a value and says whether it was there. It may still stand in for one that cannot be loaded,
    /// for as long as [`Options::with_fail_safe_for`](crate::Options::with_fail_safe_for) says from now; without that it is
    /// removed.
    ///
    /// # Cancel safety
    /// Done or not begun, as every invalidation here: a call that was polled once has invalidated what it names.
    pub async fn expire<Q>(&self, key: &Q) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        if self.shared.is_alone() {
            return Ok(self.shared.expire(key));
        }
        Ok(self.shared.end_through(vec![key.to_owned()], Action::Expire).await > 0)
    }

    /// Ends the fresh life of all values with this tag, as [`expire`](Self::expire) does, and says how many were there.
    /// Costs their number, because what stays as a copy has to be told so.
    pub async fn expire_tag(&self, tag: &str) -> Result<u64> {
        let (tag, target) = (tag.to_owned(), Target::Tag(tag.to_owned()));
        let group = self.group(|below| below.tagged(&tag));
        Ok(self.end_group(group, (target, Action::Expire), move |shared| shared.expire_tag(&tag)).await)
    }

    /// Ends the fresh life of all values whose rendered key begins like this one, as [`expire`](Self::expire) does, and says
    /// how many were there. Costs a walk over the cache.
    pub async fn expire_prefix<P: CacheKey + ?Sized>(&self, prefix: &P) -> Result<u64> {
        let prefix = self.shared.rendered(prefix);
        let target = Target::Prefix(prefix.as_str().to_owned());
        let group = self.group(|below| Some(below.prefixed(&prefix)));
        Ok(self
            .end_group(group, (target, Action::Expire), move |shared| {
                shared.expire_if(&shared.begins(&prefix))
            })
            .await)
    }

    /// Ends the fresh life of all values whose key [`matches`](Pattern::matches) this pattern as
    /// [`remove_pattern`](Self::remove_pattern) says, as [`expire`](Self::expire) does, and says how many were there. Costs a
    /// walk over the cache.
    pub async fn expire_pattern(&self, pattern: &Pattern) -> Result<u64> {
        let (pattern, target) = (pattern.clone(), Target::Pattern(pattern.as_str().to_owned()));
        let group = self.group(|below| Some(below.matched(&pattern)));
        Ok(self
            .end_group(group, (target, Action::Expire), move |shared| shared.expire_if(&matches(&pattern)))
            .await)
    }

    /// Ends the fresh life of everything, as [`expire`](Self::expire) does, and says how many values were there. Costs a
    /// walk over the cache.
    pub async fn expire_all(&self) -> Result<u64> {
        let news = (Target::All, Action::Expire);
        Ok(self
            .end_group(self.group(|below| Some(below.all())), news, |shared| shared.expire_if(&|_| true))
            .await)
    }

    /// Removes a value, stale or not, and says whether it was there. A load in flight will not bring it back, and a load that begins
    /// after this has returned does not join one that began before.
    ///
    /// # Cancel safety
    /// Done or not begun, as every removal here: a call that was polled once has removed what it names.
    pub async fn remove<Q>(&self, key: &Q) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        if self.shared.is_alone() {
            return Ok(self.shared.remove(key));
        }
        Ok(self.shared.end_through(vec![key.to_owned()], Action::Remove).await > 0)
    }

    /// Removes many values and says how many were there.
    pub async fn remove_many<Q>(&self, keys: &[Q]) -> Result<u64>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync,
    {
        if self.shared.is_alone() {
            return Ok(keys.iter().filter(|key| self.shared.remove(*key)).count() as u64);
        }
        let keys = keys.iter().map(ToOwned::to_owned).collect();
        Ok(self.shared.end_through(keys, Action::Remove).await)
    }

    /// Removes all values with this tag and says how many. Loads in flight that turn out to carry it are not stored. Costs the
    /// number of different sets of tags that contain it, however many values there are: see [`Memory::remove_tag`].
    pub async fn remove_tag(&self, tag: &str) -> Result<u64> {
        let (tag, target) = (tag.to_owned(), Target::Tag(tag.to_owned()));
        let group = self.group(|below| below.tagged(&tag));
        Ok(self.end_group(group, (target, Action::Remove), move |shared| shared.remove_tag(&tag)).await)
    }

    /// Removes all values whose rendered key begins like this one, and says how many. No load in flight is stored. Costs a
    /// walk over the cache.
    ///
    /// A prefix is text: `"BTC"` begins `BTC` and `BTCUSD`. An empty last part ends it where a part ends.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use strata::Cache;
    /// let users: Cache<String, u32> = Cache::builder("users").build()?;
    /// users.insert("team:7:ada".into(), 1).await?;
    /// assert_eq!(users.remove_prefix("team:").await?, 1);
    ///
    /// let candles: Cache<(String, u32), f64> = Cache::builder("ohlcv").build()?;
    /// candles.insert(("BTC".into(), 5), 1.0).await?;
    /// candles.insert(("BTC".into(), 60), 2.0).await?;
    /// candles.insert(("BTCUSD".into(), 5), 3.0).await?;
    /// assert_eq!(candles.remove_prefix(&("BTC", "")).await?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn remove_prefix<P: CacheKey + ?Sized>(&self, prefix: &P) -> Result<u64> {
        self.remove_prefix_telling(prefix, || {}).await
    }

    /// As [`remove_prefix`](Self::remove_prefix), and tells of each value of the memory tier that it has looked at, for whoever shows how far the
    /// walk is: of [`Memory::len`](crate::Memory::len) values, some twice where there are tiers below memory.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// use strata::Cache;
    /// let users: Cache<String, u32> = Cache::builder("users").build()?;
    /// users.insert("a:1".into(), 1).await?;
    /// users.insert("b:1".into(), 1).await?;
    /// let seen = Arc::new(AtomicU64::new(0));
    /// let counted = Arc::clone(&seen);
    /// let removed = users.remove_prefix_telling("a:", move || drop(counted.fetch_add(1, Ordering::Relaxed))).await?;
    /// assert_eq!((removed, seen.load(Ordering::Relaxed)), (1, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn remove_prefix_telling<P: CacheKey + ?Sized>(
        &self,
        prefix: &P,
        looked_at: impl Fn() + Send + Sync + 'static,
    ) -> Result<u64> {
        let prefix = self.shared.rendered(prefix);
        let target = Target::Prefix(prefix.as_str().to_owned());
        let group = self.group(|below| Some(below.prefixed(&prefix)));
        Ok(self
            .end_group(group, (target, Action::Remove), move |shared| {
                shared.remove_telling(&shared.begins(&prefix), &looked_at)
            })
            .await)
    }

    /// Removes all values whose key [`matches`](Pattern::matches) this pattern, and says how many. No load in flight is stored.
    /// Costs a walk over the cache, in slices that let reads pass.
    ///
    /// The pattern is compared with the key's parts as they are, with a colon between each two and without the name of the
    /// cache: a glob has no use for what keeps `("a:b", "c")` and `("a", "b:c")` apart elsewhere.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use strata::{Cache, Pattern};
    /// let users: Cache<String, u32> = Cache::builder("users").build()?;
    /// users.insert("team:7:ada".into(), 1).await?;
    /// users.insert("team:8:ada".into(), 2).await?;
    /// assert_eq!(users.remove_pattern(&Pattern::new("team:[0-7]:*")?).await?, 1);
    ///
    /// let candles: Cache<(String, u32), f64> = Cache::builder("ohlcv").build()?;
    /// candles.insert(("BTC".into(), 5), 1.0).await?;
    /// candles.insert(("BTC".into(), 15), 2.0).await?;
    /// assert_eq!(candles.remove_pattern(&Pattern::new("*:?")?).await?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn remove_pattern(&self, pattern: &Pattern) -> Result<u64> {
        self.remove_pattern_telling(pattern, || {}).await
    }

    /// As [`remove_pattern`](Self::remove_pattern), and tells of each value that it has looked at, as
    /// [`remove_prefix_telling`](Self::remove_prefix_telling) does.
    pub async fn remove_pattern_telling(
        &self,
        pattern: &Pattern,
        looked_at: impl Fn() + Send + Sync + 'static,
    ) -> Result<u64> {
        let (pattern, target) = (pattern.clone(), Target::Pattern(pattern.as_str().to_owned()));
        let group = self.group(|below| Some(below.matched(&pattern)));
        Ok(self
            .end_group(group, (target, Action::Remove), move |shared| {
                shared.remove_telling(&matches(&pattern), &looked_at)
            })
            .await)
    }

    /// Removes everything and says how many values that were. No load in flight is stored. Costs the number of shards, however
    /// many values there are: see [`Memory::clear`].
    pub async fn clear(&self) -> Result<u64> {
        let news = (Target::All, Action::Remove);
        Ok(self.end_group(self.group(|below| Some(below.all())), news, Shared::clear).await)
    }

    /// A group as the tiers below memory know it; `None` if there are none.
    fn group(&self, of: impl FnOnce(&Below<V>) -> Option<Group>) -> Option<Group> {
        of(self.shared.below.as_ref()?)
    }

    async fn end_group(
        &self,
        group: Option<Group>,
        news: (Target, Action),
        end: impl Fn(&Shared<K, V>) -> u64 + Send + Sync + 'static,
    ) -> u64 {
        if self.shared.is_alone() {
            end(&self.shared)
        } else {
            self.shared.end_group_through(group, news, end).await
        }
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Removes what is in memory under this key, and says whether there was anything.
    pub(crate) fn remove<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.fence.seal_key(key);
        let removed = self.memory.remove(key).is_some();
        self.failures.forget(key);
        self.fence.seal_key(key);
        self.tell_waiters(key);
        removed
    }

    /// Ends the fresh life of what is in memory under this key, and says whether there was anything.
    pub(crate) fn expire<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.fence.seal_key(key);
        let now = self.memory.clock().now();
        let expired = self.memory.touch_with(key, |found| {
            let kept = found.value();
            if kept.expire(now) { self.left(kept) } else { Ttl::ZERO }
        });
        self.failures.forget(key);
        self.fence.seal_key(key);
        self.tell_waiters(key);
        expired
    }

    pub(crate) fn expire_tag(&self, tag: &str) -> u64 {
        self.fence.seal_tag(tag);
        let expired = self.expire_those(|doomed| self.memory.remove_tag_if(tag, doomed));
        self.failures.forget_tag(tag);
        self.fence.seal_tag(tag);
        expired
    }

    pub(crate) fn remove_tag(&self, tag: &str) -> u64 {
        self.fence.seal_tag(tag);
        let removed = self.memory.remove_tag(tag);
        self.failures.forget_tag(tag);
        self.fence.seal_tag(tag);
        removed
    }

    pub(crate) fn clear(&self) -> u64 {
        self.fence.seal_all();
        let removed = self.memory.clear();
        self.failures.forget_if(|_| true);
        self.fence.seal_all();
        removed
    }

    pub(crate) fn remove_if(&self, doomed: &dyn Fn(&K) -> bool) -> u64 {
        self.remove_telling(doomed, &|| {})
    }

    /// As [`remove_if`](Self::remove_if), and tells of each value of memory that it has looked at.
    fn remove_telling(&self, doomed: &dyn Fn(&K) -> bool, looked_at: &dyn Fn()) -> u64 {
        self.fence.seal_if(doomed);
        let removed = self.memory.remove_if(|key, _| {
            looked_at();
            doomed(key)
        });
        self.failures.forget_if(doomed);
        self.fence.seal_if(doomed);
        removed
    }

    pub(crate) fn expire_if(&self, doomed: &dyn Fn(&K) -> bool) -> u64 {
        self.fence.seal_if(doomed);
        let expired =
            self.expire_those(|expire| self.memory.remove_if(|key, kept| doomed(key) && expire(key, kept)));
        self.failures.forget_if(doomed);
        self.fence.seal_if(doomed);
        expired
    }

    /// Ends the fresh life of those values that `walk` visits. The walk removes what it is told to; what stays, as a copy, is
    /// then given its earlier end in the memory tier as well.
    fn expire_those(&self, walk: impl FnOnce(&dyn Fn(&K, &Kept<V>) -> bool) -> u64) -> u64 {
        let now = self.memory.clock().now();
        let copies = Mutex::new(Vec::new());
        let removed = walk(&|key, kept| {
            let stays = kept.expire(now);
            if stays {
                copies.lock().unwrap_or_else(PoisonError::into_inner).push(key.clone());
            }
            !stays
        });
        let copies = copies.into_inner().unwrap_or_else(PoisonError::into_inner);
        for key in &copies {
            self.memory.touch_with(key, |found| match found.value().life() {
                Some(_) => self.left(found.value()),
                None => Ttl::between(now, found.expires()),
            });
        }
        removed + copies.len() as u64
    }

    /// How much longer the memory tier has to hold this value.
    fn left(&self, kept: &Kept<V>) -> Ttl {
        let now = self.memory.clock().now();
        kept.life().map_or(Ttl::FOREVER, |life| Ttl::between(now, life.gone()))
    }

    /// The beginning of rendered keys.
    pub(crate) fn rendered<P: CacheKey + ?Sized>(&self, prefix: &P) -> KeyWriter {
        let mut rendered = self.namespace.key();
        prefix.write(&mut rendered);
        rendered
    }

    /// Tells whether a key begins, rendered, like this.
    fn begins(&self, prefix: &KeyWriter) -> impl Fn(&K) -> bool {
        move |key: &K| self.rendered(key).as_str().starts_with(prefix.as_str())
    }
}

/// Tells whether a key, as people write it, matches this pattern.
pub(crate) fn matches<K: CacheKey>(pattern: &Pattern) -> impl Fn(&K) -> bool {
    |key: &K| pattern.matches(&KeyWriter::plain(key))
}
