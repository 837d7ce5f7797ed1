//! The answer of every limiter: now, later, or never; who gave it; and what the standard headers say.

use std::fmt::Write as _;
use std::time::Duration;

/// May I?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Yes, and it is charged.
    Now,
    /// Not before this has passed, which is never zero.
    Wait(Duration),
    /// The cost is larger than the limit: no wait would help.
    Never,
}

/// Who has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// A table of this process, which counts for this process alone.
    Local,
    /// A table of this process, in which only keys that are at their limit have a place: see
    /// [`LocalLimiter::with_max_keys`](crate::LocalLimiter::with_max_keys).
    Crowded,
    /// The counters that all processes share.
    Shared,
    /// What the counters have said before: denied until then.
    Remembered,
    /// The counters are away, and everything is let pass.
    Open,
    /// The counters are away, and nothing is let pass.
    Closed,
    /// The counters are away, and this process goes by its part of the limit.
    Share,
    /// The other side has said that it has had enough.
    Remote,
}

impl By {
    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Crowded => "crowded",
            Self::Shared => "shared",
            Self::Remembered => "remembered",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Share => "share",
            Self::Remote => "remote",
        }
    }
}

/// An answer with what there is to know about it.
///
/// It can be given back once, as [`give_back`](crate::LocalLimiter::give_back) takes it.
///
/// ```
/// use cache_ratelimit::{Answer, LocalLimiter, Rule};
/// use std::time::Duration;
/// let limiter = LocalLimiter::new(Rule::window(2, Duration::from_secs(60))?.named("default"));
/// let decision = limiter.take("client:7");
/// assert_eq!(decision.policy_field(), r#""default";q=2;w=60"#);
/// assert_eq!((decision.answer, decision.remaining, decision.retry_after()), (Answer::Now, 1, None));
/// # Ok::<(), cache_ratelimit::RuleError>(())
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a call that was denied must not be made"]
pub struct Decision {
    /// The answer.
    pub answer: Answer,
    /// Who has given it.
    pub by: By,
    /// The name of the rule.
    pub policy: &'static str,
    /// How much it allows in a window.
    pub limit: u64,
    /// The length of its window.
    pub window: Duration,
    /// How much is left.
    pub remaining: u64,
    /// Of a denial: the wait. Else after this long nothing of what is charged now counts any more; what a service
    /// counts may leave earlier.
    pub reset: Duration,
    /// What was charged, and where.
    pub(crate) cost: u64,
    pub(crate) mark: u64,
}

impl Decision {
    /// Tells whether the call may be made.
    pub fn is_admitted(&self) -> bool {
        self.answer == Answer::Now
    }

    /// What was charged, and where: once, as whoever gives it back has no decision any more.
    pub(crate) fn into_charge(self) -> Option<(u64, u64)> {
        (self.is_admitted() && self.cost > 0).then_some((self.cost, self.mark))
    }

    /// How long to wait: nothing if it is admitted, for ever if it never will be.
    pub fn wait(&self) -> Duration {
        match self.answer {
            Answer::Now => Duration::ZERO,
            Answer::Wait(wait) => wait,
            Answer::Never => Duration::MAX,
        }
    }

    /// The seconds of a header `Retry-After`: rounded up and at least one; `None` if it is admitted, or never will be.
    pub fn retry_after(&self) -> Option<u64> {
        match self.answer {
            Answer::Wait(wait) => Some(seconds(wait).max(1)),
            Answer::Now | Answer::Never => None,
        }
    }

    /// The member of a header `RateLimit-Policy`: `"name";q=limit;w=seconds`.
    ///
    /// Source: draft-ietf-httpapi-ratelimit-headers, of September 2025.
    pub fn policy_field(&self) -> String {
        format!("{};q={};w={}", quoted(self.policy), in_field(self.limit), seconds(self.window).max(1))
    }

    /// The member of a header `RateLimit`: `"name";r=remaining;t=seconds`, without a time where no wait would help.
    pub fn limit_field(&self) -> String {
        let mut member = format!("{};r={}", quoted(self.policy), in_field(self.remaining));
        if self.answer != Answer::Never {
            // Writing to a string cannot fail.
            let _ = write!(member, ";t={}", self.reset_seconds());
        }
        member
    }

    /// The seconds until there is more, as headers say them: rounded up and at least one.
    pub fn reset_seconds(&self) -> u64 {
        seconds(self.reset).max(1)
    }
}

/// Rounded up: who comes earlier would come in vain.
fn seconds(duration: Duration) -> u64 {
    in_field(duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)))
}

/// A number of a structured field has at most fifteen digits.
fn in_field(number: u64) -> u64 {
    number.min(999_999_999_999_999)
}

/// A string of a structured field: printable ASCII, of which two characters are escaped.
fn quoted(name: &str) -> String {
    let mut quoted = String::from('"');
    for character in name.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(answer: Answer, reset: Duration) -> Decision {
        Decision {
            answer,
            by: By::Local,
            policy: "a\"b",
            limit: u64::MAX,
            window: Duration::from_millis(10),
            remaining: 0,
            reset,
            cost: 1,
            mark: 0,
        }
    }

    #[test]
    fn seconds_are_rounded_up_and_never_zero() {
        let wait = Duration::from_millis(1001);
        let denied = decision(Answer::Wait(wait), wait);
        assert_eq!((denied.retry_after(), denied.wait()), (Some(2), wait));
        assert_eq!(denied.limit_field(), r#""a\"b";r=0;t=2"#);
        assert_eq!(denied.policy_field(), r#""a\"b";q=999999999999999;w=1"#);
        assert_eq!(decision(Answer::Wait(Duration::from_nanos(1)), wait).retry_after(), Some(1));
        let never = decision(Answer::Never, Duration::MAX);
        assert_eq!((never.retry_after(), never.wait()), (None, Duration::MAX));
        assert_eq!(never.limit_field(), r#""a\"b";r=0"#, "no wait would help");
    }

    #[test]
    fn names_are_strings_of_a_structured_field() {
        assert_eq!(quoted("größe\n\\"), r#""gr??e?\\""#);
    }
}
