//! Which server, which region, by which right: from flags, else from the environment.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::Options;
use crate::error::Error;
use crate::http::encoded;

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Without a slash at its end.
    pub(crate) url: String,
    /// The region's, if one was named.
    pub(crate) region: Option<String>,
    pub(crate) token: Option<Token>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) timeout: Duration,
}

/// A token. Shows itself nowhere.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

const DEFAULT_URL: &str = "http://127.0.0.1:7400";

impl Target {
    pub(crate) fn new(options: &Options, variables: &BTreeMap<String, String>) -> Result<Self, Error> {
        let variable = |name: &str| variables.get(name).filter(|text| !text.is_empty()).cloned();
        let url = options.server.clone().or_else(|| variable("STRATA_URL"));
        let path = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| variable(name).map(PathBuf::from));
        let token = match (&options.token, &options.token_file) {
            (Some(token), _) => Some((token.clone(), "--token")),
            (None, Some(file)) => Some((read(file)?, "the token in --token-file")),
            (None, None) => match (variable("STRATA_TOKEN"), variable("STRATA_TOKEN_FILE")) {
                (Some(token), _) => Some((token, "STRATA_TOKEN")),
                (None, Some(file)) => Some((read(Path::new(&file))?, "the token in STRATA_TOKEN_FILE")),
                (None, None) => None,
            },
        };
        Ok(Self {
            url: address(url.as_deref().unwrap_or(DEFAULT_URL))?,
            region: options.region.clone().or_else(|| variable("STRATA_REGION")),
            token: token.map(|(text, source)| checked(&text, source)).transpose()?,
            ca_file: path(&options.ca_file, "STRATA_CA_FILE"),
            timeout: options.timeout,
        })
    }

    /// The same server, and another region of it.
    pub(crate) fn of_region(&self, name: &str) -> Self {
        Self { region: Some(name.to_owned()), ..self.clone() }
    }

    /// The path that the region's routes begin with.
    pub(crate) fn base(&self) -> String {
        self.region.as_ref().map_or_else(|| "/v1".to_owned(), |name| format!("/v1/regions/{}", encoded(name)))
    }
}

fn read(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file).map_err(Error::file(file))
}

/// A token that a header can carry. What it is is never told.
fn checked(text: &str, source: &str) -> Result<Token, Error> {
    let token = text.trim();
    let is_legal = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let wrong =
        || Error::Usage(format!("{source}: not a token; visible ASCII characters without spaces are right"));
    is_legal.then(|| Token(token.to_owned())).ok_or_else(wrong)
}

fn address(text: &str) -> Result<String, Error> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_legal = rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty()
            && !rest.contains(['@', '?', '#'])
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
    });
    let wrong = || {
        // What stands before an @ may be a password.
        let shown = text.rsplit('@').next().unwrap_or_default();
        Error::Usage(format!(
            "the server {shown:?} is not an address; http://host:port or https://host:port is right"
        ))
    };
    is_legal.then(|| text.trim_end_matches('/').to_owned()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host_and_nothing_secret() {
        assert_eq!(address("http://cache:7400/").unwrap(), "http://cache:7400");
        assert_eq!(address("https://edge/cache/").unwrap(), "https://edge/cache");
        for wrong in
            ["cache:7400", "ftp://x", "http://", "http:///x", "http://u:secret@x", "http://x?y", "http://a b"]
        {
            let said = address(wrong).unwrap_err().to_string();
            assert!(said.contains("http://host:port") && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn a_wrong_token_is_not_repeated() {
        assert_eq!(checked(" abc\n", "x").unwrap().header(), "Bearer abc");
        for wrong in ["", "tok en", "tök", "a\nb"] {
            let said = checked(wrong, "STRATA_TOKEN").unwrap_err().to_string();
            assert!(
                said.starts_with("STRATA_TOKEN: not a token") && (wrong.is_empty() || !said.contains(wrong)),
                "{said}"
            );
        }
        assert_eq!(format!("{:?}", Token("abc".into())), "(hidden)");
    }
}
