//! What the server shows of itself. Every figure is worked out here, once; pages, probes and every name of an earlier
//! system are views of it.
//!
//! ```text
//! counts of regions, routes, process ─► Snapshot ─► findings ─► Report: the page, /v1/stats, the earlier names
//!                 │                        ▲
//!                 └──── History ───────────┘  what the last minute and the last five were like
//! ```
//!
//! Nothing is counted here: a read or an answer pays for its counts where it happens, and this is paid by whoever looks.

mod findings;
mod health;
mod history;
mod latency;
mod region;
mod report;
mod snapshot;
mod source;
mod traffic;

pub(crate) use findings::Finding;
pub(crate) use health::{Health, Status};
pub(crate) use history::History;
pub(crate) use latency::{Latency, Timings};
pub(crate) use region::{Counts, Region, TopKey};
pub(crate) use report::{Recommendation, Report};
pub(crate) use snapshot::{Process, Snapshot, resident_bytes};
pub(crate) use source::{Source, troubles};
pub(crate) use traffic::Traffic;

/// A share of a whole; zero where there is no whole yet.
#[expect(clippy::cast_precision_loss, reason = "a ratio of counts up to 2^53 is exact enough")]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A share of a whole; nothing where there is no whole.
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| ratio(part, whole))
}
