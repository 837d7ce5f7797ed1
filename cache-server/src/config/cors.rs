//! Whose pages may use the server from a browser (CORS): nobody's unless it is said, and then those of exact origins.

use std::collections::BTreeSet;

use axum::http::Uri;

use super::error::SettingsError;
use super::layers::{Layers, Source};
use super::names::CORS_ORIGINS;
use super::resolve::optional;
use super::settings::Settings;
use super::value::Read;

/// Each is compared with that of a request.
const MAX_ORIGINS: usize = 64;
const EXPECTED: &str =
    "* alone, or origins such as https://app.example or http://localhost:3000, with commas between";

/// Whose pages may use the server from a browser, with the token that they send themselves. Cookies and what else a browser would add of its own
/// are never allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Those of anybody, with a right token.
    Everybody,
    /// Those of these origins: `scheme://host` or `scheme://host:port`, as browsers write them.
    Origins(BTreeSet<String>),
}

impl Cors {
    /// Tells whether a page of this origin may.
    pub(crate) fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Everybody => true,
            Self::Origins(origins) => origins.contains(origin),
        }
    }
}

pub(super) fn read(layers: &Layers) -> Result<Option<Cors>, SettingsError> {
    optional(layers, CORS_ORIGINS, cors)
}

/// Without a token, whatever page somebody looks at on this machine could change the cache.
pub(super) fn refuse_everybody(settings: &Settings, layers: &Layers) -> Result<(), SettingsError> {
    if settings.is_guarded() || settings.cors != Some(Cors::Everybody) {
        return Ok(());
    }
    let source = layers.get(CORS_ORIGINS).map_or(&Source::Default, |given| &given.source);
    let message = format!(
        "{CORS_ORIGINS} = \"*\" lets every page of the web use the cache, and without a token any page that somebody here looks at could \
         change it: set a token (CACHE_TOKEN), or name origins"
    );
    Err(SettingsError::new(source, message))
}

fn cors(text: &str) -> Read<Cors> {
    if text.trim() == "*" {
        return Ok(Cors::Everybody);
    }
    let origins = text.split(',').map(|origin| origin_of(origin.trim())).collect::<Read<BTreeSet<_>>>()?;
    if origins.len() > MAX_ORIGINS {
        return Err(format!("at most {MAX_ORIGINS} origins"));
    }
    Ok(Cors::Origins(origins))
}

/// An origin as browsers write it, since it is compared as a text: another writing would never be met.
fn origin_of(text: &str) -> Read<String> {
    let wrong = |why: String| format!("{EXPECTED}; {text:?} {why}");
    let (scheme, host, port) = parts(text)
        .ok_or_else(|| wrong("is not a scheme, a host and perhaps a port, and nothing else".to_owned()))?;
    let usual = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return Err(wrong("has a scheme other than http and https".to_owned())),
    };
    let port = port.filter(|port| *port != usual).map_or_else(String::new, |port| format!(":{port}"));
    let written = format!("{scheme}://{}{port}", host.to_ascii_lowercase());
    if written == text { Ok(written) } else { Err(wrong(format!("is written {written:?} by browsers"))) }
}

/// Scheme, host and port, if a text is nothing but these.
fn parts(text: &str) -> Option<(String, String, Option<u16>)> {
    let uri: Uri = text.strip_suffix('/').unwrap_or(text).parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let is_host = |host: &str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
    };
    let is_bare = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/")
        && !authority.as_str().contains('@')
        && is_host(authority.host())
        && authority.port().is_some()
            == authority.as_str().rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    is_bare.then(|| (scheme.to_owned(), authority.host().to_owned(), authority.port_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_browsers_write() {
        let right = [
            "https://app.example",
            "http://localhost:3000",
            "http://[::1]:8080",
            "https://xn--bcher-kva.example",
            "http://10.0.0.7",
        ];
        for origin in right {
            let cors = cors(origin).unwrap_or_else(|why| panic!("{origin}: {why}"));
            assert!(cors.allows(origin) && !cors.allows("null"), "{origin}");
        }
        assert_eq!(cors(&right.join(" , ")), Ok(Cors::Origins(right.map(str::to_owned).into())));
        let wrong = [
            ("", "is not"),
            ("null", "is not"),
            ("app.example", "is not"),
            ("*,https://a.example", "is not"),
            ("https://*.example", "is not"),
            ("https://a.example/path", "is not"),
            ("https://a.example?x", "is not"),
            ("https://me@a.example", "is not"),
            ("https://", "is not"),
            ("https://a.example:x", "is not"),
            ("https://a.example:", "is not"),
            ("https://bücher.example", "is not"),
            ("https://a.example,", "is not"),
            ("ftp://a.example", "other than http"),
            ("https://a.example/", "\"https://a.example\" by browsers"),
            ("https://A.example", "\"https://a.example\" by browsers"),
            ("HTTPS://a.example", "\"https://a.example\" by browsers"),
            ("https://a.example:443", "\"https://a.example\" by browsers"),
            ("http://a.example:080", "\"http://a.example\" by browsers"),
        ];
        for (text, why) in wrong {
            let told = cors(text).expect_err(text);
            assert!(told.starts_with(EXPECTED) && told.contains(why), "{text}: {told}");
        }
        let many: Vec<String> = (0..=MAX_ORIGINS).map(|at| format!("https://{at}.example")).collect();
        assert!(cors(&many.join(",")).is_err() && cors(&many[1..].join(",")).is_ok());
    }
}
