//! Syntax: every Rust file can be split into tokens; otherwise the other rules would silently skip it.

use super::Violation;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let broken = tree.files.iter().filter_map(|file| Some((file, file.unreadable.as_ref()?)));
    broken
        .map(|(file, why)| Violation::at(file, why.line, format!("cannot be read as Rust: {}", why.reason)))
        .collect()
}
