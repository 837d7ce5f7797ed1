//! What each client may: how many connections and requests at once, and how often, by its class.

use std::num::NonZeroUsize;

use cache_http::limit::Hops;
use cache_ratelimit::{Class, Classes};

use super::error::SettingsError;
use super::layers::{Layers, Source};
use super::resolve::{optional, required};
use super::settings::{ClientSettings, Counting};
use super::value::{self, Read};
use crate::role::Role;

/// Where callers are counted, which is nowhere unless it is said.
const WHERE: &str = "limit";
const MAX_LIMIT: u64 = 1_000_000_000;
const MAX_HOPS: u64 = 32;
const MAX_AT_ONCE: u64 = 1_000_000;

pub(super) fn read(layers: &Layers) -> Result<ClientSettings, SettingsError> {
    let counting = required(layers, WHERE, counting)?;
    if counting == Some(Counting::Shared) && layers.get("redis_url").is_none() {
        let source = layers.get(WHERE).map_or(&Source::Default, |given| &given.source);
        let message = format!(
            "{WHERE} = \"shared\" counts in Redis, and there is none: set redis_url (REDIS_URL), or limit = \"local\""
        );
        return Err(SettingsError::new(source, message));
    }
    let limit = |class: Class| {
        let name = format!("limit_{}", class.name());
        required(layers, &name, value::whole("requests", 0, MAX_LIMIT))
    };
    let [anonymous, authenticated, premium, admin] = Class::ALL.map(limit);
    let at_once = |name: &str, unit: &'static str| {
        let number = optional(layers, name, value::whole(unit, 1, MAX_AT_ONCE))?;
        Ok::<_, SettingsError>(number.and_then(|number| NonZeroUsize::new(usize::try_from(number).ok()?)))
    };
    let hops = required(layers, "trusted_hops", value::whole("proxies", 0, MAX_HOPS))?;
    Ok(ClientSettings {
        counting,
        classes: Classes {
            limits: [anonymous?, authenticated?, premium?, admin?],
            per: required(layers, "limit_window", value::limit_window)?,
        },
        hops: Hops::new(u8::try_from(hops).unwrap_or(u8::MAX)),
        max_connections: at_once("max_connections_per_address", "connections")?,
        max_requests: at_once("max_requests", "requests")?,
    })
}

/// The class of a token, if it does not say so itself.
pub(super) fn class_of(role: Role) -> Class {
    match role {
        Role::Read | Role::Write => Class::Authenticated,
        Role::Admin => Class::Admin,
    }
}

pub(super) fn class(text: &str) -> Read<Class> {
    let found = Class::ALL.into_iter().find(|class| class.name() == text);
    found.ok_or_else(|| Class::ALL.map(Class::name).join(", "))
}

fn counting(text: &str) -> Read<Option<Counting>> {
    match text {
        "off" => Ok(None),
        "local" => Ok(Some(Counting::Local)),
        "shared" => Ok(Some(Counting::Shared)),
        _ => Err("off, local or shared".to_owned()),
    }
}
