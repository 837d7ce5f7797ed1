//! The crowd: how many requests are answered at once. One more is turned away at once, rather than that all of them wait.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::problem::Problem;

/// Places for requests, where their number is bounded.
#[derive(Debug)]
pub(crate) struct Crowd {
    places: Option<Semaphore>,
    shed: AtomicU64,
}

impl Crowd {
    pub(crate) fn new(at_most: Option<NonZeroUsize>) -> Self {
        Self { places: at_most.map(|at_most| Semaphore::new(at_most.get())), shed: AtomicU64::new(0) }
    }

    /// A place until it is dropped; none is needed where there is no bound.
    ///
    /// # Errors
    /// What to answer where all places are taken.
    pub(crate) fn enter(&self) -> Result<Option<SemaphorePermit<'_>>, Problem> {
        let Some(places) = &self.places else { return Ok(None) };
        places.try_acquire().map(Some).map_err(|_| {
            self.shed.fetch_add(1, Relaxed);
            let detail = "too many requests are being answered; try again later";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header("retry-after", "1")
        })
    }

    /// How many were turned away.
    pub(crate) fn shed(&self) -> u64 {
        self.shed.load(Relaxed)
    }
}
