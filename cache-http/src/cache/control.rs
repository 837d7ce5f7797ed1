//! `Cache-Control` and the fields like it: directives, each with an argument or none.
//!
//! Reading is for what anybody may have written. What is not understood is left out; a number that is none, or that is said
//! twice and differs, counts as zero, so that doubt makes a response stale and never fresh (RFC 9111, 4.2.1).

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The longest time that is told apart, in seconds. Source: RFC 9111, 1.2.2.
const MAX_SECONDS: u64 = 1 << 31;

/// The directives of one message for one reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Control(Vec<(String, Option<String>)>);

impl Control {
    /// What the caller of a request asks for.
    pub(super) fn of_request(headers: &HeaderMap) -> Self {
        let control = Self::read(headers.get_all(CACHE_CONTROL));
        let has_pragma = || Self::read(headers.get_all(PRAGMA)).has("no-cache");
        if !headers.contains_key(CACHE_CONTROL) && has_pragma() {
            return Self(vec![("no-cache".to_owned(), None)]);
        }
        control
    }

    /// What the application says of a response, in the first of these fields that is there, and whether that was one for caches of
    /// this kind alone, before which `Cache-Control` and `Expires` do not count (RFC 9213, 2.2).
    pub(super) fn of_response(headers: &HeaderMap, targets: &[HeaderName]) -> (Self, bool) {
        for target in targets {
            // As a structured field: one that is not whole says nothing.
            let fields = headers.get_all(target);
            let is_old = target.as_str() == "surrogate-control";
            let control = if is_old { Some(Self::read(fields)) } else { Self::read_strict(fields) };
            if let Some(control) = control.filter(|control| !control.0.is_empty()) {
                return (control, true);
            }
        }
        (Self::read(headers.get_all(CACHE_CONTROL)), false)
    }

    fn read<'a>(fields: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let texts = fields.into_iter().filter_map(|field| field.to_str().ok());
        let members = texts.flat_map(|text| split(text, ','));
        Self(members.filter_map(directive).collect())
    }

    /// As a dictionary of RFC 9651; `None` if it is none.
    fn read_strict<'a>(fields: impl IntoIterator<Item = &'a HeaderValue>) -> Option<Self> {
        let mut directives = Vec::new();
        for field in fields {
            for member in split(field.to_str().ok()?, ',') {
                let member = split(member, ';').next()?;
                let (name, argument) = member.split_once('=').map_or((member, None), |(n, a)| (n, Some(a)));
                let is_start = |byte: u8| byte.is_ascii_lowercase() || byte == b'*';
                let is_key = |byte: u8| is_start(byte) || byte.is_ascii_digit() || b"_-.".contains(&byte);
                if !name.bytes().next().is_some_and(is_start) || !name.bytes().all(is_key) {
                    return None;
                }
                let argument = match argument {
                    Some("?0") => continue,
                    Some("?1") | None => None,
                    Some(argument) => Some(bare(argument)?.to_owned()),
                };
                directives.retain(|(known, _)| known != name);
                directives.push((name.to_owned(), argument));
            }
        }
        Some(Self(directives))
    }

    /// Tells whether a directive is there, whatever its argument: the qualified forms of `private` and `no-cache` count as the plain
    /// ones, as RFC 9111 (5.2.2.4, 5.2.2.7) lets a cache do.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The number of seconds that a directive says; `None` if it is not there.
    pub(super) fn seconds(&self, name: &str) -> Option<u64> {
        let mut all = self.0.iter().filter(|(known, _)| known == name);
        let first = all.next()?.1.as_deref();
        let is_certain = all.all(|(_, other)| other.as_deref() == first);
        Some(first.filter(|_| is_certain).and_then(seconds).unwrap_or(0))
    }

    /// The two numbers of `max-age=60+30`, as `Surrogate-Control` has them: how long fresh, and how long stale after that.
    pub(super) fn extended(&self) -> Option<(u64, u64)> {
        let (_, argument) = self.0.iter().find(|(known, _)| known == "max-age")?;
        let (fresh, stale) = argument.as_deref()?.split_once('+')?;
        Some((seconds(fresh)?, seconds(stale)?))
    }

    /// Tells whether a directive is there without an argument.
    pub(super) fn is_bare(&self, name: &str) -> bool {
        self.0.iter().any(|(known, argument)| known == name && argument.is_none())
    }
}

