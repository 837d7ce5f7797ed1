//! The environment: variables that begin with the prefix, by four forms, and those of Redis, which have none.
//!
//! ```text
//! CACHE_<SETTING>                            a setting, such as CACHE_LISTEN
//! REDIS_<SETTING>                            one of Redis, such as REDIS_URL, if CACHE_REDIS_URL is not set
//! the variables of the standard presets      such as CACHE_TTL_SHORT, CACHE_MARKET_PRICE_TTL
//! CACHE_<REGION>_SIZE, CACHE_<REGION>_TTL    a region, which is created if need be
//! anything else                              a warning: other programs may use the prefix too
//! ```

use std::collections::BTreeMap;

use strata::Presets;

use super::layers::{Layers, Source};
use super::names::{self, IGNORED, PREFIX, REGION_SUFFIXES, SPECS, UNPREFIXED};

/// What the environment says, and what it says in vain.
pub(super) struct Found {
    pub(super) layers: Layers,
    pub(super) warnings: Vec<String>,
}

pub(super) fn read(variables: &BTreeMap<String, String>, prefix: &str) -> Found {
    let mut layers = Layers::new();
    let (mut ignored, mut unknown) = (Vec::new(), Vec::new());
    for (variable, text) in variables {
        let Some(rest) = variable.strip_prefix(prefix) else {
            // Only where its own, more particular one is not set.
            match setting(variable).filter(|name| name.starts_with(UNPREFIXED)) {
                Some(name) if layers.get(&name).is_none() => {
                    layers.set(name, text, Source::Variable(variable.clone()));
                }
                None if variable.starts_with("REDIS_") => ignored.push(variable.as_str()),
                Some(_) | None => {}
            }
            continue;
        };
        if let Some(name) = setting(rest).or_else(|| preset(rest)).or_else(|| region(rest)) {
            layers.set(name, text, Source::Variable(variable.clone()));
        } else if is_ignored(rest) {
            ignored.push(variable);
        } else if rest != "CONFIG" {
            unknown.push(variable.as_str());
        }
    }
    Found { layers, warnings: warnings(&ignored, &unknown, prefix) }
}

fn setting(rest: &str) -> Option<String> {
    SPECS.iter().find(|spec| spec.name.to_uppercase() == rest).map(|spec| spec.name.to_owned())
}

fn region(rest: &str) -> Option<String> {
    let legal = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    REGION_SUFFIXES.iter().find_map(|(suffix, field)| {
        let region = rest.strip_suffix(suffix)?;
        let is_name = !region.is_empty() && region.bytes().all(legal);
        is_name.then(|| format!("region.{}.{field}", region.to_lowercase()))
    })
}

fn is_ignored(rest: &str) -> bool {
    IGNORED.iter().any(|name| rest == *name || name.ends_with('_') && rest.starts_with(name))
}

/// The setting that the variable of a standard preset is: `TTL_HOT` is `ttl.hot`.
fn preset(rest: &str) -> Option<String> {
    let is_it = |(_, variable): &(&str, &str)| variable.strip_prefix(PREFIX) == Some(rest);
    Presets::variables().find(is_it).map(|(name, _)| format!("ttl.{name}"))
}

fn warnings(ignored: &[&str], unknown: &[&str], prefix: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if !ignored.is_empty() {
        warnings.push(format!(
            "no effect: metrics are always on, and a timeout is never tried again, so this version ignores {}",
            ignored.iter().map(|variable| variable.escape_debug().to_string()).collect::<Vec<_>>().join(", ")
        ));
    }
    if !unknown.is_empty() {
        let hints = unknown.iter().map(|variable| hint(variable, prefix));
        warnings.push(format!("not a setting, and ignored: {}", hints.collect::<Vec<_>>().join(", ")));
    }
    warnings
}

fn hint(variable: &str, prefix: &str) -> String {
    let rest = variable.strip_prefix(prefix).unwrap_or(variable).to_lowercase();
    let shown = variable.escape_debug().to_string();
    let known: Vec<&str> = SPECS.iter().map(|spec| spec.name).collect();
    match names::nearest(&rest, &known) {
        Some(near) => format!("{shown} (did you mean {prefix}{}?)", near.to_uppercase()),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn found(variables: &[(&str, &str)], prefix: &str) -> Found {
        read(&variables.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(), prefix)
    }

    #[test]
    fn every_standard_preset_has_its_variable() {
        assert!(Presets::variables().all(|(_, variable)| variable.starts_with(PREFIX)));
        assert_eq!(preset("TTL_HOT").as_deref(), Some("ttl.hot"));
        assert_eq!(preset("MARKET_PRICE_TTL").as_deref(), Some("ttl.price"));
        assert_eq!(preset("TTL_TEPID"), None);
    }

    #[test]
    fn each_form_is_recognised() {
        let found = found(
            &[
                ("CACHE_LISTEN", "[::1]:1"),
                ("CACHE_OHLCV_TTL", "9"),
                ("CACHE_USER_PROFILE_SIZE", "7"),
                ("CACHE_WARMING_INTERVAL", "5"),
                ("CACHE_ENABLE_METRICS", "true"),
                ("CACHE_LISEN", "x"),
                ("REDIS_URL", "redis://user:secret@host"),
                ("REDIS_DB", "3"),
                ("CACHE_REDIS_DB", "4"),
                ("REDIS_RETRY_ON_TIMEOUT", "true"),
                ("PATH", "/bin"),
            ],
            "CACHE_",
        );
        for (name, text) in [
            ("listen", "[::1]:1"),
            ("warming_interval", "5"),
            ("ttl.ohlcv", "9"),
            ("region.user_profile.max_entries", "7"),
            ("redis_url", "redis://user:secret@host"),
            ("redis_db", "4"),
        ] {
            assert_eq!(found.layers.get(name).map(|given| given.text.as_str()), Some(text), "{name}");
        }
        assert_eq!(found.warnings.len(), 2);
        assert!(
            found.warnings[0].ends_with("CACHE_ENABLE_METRICS, REDIS_RETRY_ON_TIMEOUT"),
            "{}",
            found.warnings[0]
        );
        assert!(found.warnings[1].contains("CACHE_LISEN (did you mean CACHE_LISTEN?)"));
        assert!(!found.warnings.concat().contains("secret"));
    }

    #[test]
    fn a_prefix_of_ones_own_replaces_the_standard_one() {
        let found = found(&[("SHIVX_TTL_HOT", "9"), ("CACHE_LISTEN", "x")], "SHIVX_");
        assert!(found.layers.get("ttl.hot").is_some());
        assert!(found.layers.get("listen").is_none() && found.warnings.is_empty());
    }
}
