//! Resolving: from names and texts to settings that hold, or to the first thing that is wrong.

use std::collections::{BTreeMap, BTreeSet};

use cache_core::Namespace;
use strata::Presets;

use super::clients;
use super::cors;
use super::error::SettingsError;
use super::layers::{Given, Layers, Source};
use super::places;
use super::settings::{Admin, RegionSettings, Settings, Token};
use super::text;
use super::tls;
use super::tokens;
use super::value::{self, Read};
use super::warming;
use crate::regions::MAX_REGIONS;

const MAX_BODY_BYTES: u64 = 1 << 30;
const MAX_CONNECTIONS: u64 = 1_000_000;
/// No header with a longer token is accepted anyway.
const MAX_TOKEN_FILE_BYTES: u64 = 64 << 10;
const MAX_PRESET_NAME_BYTES: usize = 64;

pub(super) fn resolve(layers: &Layers) -> Result<Settings, SettingsError> {
    let presets = presets(layers)?;
    let settings = Settings {
        listen: required(layers, "listen", value::address)?,
        admin: optional(layers, "admin_listen", value::admin)?.unwrap_or(Admin::Beside),
        token: token(layers)?,
        tokens: tokens::read(layers)?,
        tls: tls::read(layers)?,
        cors: cors::read(layers)?,
        audit_log: optional(layers, "audit_log", value::file)?,
        clients: clients::read(layers)?,
        prefix_delimiter: required(layers, "prefix_delimiter", value::delimiter)?,
        log: required(layers, "log", value::log)?,
        log_format: required(layers, "log_format", value::log_format)?,
        body_limit_bytes: size(layers, "body_limit_bytes", "bytes", MAX_BODY_BYTES)?,
        max_connections: size(layers, "max_connections", "connections", MAX_CONNECTIONS)?,
        header_timeout: required(layers, "header_timeout", value::timeout)?,
        body_timeout: required(layers, "body_timeout", value::timeout)?,
        drain_timeout: required(layers, "drain_timeout", value::timeout)?,
        places: places::read(layers)?,
        warming: warming::read(layers)?,
        regions: regions(layers, &presets)?,
        presets,
    };
    refuse_exposure(&settings, layers)?;
    refuse_one_port_for_both(&settings, layers)?;
    cors::refuse_everybody(&settings, layers)?;
    Ok(settings)
}

fn read<T>(name: &str, given: &Given, parse: impl Fn(&str) -> Read<T>) -> Result<T, SettingsError> {
    let wrong = |expected: String| SettingsError::value(&given.source, name, &given.text, &expected);
    parse(&given.text).map_err(wrong)
}

pub(super) fn optional<T>(
    layers: &Layers,
    name: &str,
    parse: impl Fn(&str) -> Read<T>,
) -> Result<Option<T>, SettingsError> {
    layers.get(name).map(|given| read(name, given, parse)).transpose()
}

/// A setting that has a default.
pub(super) fn required<T>(
    layers: &Layers,
    name: &str,
    parse: impl Fn(&str) -> Read<T>,
) -> Result<T, SettingsError> {
    optional(layers, name, parse)?
        .ok_or_else(|| SettingsError::new(&Source::Default, format!("{name} is missing")))
}

