//! Conditions (RFC 9110, 13): what a client has already, and what he means to change.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};

use super::openapi::Description;
use super::route::Input;
use crate::app::App;
use crate::blob::Blob;
use crate::problem::Problem;

/// The conditions of a request. What cannot be read as an entity tag is none that anything has.
#[derive(Debug)]
pub(super) struct Conditions {
    /// `If-Match`: it is changed only if it is one of these.
    matching: Option<Tags>,
    /// `If-None-Match`: it is answered, or changed, only if it is none of these.
    none_matching: Option<Tags>,
}

#[derive(Debug)]
enum Tags {
    /// `*`: of whatever is there.
    Any,
    These(Vec<String>),
}

impl Conditions {
    fn new(headers: &HeaderMap) -> Self {
        Self { matching: tags(headers, &IF_MATCH), none_matching: tags(headers, &IF_NONE_MATCH) }
    }

    pub(super) fn are_none(&self) -> bool {
        self.matching.is_none() && self.none_matching.is_none()
    }

    /// Whether the client has this already.
    pub(super) fn has(&self, blob: &Blob) -> bool {
        self.none_matching.as_ref().is_some_and(|tags| tags.name(blob, true))
    }

    /// Whether what is stored may be changed.
    pub(super) fn check(&self, stored: Option<&Blob>) -> Result<(), Problem> {
        let names = |tags: &Tags, weakly| stored.is_some_and(|blob| tags.name(blob, weakly));
        let is_another = self.matching.as_ref().is_some_and(|tags| !names(tags, false));
        let is_this = self.none_matching.as_ref().is_some_and(|tags| names(tags, true));
        match (is_another, is_this) {
            (false, false) => Ok(()),
            (true, _) => Err(failed("what is stored is not what If-Match names")),
            (_, true) => Err(failed("what is stored is what If-None-Match names")),
        }
    }
}

fn failed(detail: &'static str) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, detail)
}

impl Tags {
    /// Whether one of them is that of this; a weak one (`W/`) only where that is enough.
    fn name(&self, blob: &Blob, weakly: bool) -> bool {
        let Self::These(tags) = self else { return true };
        let etag = blob.etag().to_string();
        tags.iter().any(|tag| *tag == etag || weakly && tag.strip_prefix("W/") == Some(&etag))
    }
}

/// The tags of all headers of this name; `None` if there is none. No tag of ours holds a comma.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Tags> {
    let texts = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    let tags: Vec<String> = texts.flat_map(|text| text.split(',')).map(|tag| tag.trim().to_owned()).collect();
    match tags.as_slice() {
        [] => None,
        [any] if any == "*" => Some(Tags::Any),
        _ => Some(Tags::These(tags)),
    }
}

impl FromRequestParts<Arc<App>> for Conditions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(Self::new(&parts.headers))
    }
}

impl Input for Conditions {
    fn describe(operation: &mut Description<'_>) {
        operation.takes_header(
            "If-Match",
            "Only if what is stored is one of these entity tags; `*` for anything.",
        );
        operation.takes_header(
            "If-None-Match",
            "Only if what is stored is none of these entity tags; `*` for anything.",
        );
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use bytes::Bytes;

    use super::*;

    fn conditions(pairs: &[(HeaderName, &str)]) -> Conditions {
        let value = |text: &str| HeaderValue::from_str(text).expect("visible");
        Conditions::new(&pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect())
    }

    #[test]
    fn a_tag_names_what_it_was_given_for_and_a_weak_one_only_for_reading() {
        let blob = Blob::new(Bytes::from_static(b"x"), HeaderValue::from_static("text/plain"), 0);
        let etag = blob.etag().to_string();
        let of = |name, text: &str| conditions(&[(name, text)]);
        for (text, has, may_change) in [
            (etag.as_str(), true, true),
            ("*", true, true),
            (&format!("\"other\", {etag}"), true, true),
            (&format!("W/{etag}"), true, false),
            ("\"other\"", false, false),
            ("", false, false),
        ] {
            assert_eq!(of(IF_NONE_MATCH, text).has(&blob), has, "{text}");
            assert_eq!(of(IF_NONE_MATCH, text).check(Some(&blob)).is_err(), has, "{text}");
            assert_eq!(of(IF_MATCH, text).check(Some(&blob)).is_ok(), may_change, "{text}");
        }
        assert!(of(IF_NONE_MATCH, "*").check(None).is_ok() && of(IF_MATCH, "*").check(None).is_err());
        assert!(conditions(&[]).are_none() && conditions(&[]).check(None).is_ok());
    }
}
