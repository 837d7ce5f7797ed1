//! A response as it is kept: its head without what belongs to one connection, its whole body, and what was decided about it.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{Response, StatusCode};
use strata::Wall;

use super::control::split;
use super::rules::Terms;
use super::vary::Selection;

/// What an entry takes besides its texts and bytes: the index, the policy, a map of headers. Measured for entries of
/// `cache-server`, at 288 bytes, and a map of eight headers, at 1,000.
const OVERHEAD_BYTES: usize = 1_300;

/// A response in the cache of a [`CacheLayer`](super::CacheLayer).
///
/// It can be looked at, and removed by its key or its tags, like any value of a cache. Only the layer makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whose it is, as text; empty if it may not be kept and only says so to those who waited for it.
    pub(super) address: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) selection: Selection,
    pub(super) terms: Terms,
    /// When it came.
    pub(super) at: Wall,
}

impl Stored {
    /// A response that may be kept on these terms.
    pub(super) fn new(
        address: String,
        response: Response<Bytes>,
        (selection, terms): (Selection, Terms),
        at: Wall,
    ) -> Self {
        let (head, body) = response.into_parts();
        let mut headers = kept(&head.headers);
        if !headers.contains_key(DATE)
            && let Some(date) = date(at)
        {
            headers.insert(DATE, date);
        }
        Self { address, status: head.status, headers, body, selection, terms, at }
    }

    /// What tells those who waited that each has to ask for himself.
    pub(super) fn refused() -> Self {
        let nothing = Response::new(Bytes::new());
        Self::new(String::new(), nothing, (Selection::default(), Terms::default()), Wall::from_unix_millis(0))
    }

    pub(super) fn is_refused(&self) -> bool {
        self.address.is_empty()
    }

    /// Its head after the application has said, with this one, that nothing was modified. Source: RFC 9111, 3.2.
    pub(super) fn freshened(&self, head: &HeaderMap) -> HeaderMap {
        let mut headers = self.headers.clone();
        // It is as old as this message, which need not say when it was made.
        headers.remove(AGE);
        headers.remove(DATE);
        let news = kept(head);
        for name in news.keys().filter(|name| !OF_THE_BODY.contains(name)) {
            headers.remove(name);
            for value in news.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        headers
    }

    /// How long ago it was made. By the clocks of those who stored and read it, so it is for telling and not for deciding.
    pub(super) fn age(&self, now: Wall) -> Duration {
        let since = now.as_unix_millis().saturating_sub(self.at.as_unix_millis());
        self.terms.age + Duration::from_millis(since)
    }

    /// How much longer it is fresh; zero if it is not.
    pub(super) fn left(&self, now: Wall) -> Duration {
        self.terms.lifetime.saturating_sub(self.age(now))
    }

    /// For how long it has been stale; zero if it is not.
    pub(super) fn stale_for(&self, now: Wall) -> Duration {
        self.age(now).saturating_sub(self.terms.lifetime)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers, without those that belong to one connection or one caller.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The bytes that it takes in memory, about.
    pub fn weight(&self) -> u64 {
        let headers: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let selection: usize = self
            .selection
            .0
            .iter()
            .map(|(name, value)| name.as_str().len() + value.as_ref().map_or(0, String::len))
            .sum();
        (OVERHEAD_BYTES + self.address.len() + headers + selection + self.body.len()) as u64
    }
}

/// The last second that a date of HTTP can say: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

fn date(at: Wall) -> Option<HeaderValue> {
    let since = Duration::from_secs((at.as_unix_millis() / 1000).min(LAST_SECOND));
    HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + since)).ok()
}

/// What describes the body, which stays as it is when only the head is news.
const OF_THE_BODY: [&HeaderName; 3] = [&CONTENT_LENGTH, &CONTENT_ENCODING, &CONTENT_RANGE];

/// What belongs to one connection (RFC 9110, 7.6.1; RFC 9111, 3.1).
const OF_THE_CONNECTION: [&HeaderName; 7] =
    [&CONNECTION, &PROXY_AUTHENTICATE, &PROXY_AUTHORIZATION, &TE, &TRAILER, &TRANSFER_ENCODING, &UPGRADE];
const OLD_OF_THE_CONNECTION: [&str; 3] = ["keep-alive", "proxy-connection", "proxy-authentication-info"];

/// What of a head may be kept. A cookie is for whom it was set, whatever else the application says of the response.
fn kept(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> = named.flat_map(|text| split(text, ',')).map(str::to_ascii_lowercase).collect();
    let is_kept = |name: &HeaderName| {
        !OF_THE_CONNECTION.contains(&name)
            && !OLD_OF_THE_CONNECTION.contains(&name.as_str())
            && *name != SET_COOKIE
            && !named.iter().any(|other| other == name.as_str())
    };
    headers.iter().filter(|(name, _)| is_kept(name)).map(|(name, value)| (name.clone(), value.clone())).fold(
        HeaderMap::with_capacity(headers.len()),
        |mut kept, (name, value)| {
            kept.append(name, value);
            kept
        },
    )
}
