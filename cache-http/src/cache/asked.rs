//! A request as the cache sees it: whether it may be answered from there at all, under which key, and what it asks of the answer.

use std::time::Duration;

use http::header::{
    CONTENT_LENGTH, FORWARDED, HOST, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use sha2::{Digest as _, Sha256};
use strata::Wall;

use super::control::{Control, split};
use super::said::Why;
use super::settings::Settings;
use super::stored::Stored;
use super::vary::{Selection, short};
use super::{conditions, rules};

/// From how many bytes on an address stands in its key by its beginning and a hash: the key of a tier has 1,024, and escapes take three
/// for one.
const MAX_PLAIN_BYTES: usize = 256;

/// A GET or HEAD that may be answered from the cache.
#[derive(Debug)]
pub(super) struct Asked {
    /// The request, without its body, which is empty.
    pub(super) parts: Parts,
    /// Scheme, host, path and query: what is asked for.
    pub(super) address: String,
    pub(super) is_head: bool,
    pub(super) is_identified: bool,
    /// What says, without being named by any `Vary`, for which host or path an application should take the request.
    keyed: Selection,
    control: Control,
}

/// What a request allows of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Serve,
    /// It is too old for this caller, though not for others.
    Reload,
}

impl Asked {
    /// What a request asks for; why it goes past the cache, if it does.
    pub(super) fn address(parts: &Parts, has_body: bool, settings: &Settings) -> Result<String, Why> {
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Err(Why::Method);
        }
        // A body of a GET means nothing, but an application may read it: what it answers is for nobody else.
        let says_more = [CONTENT_LENGTH, TRANSFER_ENCODING]
            .iter()
            .any(|name| parts.headers.get(name).is_some_and(|value| value.as_bytes() != b"0"));
        let is_special = [RANGE, IF_RANGE, IF_MATCH, IF_UNMODIFIED_SINCE, UPGRADE];
        let is_special = is_special.iter().any(|name| parts.headers.contains_key(name));
        if has_body || says_more || is_special {
            return Err(Why::Bypass);
        }
        address(&parts.uri, &parts.headers, settings).ok_or(Why::Bypass)
    }

    /// A request for this address.
    pub(super) fn new(parts: Parts, address: String, settings: &Settings) -> Self {
        let control =
            if settings.obeys_requests { Control::of_request(&parts.headers) } else { Control::default() };
        Self {
            address,
            is_head: parts.method == Method::HEAD,
            is_identified: rules::is_identified(&parts.headers, &settings.leeway),
            keyed: keyed(&parts.headers, settings),
            control,
            parts,
        }
    }

    /// The key under which what depends on these fields stands.
    pub(super) fn key(&self, names: &[HeaderName]) -> String {
        let mut selection = self.keyed.clone();
        selection.0.extend(Selection::of(names, &self.parts.headers).0);
        key(&self.address, &selection)
    }

    /// Tells whether what is kept is what this request asks for, and may be shown to who asks.
    pub(super) fn selects(&self, stored: &Stored) -> bool {
        stored.address == self.address
            && stored.selection.matches(&self.parts.headers)
            && (!self.is_identified || stored.terms.is_for_all)
    }

    pub(super) fn may_be_kept(&self) -> bool {
        !self.control.has("no-store")
    }

    pub(super) fn is_only_if_cached(&self) -> bool {
        self.control.has("only-if-cached")
    }

    /// Whether a fresh response is good enough. Source: RFC 9111, 5.2.1.
    pub(super) fn of_fresh(&self, stored: &Stored, now: Wall) -> Use {
        let is_too_old = |most| stored.age(now) > Duration::from_secs(most);
        let ends_too_soon = |least| stored.left(now) < Duration::from_secs(least);
        if self.control.has("no-cache")
            // A fresh one of this very second is older than nothing.
            || self.control.seconds("max-age").is_some_and(|most| most == 0 || is_too_old(most))
            || self.control.seconds("min-fresh").is_some_and(ends_too_soon)
        {
            return Use::Reload;
        }
        Use::Serve
    }

    /// Whether a stale response is good enough, though nothing is wrong with the application.
    pub(super) fn of_stale(&self, stored: &Stored, now: Wall) -> Use {
        let most = self.control.seconds("max-stale").map(Duration::from_secs);
        let any = self.control.is_bare("max-stale");
        let is_wanted = any || most.is_some_and(|most| stored.stale_for(now) <= most);
        let is_allowed = stored.terms.may_be_stale && !stored.terms.lifetime.is_zero();
        if is_wanted && is_allowed && self.of_fresh_age(stored, now) { Use::Serve } else { Use::Reload }
    }

    /// Tells whether a response that is stale may answer a caller who says nothing of staleness.
    pub(super) fn lets_refresh_behind(&self, stored: &Stored, now: Wall) -> bool {
        !self.control.has("min-fresh") && self.of_fresh_age(stored, now)
    }

    fn of_fresh_age(&self, stored: &Stored, now: Wall) -> bool {
        let most = self.control.seconds("max-age").map(Duration::from_secs);
        !self.control.has("no-cache") && most.is_none_or(|most| !most.is_zero() && stored.age(now) <= most)
    }

    /// By what it is remembered for a while that responses to requests like this one may not be kept.
    pub(super) fn pass(&self) -> String {
        let mut key = key(&self.address, &self.keyed);
        key.push(if self.is_identified { '+' } else { '-' });
        key
    }

    /// The request that the application is asked in place of this one.
    pub(super) fn to_load(&self) -> Parts {
        let mut parts = self.parts.clone();
        conditions::forget(&mut parts.headers);
        parts
    }
}

