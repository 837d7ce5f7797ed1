//! Settings as a URL, as the environment carries them. Messages repeat nothing of it: a password may stand anywhere.

use percent_encoding::percent_decode_str;

use super::{Address, Config, ConfigError, Mode};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;

pub(super) fn read(text: &str) -> Result<Config, ConfigError> {
    let wrong = |part, problem| Err(ConfigError::Url { part, problem });
    let Some((scheme, rest)) = text.split_once("://") else { return wrong("scheme", "is missing") };
    let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    let has_tls = match scheme {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" if cfg!(feature = "tls") => true,
        "rediss" | "valkeys" => return wrong("scheme", "asks for TLS, which takes the feature `tls`"),
        _ => return wrong("scheme", "is not known"),
    };
    if rest.contains(['?', '#']) {
        return wrong("end", "has parameters, which are not known; set them in the configuration");
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) =
        authority.rsplit_once('@').map_or((None, authority), |(login, it)| (Some(login), it));
    let mut path = path.split('/');
    let mode = match kind {
        "" => Mode::Standalone,
        "cluster" => Mode::Cluster,
        "sentinel" => {
            let Some(name) = path.next().filter(|name| !name.is_empty()) else {
                return wrong("path", "does not name the primary that the Sentinels know");
            };
            Mode::Sentinel { name: decoded(name)? }
        }
        _ => return wrong("scheme", "is not known"),
    };
    let port = if kind == "sentinel" { SENTINEL_PORT } else { PORT };
    let addresses = hosts.split(',').map(|host| address(host, port)).collect::<Result<Vec<_>, _>>()?;
    if mode == Mode::Standalone && addresses.len() > 1 {
        return wrong("host", "is a list, which is for Sentinels and a Cluster");
    }
    let mut config = Config::new(mode, addresses);
    if let Some(database) = path.next().filter(|database| !database.is_empty()) {
        let Ok(database) = database.parse() else { return wrong("database", "is not a number") };
        config.database = database;
    }
    if path.next().is_some() {
        return wrong("path", "is too long");
    }
    if let Some(login) = login {
        let (user, password) = login.split_once(':').unwrap_or(("", login));
        config.user = (!user.is_empty()).then(|| decoded(user)).transpose()?;
        config.password = Some(decoded(password)?);
    }
    Ok(with_tls(config, has_tls))
}

#[cfg(feature = "tls")]
fn with_tls(config: Config, has_tls: bool) -> Config {
    if has_tls { config.with_tls(super::Tls::new()) } else { config }
}

#[cfg(not(feature = "tls"))]
fn with_tls(config: Config, _: bool) -> Config {
    config
}

fn address(text: &str, port: u16) -> Result<Address, ConfigError> {
    let wrong = |part, problem| ConfigError::Url { part, problem };
    let bracketed = text.strip_prefix('[').map(|rest| rest.split_once(']'));
    let (host, rest) = match bracketed {
        Some(Some((host, rest))) => (host, rest),
        Some(None) => return Err(wrong("host", "has a bracket that is not closed")),
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    if host.is_empty() {
        return Err(wrong("host", "is missing"));
    }
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => port,
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or(wrong("port", "is not a number of 1 to 65535"))?,
        None => return Err(wrong("host", "goes on after its bracket")),
    };
    Ok(Address::new(host, port))
}

fn decoded(text: &str) -> Result<String, ConfigError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| ConfigError::Url { part: "user or password", problem: "is not UTF-8" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(text: &str) -> Config {
        read(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_form_is_read() {
        let plain = config("redis://localhost");
        assert_eq!((plain.addresses(), plain.database), (&[Address::new("localhost", 6379)][..], 0));
        let full = config("redis://us%40er:p%3Aa%2Fss@10.0.0.1:7000/3");
        assert_eq!((full.user.as_deref(), full.password.as_deref()), (Some("us@er"), Some("p:a/ss")));
        assert_eq!((&full.addresses()[0], full.database), (&Address::new("10.0.0.1", 7000), 3));
        for password_alone in ["redis://:secret@h", "redis://secret@h"] {
            let config = config(password_alone);
            assert_eq!((config.user, config.password.as_deref()), (None, Some("secret")));
        }
        assert_eq!(config("redis://[::1]:7000/").addresses()[0].to_string(), "[::1]:7000");
        let cluster = config("redis+cluster://a:1,b");
        assert_eq!(cluster.mode(), &Mode::Cluster);
        assert_eq!(cluster.addresses(), [Address::new("a", 1), Address::new("b", 6379)]);
        let sentinel = config("redis+sentinel://a,b:1/ma%20in/4");
        assert_eq!(sentinel.mode(), &Mode::Sentinel { name: "ma in".into() });
        assert_eq!(sentinel.addresses(), [Address::new("a", 26_379), Address::new("b", 1)]);
        assert_eq!(sentinel.database, 4);
    }

    #[test]
    fn what_is_wrong_is_named_and_nothing_secret_repeated() {
        let parts = [
            ("localhost", "scheme"),
            ("http://h", "scheme"),
            ("redis+mesh://h", "scheme"),
            ("redis://", "host"),
            ("redis://:secret@", "host"),
            ("redis://a,b", "host"),
            ("redis://[::1", "host"),
            ("redis://[::1]x", "host"),
            ("redis://h:0", "port"),
            ("redis://h:secret", "port"),
            ("redis://h/secret", "database"),
            ("redis://h/1/2", "path"),
            ("redis://h?password=secret", "end"),
            ("redis://%ff:secret@h", "user or password"),
            ("redis+sentinel://h", "path"),
        ];
        for (text, expected) in parts {
            let error = read(text).expect_err(text);
            assert!(matches!(error, ConfigError::Url { part, .. } if part == expected), "{text}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn without_the_feature_tls_is_refused() {
        let error = read("rediss://h").expect_err("there is no TLS").to_string();
        assert!(error.contains("the feature `tls`"), "{error}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn an_s_asks_for_tls() {
        assert!(config("rediss+cluster://h").tls.is_some() && config("redis://h").tls.is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_settings_or_an_error(text in "(redis://)?[a-z0-9:/@,%\\[\\]?#.]{0,40}") {
            if let Ok(config) = read(&text) {
                prop_assert!(!config.addresses.is_empty());
            }
        }
    }
}
