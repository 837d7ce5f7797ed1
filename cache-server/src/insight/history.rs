//! What the last minutes were like: the counts at moments five seconds apart, of which the last 60 are kept.
//!
//! A moment is noted when the server has nothing better to do, and when someone looks; never by a request that is served.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache_core::Time;
use schemars::JsonSchema;
use serde::Serialize;
use strata::Region;

use super::latency::Timings;
use super::region::{Counts, per_second};
use super::resident_bytes;
use super::source::Source;
use crate::figures::Totals;

/// How far apart moments are.
const STEP: Duration = Duration::from_secs(5);
const KEPT: usize = 60;

/// What is called recent.
const RECENT: Duration = Duration::from_mins(1);

/// Shorter stretches give no rate that means anything.
const SHORTEST: Duration = Duration::from_secs(1);

/// The counts at some moments, the last one last.
#[derive(Debug)]
pub(crate) struct History(Mutex<VecDeque<Moment>>);

/// The counts at one moment, all of them since the start.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) at: Time,
    pub(super) regions: BTreeMap<String, Counts>,
    pub(super) totals: Totals,
    pub(super) timings: Timings,
    pub(super) resident_bytes: Option<u64>,
}

/// What a stretch of time was like.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Stretch {
    /// How long before now it ended, and how long it was.
    pub(crate) ago_seconds: f64,
    pub(crate) seconds: f64,
    pub(crate) reads_per_second: f64,
    pub(crate) writes_per_second: f64,
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) answers_per_second: f64,
    pub(crate) errors_per_second: f64,
    pub(crate) evicted_per_second: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) resident_bytes: Option<u64>,
}

impl Moment {
    /// The moment at which everything was zero.
    pub(super) fn zero(at: Time) -> Self {
        Self {
            at,
            regions: BTreeMap::new(),
            totals: Totals::default(),
            timings: Timings::default(),
            resident_bytes: None,
        }
    }

    pub(super) fn now(app: &dyn Source) -> Self {
        let regions = app.regions();
        let counts = |region: &Arc<dyn Region>| {
            let counts = Counts::new(&region.stats().memory, app.too_large(region.name()));
            (region.name().to_owned(), counts)
        };
        Self {
            at: app.now(),
            regions: regions.iter().map(counts).collect(),
            totals: app.totals(),
            timings: app.timings(),
            resident_bytes: resident_bytes(),
        }
    }

    fn sum(&self) -> Counts {
        let mut sum = Counts::default();
        self.regions.values().for_each(|counts| sum.add(counts));
        sum
    }

    fn since(&self, earlier: &Self, now: Time) -> Stretch {
        let length = self.at.since(earlier.at);
        // A region that is gone took its counts along: what is left may be less than it was.
        let (before, after) = (earlier.sum(), self.sum());
        let recent = after.since(&before, length);
        let percentiles = self.timings.since(&earlier.timings).percentiles();
        let more = |after: u64, before: u64| per_second(after.saturating_sub(before), length);
        Stretch {
            ago_seconds: now.since(self.at).as_secs_f64(),
            seconds: length.as_secs_f64(),
            reads_per_second: per_second(recent.reads, length),
            writes_per_second: per_second(recent.inserts, length),
            hit_ratio: recent.hit_ratio,
            answers_per_second: more(self.totals.answers, earlier.totals.answers),
            errors_per_second: more(self.totals.errors, earlier.totals.errors),
            evicted_per_second: per_second(recent.evicted, length),
            p50_ms: percentiles.p50_ms,
            p99_ms: percentiles.p99_ms,
            resident_bytes: self.resident_bytes,
        }
    }
}

impl History {
    pub(crate) fn new(start: Time) -> Self {
        Self(Mutex::new(VecDeque::from([Moment::zero(start)])))
    }

    /// Notes this moment, unless the last one was just now.
    pub(crate) fn note(&self, app: &dyn Source) {
        if self.is_due(app.now()) {
            self.add(Moment::now(app));
        }
    }

    fn is_due(&self, now: Time) -> bool {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moments.back().is_none_or(|last| now.since(last.at) >= STEP)
    }

    fn add(&self, moment: Moment) {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if moments.back().is_none_or(|last| moment.at.since(last.at) >= STEP) {
            if moments.len() == KEPT {
                moments.pop_front();
            }
            moments.push_back(moment);
        }
    }

    /// The earliest moment that still counts as recent; the last one if none does.
    pub(super) fn recent(&self, now: Time) -> Moment {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = moments.iter().find(|moment| now.since(moment.at) <= RECENT);
        recent.or(moments.back()).cloned().unwrap_or_else(|| Moment::zero(now))
    }

    /// What came between the moments, and between the last one and now.
    pub(super) fn stretches(&self, now: &Moment) -> Vec<Stretch> {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let later = moments.iter().skip(1).chain([now]);
        let pairs = moments.iter().zip(later);
        let long = pairs.filter(|(earlier, later)| later.at.since(earlier.at) >= SHORTEST);
        long.map(|(earlier, later)| later.since(earlier, now.at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(second: u64, hits: u64, misses: u64) -> Moment {
        let counts = Counts { hits, misses, ..Counts::default() };
        let regions = BTreeMap::from([("default".to_owned(), counts)]);
        Moment { regions, ..Moment::zero(Time::ZERO.after(Duration::from_secs(second))) }
    }

    #[test]
    fn a_stretch_is_what_came_between_two_moments() {
        let history = History::new(Time::ZERO);
        history.add(moment(10, 50, 50));
        history.add(moment(14, 1000, 1000));
        let stretches = history.stretches(&moment(20, 90, 60));
        let figures: Vec<_> =
            stretches.iter().map(|it| (it.ago_seconds, it.seconds, it.reads_per_second)).collect();
        assert_eq!(figures, [(10.0, 10.0, 10.0), (0.0, 10.0, 5.0)], "the moment at 14 came too early");
        assert_eq!((stretches[0].hit_ratio, stretches[1].hit_ratio), (Some(0.5), Some(0.8)));
    }

    #[test]
    fn so_many_moments_are_kept_and_the_earliest_goes() {
        let history = History::new(Time::ZERO);
        (1..200).for_each(|at| history.add(moment(at * 5, at, 0)));
        let stretches = history.stretches(&moment(995, 199, 0));
        assert_eq!((stretches.len(), stretches[0].ago_seconds), (KEPT - 1, 290.0));
        assert_eq!(history.recent(moment(995, 0, 0).at).at, Time::ZERO.after(Duration::from_secs(935)));
    }

    #[test]
    fn a_region_that_is_gone_gives_no_rate_below_zero() {
        let history = History::new(Time::ZERO);
        history.add(moment(10, 100, 0));
        let stretches = history.stretches(&Moment::zero(Time::ZERO.after(Duration::from_secs(20))));
        assert_eq!((stretches[1].reads_per_second, stretches[1].hit_ratio), (0.0, None));
    }
}