fn size(layers: &Layers, name: &str, unit: &str, at_most: u64) -> Result<usize, SettingsError> {
    let size = required(layers, name, value::whole(unit, 1, at_most))?;
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

/// The token, said here or in a file of its own; what was said in the higher layer wins.
fn token(layers: &Layers) -> Result<Option<Token>, SettingsError> {
    match (layers.get("token"), layers.get("token_file")) {
        (Some(token), Some(file)) if token.source.is_beside(&file.source) => {
            let message = format!("token_file is given, and token too ({}): keep one of them", token.source);
            Err(SettingsError::new(&file.source, message))
        }
        (Some(token), file) if file.is_none_or(|file| file.source < token.source) => {
            read("token", token, value::token).map(Some)
        }
        (_, Some(file)) => token_of_file(file).map(Some),
        (_, None) => Ok(None),
    }
}

pub(super) fn token_of_file(Given { text: path, source }: &Given) -> Result<Token, SettingsError> {
    let wrong = |why: String| SettingsError::new(source, format!("token_file = {path:?}: {why}"));
    let text = text::read(path.as_ref(), MAX_TOKEN_FILE_BYTES).map_err(wrong)?;
    value::token(text.trim_end()).map_err(|expected| wrong(format!("expected {expected}")))
}

fn regions(layers: &Layers, presets: &Presets) -> Result<BTreeMap<String, RegionSettings>, SettingsError> {
    let mut names = BTreeSet::new();
    for (name, given) in layers.below("region") {
        let region = name.rsplit_once('.').map_or(name, |(region, _)| region);
        Namespace::new(region)
            .map_err(|error| SettingsError::new(&given.source, format!("region: {error}")))?;
        names.insert(region);
        if names.len() > MAX_REGIONS {
            let message = format!("region.{region} is one too many: there can be {MAX_REGIONS}");
            return Err(SettingsError::new(&given.source, message));
        }
    }
    names.into_iter().map(|name| Ok((name.to_owned(), region(layers, name, presets)?))).collect()
}

fn region(layers: &Layers, name: &str, presets: &Presets) -> Result<RegionSettings, SettingsError> {
    let field = |field: &str| format!("region.{name}.{field}");
    let default = RegionSettings::default();
    Ok(RegionSettings {
        max_entries: optional(layers, &field("max_entries"), value::count("entries"))?
            .unwrap_or(default.max_entries),
        max_bytes: optional(layers, &field("max_bytes"), value::count("bytes"))?.unwrap_or(default.max_bytes),
        ttl: optional(layers, &field("ttl"), value::ttl_or_preset(presets))?.unwrap_or(default.ttl),
        policy: optional(layers, &field("policy"), value::policy)?.unwrap_or(default.policy),
    })
}

fn presets(layers: &Layers) -> Result<Presets, SettingsError> {
    let mut presets = Presets::standard();
    for (name, given) in layers.below("ttl") {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins_with_letter = name.starts_with(|first: char| first.is_ascii_alphabetic());
        if !begins_with_letter || !name.bytes().all(legal) || name.len() > MAX_PRESET_NAME_BYTES {
            let message = format!(
                "ttl: {name:?} is not a preset's name: expected a letter, then letters, digits, . _ -"
            );
            return Err(SettingsError::new(&given.source, message));
        }
        presets = presets.with(name, read(&format!("ttl.{name}"), given, value::ttl)?);
    }
    Ok(presets)
}

/// Beyond loopback, everyone who reaches the port could read and change everything.
fn refuse_exposure(settings: &Settings, layers: &Layers) -> Result<(), SettingsError> {
    if settings.is_guarded() {
        return Ok(());
    }
    let Some((name, address)) = settings.addresses().find(|(_, address)| !address.ip().is_loopback()) else {
        return Ok(());
    };
    let source = layers.get(name).map_or(&Source::Default, |given| &given.source);
    let message = format!(
        "{name} = \"{address}\" is reachable from other machines, and without a token everyone there could read and change \
         the cache: set a token (CACHE_TOKEN, or token or token_file in the file), or listen on 127.0.0.1 or [::1]"
    );
    Err(SettingsError::new(source, message))
}

/// A port is either apart or not. Zero is any that is free, which is another one each time.
fn refuse_one_port_for_both(settings: &Settings, layers: &Layers) -> Result<(), SettingsError> {
    let is_same = settings.admin == Admin::Apart(settings.listen) && settings.listen.port() != 0;
    match layers.get("admin_listen").filter(|_| is_same) {
        Some(given) => {
            let expected = "another address or port than listen; without admin_listen both are one";
            Err(SettingsError::value(&given.source, "admin_listen", &given.text, expected))
        }
        None => Ok(()),
    }
}
