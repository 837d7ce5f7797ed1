//! The traffic of the whole server: what every view begins with, and what probes can afford.

use schemars::JsonSchema;
use serde::Serialize;

use super::ratio;
use super::source::Source;

/// What has happened since the start, over all regions and routes. Rates are zero before there is anything to divide.
#[derive(Clone, Copy, Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Traffic {
    pub(crate) hit_rate: f64,
    /// Answers with a status of 500 or more, of all answers.
    pub(crate) error_rate: f64,
    /// Answers.
    pub(crate) total_operations: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) errors: u64,
    /// Of the answers that were timed, one in 16.
    pub(crate) average_response_time_ms: f64,
}

impl Traffic {
    pub(crate) fn of(app: &dyn Source) -> Self {
        let (mut hits, mut misses) = (0, 0);
        for region in app.regions() {
            let memory = region.stats().memory;
            hits += memory.hits;
            misses += memory.misses;
        }
        Self::new((hits, misses), app)
    }

    pub(super) fn new((hits, misses): (u64, u64), app: &dyn Source) -> Self {
        let totals = app.totals();
        Self {
            hit_rate: ratio(hits, hits + misses),
            error_rate: ratio(totals.errors, totals.answers),
            total_operations: totals.answers,
            hits,
            misses,
            errors: totals.errors,
            average_response_time_ms: ratio(totals.timed_nanos, totals.timed) / 1e6,
        }
    }
}
