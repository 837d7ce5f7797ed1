//! Warming: what is loaded before anybody asks for it, `[warmer.NAME]` with `file` or `url`.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Uri;

use super::error::SettingsError;
use super::layers::{Layers, Source};
use super::resolve::{optional, required, token_of_file};
use super::settings::{WarmFrom, WarmerSettings, WarmingSettings};
use super::value::{self, Read};
use super::{DEFAULT_REGION, names};

const MAX_NAME_BYTES: usize = 64;
/// Each keeps what came of its last run.
const MAX_WARMERS: usize = 64;
const MAX_AT_ONCE: u64 = 64;

pub(super) fn read(layers: &Layers) -> Result<WarmingSettings, SettingsError> {
    let mut all = BTreeSet::new();
    for (name, given) in layers.below("warmer") {
        let name = name.rsplit_once('.').map_or(name, |(name, _)| name);
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_name = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(legal);
        let wrong = |message| Err(SettingsError::new(&given.source, message));
        if !is_name {
            return wrong(format!(
                "warmer: {name:?} is not a name: expected 1 to 64 letters, digits, _ and -"
            ));
        }
        all.insert((name, &given.source));
        if all.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len() > MAX_WARMERS {
            return wrong(format!("warmer.{name} is one too many: there can be {MAX_WARMERS}"));
        }
    }
    let mut warmers = BTreeMap::new();
    for (name, source) in all {
        if !warmers.contains_key(name) {
            warmers.insert(name.to_owned(), warmer(layers, name, source)?);
        }
    }
    let max_concurrent = required(layers, "warming_max_concurrent", value::whole("warmers", 1, MAX_AT_ONCE))?;
    Ok(WarmingSettings {
        is_enabled: required(layers, "warming_enabled", value::truth)?,
        interval: required(layers, "warming_interval", value::timeout)?,
        max_concurrent: usize::try_from(max_concurrent).unwrap_or(usize::MAX),
        warmers,
    })
}

fn warmer(layers: &Layers, name: &str, source: &Source) -> Result<WarmerSettings, SettingsError> {
    let field = |field: &str| format!("warmer.{name}.{field}");
    let file = optional(layers, &field("file"), value::file)?;
    let url = optional(layers, &field("url"), url)?;
    let from = match (file, url) {
        (Some(file), None) => WarmFrom::File(file),
        (None, Some(url)) => WarmFrom::Url(url),
        _ => {
            let message =
                format!("warmer.{name} needs one of file and url: {}", names::WARMER_FIELDS.join(", "));
            return Err(SettingsError::new(source, message));
        }
    };
    Ok(WarmerSettings {
        from,
        region: layers.get(&field("region")).map_or(DEFAULT_REGION, |given| &given.text).to_owned(),
        interval: optional(layers, &field("interval"), value::timeout)?,
        token: layers.get(&field("token_file")).map(token_of_file).transpose()?,
    })
}

fn url(text: &str) -> Read<Uri> {
    let read: Option<Uri> = text.parse().ok();
    let is_plain =
        |url: &Uri| url.scheme_str() == Some("http") && url.host().is_some_and(|host| !host.is_empty());
    let expected =
        "an address such as http://10.0.0.7:7400/v1/export, without user and password; https is not built in";
    read.filter(is_plain).filter(|_| !text.contains('@')).ok_or_else(|| expected.to_owned())
}
