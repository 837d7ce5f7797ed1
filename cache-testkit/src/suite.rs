//! Conformance: what a seam promises, one promise per function, put to every implementation of it.
//!
//! Each function takes the seam as `&dyn`, panics where a promise is broken, and returns an error where the backend
//! could not be asked. Each uses keys and channels of its own, below `suite:`; a backend that holds something there
//! already may fail, so ask it once, or on a fresh server. `all` runs every function of a suite, one after another.
//!
//! The suites need no runtime. What they do at the same time is interleaved at await points only; an implementation
//! that works with threads tests itself with threads too.

#![expect(clippy::missing_panics_doc, reason = "to panic is what every function here is for")]

use std::time::Duration;

use cache_core::{Key, Time};

use crate::clock::Passage;

/// Runs functions of a suite, and names the one whose backend failed.
macro_rules! run {
    ($($function:ident($($argument:expr),*);)*) => {$(
        if let Err(error) = $function($($argument),*).await {
            panic!("{}: {error:?}", stringify!($function));
        }
    )*};
}

pub mod counters;
pub mod lease;
pub mod store;
pub mod transport;

/// The finest time that a backend is asked for. Redis, too, counts in milliseconds.
const GRAIN: Duration = Duration::from_millis(1);

#[expect(clippy::expect_used, reason = "the suites' names are legal")]
fn key(name: &str) -> Key {
    Key::new(format!("suite:{name}")).expect("a short text without control characters")
}

async fn pass_until(time: &dyn Passage, moment: Time) {
    time.pass(moment.since(time.now())).await;
}
