//! The windows after its fresh life that a value brings along: they go with it into every tier, whoever reads it there.

use std::time::Duration;

use cache_core::{Header, Lifetime, Meta, Time};

use crate::options::Options;

/// The labels of the windows that a value has brought along, in milliseconds.
const STALE_FOR: &str = "stale_for";
const FAIL_SAFE_FOR: &str = "fail_safe_for";

/// What a value says of its windows itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) stale_for: Option<Duration>,
    pub(crate) fail_safe_for: Option<Duration>,
}

impl Windows {
    /// This life, with these windows where they are set.
    pub(crate) fn over(self, life: Lifetime) -> Lifetime {
        let life = self.stale_for.map_or(life, |window| life.with_stale_for(window));
        self.fail_safe_for.map_or(life, |window| life.with_fail_safe_for(window))
    }

    pub(crate) fn read(header: &Header) -> Self {
        let window = |label| Some(Duration::from_millis(header.labels.get(label)?.parse().ok()?));
        Self { stale_for: window(STALE_FOR), fail_safe_for: window(FAIL_SAFE_FOR) }
    }

    pub(crate) fn labels(self) -> impl Iterator<Item = (String, String)> {
        [(STALE_FOR, self.stale_for), (FAIL_SAFE_FOR, self.fail_safe_for)]
            .into_iter()
            .filter_map(|(label, window)| Some((label.to_owned(), window?.as_millis().to_string())))
    }

    /// The life of an entry, from now on. Its windows are its own or those of whoever reads it, as far as the tier keeps it.
    pub(crate) fn life(self, meta: &Meta, header: &Header, options: &Options, now: Time) -> Lifetime {
        let stored = header.life.stored_at();
        let whole = header.life.stale_for(stored);
        // Once it is stale, some of both windows is over.
        let over = if meta.ttl.is_zero() { whole.saturating_sub(meta.stale_for) } else { Duration::ZERO };
        // What never ends there is kept for whatever comes after an end that memory or an invalidation gives it here.
        let kept = if meta.ttl.is_forever() { Duration::MAX } else { meta.stale_for };
        let window = |asked: Duration| asked.saturating_sub(over).min(kept);
        let (stale_for, fail_safe_for) = self.under(options);
        let life = Lifetime::new(now, meta.ttl)
            .with_stale_for(window(stale_for))
            .with_fail_safe_for(window(fail_safe_for));
        match (header.life.ttl(stored).finite(), header.life.due_in(stored).finite()) {
            (Some(stale), Some(due)) => life.with_due_before(stale.saturating_sub(due)),
            _ => life,
        }
    }

    /// These where they are set, and those of whoever reads the value where not.
    fn under(self, options: &Options) -> (Duration, Duration) {
        let (stale_for, fail_safe_for) = options.windows();
        (self.stale_for.unwrap_or(stale_for), self.fail_safe_for.unwrap_or(fail_safe_for))
    }
}
