//! The time of a program that people wait for: the one place that reads it.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "a program at the outer edge: it tells how long servers took")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
