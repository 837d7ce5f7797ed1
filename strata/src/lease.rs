//! Leases: a value that somebody outside of the cache makes, once for all who ask.
//!
//! ```text
//! get or lease ── fresh ─► the value
//!    │ no
//! is somebody making it? ── yes ─► a stale value, or nothing: ask again later
//!    │ no
//! the lease ─► make the value ─► insert leased ── stored, unless the key has changed since, or the lease is over
//!                                                 (the lease ends with it, by being given back, or by itself)
//! ```
//!
//! Whoever finds it held may [wait](Cache::wait_or_lease), and is woken by what happens to the key.
//!
//! As of memcache in "Scaling Memcache at Facebook" (NSDI 2013). It is a load whose loader is elsewhere: what keeps an old value out are the
//! fence and the tiers' notes, as for every load, and what keeps others from making it too is a [`Lease`], of this process and,
//! where processes take turns, of all of them. What is leased has no place in memory but for its name: the rest is in the token.

mod taken;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{CacheKey, Clock, Error, ErrorKind, Grant, Key, Lease, Result, Tags};
use cache_invalidation::Action;
use cache_memory::{Inserted, MemoryLease};

use crate::cache::{Cache, Shared};
use crate::fence::Ticket;
use crate::fleet::Fleet;
use crate::hit::{Hit, Source};
use crate::loaded::About;
use crate::options::Options;
use crate::sync::{Instant, pause, select};
use crate::through::whole;
use crate::tiers::{Notes, Silent};
use crate::waiters::Waiters;
use crate::write::Record;

/// The leases that can be held at the same time, which take some 3 MiB with short keys.
const MAX_LEASES: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// What a lease that is used lasts beyond its end, so that it does not end while its value is written.
const WHILE_WRITTEN: Duration = Duration::from_secs(10);
const SHORTEST_HOLD: Duration = Duration::from_millis(1);
/// How long one of those who wait rests before he looks for what another process has done without a word of it.
const REST: Duration = Duration::from_millis(100);

/// What [`Cache::get_or_lease`] answers.
#[derive(Debug)]
pub enum Leased<V> {
    /// There is a fresh value.
    Hit(Hit<V>),
    /// The value is for this caller to make.
    Won {
        /// The right to store it.
        token: LeaseToken,
        /// What may answer until then.
        stale: Option<Hit<V>>,
    },
    /// Somebody else makes it.
    Held {
        /// What may answer until then.
        stale: Option<Hit<V>>,
    },
}

/// What a caller has seen before he asks for the lease.
struct Look<V> {
    stale: Option<Hit<V>>,
    /// Whether the tiers below were asked just now.
    is_first: bool,
}

impl<V> Leased<V> {
    /// What may answer now: a fresh value, or a stale one.
    pub fn value(&self) -> Option<&Hit<V>> {
        match self {
            Self::Hit(hit) => Some(hit),
            Self::Won { stale, .. } | Self::Held { stale } => stale.as_ref(),
        }
    }
}

/// The right to store the value of a key, for [`Cache::insert_leased`].
///
/// It is a few numbers that stand for nothing without the cache that gave it. Whoever changes one has a token that is refused.
#[derive(Clone, PartialEq)]
pub struct LeaseToken {
    /// Which cache it is of, in which process.
    of: u64,
    /// The numbers of its grants: in this process, and among all, or zero if nobody was asked.
    here: u64,
    everywhere: u64,
    ticket: Ticket,
    notes: Notes,
}

/// Who has which lease of one cache, and who waits for it.
pub(crate) struct Leases {
    lease: MemoryLease,
    pub(crate) waiters: Waiters,
    of: u64,
    hasher: RandomState,
}

