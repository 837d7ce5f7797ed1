//! Warming: what is loaded before anybody asks for it, `[warmer.NAME]` with `file` or `url`, and how often a source may be called, `[budget.NAME]`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Uri;
use cache_core::{Quota, QuotaError};

use super::error::SettingsError;
use super::layers::{Given, Layers, Source};
use super::resolve::{optional, required, token_of_file};
use super::settings::{BudgetSettings, WarmFrom, WarmerSettings, WarmingSettings};
use super::value::{self, Read};
use super::{DEFAULT_REGION, names, text};
use crate::trust;

const MAX_NAME_BYTES: usize = 64;
/// Each warmer keeps what came of its last run.
const MAX_NAMES: usize = 64;
const MAX_CALLS: u64 = 1_000_000_000;
/// The authorities of a whole system are a quarter of this.
const MAX_AUTHORITIES_BYTES: u64 = 1 << 20;
/// The window of a budget that does not say so itself.
const A_MINUTE: Duration = Duration::from_mins(1);
const MAX_AT_ONCE: u64 = 64;

pub(super) fn read(layers: &Layers) -> Result<WarmingSettings, SettingsError> {
    let mut budgets = BTreeMap::new();
    for (name, source) in named(layers, "budget")? {
        budgets.insert(name.to_owned(), budget(layers, name, source)?);
    }
    let mut warmers = BTreeMap::new();
    for (name, source) in named(layers, "warmer")? {
        warmers.insert(name.to_owned(), warmer(layers, name, source, &budgets)?);
    }
    let max_concurrent = required(layers, "warming_max_concurrent", value::whole("warmers", 1, MAX_AT_ONCE))?;
    Ok(WarmingSettings {
        is_enabled: required(layers, "warming_enabled", value::truth)?,
        interval: required(layers, "warming_interval", value::timeout)?,
        deadline: required(layers, "warming_deadline", value::timeout)?,
        max_concurrent: usize::try_from(max_concurrent).unwrap_or(usize::MAX),
        warmers,
        budgets,
    })
}

/// The names of a group, each with where it was said first.
fn named<'a>(layers: &'a Layers, group: &str) -> Result<BTreeMap<&'a str, &'a Source>, SettingsError> {
    let mut all = BTreeMap::new();
    for (name, given) in layers.below(group) {
        let name = name.rsplit_once('.').map_or(name, |(name, _)| name);
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_name = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(legal);
        let wrong = |message| Err(SettingsError::new(&given.source, message));
        if !is_name {
            return wrong(format!(
                "{group}: {name:?} is not a name: expected 1 to 64 letters, digits, _ and -"
            ));
        }
        all.entry(name).or_insert(&given.source);
        if all.len() > MAX_NAMES {
            return wrong(format!("{group}.{name} is one too many: there can be {MAX_NAMES}"));
        }
    }
    Ok(all)
}

fn budget(layers: &Layers, name: &str, source: &Source) -> Result<BudgetSettings, SettingsError> {
    let quota = |limit: &str, window: &str| {
        let (limit, window) = (format!("budget.{name}.{limit}"), format!("budget.{name}.{window}"));
        let calls = optional(layers, &limit, value::whole("calls", 1, MAX_CALLS))?;
        let Some(calls) = calls else {
            return match layers.get(&window) {
                Some(alone) => {
                    Err(SettingsError::new(&alone.source, format!("{window} is given and {limit} is not")))
                }
                None => Ok(None),
            };
        };
        let within = optional(layers, &window, value::limit_window)?.unwrap_or(A_MINUTE);
        let wrong = |error: QuotaError| SettingsError::new(source, format!("budget.{name}: {error}"));
        Quota::exact(calls, within).or_else(|_| Quota::new(calls, within)).map(Some).map_err(wrong)
    };
    let missing = || {
        SettingsError::new(
            source,
            format!("budget.{name}.limit is missing: how many calls there may be in a window"),
        )
    };
    let whole = quota("limit", "window")?.ok_or_else(missing)?;
    let burst = quota("burst_limit", "burst_window")?;
    if burst.is_some_and(|burst| burst.per() >= whole.per()) {
        let message = format!("budget.{name}.burst_window has to be shorter than its window");
        return Err(SettingsError::new(source, message));
    }
    Ok(BudgetSettings { quota: whole, burst })
}

fn warmer(
    layers: &Layers,
    name: &str,
    source: &Source,
    budgets: &BTreeMap<String, BudgetSettings>,
) -> Result<WarmerSettings, SettingsError> {
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
    let authorities = layers.get(&field("ca_file")).map(|given| authorities(given, &field("ca_file"), &from));
    Ok(WarmerSettings {
        authorities: authorities.transpose()?,
        from,
        region: layers.get(&field("region")).map_or(DEFAULT_REGION, |given| &given.text).to_owned(),
        interval: optional(layers, &field("interval"), value::timeout)?,
        deadline: optional(layers, &field("deadline"), value::timeout)?,
        token: layers.get(&field("token_file")).map(token_of_file).transpose()?,
        budget: optional(layers, &field("budget"), |text| {
            let known = || {
                format!(
                    "the name of a budget, [budget.NAME]; there are {}",
                    budgets.keys().cloned().collect::<Vec<_>>().join(", ")
                )
            };
            budgets.contains_key(text).then(|| text.to_owned()).ok_or_else(known)
        })?,
    })
}

/// Whom to trust, in PEM. It would be of no use, and the way open to all, where the address does not ask for TLS.
fn authorities(
    Given { text: path, source }: &Given,
    name: &str,
    from: &WarmFrom,
) -> Result<String, SettingsError> {
    let wrong = |why: String| SettingsError::new(source, format!("{name} = {path:?}: {why}"));
    if !matches!(from, WarmFrom::Url(url) if url.scheme_str() == Some("https")) {
        return Err(wrong("is for TLS, which url does not ask for: it has to begin with https:".to_owned()));
    }
    let pem = text::read(path.as_ref(), MAX_AUTHORITIES_BYTES).map_err(wrong)?;
    trust::client(Some(&pem)).map_err(wrong)?;
    Ok(pem)
}

fn url(text: &str) -> Read<Uri> {
    let read: Option<Uri> = text.parse().ok();
    let is_known = |url: &Uri| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    };
    let expected = "an address such as http://10.0.0.7:7400/v1/export or https://cache.example/v1/export, without user and password";
    read.filter(is_known).filter(|_| !text.contains('@')).ok_or_else(|| expected.to_owned())
}
