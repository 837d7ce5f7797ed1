//! Sessions over any Strata cache: in memory, or in a Redis that all nodes share, where they survive a restart.
//!
//! ```text
//! cookie: id, 256 random bits ── SHA-256 ─► key of the cache ─► record: whose, since when, data ── sealed below memory
//!                                            tag: all sessions of one user
//! ```
//!
//! An id is known to its holder alone: who reads the store, the bus or a log finds hashes of ids, and of names of users. A session ends when it has
//! not been used for a while, when it has lived for as long as any may, and when it is revoked, by itself or with all of its user;
//! no write that is on its way brings it back.
//!
//! Where no tier is shared, sessions live in memory and go with the process. Where one is, and it is away, a node knows the sessions that
//! it has in memory for a few seconds more, and no others: who cannot be looked up is not logged in.

mod id;
mod record;
#[cfg(feature = "tower-sessions")]
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use strata::codec::{Framer, Keyring, Msgpack};
use strata::{Builder, Cache, Loaded, Memory, Options, Tags, Ttl, Wall};
use thiserror::Error;

pub use self::id::{SessionId, SessionIdError};
pub use self::record::Session;
#[cfg(feature = "tower-sessions")]
pub use self::store::Data;

/// How long memory believes that a session is as it was, where no bus tells of its end.
const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// How many sessions memory holds, unless it is set up otherwise.
const MAX_IN_MEMORY: u64 = 100_000;

/// Begins a cache for [`Sessions`], sealed by these keys in the tiers below memory. Memory holds 100,000 sessions, unless
/// [`Builder::memory`] says otherwise, and asks the tiers again after 5 s, or when a bus says that something has changed.
///
/// To change keys, see [`Keyring`]: the sessions that were sealed with the old one go on.
pub fn builder<T>(name: impl Into<String>, keys: Keyring) -> Builder<String, Session<T>>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    Cache::builder(name)
        .memory(Memory::new().with_max_entries(MAX_IN_MEMORY))
        .max_memory_ttl(BELIEVED_FOR)
        .framer(Framer::new("http session", Msgpack).with_keys(keys))
}

/// The sessions of an application, with data of type `T` in each. Cheap to clone.
///
/// ```
/// use cache_http::session::{Sessions, builder};
/// use strata::codec::{Keyring, SealKey};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Keyring::new(1, SealKey::from_hex(&"5e".repeat(32))?);
/// let sessions: Sessions<Vec<String>> = Sessions::new(builder("sessions", keys).build()?);
///
/// let id = sessions.create(Some("ada"), vec!["apple".into()]).await?;
/// let cookie = id.to_string();
/// let found = sessions.read(&cookie.parse()?).await?.expect("there");
/// assert_eq!((found.user(), found.data().len()), (Some("ada"), 1));
/// sessions.revoke_all("ada").await?;
/// assert!(sessions.read(&id).await?.is_none());
/// # Ok(())
/// # }
/// ```
pub struct Sessions<T> {
    cache: Cache<String, Session<T>>,
    /// Which sessions were prolonged a moment ago.
    prolonged: Memory<String, ()>,
    idle: Duration,
    most: Duration,
    /// Which entry of the data says whose it is, in the stores of `tower-sessions`.
    user_key: Option<Arc<str>>,
    wall: Arc<dyn Fn() -> Wall + Send + Sync>,
}

/// Why there is no session. Not that it is unknown: that is no error.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The system gave no random numbers, so no id can be made that nobody guesses.
    #[error("the system has no random numbers for the id of a session")]
    NoRandom,
    /// The cache refused; a cache of Strata does not.
    #[error("the session was not stored: {0}")]
    Store(#[from] strata::Error),
}

