//! What is wrong with a setting: where it was said, which one it is, its value, and what would be right.

use std::fmt;

use thiserror::Error;

use super::layers::Source;
use super::names;

/// A setting that stops the start. Shows its source, its name, its value (never a token's) and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {message}")]
pub struct SettingsError {
    place: String,
    message: String,
}

impl SettingsError {
    pub(super) fn new(place: &(impl fmt::Display + ?Sized), message: impl Into<String>) -> Self {
        Self { place: place.to_string(), message: message.into() }
    }

    /// A value that its setting cannot take.
    pub(super) fn value(source: &Source, name: &str, text: &str, expected: &str) -> Self {
        let shown = if names::is_secret(name) { "(hidden)".to_owned() } else { shortened(text) };
        Self::new(source, format!("{} = {shown}: expected {expected}", name.escape_debug()))
    }

    /// A name that no setting has.
    pub(super) fn unknown(source: &Source, name: &str, known: &[&str]) -> Self {
        let hint = names::nearest(name, known).map(|near| format!("; did you mean `{near}`?"));
        let hint = hint.unwrap_or_else(|| format!("; there are {}", known.join(", ")));
        Self::new(source, format!("`{}` is not a setting{hint}", name.escape_debug()))
    }
}

/// Quoted, on one line, and not longer than a line.
fn shortened(text: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    if text.chars().count() <= SHOWN_CHARS {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{start:?}…")
}
