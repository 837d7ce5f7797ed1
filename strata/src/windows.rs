//! The windows after its fresh life that a value brings along: they go with it into every tier, whoever reads it there.

use std::time::Duration;

use cache_core::{Header, Lifetime};

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

    /// These where they are set, and those of whoever reads the value where not.
    pub(crate) fn under(self, options: &Options) -> (Duration, Duration) {
        let (stale_for, fail_safe_for) = options.windows();
        (self.stale_for.unwrap_or(stale_for), self.fail_safe_for.unwrap_or(fail_safe_for))
    }
}
