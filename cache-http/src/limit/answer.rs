//! What becomes of a request, and what is answered to one that does not pass.

use std::fmt::Write as _;

use cache_ratelimit::{Answer, By, Decision};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::{Decided, Fields};

pub(super) enum Outcome {
    Exempt,
    /// Nobody can tell whose it is.
    Unknown,
    Decided(Decision),
}

/// The answer to a request that is denied.
pub(super) fn refusal<R: From<String>>(decision: &Decision, fields: Fields) -> Response<R> {
    let problem = match decision.by {
        // It is not the caller who has had too much.
        By::Closed | By::Crowded if decision.answer != Answer::Never => Problem::Reduced,
        _ => Problem::Exceeded(decision.policy),
    };
    let mut response = problem.response();
    if let Some(seconds) = decision.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    fields.put(decision, response.headers_mut());
    response.extensions_mut().insert(Decided(decision.by));
    response
}

/// The answer to a request of which nobody can tell whose it is.
pub(super) fn unknown<R: From<String>>() -> Response<R> {
    Problem::Reduced.response()
}

/// The problem types of draft-ietf-httpapi-ratelimit-headers, in bodies as RFC 9457 has them.
#[derive(Clone, Copy)]
enum Problem {
    Exceeded(&'static str),
    Reduced,
}

impl Problem {
    fn response<R: From<String>>(self) -> Response<R> {
        let mut response = Response::new(self.body().into());
        *response.status_mut() = match self {
            Self::Exceeded(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Reduced => StatusCode::SERVICE_UNAVAILABLE,
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }

    fn body(self) -> String {
        match self {
            Self::Exceeded(policy) => format!(
                r#"{{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"The quota of this caller is used up","status":429,"violated-policies":[{}]}}"#,
                quoted(policy)
            ),
            Self::Reduced => r#"{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity","title":"Requests cannot be counted at the moment","status":503}"#.to_owned(),
        }
    }
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_strings_of_json() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c\u000ad""#);
    }
}
