//! The latest denial of a shard, put where it can be read without the shard's lock.
//!
//! ```text
//! under the lock    denied: post │ admitted: withdraw, if it is this key's │ anything else: withdraw, before it is done
//! without it        the same key, which leaves as much, before the time? denied, and the lock is not touched
//! ```
//!
//! Whoever is over the limit asks most, and all of its threads would wait for each other only to hear the same again. A key that is denied
//! stays so until the moment that its denial tells, however its calls and clocks come: only an admission, what is given back, a reset and
//! being given up change what is charged, and each of these withdraws the notice first. So what is read here is what the shard would say.
//!
//! One writer at a time, who holds the lock; readers take what they have read only if the version is even and the same before and after.

use super::index::Fingerprint;
use super::meter::{Ask, Kind, Reply};
use super::sync::{AtomicU64, Ordering, fence};

/// On a cache line of its own: it is read much more often than it is written, and what stands beside it is not.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Notice {
    /// Odd while somebody writes.
    version: AtomicU64,
    /// Who was denied; zero is nobody.
    who: AtomicU64,
    /// What an admission would have had to leave to others. It alone tells how long to wait: whoever wants more under a limit that is
    /// as much higher waits as long.
    left: AtomicU64,
    until: AtomicU64,
}

impl Notice {
    pub(crate) fn new() -> Self {
        let [version, who, left, until] = [(); 4].map(|()| AtomicU64::new(0));
        Self { version, who, left, until }
    }

    /// What the shard would answer, if it is known here that it would deny.
    #[inline]
    pub(crate) fn denial(&self, who: Fingerprint, ask: Ask) -> Option<Reply> {
        if !self.is_of(who) {
            return None;
        }
        let version = self.version.load(Ordering::Acquire);
        let is_of_it = self.is_of(who) && self.left.load(Ordering::Relaxed) == left(ask)?;
        let until = self.until.load(Ordering::Relaxed);
        // What was read above was read before the version is looked at again.
        fence(Ordering::Acquire);
        let is_whole = version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version;
        (is_whole && is_of_it && ask.now < until).then(|| Reply::full(until - ask.now))
    }

    /// Tells everybody of what was decided under the lock, as far as they can use it.
    #[inline]
    pub(crate) fn tell(&self, who: Fingerprint, ask: Ask, reply: Reply) {
        match (reply.kind, left(ask)) {
            _ if !ask.charges => {}
            (Kind::Full, Some(left)) => {
                self.write(who.number(), left, ask.now.saturating_add(reply.after));
            }
            (Kind::Room, _) if self.is_of(who) => self.withdraw(),
            _ => {}
        }
    }

    /// Has everybody ask the shard itself.
    pub(crate) fn withdraw(&self) {
        if self.who.load(Ordering::Relaxed) != NOBODY {
            self.write(NOBODY, 0, 0);
        }
    }

    #[inline]
    fn write(&self, who: u64, left: u64, until: u64) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        // Nobody sees anything of what follows without the odd version.
        fence(Ordering::Release);
        self.who.store(who, Ordering::Relaxed);
        self.left.store(left, Ordering::Relaxed);
        self.until.store(until, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    #[inline]
    fn is_of(&self, who: Fingerprint) -> bool {
        self.who.load(Ordering::Relaxed) == who.number()
    }
}

const NOBODY: u64 = 0;

/// What an admission would have to leave to others; whoever asks for nothing is never denied.
#[inline]
fn left(ask: Ask) -> Option<u64> {
    (ask.cost > 0).then(|| ask.limit.saturating_sub(ask.cost))
}
