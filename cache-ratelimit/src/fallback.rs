//! What a limiter does while the counters that all processes share are away.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Counters, Quota, Shape};

/// What is decided without the shared counters.
///
/// For calls that come in, a share is a good choice: they stay limited, and none is lost for nothing. For calls that go
/// out to somebody who bans whoever calls too often, closed is.
#[derive(Clone)]
#[non_exhaustive]
pub enum Fallback {
    /// Everything passes.
    Open,
    /// Nothing passes.
    Closed,
    /// Counted in these counters, of this process, by this process's part of each limit: at least 1.
    Share {
        /// Where this process counts meanwhile.
        counters: Arc<dyn Counters>,
        /// Among how many processes a limit is divided.
        processes: NonZeroU32,
        /// Whether nothing passes until what the shared counters have admitted no longer counts: see
        /// [`late_share`](Self::late_share).
        is_late: bool,
    },
}

impl Fallback {
    /// A part of each limit, counted in these counters, from the moment at which the shared ones are away. They know nothing of
    /// each other: in a window around that moment, or around the one at which they are back, up to twice the limit may be admitted.
    pub fn share(counters: Arc<dyn Counters>, processes: NonZeroU32) -> Self {
        Self::Share { counters, processes, is_late: false }
    }

    /// The same once the shared counters have been away for a whole window, and until then nothing: so no window has more than the
    /// limit when they go. Nor when they come back, if whoever counts then waits for a window too, and for all to notice, as those of
    /// Redis do with a strict takeover; others may admit once more what the parts have. A process that alone cannot reach them goes by
    /// its part beside them.
    pub fn late_share(counters: Arc<dyn Counters>, processes: NonZeroU32) -> Self {
        Self::Share { counters, processes, is_late: true }
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Closed => f.write_str("Closed"),
            Self::Share { processes, is_late: false, .. } => write!(f, "Share(1 of {processes})"),
            Self::Share { processes, .. } => write!(f, "LateShare(1 of {processes})"),
        }
    }
}

/// The part of one process. A limit of zero stays zero; any other is at least one, so that no process stands still.
pub(crate) fn part(quota: Quota, processes: NonZeroU32) -> Option<Quota> {
    let limit = part_of(quota.limit(), processes);
    let part = match quota.shape() {
        Shape::Buckets(buckets) => Quota::with_buckets(limit, quota.per(), buckets),
        Shape::Exact => Quota::exact(limit, quota.per()),
        Shape::Smooth { each } => Quota::smooth(1, each.saturating_mul(processes.get()), limit),
    };
    part.ok()
}

/// The same of a limit within it.
pub(crate) fn part_of(limit: u64, processes: NonZeroU32) -> u64 {
    (limit / u64::from(processes.get())).max(limit.min(1))
}

/// How long nobody asks counters that were away a moment ago.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_at_least_one_unless_the_whole_is_nothing() -> Result<(), cache_core::QuotaError> {
        let of = |limit, processes| {
            let quota = Quota::new(limit, Duration::from_mins(1))?;
            Ok(part(quota, NonZeroU32::new(processes).unwrap_or(NonZeroU32::MIN)).map(|part| part.limit()))
        };
        for (limit, processes, expected) in [(100, 4, 25), (100, 3, 33), (2, 4, 1), (0, 4, 0), (7, 1, 7)] {
            assert_eq!(of(limit, processes)?, Some(expected), "{limit} among {processes}");
        }
        let (minute, four) = (Duration::from_mins(1), NonZeroU32::MIN.saturating_add(3));
        assert_eq!(part(Quota::exact(9, minute)?, four), Some(Quota::exact(2, minute)?));
        assert_eq!(part(Quota::smooth(120, minute, 8)?, four), Some(Quota::smooth(30, minute, 2)?));
        Ok(())
    }
}
