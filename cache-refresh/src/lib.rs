//! Keeping caches of Strata warm: what is refreshed before anybody misses it, as often as the budget of its source allows, and what is
//! loaded before anybody asks.
//!
//! ```text
//! warmers ── at start, by interval, by hand ─┐
//! jobs ───── each at its interval ───────────┴─► scheduler ── strategy: budget in use, volatility
//!                                                   │ so many at a time, most urgent first, one process of a fleet
//!                                                   ▼
//!                                            Cache::refresh ──► budget ──► loader
//! ```
//!
//! The calls of the source are charged where they are made, at the gate of the cache ([`strata::Builder::budget`]); the scheduler looks at
//! how much of the budget is in use, and puts off what it does not let through.

mod builder;
mod job;
mod queue;
mod run;
mod scheduler;
mod state;
mod status;
mod warm;

pub use builder::{ScheduleError, SchedulerBuilder};
pub use cache_policy::{Pacing, Strategy};
pub use job::{Job, Outcome};
pub use scheduler::Scheduler;
pub use status::{Batch, Counts, Status};
pub use warm::{Progress, WarmError, Warmed, Warmer, Warming, WarmingBuilder};
