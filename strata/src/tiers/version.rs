//! Versions: what orders the writes of one key that several processes make.
//!
//! A hybrid logical clock (Kulkarni et al., OPODIS 2014) in one number: wall time in microseconds, but always more than any
//! version made or seen here. So it never goes back when the wall clock does, and who has seen a value writes a newer one,
//! however far behind his clock is. It decides only which of two writes a repair keeps.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use cache_core::Wall;

/// What is further ahead than this is no clock's fault: a day, in microseconds.
const MAX_LEAD: u64 = 86_400 * 1_000_000;

/// The wall time of this machine.
pub(crate) type WallClock = dyn Fn() -> Wall + Send + Sync;

pub(crate) struct Versions {
    last: AtomicU64,
    wall: Box<WallClock>,
}

impl Versions {
    pub(crate) fn new(wall: Option<Box<WallClock>>) -> Self {
        Self { last: AtomicU64::new(0), wall: wall.unwrap_or_else(|| Box::new(system_wall)) }
    }

    pub(crate) fn wall(&self) -> Wall {
        (self.wall)()
    }

    /// A version that is newer than all that were made or seen.
    pub(crate) fn next(&self) -> u64 {
        let now = self.micros();
        let newer = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self.last.fetch_update(Relaxed, Relaxed, newer).unwrap_or_default();
        now.max(last.saturating_add(1))
    }

    /// Takes note of a version that somebody else has made.
    pub(crate) fn see(&self, version: u64) {
        // Who wrote that may be wrong by hours, but what is further off would be with us for ever.
        if version <= self.micros().saturating_add(MAX_LEAD) {
            self.last.fetch_max(version, Relaxed);
        }
    }

    fn micros(&self) -> u64 {
        self.wall().as_unix_millis().saturating_mul(1000)
    }
}

#[expect(clippy::disallowed_methods, reason = "versions and stored frames are the places for wall time")]
fn system_wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn at(millis: &Arc<AtomicU64>) -> Versions {
        let millis = Arc::clone(millis);
        Versions::new(Some(Box::new(move || Wall::from_unix_millis(millis.load(Relaxed)))))
    }

    #[test]
    fn versions_grow_though_the_clock_goes_back() {
        let clock = Arc::new(AtomicU64::new(5000));
        let versions = at(&clock);
        let first = versions.next();
        clock.store(1000, Relaxed);
        let second = versions.next();
        assert_eq!((first, second), (5_000_000, 5_000_001));
    }

    #[test]
    fn who_has_seen_a_version_makes_a_newer_one_unless_it_is_absurd() {
        let hour = 3_600_000;
        let versions = at(&Arc::new(AtomicU64::new(hour)));
        versions.see(2 * hour * 1000);
        assert_eq!(versions.next(), 2 * hour * 1000 + 1);
        versions.see(u64::MAX);
        assert!(versions.next() < u64::MAX / 2, "a wrong version is not believed");
    }
}
