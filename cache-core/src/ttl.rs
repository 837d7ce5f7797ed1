//! How long something lives: a duration, or for ever.
//!
//! Absent is not the same as for ever: where a time-to-live may be left out, it is an `Option<Ttl>`. As text it is
//! what configuration files, HTTP bodies and macros accept: `300`, `250ms`, `1h30m`, `forever`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::Time;

/// A time-to-live. Zero is legal and means "use it once, do not keep it".
///
/// ```
/// use cache_core::Ttl;
/// use std::time::Duration;
/// assert_eq!("1h30m".parse(), Ok(Ttl::from(Duration::from_secs(5400))));
/// assert_eq!("300".parse(), Ok(Ttl::from_secs(300)));
/// assert_eq!("forever".parse(), Ok(Ttl::FOREVER));
/// assert!("-5".parse::<Ttl>().unwrap_err().to_string().contains("negative"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(Duration);

impl Ttl {
    /// Never expires by time.
    pub const FOREVER: Self = Self(Duration::MAX);
    /// Expires at once: the value is returned to its callers and not kept.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A time-to-live of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// A time-to-live of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// What is left at `now` of a life that ends at `end`; [`Ttl::FOREVER`] if that is [`Time::NEVER`].
    pub fn between(now: Time, end: Time) -> Self {
        if end == Time::NEVER { Self::FOREVER } else { Self(end.since(now)) }
    }

    /// The duration, which is [`Duration::MAX`] for [`Ttl::FOREVER`].
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// The duration, or `None` if it never ends.
    pub fn finite(self) -> Option<Duration> {
        (!self.is_forever()).then_some(self.0)
    }

    /// Tells whether it never ends.
    pub fn is_forever(self) -> bool {
        self == Self::FOREVER
    }

    /// Tells whether nothing is to be kept.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Reads a number of seconds, fractions allowed, as JSON and environment variables carry it.
    ///
    /// # Errors
    /// Negative, not a number, or more than [`Duration::MAX`].
    pub fn try_from_secs_f64(secs: f64) -> Result<Self, TtlError> {
        if secs < 0.0 {
            return Err(TtlError::Negative { text: secs.to_string() });
        }
        Duration::try_from_secs_f64(secs).map(Self).map_err(|_| TtlError::Overflow { text: secs.to_string() })
    }
}

impl From<Duration> for Ttl {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_forever() {
            return f.write_str("forever");
        }
        write!(f, "{:?}", self.0)
    }
}

/// Why a text is not a time-to-live.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TtlError {
    /// Less than zero.
    #[error("{text:?} is negative; a time-to-live is zero or more, such as 300, 250ms, 1h30m or forever")]
    Negative {
        /// What was given.
        text: String,
    },
    /// More than a duration can hold.
    #[error("{text:?} is too long; use forever for an entry that does not expire")]
    Overflow {
        /// What was given.
        text: String,
    },
    /// Not a duration at all.
    #[error(
        "{text:?} is not a time-to-live; write seconds (300), units (250ms, 90s, 5m, 1h30m, 2d) or forever"
    )]
    Malformed {
        /// What was given.
        text: String,
    },
}

impl FromStr for Ttl {
    type Err = TtlError;

    fn from_str(text: &str) -> Result<Self, TtlError> {
        let trimmed = text.trim();
        if trimmed.eq_ignore_ascii_case("forever") {
            return Ok(Self::FOREVER);
        }
        if trimmed.starts_with('-') {
            return Err(TtlError::Negative { text: text.to_owned() });
        }
        let malformed = || TtlError::Malformed { text: text.to_owned() };
        let overflow = || TtlError::Overflow { text: text.to_owned() };
        if trimmed.is_empty() {
            return Err(malformed());
        }
        let mut total = Duration::ZERO;
        let mut rest = trimmed;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            if number.is_empty() {
                return Err(malformed());
            }
            // A bare number is seconds, and only when it stands alone: "1h30" is a typing error, not 1 h 30 s.
            let millis = match unit {
                "" if rest == trimmed && tail.is_empty() => 1000,
                unit => unit_millis(unit).ok_or_else(malformed)?,
            };
            let count: u64 = number.parse().map_err(|_| overflow())?;
            let part = count.checked_mul(millis).map(Duration::from_millis).ok_or_else(overflow)?;
            total = total.checked_add(part).ok_or_else(overflow)?;
            rest = tail;
        }
        Ok(Self(total))
    }
}

fn unit_millis(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millis: u64) {
        assert_eq!(text.parse(), Ok(Ttl::from_millis(millis)), "{text}");
    }

    #[test]
    fn reads_every_unit() {
        check("0", 0);
        check("300", 300_000);
        check("250ms", 250);
        check(" 90s ", 90_000);
        check("1h30m", 5_400_000);
        check("2d", 172_800_000);
    }

    #[test]
    fn refuses_what_is_not_a_duration_and_says_why() {
        for text in ["", "abc", "5x", "1h30", "1.5", "h", "5 m", "٣s"] {
            assert!(matches!(text.parse::<Ttl>(), Err(TtlError::Malformed { .. })), "{text:?}");
        }
        assert!(matches!("-5".parse::<Ttl>(), Err(TtlError::Negative { .. })));
        assert!(matches!("99999999999999999999".parse::<Ttl>(), Err(TtlError::Overflow { .. })));
        assert!(matches!("18446744073709551615d".parse::<Ttl>(), Err(TtlError::Overflow { .. })));
    }

    #[test]
    fn reads_fractions_of_seconds_and_refuses_the_impossible() {
        assert_eq!(Ttl::try_from_secs_f64(0.25), Ok(Ttl::from_millis(250)));
        assert!(matches!(Ttl::try_from_secs_f64(-1.0), Err(TtlError::Negative { .. })));
        for secs in [f64::NAN, f64::INFINITY, 1e300] {
            assert!(matches!(Ttl::try_from_secs_f64(secs), Err(TtlError::Overflow { .. })), "{secs}");
        }
    }
}