/// A whole number of seconds, at most [`MAX_SECONDS`].
pub(super) fn seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // One with more digits than fit is as long as can be.
    is_number.then(|| text.parse().unwrap_or(MAX_SECONDS).min(MAX_SECONDS))
}

fn directive(member: &str) -> Option<(String, Option<String>)> {
    let (name, argument) = member.split_once('=').map_or((member, None), |(n, a)| (n, Some(a)));
    let name = name.trim();
    let unquoted = |argument: &str| argument.trim().trim_matches('"').to_owned();
    (!name.is_empty()).then(|| (name.to_ascii_lowercase(), argument.map(unquoted)))
}

/// A token or number as it is, a string without its quotes; `None` if it is nothing of them.
fn bare(argument: &str) -> Option<&str> {
    if let Some(text) = argument.strip_prefix('"') {
        return text.strip_suffix('"');
    }
    let is_bare = |byte: u8| byte.is_ascii_graphic() && !b"\"(),;=<>@[]{}\\".contains(&byte);
    (!argument.is_empty() && argument.bytes().all(is_bare)).then_some(argument)
}

/// The parts of a text between separators that are not in quotes, without white space around them. Empty ones are left out.
pub(super) fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.find(|letter| {
            let was_escaped = std::mem::take(&mut escaped);
            match letter {
                _ if was_escaped => false,
                '\\' => {
                    escaped = quoted;
                    false
                }
                '"' => {
                    quoted = !quoted;
                    false
                }
                letter => letter == separator && !quoted,
            }
        });
        let part = end.map_or(text, |end| {
            rest = Some(&text[end + separator.len_utf8()..]);
            &text[..end]
        });
        Some(part.trim_matches([' ', '\t']))
    })
    .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &'static str, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[track_caller]
    fn check(values: &[&'static str], expected: Option<u64>) {
        let (control, _) = Control::of_response(&fields("cache-control", values), &[]);
        assert_eq!(control.seconds("max-age"), expected, "{values:?}");
    }

    #[test]
    fn numbers_in_doubt_are_zero_and_long_ones_are_bounded() {
        check(&[], None);
        check(&["max-age=60"], Some(60));
        check(&["MAX-AGE=60, public"], Some(60));
        check(&["max-age=\"60\""], Some(60));
        check(&["public", "max-age=60"], Some(60));
        check(&["max-age=60, max-age=60"], Some(60));
        check(&["max-age=60, max-age=1"], Some(0));
        check(&["max-age=99999999999999999999"], Some(MAX_SECONDS));
        for broken in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=+1", "max-age=1s"] {
            let fields: HeaderMap =
                std::iter::once((CACHE_CONTROL, HeaderValue::from_static(broken))).collect();
            assert_eq!(Control::of_response(&fields, &[]).0.seconds("max-age"), Some(0), "{broken}");
        }
        check(&["x=\"a, max-age=60\", max-age=5"], Some(5));
        check(&["xmax-age=60, max-age-x=60"], None);
    }

    #[test]
    fn a_field_for_this_kind_of_cache_comes_first_if_it_is_whole() {
        let target = [HeaderName::from_static("cdn-cache-control")];
        let both = |targeted: &'static str| {
            let mut headers = fields("cache-control", &["max-age=1"]);
            headers.insert("cdn-cache-control", HeaderValue::from_static(targeted));
            let (control, is_targeted) = Control::of_response(&headers, &target);
            (control.seconds("max-age"), is_targeted)
        };
        assert_eq!(both("max-age=60"), (Some(60), true));
        assert_eq!(both("max-age=60;x=1, private=?0"), (Some(60), true));
        assert_eq!(both("max-age=5, max-age=60"), (Some(60), true), "the last one counts");
        for broken in ["", "Max-Age=60", "max-age=60, =", "max-age=", "max age=60", "max-age=\"60"] {
            assert_eq!(both(broken), (Some(1), false), "{broken}");
        }
    }

    #[test]
    fn an_old_cache_is_asked_by_pragma_and_only_if_nothing_newer_is_said() {
        let mut headers = fields("pragma", &["x, No-Cache"]);
        assert!(Control::of_request(&headers).has("no-cache"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=5"));
        assert!(!Control::of_request(&headers).has("no-cache"));
    }
}
