//! Limits: may I, and if not, how long must I wait?
//!
//! ```text
//! LocalLimiter ── within a process: keyed, sharded, bounded, synchronous     rule ► meter: window │ log │ gcra
//!                                                                            table ► shard ► index, rings
//! SharedLimiter ─ among processes: one step of `Counters` per decision       denials: who is denied is not asked about
//!    │                                                                       fallback: open │ closed │ share
//! ClassLimiter ── anonymous, authenticated, premium, admin                   audit: who, what, when, decided how
//! Budget ──────── calls to others: global, endpoint and burst, all or none   throttle: what the other side says
//! ```
//!
//! Every answer is a [`Decision`]: now, or wait so long, or never; who has decided; and what the headers say.
//!
//! The default is a window that slides in buckets and counts conservatively: no interval as long as the window ever
//! holds more than the limit, whatever calls and clocks do, but for a key that was given up at the bound of keys. An exact log and a steady rate are there for who wants them.

mod audit;
mod budget;
mod class;
mod clock;
mod decision;
mod denials;
mod fallback;
mod gcra;
mod index;
mod local;
mod log;
mod meter;
mod notice;
mod rings;
mod room;
mod rule;
mod shard;
mod shared;
mod sync;
mod table;
mod window;

pub use audit::{Audit, AuditStats, Record};
pub use budget::{Budget, BudgetStats, Plan};
pub use class::{Class, ClassLimiter, ClassStats, Classes, Subject, network};
pub use clock::TickClock;
pub use decision::{Answer, By, Decision};
pub use fallback::Fallback;
pub use local::{LimiterStats, LocalLimiter};
pub use rule::{Rule, RuleError};
pub use shared::{SharedLimiter, SharedStats};
