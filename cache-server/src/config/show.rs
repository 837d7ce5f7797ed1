//! Showing: all settings that hold as a configuration file, with where each was said.

use std::fmt::Write;

use super::layers::{Given, Layers};
use super::names;

/// The settings as a file that this server would read, but for its secrets.
pub(super) fn render(layers: &Layers) -> String {
    let mut out = String::new();
    let is_above = |name: &str| !name.contains('.');
    for (name, given) in layers.iter().filter(|(name, _)| is_above(name)) {
        line(&mut out, name, names::is_secret(name), given);
    }
    let mut table = "";
    for (name, given) in layers.iter().filter(|(name, _)| !is_above(name)) {
        // A group, then a name of the operator's own, which may hold dots, then a field; presets have no field.
        let Some((of, field)) =
            (if name.starts_with("ttl.") { name.split_once('.') } else { name.rsplit_once('.') })
        else {
            continue;
        };
        if of != table {
            table = of;
            match of.split_once('.') {
                Some((group, own)) => writeln!(out, "\n[{group}.{own:?}]"),
                None => writeln!(out, "\n[{of}]"),
            }
            .unwrap_or_default();
        }
        if !field.is_empty() {
            line(&mut out, field, false, given);
        }
    }
    out
}

/// Texts are written as texts, whatever they are: the reader takes numbers in quotes as well.
fn line(out: &mut String, name: &str, is_secret: bool, Given { text, source }: &Given) {
    let shown = if is_secret { "(hidden)" } else { text };
    writeln!(out, "{name} = {shown:?} # {source}").unwrap_or_default();
}
