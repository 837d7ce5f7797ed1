//! Values: how the text of a setting is read. Each reader says what it expects if the text is something else.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use cache_memory::Policy;
use strata::{Presets, Ttl};
use tracing_subscriber::EnvFilter;

use super::settings::{Admin, LogFormat, Token};

/// What a setting's text is, or what it should have been.
pub(super) type Read<T> = Result<T, String>;

pub(super) fn address(text: &str) -> Read<SocketAddr> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let expected = "an IP address and a port, such as 127.0.0.1:7400, [::1]:7400 or localhost:7400";
    numeric.as_deref().unwrap_or(text).parse().map_err(|_| expected.to_owned())
}

pub(super) fn admin(text: &str) -> Read<Admin> {
    if text == "off" {
        return Ok(Admin::Off);
    }
    address(text).map(Admin::Apart).map_err(|expected| format!("off, or {expected}"))
}

/// A character that can stand in a key.
pub(super) fn delimiter(text: &str) -> Read<char> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) if !one.is_control() => Ok(one),
        _ => Err("a single character that is no control character, such as : or /".to_owned()),
    }
}

/// A whole number within a range, named by what it counts.
pub(super) fn whole(unit: &str, at_least: u64, at_most: u64) -> impl Fn(&str) -> Read<u64> {
    move |text| {
        let number = text.parse().ok().filter(|number| (at_least..=at_most).contains(number));
        let most = if at_most == u64::MAX { String::new() } else { format!(", at most {at_most}") };
        number.ok_or_else(|| format!("a whole number of {unit}, at least {at_least}{most}"))
    }
}

pub(super) fn count(unit: &'static str) -> impl Fn(&str) -> Read<NonZeroU64> {
    move |text| text.parse().map_err(|_| format!("a whole number of {unit}, at least 1"))
}

pub(super) fn timeout(text: &str) -> Read<Duration> {
    const LONGEST: Duration = Duration::from_hours(24);
    let ttl: Option<Ttl> = text.parse().ok();
    let within = |duration: &Duration| !duration.is_zero() && *duration <= LONGEST;
    let expected = "more than zero and at most a day, such as 5 (seconds), 500ms or 1m30s";
    ttl.and_then(Ttl::finite).filter(within).ok_or_else(|| expected.to_owned())
}

/// As [`timeout`], or nothing at all.
pub(super) fn window(text: &str) -> Read<Duration> {
    if text == "0" {
        Ok(Duration::ZERO)
    } else {
        timeout(text).map_err(|expected| format!("0, or {expected}"))
    }
}

/// The window of limits: what a limiter can count in.
pub(super) fn limit_window(text: &str) -> Read<Duration> {
    const SHORTEST: Duration = Duration::from_secs(1);
    let within = timeout(text).ok().filter(|window| *window >= SHORTEST);
    within.ok_or_else(|| "at least a second and at most a day, such as 60 (seconds) or 1h".to_owned())
}

pub(super) fn ttl(text: &str) -> Read<Ttl> {
    let expected = "a time-to-live: seconds (300), units (250ms, 90s, 5m, 1h30m, 2d) or forever";
    text.parse().map_err(|_| expected.to_owned())
}

/// A time-to-live, or the name of a class of them.
pub(super) fn ttl_or_preset(presets: &Presets) -> impl Fn(&str) -> Read<Ttl> {
    move |text| {
        let or_preset = |expected| format!("{expected}, or a preset such as short, hot or session");
        presets.get(text).map_or_else(|| ttl(text).map_err(or_preset), Ok)
    }
}

pub(super) fn policy(text: &str) -> Read<Policy> {
    let names = Policy::ALL.map(Policy::as_str).join(" or ");
    text.parse().map_err(|_| names)
}

pub(super) fn token(text: &str) -> Read<Token> {
    let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let expected = "at least one visible ASCII character, and no spaces";
    visible.then(|| Token::new(text)).ok_or_else(|| expected.to_owned())
}

pub(super) fn log(text: &str) -> Read<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let expected = "off, error, warn, info, debug, trace or directives such as info,cache_server=debug";
    // The filter takes any other word for a target, and is then silent about all else.
    let is_level = |part: &str| LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level));
    let says_level = |part: &str| part.contains('=') || is_level(part);
    let readable = text.split(',').all(says_level) && EnvFilter::try_new(text).is_ok();
    readable.then(|| text.to_owned()).ok_or_else(|| expected.to_owned())
}

pub(super) fn truth(text: &str) -> Read<bool> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

pub(super) fn file(text: &str) -> Read<PathBuf> {
    if text.is_empty() { Err("the path of a file".to_owned()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn folder(text: &str) -> Read<PathBuf> {
    if text.is_empty() {
        return Err("the path of a folder".to_owned());
    }
    let is_else = std::fs::metadata(text).is_ok_and(|found| !found.is_dir());
    if is_else { Err("the path of a folder, and this is a file".to_owned()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn log_format(text: &str) -> Read<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("text or json".to_owned()),
    }
}
