//! Which of several responses under one address a request gets: the fields that `Vary` names, compared by what they mean.
//!
//! ```text
//! address              the first response that came, with the fields that it depends on
//! address, their values  another response, for other values of these fields; and so on, should it depend on more
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;

use http::{HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};

use super::control::split;
use super::rules;

/// The fields that a response depends on, each with what the request had for it; nothing where it had none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection(pub(super) Vec<(HeaderName, Option<String>)>);

impl Selection {
    /// What this request has for these names.
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a HeaderName>, request: &HeaderMap) -> Self {
        Self(names.into_iter().map(|name| (name.clone(), meaning(name, request))).collect())
    }

    /// What the request had for the names that the response says it depends on. `None` if a name is none.
    pub(super) fn of_response(response: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        let names = rules::names(response).map(|name| HeaderName::try_from(name).ok());
        // Each once, and in order.
        let mut names = names.collect::<Option<Vec<HeaderName>>>()?;
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        Some(Self::of(&names, request))
    }

    /// Tells whether a request has the same for each of the names.
    pub(super) fn matches(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, value)| meaning(name, request) == *value)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().map(|(name, _)| name)
    }

    /// A short text that stands for names and values; `None` if there are no names.
    pub(super) fn digest(&self) -> Option<String> {
        let mut hash = Sha256::new();
        for (name, value) in &self.0 {
            for part in [name.as_str(), value.as_deref().unwrap_or_default()] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            hash.update([u8::from(value.is_some())]);
        }
        (!self.0.is_empty()).then(|| short(&hash.finalize()))
    }
}

/// Sixteen bytes of a hash, in hexadecimal digits: enough that nobody finds two texts with the same.
pub(super) fn short(hash: &[u8]) -> String {
    hash.iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a request says in a field: its lines as one list, without white space that means nothing and, where letters have no
/// case, in small ones. Source: RFC 9111, 4.1. Of lists whose order means nothing, sorted.
fn meaning(name: &HeaderName, request: &HeaderMap) -> Option<String> {
    let mut lines = request.get_all(name).iter().peekable();
    lines.peek()?;
    let text = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
    let text = text.collect::<Vec<_>>().join(",");
    let mut members: Vec<String> = split(&text, ',').map(ToOwned::to_owned).collect();
    match name.as_str() {
        "accept-encoding" | "accept-language" | "accept" | "accept-charset" => {
            for member in &mut members {
                member.retain(|letter| letter != ' ' && letter != '\t');
                member.make_ascii_lowercase();
            }
            let sorted: BTreeSet<String> = members.into_iter().collect();
            Some(sorted.into_iter().collect::<Vec<_>>().join(","))
        }
        _ => Some(members.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn request(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        fields.iter().map(field).collect()
    }

    #[track_caller]
    fn check(name: &'static str, one: &[&'static str], other: &[&'static str], are_same: bool) {
        let said = |values: &[&'static str]| {
            meaning(
                &HeaderName::from_static(name),
                &request(&values.iter().map(|v| (name, *v)).collect::<Vec<_>>()),
            )
        };
        assert_eq!(said(one) == said(other), are_same, "{name}: {one:?} {other:?}");
    }

    #[test]
    fn fields_are_compared_by_what_they_mean() {
        check("accept-encoding", &["gzip, br"], &["br,GZIP"], true);
        check("accept-encoding", &["gzip", "br"], &["gzip, br"], true);
        check("accept-encoding", &["gzip;q=1"], &["gzip; q=1"], true);
        check("accept-encoding", &["gzip;q=0"], &["gzip;q=1"], false);
        check("accept-encoding", &["gzip"], &[], false);
        check("x-tenant", &["a"], &["A"], false);
        check("x-tenant", &["a , b"], &["a,b"], true);
        check("x-tenant", &["a, b"], &["b, a"], false);
        check("x-tenant", &[""], &[], false);
    }

    #[test]
    fn names_and_values_never_run_into_each_other() {
        let digest = |fields: &[(&'static str, &'static str)]| {
            let names = [HeaderName::from_static("a"), HeaderName::from_static("b")];
            Selection::of(&names, &request(fields)).digest()
        };
        assert_eq!(Selection::default().digest(), None);
        assert_ne!(digest(&[]), digest(&[("a", "")]));
        assert_ne!(digest(&[("a", "1b")]), digest(&[("a", "1"), ("b", "")]));
        assert_ne!(digest(&[("a", "")]), digest(&[("b", "")]));
        assert_eq!(digest(&[("a", "1"), ("b", "2")]), digest(&[("b", "2"), ("a", "1")]));
    }

    #[test]
    fn a_response_is_for_requests_that_have_the_same_for_all_that_it_names() {
        let response = request(&[("vary", "Accept-Encoding, x-tenant, accept-encoding")]);
        let selection = Selection::of_response(&response, &request(&[("x-tenant", "a")])).expect("names");
        assert_eq!(
            selection.names().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["accept-encoding", "x-tenant"]
        );
        assert!(selection.matches(&request(&[("x-tenant", "a"), ("x-other", "z")])));
        assert!(!selection.matches(&request(&[("x-tenant", "a"), ("accept-encoding", "br")])));
        assert!(Selection::of_response(&request(&[("vary", "a b")]), &request(&[])).is_none());
    }
}
