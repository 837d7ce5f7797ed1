//! A flood of keys that come once each, against a limiter that holds a tenth of them: what it takes, and the longest
//! that anybody waits.

use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use cache_core::{Clock, SystemClock};
use cache_ratelimit::{LocalLimiter, Rule};

use super::lane::MINUTE;
use crate::Outcome;
use crate::bench::timing::processor_time;

/// What a flood has done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flood {
    pub(super) come: u64,
    pub(super) bound: usize,
    pub(super) held: usize,
    /// What the process has grown by for each key that is held, by the limit.
    pub(super) bytes_per_key: [(u64, f64); 2],
    /// The longest decision by the clock on the wall, which counts what the machine does for others.
    pub(super) longest_wall: Duration,
    /// The longest decision of the thread's own time.
    pub(super) longest_own: Duration,
}

/// How often the bound is looked at.
const LOOK: u64 = 4096;

impl Flood {
    pub(super) fn run(bound: usize, come: u64) -> Outcome<Self> {
        let wide = flooded(1000, bound, come / 4)?;
        let narrow = flooded(60, bound, come)?;
        Ok(Self { bytes_per_key: [narrow.bytes_per_key[0], wide.bytes_per_key[0]], ..narrow })
    }
}

fn flooded(limit: u64, bound: usize, come: u64) -> Outcome<Flood> {
    let before = resident()?;
    let max_keys = NonZeroUsize::new(bound).ok_or("no keys")?;
    let limiter = LocalLimiter::new(Rule::window(limit, MINUTE)?).with_max_keys(max_keys);
    let wall = SystemClock::new();
    let (mut longest_wall, mut longest_own) = (Duration::ZERO, Duration::ZERO);
    for first in (0..come).step_by(usize::try_from(LOOK)?) {
        let mut at = (wall.now(), processor_time());
        for key in first..come.min(first + LOOK) {
            if !limiter.take(&key).is_admitted() {
                return Err(format!("the key {key} was denied").into());
            }
            let now = (wall.now(), processor_time());
            longest_wall = longest_wall.max(now.0.since(at.0));
            longest_own = longest_own.max(now.1.saturating_sub(at.1));
            at = now;
        }
        if limiter.stats().keys > bound {
            return Err(format!("{} keys are held, and {bound} are allowed", limiter.stats().keys).into());
        }
    }
    let held = limiter.stats().keys;
    let grown = resident()?.saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "bytes of this process, printed without digits")]
    let bytes = grown as f64 / held.max(1) as f64;
    Ok(Flood { come, bound, held, bytes_per_key: [(limit, bytes); 2], longest_wall, longest_own })
}

/// What the kernel counts of this process.
fn resident() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