impl<T> Sessions<T>
where
    T: Clone + Send + Sync + 'static,
{
    /// Sessions in this cache, as [`builder`] begins one. They end when they were not used for 30 minutes, and after 12 hours.
    pub fn new(cache: Cache<String, Session<T>>) -> Self {
        Self {
            cache,
            prolonged: Memory::new(),
            idle: Duration::ZERO,
            most: Duration::from_hours(12),
            user_key: None,
            wall: Arc::new(system_wall),
        }
        .with_idle(Duration::from_mins(30))
    }

    /// After how long without use a session ends. Default: 30 minutes. Use is noted ten times in that time at most, so it may end a
    /// tenth sooner.
    #[must_use]
    pub fn with_idle(mut self, idle: Duration) -> Self {
        let clock = Arc::clone(self.cache.memory().clock());
        self.prolonged = Memory::new().with_max_entries(MAX_IN_MEMORY).with_ttl(idle / 10).with_clock(clock);
        self.idle = idle;
        self
    }

    /// After how long a session ends however much it is used. Default: 12 hours (OWASP, Session Management Cheat Sheet, has 4 to 8
    /// hours for an office worker's day).
    #[must_use]
    pub fn with_most(mut self, most: Duration) -> Self {
        self.most = most;
        self
    }

    /// The wall clock by which the age of a session is told. Default: the system's.
    #[must_use]
    pub fn with_wall_clock(mut self, wall: impl Fn() -> Wall + Send + Sync + 'static) -> Self {
        self.wall = Arc::new(wall);
        self
    }

    /// The cache.
    pub fn cache(&self) -> &Cache<String, Session<T>> {
        &self.cache
    }

    /// Begins a session, of this user or of nobody known. Its id is for the cookie and is kept nowhere.
    ///
    /// At a login, revoke the session that was there before, or [`cycle`](Self::cycle) it: an id that was known before the login may
    /// be known to somebody else.
    ///
    /// # Errors
    /// [`SessionError::NoRandom`].
    ///
    /// # Cancel safety
    /// A dropped call may have begun a session whose id nobody has.
    pub async fn create(&self, user: Option<&str>, data: T) -> Result<SessionId, SessionError> {
        let id = SessionId::random()?;
        self.begin(&id.key(), Session::new(user, self.now(), data)).await?;
        Ok(id)
    }

    /// The session of this id, if there is one, which has then been used.
    pub async fn read(&self, id: &SessionId) -> Result<Option<Session<T>>, SessionError> {
        let key = id.key();
        let Some(session) = self.find(&key).await? else { return Ok(None) };
        if self.prolonged.get(&key).is_none() {
            self.prolong(&key, &session).await?;
        }
        Ok(Some(session))
    }

    /// Gives a session a new idle time from now, and says whether it was there. Reading does so too.
    pub async fn refresh(&self, id: &SessionId) -> Result<bool, SessionError> {
        let key = id.key();
        match self.find(&key).await? {
            Some(session) => self.prolong(&key, &session).await,
            None => Ok(false),
        }
    }

    /// Replaces the data of a session, and says whether it was there. One that is revoked meanwhile does not come back. Of two
    /// updates at the same time, the last one stays.
    ///
    /// # Cancel safety
    /// A dropped call may have replaced it.
    pub async fn update(&self, id: &SessionId, data: T) -> Result<bool, SessionError> {
        self.replace(&id.key(), move |session| Session { data: data.clone(), ..session }).await
    }

    /// Gives a session a new id, and its data and age along; the old id ends. `None` if it is not there. To be called when somebody
    /// logs in, with his name, so that nobody can have set the id before; and whenever he may do more than before.
    ///
    /// # Cancel safety
    /// A dropped call may leave both ids, or a new one that nobody has.
    pub async fn cycle(&self, id: &SessionId, user: Option<&str>) -> Result<Option<SessionId>, SessionError> {
        let key = id.key();
        let Some(old) = self.find(&key).await? else { return Ok(None) };
        let new = SessionId::random()?;
        let user = user.map(Into::into).or_else(|| old.user.clone());
        self.begin(&new.key(), Session { user, ..old }).await?;
        if self.cache.remove(&key).await? {
            return Ok(Some(new));
        }
        // It was revoked in between, and so is what has come of it.
        self.cache.remove(&new.key()).await?;
        Ok(None)
    }

    /// Ends a session on all nodes, and says whether this one knew it.
    pub async fn revoke(&self, id: &SessionId) -> Result<bool, SessionError> {
        Ok(self.cache.remove(&id.key()).await?)
    }

    /// Ends all sessions of a user on all nodes. Says how many this node had in memory.
    pub async fn revoke_all(&self, user: &str) -> Result<u64, SessionError> {
        Ok(self.cache.remove_tag(&tag(user)).await?)
    }

    /// Milliseconds since the beginning of 1970.
    fn now(&self) -> u64 {
        (self.wall)().as_unix_millis()
    }

    /// A session that has not lived for too long.
    async fn find(&self, key: &String) -> Result<Option<Session<T>>, SessionError> {
        let found = self.cache.get(key).await?.filter(|hit| !hit.is_stale());
        Ok(found.map(|hit| Session::clone(&hit)).filter(|session| !self.left(session).is_zero()))
    }

    /// How much longer a session may live, if it is used now.
    fn left(&self, session: &Session<T>) -> Duration {
        let now = self.now();
        let age = Duration::from_millis(now.saturating_sub(session.since));
        let idle = session.ends.map_or(self.idle, |end| Duration::from_millis(end.saturating_sub(now)));
        self.most.saturating_sub(age).min(idle)
    }

    async fn begin(&self, key: &str, session: Session<T>) -> Result<(), SessionError> {
        let options = self.options(&session);
        self.cache.insert_with(key.to_owned(), session, options).await?;
        Ok(())
    }

    /// How a session is stored: for as long as it may live, with all of its user.
    fn options(&self, session: &Session<T>) -> Options {
        Options::new().with_ttl(self.left(session)).with_tags(tags([session.user()]))
    }

    async fn prolong(&self, key: &String, session: &Session<T>) -> Result<bool, SessionError> {
        let is_there = self.cache.touch(key, self.left(session)).await?;
        self.prolonged.insert(key.clone(), ());
        Ok(is_there)
    }

    /// Puts another session in the place of the one that is there, unless it is gone, or goes meanwhile.
    async fn replace(
        &self,
        key: &String,
        change: impl Fn(Session<T>) -> Session<T> + Send + 'static,
    ) -> Result<bool, SessionError> {
        let Some(known) = self.find(key).await? else { return Ok(false) };
        // Named before the load, so that no node that ends all sessions of a user in the meantime is missed.
        let tags_before = tags([known.user(), change(known.clone()).user()]);
        let (sessions, own) = (self.clone(), key.clone());
        // As a load that is forced: what ends the session from here on keeps the load from being stored, in every tier.
        let load = move |_| async move {
            match sessions.find(&own).await {
                Ok(Some(session)) => {
                    let session = change(session);
                    let (ttl, tags) = (Ttl::from(sessions.left(&session)), tags([session.user()]));
                    Ok(Loaded::new(session).with_ttl(ttl).with_tags(tags))
                }
                _ => Err(Gone),
            }
        };
        let options = Options::new().with_tags(tags_before).with_force_refresh(true);
        Ok(self.cache.get_or_refresh(key, load).with(options).await.is_ok())
    }
}

/// The session that was to be changed is not there any more.
#[derive(Clone, Copy, Debug)]
struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session is gone")
    }
}

fn tags<const N: usize>(users: [Option<&str>; N]) -> Tags {
    // They are as short as they have to be.
    Tags::new(users.into_iter().flatten().map(tag)).unwrap_or_default()
}

/// The tag of all sessions of a user. The name itself stands in no tier and in no message.
fn tag(user: &str) -> String {
    format!("user {}", id::hex(&Sha256::digest(user)))
}

#[expect(clippy::disallowed_methods, reason = "how old a session is has to be known to other processes")]
fn system_wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            prolonged: self.prolonged.clone(),
            user_key: self.user_key.clone(),
            wall: Arc::clone(&self.wall),
            ..*self
        }
    }
}

impl<T> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("cache", &self.cache.name())
            .field("idle", &self.idle)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}
