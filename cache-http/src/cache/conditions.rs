//! Validators, in both directions: what a client has already (304), and whether what is kept is still right.

use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::control::split;
use super::rules::dated;
use super::stored::Stored;

/// Tells whether the client has already what this head is of. Source: RFC 9110, 13.1.2 and 13.1.3.
pub(super) fn is_known(request: &HeaderMap, status: StatusCode, kept: &HeaderMap) -> bool {
    if status != StatusCode::OK {
        return false;
    }
    if request.contains_key(IF_NONE_MATCH) {
        let etag = kept.get(ETAG).and_then(|etag| etag.to_str().ok());
        let texts = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        return texts
            .flat_map(|text| split(text, ','))
            .any(|asked| asked == "*" || etag.is_some_and(|etag| is_same(asked, etag)));
    }
    let since = dated(request, &IF_MODIFIED_SINCE);
    since.zip(dated(kept, &LAST_MODIFIED)).is_some_and(|(since, changed)| changed <= since)
}

/// What only says what the client has; the application is asked about what is kept here instead.
pub(super) fn forget(request: &mut HeaderMap) {
    request.remove(IF_NONE_MATCH);
    request.remove(IF_MODIFIED_SINCE);
}

/// Asks whether it is still right; says whether there is anything to ask by. Source: RFC 9111, 4.3.1.
pub(super) fn ask(request: &mut HeaderMap, stored: &Stored) -> bool {
    for (validator, condition) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
        if let Some(value) = stored.headers.get(validator) {
            request.insert(condition, value.clone());
        }
    }
    has_validator(&stored.headers)
}

pub(super) fn has_validator(headers: &HeaderMap) -> bool {
    headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED)
}

/// Tells whether "not modified" is said of what is kept, and of nothing else. Source: RFC 9111, 4.3.4.
pub(super) fn is_about(head: &HeaderMap, stored: &Stored) -> bool {
    let same = |one: Option<&HeaderValue>, other: Option<&HeaderValue>| match (one, other) {
        (Some(one), Some(other)) => {
            one.to_str().ok().zip(other.to_str().ok()).is_some_and(|(one, other)| is_same(one, other))
        }
        // What says nothing contradicts nothing.
        (None, _) => true,
        (Some(_), None) => false,
    };
    same(head.get(ETAG), stored.headers.get(ETAG))
        && (head.contains_key(ETAG) || same(head.get(LAST_MODIFIED), stored.headers.get(LAST_MODIFIED)))
}

/// The weak comparison of RFC 9110, 8.8.3.2.
fn is_same(one: &str, other: &str) -> bool {
    let opaque = |tag: &str| tag.trim().strip_prefix("W/").unwrap_or(tag.trim()).to_owned();
    opaque(one) == opaque(other)
}
