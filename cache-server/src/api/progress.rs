//! How far long work is: told by whoever does it, and asked by whoever waits.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::openapi::Description;
use super::route::Input;

/// What has been done of how much. Cheap to clone; a job hands it to its request, and one that is no job has one that nobody looks at.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    counts: Arc<Counts>,
    is_of_job: bool,
}

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    /// Nought as long as it is not known.
    total: AtomicU64,
}

impl Progress {
    /// That of a job.
    pub(super) fn of_job() -> Self {
        Self { is_of_job: true, ..Self::default() }
    }

    /// Whether nobody waits for the answer.
    pub(super) fn is_of_job(&self) -> bool {
        self.is_of_job
    }

    /// So much there is to do.
    pub(super) fn begin(&self, total: u64) {
        self.counts.total.store(total, Relaxed);
    }

    /// So much more is done.
    pub(super) fn add(&self, more: u64) {
        self.counts.done.fetch_add(more, Relaxed);
    }

    /// So much is done by now.
    pub(super) fn at(&self, done: u64) {
        self.counts.done.store(done, Relaxed);
    }

    /// What is done, and of how much, if that is known. What there was to do at first may have become more meanwhile; it is never told as more than all.
    pub(super) fn figures(&self) -> (u64, Option<u64>) {
        let (done, total) = (self.counts.done.load(Relaxed), self.counts.total.load(Relaxed));
        if total == 0 { (done, None) } else { (done.min(total), Some(total)) }
    }
}

impl<S: Sync> FromRequestParts<S> for Progress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// No client says anything of it.
impl Input for Progress {
    fn describe(_: &mut Description<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_never_more_than_all() {
        let progress = Progress::default();
        progress.add(3);
        assert_eq!(progress.figures(), (3, None));
        progress.begin(4);
        assert_eq!(progress.clone().figures(), (3, Some(4)));
        progress.add(3);
        assert_eq!(progress.figures(), (4, Some(4)));
        progress.at(1);
        assert_eq!(progress.figures(), (1, Some(4)));
    }
}
