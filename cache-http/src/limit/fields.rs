//! The header fields that say what is left.

use std::time::UNIX_EPOCH;

use cache_ratelimit::{By, Decision};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Which fields an answer has, beside the `Retry-After` of a denial, which it always has.
///
/// | | field | says |
/// |---|---|---|
/// | standard | `RateLimit-Policy: "anonymous";q=60;w=60` | 60 in any 60 seconds |
/// | | `RateLimit: "anonymous";r=12;t=30` | 12 are left, and after 30 seconds there are more |
/// | classic | `X-RateLimit-Limit: 60` | |
/// | | `X-RateLimit-Remaining: 12` | |
/// | | `X-RateLimit-Reset: 1790000030` | when there are more, in seconds since 1970 |
///
/// The standard ones are lists: those of an inner limit, or of the application, stay beside them. Of classic ones there can
/// be but one set: the one with less left stays. Seconds are rounded up, as who comes earlier comes in vain. While nobody
/// counts, because the counters are away and everything passes, nothing is said of what is left.
///
/// Source: draft-ietf-httpapi-ratelimit-headers, of September 2025, which is no standard yet; the classic ones as GitHub and
/// `express-rate-limit` have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fields {
    /// None of them.
    None,
    /// `RateLimit-Policy` and `RateLimit`.
    #[default]
    Standard,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
    Classic,
    /// All five.
    Both,
}

impl Fields {
    /// Adds the fields of a decision.
    pub(super) fn put(self, decision: &Decision, headers: &mut HeaderMap) {
        if matches!(self, Self::Standard | Self::Both) {
            put_standard(decision, headers);
        }
        if matches!(self, Self::Classic | Self::Both) && is_counted(decision) {
            put_classic(decision, unix_seconds(), headers);
        }
    }
}

/// Whether somebody knows what is left.
fn is_counted(decision: &Decision) -> bool {
    !matches!(decision.by, By::Open | By::Closed)
}

fn put_standard(decision: &Decision, headers: &mut HeaderMap) {
    append(headers, POLICY, &decision.policy_field());
    if is_counted(decision) {
        append(headers, LIMIT, &decision.limit_field());
    }
}

fn put_classic(decision: &Decision, now: u64, headers: &mut HeaderMap) {
    let told = headers.get(&CLASSIC_REMAINING).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|told| told <= decision.remaining) {
        return;
    }
    headers.insert(CLASSIC_LIMIT, decision.limit.into());
    headers.insert(CLASSIC_REMAINING, decision.remaining.into());
    headers.insert(CLASSIC_RESET, now.saturating_add(decision.reset_seconds()).into());
}

/// What is written by a decision is legal; if it were not, it would be left out.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const CLASSIC_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const CLASSIC_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const CLASSIC_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

#[expect(clippy::disallowed_methods, reason = "callers compare it with their own clocks")]
fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cache_ratelimit::{LocalLimiter, Rule};

    use super::*;

    #[test]
    fn of_two_limits_the_standard_fields_name_both_and_the_classic_ones_the_tighter() {
        let limiter = |limit, name| {
            let rule = Rule::exact(limit, Duration::from_mins(1)).expect("small").named(name);
            LocalLimiter::new(rule)
        };
        let (wide, tight) = (limiter(50, "wide").take("k"), limiter(5, "tight").take("k"));
        for order in [[&wide, &tight], [&tight, &wide]] {
            let mut headers = HeaderMap::new();
            for decision in order {
                put_standard(decision, &mut headers);
                put_classic(decision, 1_790_000_000, &mut headers);
            }
            let all =
                |name| headers.get_all(name).iter().map(|it| it.to_str().expect("text")).collect::<Vec<_>>();
            let named = |decision: &Decision| (decision.policy_field(), decision.limit_field());
            let expected = order.map(named);
            assert_eq!(all(POLICY), expected.each_ref().map(|(policy, _)| policy.as_str()));
            assert_eq!(all(LIMIT), expected.each_ref().map(|(_, limit)| limit.as_str()));
            assert_eq!((all(CLASSIC_LIMIT), all(CLASSIC_REMAINING)), (vec!["5"], vec!["4"]));
            assert_eq!(all(CLASSIC_RESET), ["1790000060"]);
        }
    }
}
