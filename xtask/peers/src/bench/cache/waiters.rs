//! A crowd: so many tasks ask for one key that nobody has, and its load ends when all of them wait.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::runtime;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use crate::Outcome;
use crate::bench::timing::processor_time;
use crate::peer::{self, Entrant, Hold, Loader, Peer, Setting};

/// What became of a crowd.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    pub(super) name: &'static str,
    pub(super) waiters: usize,
    /// How often the loader ran.
    pub(super) loads: u64,
    /// How many were answered.
    pub(super) woken: usize,
    /// Processor time for each, from its first question to its answer.
    pub(super) ns_each: f64,
}

/// The same crowd before every cache, twice: the first pays for the memory that so many tasks take, and does not count.
pub(super) fn all(waiters: usize) -> Outcome<Vec<Crowd>> {
    writeln!(io::stderr(), "{waiters} waiters for one key")?;
    let twice = |entrant| one(entrant, waiters).and_then(|_| one(entrant, waiters));
    peer::ALL.iter().map(twice).collect()
}

fn one(entrant: &Entrant, waiters: usize) -> Outcome<Crowd> {
    // On one thread, so that its processor time is all that was needed.
    let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
    let crowd = runtime.block_on(async {
        let peer = (entrant.build)(Setting::default())?.map_err(|lacks| lacks.0)?;
        Ok(gather(entrant.name, &peer, waiters).await)
    });
    runtime.shutdown_background();
    crowd
}

async fn gather(name: &'static str, peer: &Arc<dyn Peer>, waiters: usize) -> Crowd {
    let (loads, hold) = (Arc::new(AtomicU64::new(0)), Hold::new());
    let loader = || -> Loader {
        let (loads, hold) = (Arc::clone(&loads), hold.clone());
        Box::new(move || {
            Box::pin(async move {
                loads.fetch_add(1, SeqCst);
                hold.stop().await;
                VALUE
            })
        })
    };
    let begin = processor_time();
    let ask = |_| {
        let (peer, loader) = (Arc::clone(peer), loader());
        tokio::spawn(async move { peer.load(KEY, None, loader).await })
    };
    let calls: Vec<_> = (0..waiters).map(ask).collect();
    // All have asked by then, and each waits for the one load.
    for _ in 0..256 {
        yield_now().await;
    }
    hold.let_go();
    let end = Instant::now() + PATIENCE;
    let mut woken = 0;
    for call in calls {
        woken += usize::from(matches!(timeout_at(end, call).await, Ok(Ok(Ok(VALUE)))));
    }
    let took = processor_time().saturating_sub(begin);
    #[expect(clippy::cast_precision_loss, reason = "some thousand waiters")]
    let ns_each = took.as_secs_f64() * 1e9 / waiters.max(1) as f64;
    Crowd { name, waiters, loads: loads.load(SeqCst), woken, ns_each }
}

const KEY: u64 = 7;
const VALUE: u64 = 1;
/// Who has not been woken by then never will be.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::planted;

    #[test]
    fn one_load_wakes_all_who_wait_for_ours() {
        let ours = all(500).unwrap().into_iter().find(|crowd| crowd.name == "strata").unwrap();
        assert_eq!((ours.loads, ours.woken), (1, 500));
        assert!(ours.ns_each > 0.0);
    }

    #[test]
    fn a_cache_in_which_everybody_loads_is_found_out() {
        let crowd = one(&planted::CARELESS, 50).unwrap();
        assert_eq!((crowd.loads, crowd.woken), (50, 50));
    }
}
