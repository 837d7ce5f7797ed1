//! What a path and a query say: the region, the key, the tag, the parameters.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::request::Parts;
use cache_core::{Key, Tag};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::json;
use super::openapi::Description;
use super::route::Input;
use crate::app::App;
use crate::config::DEFAULT_REGION;
use crate::log::Shown;
use crate::problem::Problem;
use crate::regions::BlobCache;

/// The region of the path, or the default one.
pub(super) struct InRegion(pub(super) BlobCache);

impl FromRequestParts<Arc<App>> for InRegion {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let name = param(parts, "region").await?;
        find_region(app, name.as_deref().unwrap_or(DEFAULT_REGION)).map(Self)
    }
}

/// A region by its name.
pub(super) fn find_region(app: &App, name: &str) -> Result<BlobCache, Problem> {
    app.regions.find(name).ok_or_else(|| {
        Problem::not_found(format!(
            "there is no region named \"{0}\"; create it with PUT /v1/regions/{0}",
            Shown(name)
        ))
        .with_field("region")
    })
}

/// The name of a region in the path, be there such a region or not.
pub(super) struct RegionName(pub(super) String);

impl<S: Sync> FromRequestParts<S> for RegionName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(param(parts, "region").await?.unwrap_or_default()))
    }
}

/// The key in the path.
pub(super) struct EntryKey(pub(super) Key);

impl<S: Sync> FromRequestParts<S> for EntryKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = param(parts, "key").await?.unwrap_or_default();
        Key::new(text).map(Self).map_err(|error| Problem::field("key", error.to_string()))
    }
}

/// The tag in the path.
pub(super) struct OneTag(pub(super) Tag);

impl<S: Sync> FromRequestParts<S> for OneTag {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = param(parts, "tag").await?.unwrap_or_default();
        Tag::new(text).map(Self).map_err(|error| Problem::field("tag", error.to_string()))
    }
}

/// The number of a job in the path.
pub(super) struct JobId(pub(super) u64);

impl<S: Sync> FromRequestParts<S> for JobId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = param(parts, "id").await?.unwrap_or_default();
        text.parse().map(Self).map_err(|_| Problem::field("id", "not the number of a job"))
    }
}

/// The parameters behind the `?`; each that is not known is refused by its name.
pub(super) struct Params<T>(pub(super) T);

/// How the messages of the standard library begin about a text that is no number.
const NO_NUMBER: [&str; 3] = ["invalid digit", "number too", "cannot parse integer"];

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let raw = parts.uri.query().unwrap_or_default();
        if percent_decode_str(raw).decode_utf8().is_err() {
            return Err(Problem::bad_request("the query is not UTF-8"));
        }
        let query = Query::try_from_uri(&parts.uri);
        query.map(|Query(params)| Self(params)).map_err(|error| {
            let text = error.body_text();
            // In front of the message stands the name of the parameter.
            let (place, message) = text.rsplit_once(": ").unwrap_or(("", &text));
            match place.rsplit_once(": ") {
                Some((_, name)) if NO_NUMBER.iter().any(|begin| message.starts_with(begin)) => {
                    Problem::field(Shown(name).to_string(), "not a whole number of a legal size")
                }
                _ => json::problem("the query", message),
            }
        })
    }
}

/// Nothing behind the `?`: what a route does not read, it refuses, for its client believes that it matters.
pub(super) struct NoParams;

impl<S: Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) else { return Ok(Self) };
        let name = query.split(['=', '&']).next().unwrap_or_default();
        let detail =
            format!("this route takes no parameters, and the query has {:?}", Shown(name).to_string());
        Err(Problem::bad_request(detail).with_field(Shown(name).to_string()))
    }
}

/// Neither parameters nor a body.
pub(super) struct Bare;

impl<S: Sync> FromRequestParts<S> for Bare {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        NoParams::from_request_parts(parts, state).await?;
        let length = parts.headers.get(CONTENT_LENGTH).map(HeaderValue::as_bytes);
        if length.is_some_and(|length| length != b"0") || parts.headers.contains_key(TRANSFER_ENCODING) {
            return Err(Problem::bad_request("this route takes no body; say what is meant in the path"));
        }
        Ok(Self)
    }
}

/// What is in the path is described by the template.
impl Input for InRegion {
    fn describe(operation: &mut Description<'_>) {
        if operation.has_in_path("region") {
            operation.fails(&[400, 404]);
        }
    }
}

impl<T: JsonSchema> Input for Params<T> {
    fn describe(operation: &mut Description<'_>) {
        operation.takes_query::<T>();
        operation.fails(&[400]);
    }
}

macro_rules! may_be_wrong {
    ($($input:ty)*) => {
        $(impl Input for $input {
            fn describe(operation: &mut Description<'_>) {
                operation.fails(&[400]);
            }
        })*
    };
}

may_be_wrong!(RegionName EntryKey OneTag JobId NoParams Bare);

async fn param(parts: &mut Parts, name: &'static str) -> Result<Option<String>, Problem> {
    let not_utf8 = |_| Problem::bad_request("the path has a part that is not UTF-8 once decoded");
    let params = RawPathParams::from_request_parts(parts, &()).await.map_err(not_utf8)?;
    Ok(params.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned()))
}
