//! Strata at the edge of a web application: layers for any service of `tower` that speaks `http`.
//!
//! ```text
//! request ─► limit: may this caller, now? ── no ─► 429, Retry-After, problem+json; nobody else sees the request
//!               │ yes
//!            the application ─► response, with what is left of the caller's limit
//! ```
//!
//! Each layer is a module behind a feature of its name, knows no other, and leaves the application's types as they are. There
//! is one so far: `limit`.

#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "limit")]
pub mod limit;
#[cfg(feature = "session")]
pub mod session;
