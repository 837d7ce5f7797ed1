//! What became of a request, told in `Cache-Status` (RFC 9211).

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    /// It was answered from the cache; how much longer that is fresh, or for how long it has not been.
    Hit { left: Duration, stale_for: Duration },
    /// It was answered by the application, for this reason, with this status; whether that was kept, or why not.
    Forwarded { why: Why, status: StatusCode, kept: Result<(), &'static str> },
    /// It was answered by what another request has brought.
    Collapsed,
    /// A kept response stood in for the application, which failed.
    StoodIn { stale_for: Duration },
}

/// Why a request went on to the application. The words of RFC 9211, 2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Bypass,
    Method,
    Miss,
    Stale,
    Request,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Request => "request",
        }
    }
}

impl Said {
    /// Adds itself behind what caches nearer to the application have said.
    pub(super) fn put(self, cache: &str, headers: &mut HeaderMap) {
        let mut text = cache.to_owned();
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Hit { left, stale_for } if stale_for.is_zero() => {
                write!(text, "; hit; ttl={}", left.as_secs())
            }
            Self::Hit { stale_for, .. } => write!(text, "; hit; ttl=-{}", stale_for.as_secs()),
            Self::Collapsed => write!(text, "; fwd=miss; collapsed"),
            Self::StoodIn { stale_for } => {
                write!(text, "; hit; ttl=-{}; detail=stale-if-error", stale_for.as_secs())
            }
            Self::Forwarded { why, status, kept } => {
                let kept = kept.map_or_else(|why| format!("; detail={why}"), |()| "; stored".to_owned());
                write!(text, "; fwd={}; fwd-status={}{kept}", why.as_str(), status.as_u16())
            }
        };
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(CACHE_STATUS, value);
        }
    }
}
