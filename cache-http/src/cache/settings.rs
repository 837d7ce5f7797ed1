//! How a layer is set up, with the reasons for the defaults.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderName;
use strata::Wall;

use super::rules::Leeway;

/// What tells an application for which host, path or method to take a request, and is not part of what is asked for. Sources: Kettle,
/// "Practical Web Cache Poisoning" (2018); Nguyen et al., "Your Cache Has Fallen" (CCS 2019).
const KEYED: [&str; 17] = [
    "x-forwarded-host",
    "x-forwarded-server",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "front-end-https",
];

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) leeway: Leeway,
    pub(super) max_body_bytes: usize,
    /// How long what can be asked about is kept for that after it is stale.
    pub(super) keep_for: Duration,
    /// For how long an application that has failed is left alone, where something stands in.
    pub(super) error_pause: Duration,
    pub(super) obeys_requests: bool,
    pub(super) scheme: &'static str,
    pub(super) scope: String,
    pub(super) keyed: Vec<HeaderName>,
    pub(super) hides_surrogates: bool,
    /// What the cache calls itself in `Cache-Status`.
    pub(super) name: Option<String>,
    pub(super) wall: Arc<dyn Fn() -> Wall + Send + Sync>,
}

impl Settings {
    pub(super) fn new() -> Self {
        let target = HeaderName::from_static;
        Self {
            leeway: Leeway {
                targets: vec![target("cdn-cache-control"), target("surrogate-control")],
                heuristic: None,
                cookies_identify: true,
            },
            max_body_bytes: 1 << 20,
            keep_for: Duration::from_hours(1),
            error_pause: Duration::from_secs(1),
            obeys_requests: true,
            scheme: "http",
            scope: String::new(),
            keyed: KEYED.into_iter().map(HeaderName::from_static).collect(),
            hides_surrogates: false,
            name: Some("strata".to_owned()),
            wall: Arc::new(system_wall),
        }
    }

    pub(super) fn now(&self) -> Wall {
        (self.wall)()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("leeway", &self.leeway)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("keep_for", &self.keep_for)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "ages and dates of HTTP are wall time, and this is where it comes in"
)]
fn system_wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
