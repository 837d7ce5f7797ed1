//! Attending to a tier that is away, or could not be told something: a task, which ends when it is back and owed nothing.
//!
//! It is what probes the tier, so that no caller ever waits for one that may still be away. A key is told of in its turn, so that
//! nothing newer is overwritten that this process writes. A value is written late only where no other process is known, and if
//! what the tier has is not newer; on a bus its key is removed instead.

use std::sync::{Arc, Weak};
use std::time::Duration;

use cache_core::{Entry, ErrorKind, Key, Result, StoreExt};

use cache_invalidation::{Action, Target};
use futures_util::future::join_all;

use super::backlog::{Next, Owed, OwedGroup};
use super::tell::aged;
use super::{Level, Tiers};
use crate::layer::Watch;
use crate::news::Teller;
use crate::sync::{Handle, pause, timeout};

/// Between two looks at a tier that is away. With the breaker's own pause of 150 ms that is a probe at least every 200 ms; docs/operations.md
/// adds up when a tier is in use again.
const PAUSE: Duration = Duration::from_millis(50);

impl Tiers {
    /// Begins to attend to each tier that is away or owed something, if nobody does.
    pub(super) fn attend(self: &Arc<Self>) {
        for (at, level) in self.levels.iter().enumerate() {
            if !level.backlog.begins(level.is_away()) {
                continue;
            }
            match Handle::try_current() {
                Ok(runtime) => {
                    drop(runtime.spawn(attend_to(Attendant {
                        tiers: Arc::downgrade(self),
                        at,
                        is_done: false,
                        _watch: level.guarded.as_ref().map(|guarded| guarded.breaker.watch()),
                    })));
                }
                // The next call on a runtime that finds it away begins it.
                Err(_) => level.backlog.leave(),
            }
        }
    }

    /// Waits until the tiers have been told everything, for as long as the deadline lets it, and says how much is left.
    pub(crate) async fn settle(self: &Arc<Self>, deadline: Duration) -> u64 {
        self.attend();
        let settled = join_all(self.levels.iter().map(|level| level.backlog.emptied()));
        if timeout(deadline, settled).await.is_err() {
            tracing::warn!("a cache is closed although a tier has not been told everything");
        }
        self.untold()
    }

    /// How much the tiers have not been told yet.
    pub(crate) fn untold(&self) -> u64 {
        self.levels.iter().map(|level| level.backlog.stats().waiting).sum()
    }

    /// Tells a tier the next thing that it is owed; `None` if that is nothing.
    async fn repair_next(&self, level: &Level) -> Option<Result<()>> {
        Some(match level.backlog.next()? {
            Next::Group(OwedGroup { group, moment, action, rest }) => {
                let outcome = level.remove_part(&group, rest.as_ref()).await;
                match &outcome {
                    Ok(Some(rest)) => level.backlog.went_on(&group, moment, rest),
                    Ok(None) => {
                        level.backlog.repaired_group(&group, moment);
                        if let Some(teller) = self.teller_of(level) {
                            // Who has asked meanwhile holds what was removed, and a copy of that may stand in for nothing.
                            teller.tell(vec![teller.target(&group)], action, 0).await;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Invalid => level.backlog.owe_all(&group),
                    Err(_) => level.backlog.defer_group(&group),
                }
                outcome.map(drop)
            }
            Next::Key(key) => {
                let _turn = self.turn(std::slice::from_ref(&key)).await;
                let Some(owed) = level.backlog.owed(&key) else { return Some(Ok(())) };
                let waited = self.clock.now().since(owed.since);
                let (is_value, version) = (owed.entry.is_some(), owed.version);
                let outcome = level.repair(&key, owed, waited).await;
                match &outcome {
                    Ok(()) => {
                        level.backlog.repaired(&key);
                        // Who has asked the tier meanwhile has read what was older.
                        if let Some(teller) = self.teller_of(level) {
                            let target = Target::Key(key.as_str().to_owned());
                            teller.tell(vec![target], Action::Expire, version).await;
                        }
                    }
                    Err(error) if error.is_retryable() || error.kind() == ErrorKind::Suspended => {
                        level.backlog.defer_key();
                    }
                    // It will never be taken: the older value goes, and then nothing is owed any more.
                    Err(_) if is_value => level.backlog.owe_removal(&key),
                    Err(error) if error.kind() == ErrorKind::Refused => level.backlog.defer_key(),
                    Err(_) => level.backlog.settled(&key),
                }
                outcome
            }
        })
    }
}

impl Tiers {
    /// Who tells others of what this tier is told late: nobody, if others do not have it. What they have would answer as late, and so on.
    fn teller_of(&self, level: &Level) -> Option<&Teller> {
        self.teller.as_deref().filter(|_| !level.is_local)
    }
}

/// Whoever attends to a tier. If he goes before he is done, as with his runtime, the next call finds another one.
struct Attendant {
    tiers: Weak<Tiers>,
    at: usize,
    is_done: bool,
    _watch: Option<Watch>,
}

impl Drop for Attendant {
    fn drop(&mut self) {
        let tiers = self.tiers.upgrade().filter(|_| !self.is_done);
        if let Some(level) = tiers.as_ref().and_then(|tiers| tiers.levels.get(self.at)) {
            level.backlog.leave();
        }
    }
}

/// Ends when the tier is back and nothing is owed any more, or with the cache.
async fn attend_to(mut attendant: Attendant) {
    loop {
        let Some(tiers) = attendant.tiers.upgrade() else { return };
        let Some(level) = tiers.levels.get(attendant.at) else { return };
        let is_back = match &level.guarded {
            Some(guarded) => guarded.probe().await,
            None => true,
        };
        if is_back {
            match tiers.repair_next(level).await {
                Some(Ok(())) => continue,
                Some(Err(error)) => {
                    tracing::debug!(tier = level.name, %error, "a tier cannot be repaired yet");
                }
                None => {
                    attendant.is_done = true;
                    drop(attendant);
                    // Who found it away in these last moments has found it attended to.
                    return tiers.attend();
                }
            }
        }
        drop(tiers);
        pause(PAUSE).await;
    }
}

impl Level {
    async fn repair(&self, key: &Key, owed: Owed, waited: Duration) -> Result<()> {
        let entry: Option<Entry> = owed.entry.and_then(|entry| aged(entry, waited));
        match entry {
            Some(entry) => {
                let present = self.store.get(key).await?;
                if present.is_some_and(|present| present.meta.version > owed.version) {
                    return Ok(());
                }
                self.store.put(key.clone(), entry).await
            }
            // Versions of clocks that are apart do not tell that what is there is newer, and a removal too many is a miss.
            None => self.store.remove(key).await.map(drop),
        }
    }
}
