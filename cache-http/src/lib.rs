//! Strata at the edge of a web application: layers for any service of `tower` that speaks `http`, and sessions.
//!
//! ```text
//! request ─► limit: may this caller, now? ── no ─► 429, Retry-After, problem+json; nobody else sees the request
//!               │ yes
//!            cache: is there a response that may answer it? ── yes ─► that, with its age
//!               │ no
//!            the application, which may ask for the session ─► response: kept, if it says so
//! ```
//!
//! Each is a module behind a feature of its name, knows no other, and leaves the application's types as they are: `limit`,
//! `cache`, `session`; `tower-sessions` makes sessions the store of the middleware of that name. `docs/http.md` has the rules,
//! each with its tests.

#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "limit")]
pub mod limit;
#[cfg(feature = "session")]
pub mod session;

/// Compiles and runs the examples of the page about web applications.
#[cfg(doctest)]
#[cfg(all(feature = "cache", feature = "session"))]
#[doc = include_str!("../../docs/http.md")]
struct Http;