/// The key of what depends on nothing, or on these values.
fn key(address: &str, selection: &Selection) -> String {
    let mut end = address.len().min(MAX_PLAIN_BYTES);
    while !address.is_char_boundary(end) {
        end -= 1;
    }
    let mut key = address[..end].to_owned();
    if end < address.len() {
        key.extend(["#", &short(&Sha256::digest(address))]);
    }
    if let Some(digest) = selection.digest() {
        key.extend(["#", &digest]);
    }
    key
}

/// The key under which an address stands first.
pub(super) fn plain_key(address: &str) -> String {
    key(address, &Selection::default())
}

/// The tag of all that stands under an address beside its plain key. No surrogate key is like it, as those have no spaces.
pub(super) fn tag(address: &str) -> String {
    format!("address {}", short(&Sha256::digest(address)))
}

/// Scheme, host, path and query. The path and the query as they are: what an application takes for the same is its own affair.
pub(super) fn address(uri: &Uri, headers: &HeaderMap, settings: &Settings) -> Option<String> {
    let mut hosts = headers.get_all(HOST).iter();
    let named = hosts.next().map(HeaderValue::to_str).transpose().ok()?;
    if hosts.next().is_some() {
        return None;
    }
    // Of both, an application may believe either.
    let of_uri = uri.authority().map(http::uri::Authority::as_str);
    let host = match (of_uri, named) {
        (Some(one), Some(other)) if !one.eq_ignore_ascii_case(other) => return None,
        (one, other) => one.or(other).unwrap_or_default(),
    };
    if host.contains(['/', '?', '#', '@', ' ']) {
        return None;
    }
    let scheme = uri.scheme_str().unwrap_or(settings.scheme);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Some(format!("{}{scheme}://{}{path}", settings.scope, host.to_ascii_lowercase()))
}

/// What of the request is part of its key though no `Vary` names it.
fn keyed(request: &HeaderMap, settings: &Settings) -> Selection {
    let mut selection = Selection::of(&settings.keyed, request);
    // Who is called for whom differs by caller and means nothing here; for which host and scheme, very much.
    let forwarded = request.get_all(FORWARDED).iter().filter_map(|value| value.to_str().ok());
    let about: Vec<String> = forwarded
        .flat_map(|text| split(text, ','))
        .flat_map(|element| split(element, ';'))
        .map(str::to_ascii_lowercase)
        .filter(|pair| pair.starts_with("host") || pair.starts_with("proto"))
        .collect();
    if !about.is_empty() {
        selection.0.push((FORWARDED, Some(about.join(","))));
    }
    selection.0.retain(|(_, value)| value.is_some());
    selection
}
