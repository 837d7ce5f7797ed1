//! What RFC 9111 lets a shared cache keep, for how long it is fresh, and what may be done with it afterwards.
//!
//! Values and functions alone: no clock is read and nothing is kept here. Where the RFC leaves a choice, the one that shows nobody what
//! was meant for somebody else is taken.

use std::time::Duration;

use http::header::{
    AGE, AUTHORIZATION, CONTENT_TYPE, COOKIE, DATE, EXPIRES, LAST_MODIFIED, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, StatusCode};
use strata::Wall;

use super::control::{Control, seconds, split};

/// Statuses whose responses may be kept though nothing says so. Source: RFC 9110, 15.1; 206 is not, as parts are not combined here.
const BY_DEFAULT: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// Statuses whose rules for caches this one keeps: what `must-understand` asks. Source: RFC 9110, 15.
const UNDERSTOOD: [u16; 14] = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501];

/// What an application that cannot answer says. Source: RFC 5861, 4.
pub(super) const ERRORS: [u16; 4] = [500, 502, 503, 504];

/// What was decided about a response that may be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// How long it is fresh from when it was made.
    pub(super) lifetime: Duration,
    /// How old it was when it came.
    pub(super) age: Duration,
    /// For how long after its fresh life it answers while it is refreshed, by `stale-while-revalidate`.
    pub(super) while_refreshed: Duration,
    /// For how long after its fresh life it stands in for an application that fails, by `stale-if-error`.
    pub(super) if_error: Duration,
    /// Whether it may answer those who say who they are.
    pub(super) is_for_all: bool,
    /// Whether it may be served stale to those who ask for it by `max-stale`.
    pub(super) may_be_stale: bool,
}

/// How far the rules may be bent, by whoever sets up the layer.
#[derive(Clone, Debug)]
pub(super) struct Leeway {
    /// The fields that count before `Cache-Control`, the first of them first.
    pub(super) targets: Vec<HeaderName>,
    /// The share of a response's age at its last change for which it is fresh, where nothing is said, and the most of that.
    pub(super) heuristic: Option<(f64, Duration)>,
    /// Whether a cookie says who somebody is.
    pub(super) cookies_identify: bool,
}

/// Tells whether a caller says who he is.
pub(super) fn is_identified(request: &HeaderMap, leeway: &Leeway) -> bool {
    request.contains_key(AUTHORIZATION) || leeway.cookies_identify && request.contains_key(COOKIE)
}

/// What may be done with a response to a GET, or why it may not be kept.
pub(super) fn judge(
    (status, response): (StatusCode, &HeaderMap),
    is_identified: bool,
    leeway: &Leeway,
    now: Wall,
) -> Result<Terms, &'static str> {
    let (control, is_targeted) = Control::of_response(response, &leeway.targets);
    let is_for_all = control.has("public") || control.has("s-maxage") || control.has("must-revalidate");
    refuse(status, response, &control)?;
    if is_identified && !is_for_all {
        return Err("credentials");
    }
    let expires = if is_targeted { None } else { expires(response, now) };
    let explicit = control
        .seconds("s-maxage")
        .or_else(|| control.extended().map(|(fresh, _)| fresh))
        .or_else(|| control.seconds("max-age"))
        .or(expires);
    if explicit.is_none() && !BY_DEFAULT.contains(&status.as_u16()) && !control.has("public") {
        return Err("status");
    }
    let guessed = || leeway.heuristic.and_then(|guess| heuristic(response, guess, now));
    let lifetime = explicit.or_else(guessed).unwrap_or(0);
    let must_ask = control.has("no-cache");
    // `s-maxage` forbids stale answers as well (RFC 9111, 5.2.2.10), unless the same field asks for them.
    let never_stale = must_ask || control.has("must-revalidate") || control.has("proxy-revalidate");
    let window = |name: &str| if never_stale { 0 } else { control.seconds(name).unwrap_or(0) };
    let extension = control.extended().map_or(0, |(_, stale)| if never_stale { 0 } else { stale });
    Ok(Terms {
        lifetime: Duration::from_secs(if must_ask { 0 } else { lifetime }),
        age: age(response, now),
        while_refreshed: Duration::from_secs(window("stale-while-revalidate").max(extension)),
        if_error: Duration::from_secs(window("stale-if-error")),
        is_for_all,
        may_be_stale: !never_stale && !control.has("s-maxage"),
    })
}

/// Why a response may not be kept, whoever has asked for it.
fn refuse(status: StatusCode, response: &HeaderMap, control: &Control) -> Result<(), &'static str> {
    let is_understood = UNDERSTOOD.contains(&status.as_u16());
    let must_understand = control.has("must-understand");
    if status.is_informational() || [206, 304].contains(&status.as_u16()) || must_understand && !is_understood
    {
        return Err("status");
    }
    if control.has("no-store") && !must_understand {
        return Err("no-store");
    }
    if control.has("private") {
        return Err("private");
    }
    if response.contains_key(SET_COOKIE) && !control.has("public") {
        return Err("set-cookie");
    }
    if names(response).any(|name| name == "*") {
        return Err("vary");
    }
    let kind = response.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with("text/event-stream") {
        return Err("event-stream");
    }
    Ok(())
}

/// The names in `Vary`, as they are written there.
pub(super) fn names(response: &HeaderMap) -> impl Iterator<Item = &str> {
    // A value that is no text names nothing that could be compared: the response is for nobody else.
    response.get_all(VARY).iter().flat_map(|value| split(value.to_str().unwrap_or("*"), ','))
}

/// How many seconds after it was made a response expires; zero if that cannot be read.
fn expires(response: &HeaderMap, now: Wall) -> Option<u64> {
    let mut all = response.get_all(EXPIRES).iter();
    let first = all.next()?;
    if all.any(|other| other != first) {
        return Some(0);
    }
    let end = first.to_str().ok().and_then(date);
    Some(end.map_or(0, |end| end.saturating_sub(made(response, now))))
}

/// When it was made, in seconds since 1970: when it came, if it does not say.
fn made(response: &HeaderMap, now: Wall) -> u64 {
    dated(response, &DATE).unwrap_or(now.as_unix_millis() / 1000)
}

fn heuristic(response: &HeaderMap, (share, most): (f64, Duration), now: Wall) -> Option<u64> {
    let changed = dated(response, &LAST_MODIFIED)?;
    let age = Duration::from_secs(made(response, now).saturating_sub(changed));
    Some(age.mul_f64(share.clamp(0.0, 1.0)).min(most).as_secs())
}

/// How old it is on arrival. Source: RFC 9111, 4.2.3; the application is asked within the process, so no delay is added.
fn age(response: &HeaderMap, now: Wall) -> Duration {
    let apparent = (now.as_unix_millis() / 1000).saturating_sub(made(response, now));
    let first = response.get(AGE).and_then(|age| age.to_str().ok()).and_then(|age| split(age, ',').next());
    Duration::from_secs(first.and_then(seconds).unwrap_or(0).max(apparent))
}

/// The time in a field, in seconds since 1970.
pub(super) fn dated(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok().and_then(date)
}

fn date(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}