impl LeaseToken {
    /// As bytes, for a caller elsewhere: 48, and some 30 for each tier.
    pub fn to_bytes(&self) -> Vec<u8> {
        let [key, all, tags] = self.ticket.to_numbers();
        let numbers = [self.of, self.here, self.everywhere, key, all, tags];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.notes.write(&mut bytes);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) has made; `None` if it never has made this.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, notes) = bytes.split_first_chunk::<48>()?;
        let mut numbers = numbers.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
        let mut next = || numbers.next().unwrap_or_default();
        let (of, here, everywhere) = (next(), next(), next());
        let ticket = Ticket::from_numbers([next(), next(), next()]);
        Some(Self { of, here, everywhere, ticket, notes: Notes::read(notes)? })
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseToken").field("fence", &self.here).finish_non_exhaustive()
    }
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Reads a value or, if there is no fresh one, takes it upon the caller to make it, unless somebody else has. With
    /// [`Builder::lease`](crate::Builder::lease) that is one in all processes, or one in each while the place of the leases is away.
    ///
    /// Nobody else is given the lease until `hold` is over, at least a millisecond, or the value is [stored](Self::insert_leased), or it is
    /// [given back](Self::release). A tier that keeps notes for a shorter time refuses what is stored later than that:
    /// [`note_life`](crate::redis::Config::with_note_life) of Redis. Where [stale values are served](crate::Builder::serve_stale), there may
    /// be one beside. Costs a miss in memory one more look, and with tiers a read and a note more, and a question to the place of the leases.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) if 16,384 keys of this cache are leased.
    ///
    /// # Cancel safety
    /// What a dropped call has taken is given back, but for a lease of the fleet that was on its way to it, which then ends by itself.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use std::time::Duration;
    /// use strata::{Cache, Inserted, Leased, Options};
    /// let pages: Cache<String, String> = Cache::builder("pages").build()?;
    /// let hold = Duration::from_secs(10);
    /// let Leased::Won { token, .. } = pages.get_or_lease("/", hold).await? else { panic!("nobody else asks") };
    /// assert!(matches!(pages.get_or_lease("/", hold).await?, Leased::Held { stale: None }));
    /// let inserted = pages.insert_leased(&token, "/".to_owned(), "hello".to_owned(), Options::new()).await?;
    /// assert_eq!(inserted, Inserted::Stored);
    /// assert!(matches!(pages.get_or_lease("/", hold).await?, Leased::Hit(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn get_or_lease<Q>(&self, key: &Q, hold: Duration) -> Result<Leased<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        let stale = match self.get(key).await? {
            Some(hit) if !hit.is_stale() => return Ok(Leased::Hit(hit)),
            stale => stale,
        };
        self.lease(key, hold, Look { stale, is_first: true }).await
    }

    /// Waits for so long for what [`get_or_lease`](Self::get_or_lease) has said to be [held](Leased::Held): until the value is there, something
    /// stale may answer, or the lease is this caller's. Looks at least once, and counts as no read. Needs a tokio runtime with time.
    ///
    /// It is woken by whatever happens to the key in this process or is heard of it from others, and by the end of a lease of this process.
    /// What another process does without news, as when it gives a lease back, is found by one of those who wait for the key, who looks every
    /// 100 ms.
    ///
    /// # Errors
    /// As [`get_or_lease`](Self::get_or_lease).
    ///
    /// # Cancel safety
    /// What a dropped call has taken is given back, but for a lease of the fleet that was on its way to it, which then ends by itself.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// use std::time::Duration;
    /// use strata::{Cache, Leased, Options};
    /// let pages: Cache<String, String> = Cache::builder("pages").build()?;
    /// let (hold, wait) = (Duration::from_secs(10), Duration::from_secs(5));
    /// let Leased::Won { token, .. } = pages.get_or_lease("/", hold).await? else { panic!("nobody else asks") };
    /// let makes = pages.insert_leased(&token, "/".to_owned(), "hello".to_owned(), Options::new());
    /// let (waited, made) = tokio::join!(pages.wait_or_lease("/", hold, wait), makes);
    /// assert_eq!(waited?.value().map(|hit| hit.as_str()), Some("hello"));
    /// # assert!(made?.is_stored());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn wait_or_lease<Q>(&self, key: &Q, hold: Duration, wait: Duration) -> Result<Leased<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        let (shared, since) = (&self.shared, Instant::now());
        let waiter = shared.leases().waiters.wait(shared.fence.hash(key));
        loop {
            // Asked for before the look, so that what happens after it is told.
            let told = waiter.told();
            let leased = match self.peek(key).map(|hit| hit.with_source(Source::Joined)) {
                Some(hit) if !hit.is_stale() => return Ok(Leased::Hit(hit)),
                stale => self.lease(key, hold, Look { stale, is_first: false }).await?,
            };
            let left = wait.saturating_sub(since.elapsed());
            if left.is_zero() || !matches!(leased, Leased::Held { stale: None }) {
                return Ok(leased);
            }
            select! {
                () = told => {}
                () = waiter.turn(shared.until_next_look(&key.to_owned(), waiter.is_told())) => {}
                () = pause(left) => {}
            }
        }
    }

    /// Takes the lease, if nobody has it.
    async fn lease<Q>(&self, key: &Q, hold: Duration, look: Look<V>) -> Result<Leased<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        let (shared, Look { stale, is_first }) = (&self.shared, look);
        let hold = hold.max(SHORTEST_HOLD);
        let Some(mut taken) = shared.take_here(key.to_owned(), hold).await? else {
            return Ok(Leased::Held { stale });
        };
        let is_won = taken.take_everywhere(hold).await;
        // Whoever had it may just have stored what it was for, and need not have given it back yet.
        if (is_won || !is_first)
            && let Some(hit) = self.look_again(key).await
        {
            taken.give_back().await?;
            return Ok(Leased::Hit(hit));
        }
        if !is_won {
            taken.leave();
            return Ok(Leased::Held { stale });
        }
        let now = shared.memory.clock().now();
        let times = (now, now.after(hold).after(WHILE_WRITTEN));
        taken.token.ticket = shared.fence.mark((taken.key.clone(), taken.hash), taken.token.here, times);
        if let Some((below, rendered)) = shared.below_key(&taken.key) {
            taken.token.notes = below.tiers.note(&rendered, &Tags::NONE, Silent::default()).await;
        }
        Ok(Leased::Won { token: taken.keep(), stale })
    }

    /// A fresh value that somebody else has made since it was missed. The read was counted when it missed.
    async fn look_again<Q>(&self, key: &Q) -> Option<Hit<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        let shared = &self.shared;
        let is_fresh = |hit: &Hit<V>| !hit.is_stale();
        match self.peek(key).filter(is_fresh) {
            Some(hit) => Some(hit.with_source(Source::Joined)),
            None if shared.below.is_some() => shared.get_below(key.to_owned()).await.filter(is_fresh),
            None => None,
        }
    }

    /// Stores a value for which [`get_or_lease`](Self::get_or_lease) has given this token, with these options over the cache's, and ends the
    /// lease. [`Inserted::Refused`](crate::Inserted) if the lease is over or was of another key, cache or process, or if the value may
    /// be older than what has been stored, removed or invalidated since, as for a load; then nothing has changed.
    ///
    /// # Cancel safety
    /// Done or not begun, once it is known whether the lease is held.
    pub async fn insert_leased(
        &self,
        token: &LeaseToken,
        key: K,
        value: V,
        options: Options,
    ) -> Result<Inserted> {
        let shared = &self.shared;
        if !shared.holds_lease(&key, token).await? {
            return Ok(Inserted::Refused);
        }
        let about = About::of_call(&options);
        let record = shared.record(Arc::new(value), about, &shared.defaults.under(options));
        let (filling, leased, token) = (Arc::clone(shared), key.clone(), token.clone());
        let work = async move {
            let inserted = filling.fill_leased(&key, &record, &token).await;
            // Stored or not, it is of no more use to anybody.
            filling.end_lease(&leased, &token).await.map(|_| inserted)
        };
        whole(work).await.unwrap_or(Ok(Inserted::Refused))
    }

    /// Gives a lease back that is of no use any more, so that the next who asks has it, and says whether it was still held.
    ///
    /// # Cancel safety
    /// A dropped call may leave the lease to end by itself.
    pub async fn release<Q>(&self, token: &LeaseToken, key: &Q) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        self.shared.end_lease(&key.to_owned(), token).await
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// How long to wait at most before the next look at a key that somebody has leased.
    fn until_next_look(&self, key: &K, is_told: bool) -> Duration {
        if !is_told || self.fleet_of(key).is_some() {
            return REST;
        }
        // Nothing happens to it that is not told here, but that the lease ends by itself.
        let leases = self.leases.get();
        let end = leases.and_then(|leases| leases.lease.ends(&self.lease_key(leases, key).ok()?));
        end.map_or(SHORTEST_HOLD, |end| end.since(self.memory.clock().now()).max(SHORTEST_HOLD))
    }

    /// Whether the lease is held by this token. Among all nobody has to answer: what keeps an old value out is not the lease.
    async fn holds_lease(&self, key: &K, token: &LeaseToken) -> Result<bool> {
        let Some(leases) = self.leases.get().filter(|leases| leases.of == token.of) else { return Ok(false) };
        let here = Grant::new(self.lease_key(leases, key)?, token.here);
        if !leases.lease.renew(&here, WHILE_WRITTEN).await? {
            return Ok(false);
        }
        match self.fleet_of(key).filter(|_| token.everywhere > 0) {
            Some((fleet, rendered)) => {
                Ok(fleet.holds(&Grant::new(rendered, token.everywhere)).await.unwrap_or(true))
            }
            None => Ok(true),
        }
    }

    /// Ends a lease, and says whether it was held.
    async fn end_lease(&self, key: &K, token: &LeaseToken) -> Result<bool> {
        let Some(leases) = self.leases.get().filter(|leases| leases.of == token.of) else { return Ok(false) };
        if let Some((fleet, rendered)) = self.fleet_of(key).filter(|_| token.everywhere > 0) {
            fleet.give_back(Grant::new(rendered, token.everywhere)).await;
        }
        let was_held = leases.lease.release(Grant::new(self.lease_key(leases, key)?, token.here)).await?;
        let hash = self.fence.hash(key);
        self.fence.unmark(hash, token.here);
        leases.waiters.tell(hash);
        Ok(was_held)
    }

    /// Stores a value in all tiers, as [`insert`](Cache::insert) does, as far as nothing has happened to its key since the token was given.
    async fn fill_leased(&self, key: &K, record: &Record<V>, token: &LeaseToken) -> Inserted {
        let permit = || self.fence.may_store_marked((token.ticket, token.here), key, &record.tags);
        let mut turn = None;
        if let Some((below, rendered)) = self.below_key(key) {
            let turn = turn.insert(below.tiers.turn(std::slice::from_ref(&rendered)).await);
            if !permit() {
                return Inserted::Refused;
            }
            if let Some(entry) = below.entry(&rendered, record, self.memory.clock().now()) {
                let stamp = below.stamp(&rendered, &entry.value);
                let levels = below.tiers.levels();
                let written = below.tiers.put_noted(turn, (rendered, entry), &token.notes, levels).await;
                record.told(stamp.map(|stamp| stamp.overtaken_if(written.is_overtaken)));
                if written.is_overtaken {
                    return Inserted::Refused;
                }
            } else {
                below.tiers.remove(turn, &[rendered], self.versions.next()).await;
            }
        }
        let inserted = self.keep(key, record, permit);
        drop(turn);
        if inserted != Inserted::Refused {
            self.failures.forget(key);
            self.tell_keys([key], Action::Expire).await;
        }
        inserted
    }

    fn leases(&self) -> &Leases {
        self.leases.get_or_init(|| Leases::new(self.memory.clock()))
    }

    fn fleet_of(&self, key: &K) -> Option<(&Arc<Fleet>, Key)> {
        let (below, rendered) = self.below_key(key)?;
        Some((below.fleet.as_ref()?, rendered))
    }

    /// What the lease of a key is called here; a key that is too long for a name shares one with few others.
    fn lease_key(&self, leases: &Leases, key: &K) -> Result<Key> {
        let digest = |_| Key::new(format!("{:016x}", leases.hasher.hash_one(key)));
        let odd = |error| Error::new(ErrorKind::Invalid, "lease", "name").with_source(error);
        self.namespace.render(key).or_else(digest).map_err(odd)
    }
}

impl Leases {
    fn new(clock: &Arc<dyn Clock>) -> Self {
        let hasher = RandomState::new();
        let lease = MemoryLease::new().with_clock(Arc::clone(clock)).with_max_leases(MAX_LEASES);
        Self { lease, waiters: Waiters::default(), of: hasher.hash_one(()), hasher }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went_and_no_other_bytes_do_harm() {
        let notes = Notes::read(&[2, 0, 7, 8, 255, 255, 0, 0]).expect("two notes, and one that is not there");
        let ticket = Ticket::from_numbers([4, 5, 6]);
        let token = LeaseToken { of: 1, here: 2, everywhere: 3, ticket, notes };
        let bytes = token.to_bytes();
        assert_eq!(LeaseToken::from_bytes(&bytes), Some(token));
        for length in 0..bytes.len() {
            let cut = LeaseToken::from_bytes(&bytes[..length]);
            assert!(cut.is_none_or(|cut| cut.to_bytes() == bytes[..length]), "{length}");
        }
        assert!(LeaseToken::from_bytes(&bytes[..47]).is_none());
    }
}
