//! The tiers below memory: their settings, put together.

use strata::redis::{Config, Tls};
use strata::{BusSecret, BusSecretError};

use super::error::SettingsError;
use super::layers::{Given, Layers};
use super::resolve::{optional, required};
use super::settings::{DiskSettings, PlaceSettings};
use super::{text, value};

/// No server has more databases.
const MAX_DATABASE: u64 = 1_000_000;
const MAX_CONNECTIONS: u64 = 256;
const AUTHORITIES: &str = "redis_ca_file";
/// The authorities of a whole system are a quarter of this.
const MAX_AUTHORITIES_BYTES: u64 = 1 << 20;

pub(super) fn read(layers: &Layers) -> Result<PlaceSettings, SettingsError> {
    let max_bytes = required(layers, "disk_max_bytes", value::count("bytes"))?;
    let folder = optional(layers, "dir", value::folder)?;
    Ok(PlaceSettings {
        redis: redis(layers)?,
        redis_timeout: optional(layers, "redis_timeout", value::timeout)?,
        bus_secret: bus_secret(layers)?,
        fail_safe_for: required(layers, "fail_safe_for", value::window)?,
        disk: folder.map(|folder| DiskSettings { folder, max_bytes }),
        is_compressed: required(layers, "enable_compression", value::truth)?,
    })
}

/// Redis, if there is a URL. What else is said of it is checked in any case.
fn redis(layers: &Layers) -> Result<Option<Config>, SettingsError> {
    let password = layers.get("redis_password").map(|given| given.text.clone());
    let database = optional(layers, "redis_db", value::whole("database", 0, MAX_DATABASE))?;
    let connections = optional(layers, "redis_pool_size", value::whole("connections", 1, MAX_CONNECTIONS))?;
    let timeout = optional(layers, "redis_timeout", value::timeout)?;
    let pool_timeout = optional(layers, "redis_pool_timeout", value::timeout)?;
    let Some(url) = layers.get("redis_url") else { return Ok(None) };

    let wrong = |error: strata::redis::ConfigError| {
        SettingsError::new(&url.source, format!("redis_url = (hidden): {error}"))
    };
    let mut config = Config::from_url(&url.text).map_err(wrong)?.with_client_name("strata");
    if let Some(password) = password {
        config = config.with_password(password);
    }
    if let Some(database) = database {
        config = config.with_database(u32::try_from(database).unwrap_or(u32::MAX));
    }
    if let Some(connections) = connections {
        config = config.with_pool_size(usize::try_from(connections).unwrap_or(usize::MAX));
    }
    if let Some(timeout) = timeout {
        config = config.with_command_timeout(timeout);
    }
    if let Some(timeout) = pool_timeout {
        config = config.with_pool_timeout(timeout);
    }
    if let Some(file) = layers.get(AUTHORITIES) {
        config = config.with_tls(Tls::new().with_authorities(authorities(file, url)?));
    }
    config.check().map_err(wrong)?;
    Ok(Some(config))
}

/// Whom to trust, in PEM. It would be of no use, and the connection open to all, where the URL does not ask for TLS.
fn authorities(Given { text: path, source }: &Given, url: &Given) -> Result<String, SettingsError> {
    let wrong = |why: String| SettingsError::new(source, format!("{AUTHORITIES} = {path:?}: {why}"));
    if !["rediss", "valkeys"].iter().any(|scheme| url.text.starts_with(scheme)) {
        return Err(wrong(
            "is for TLS, which redis_url does not ask for: it has to begin with rediss:".to_owned(),
        ));
    }
    text::read(path.as_ref(), MAX_AUTHORITIES_BYTES).map_err(wrong)
}

const SECRET: &str = "bus_secret";
const ACCEPTED: &str = "bus_secret_accepted";
const UNSIGNED: &str = "bus_unsigned_accepted";

/// What news are signed with. What else is said of it would be of no use without one, and news be heard from anybody.
fn bus_secret(layers: &Layers) -> Result<Option<BusSecret>, SettingsError> {
    let is_unsigned_accepted = required(layers, UNSIGNED, value::truth)?;
    let Some(secret) = layers.get(SECRET) else {
        let useless = layers.get(ACCEPTED).map(|given| (ACCEPTED, given));
        let useless = useless
            .or_else(|| layers.get(UNSIGNED).filter(|_| is_unsigned_accepted).map(|it| (UNSIGNED, it)));
        let Some((name, given)) = useless else { return Ok(None) };
        let message = format!("{name} is given and {SECRET} is not: give both, or neither");
        return Err(SettingsError::new(&given.source, message));
    };
    let wrong = |name: &'static str, given: &Given| {
        let (source, text) = (given.source.clone(), given.text.clone());
        move |error: BusSecretError| SettingsError::value(&source, name, &text, &error.to_string())
    };
    let mut found = BusSecret::new(&secret.text).map_err(wrong(SECRET, secret))?;
    if let Some(other) = layers.get(ACCEPTED) {
        found = found.with_accepted(&other.text).map_err(wrong(ACCEPTED, other))?;
    }
    Ok(Some(if is_unsigned_accepted { found.with_unsigned_accepted() } else { found }))
}
