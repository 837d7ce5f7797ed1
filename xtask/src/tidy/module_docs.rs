//! Module docs: every Rust file starts by saying what it is.

use super::Violation;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let silent = tree.rust_files().filter(|file| !file.text.starts_with("//!"));
    let how = "the file must start with `//!`: in two to ten lines, what it is and what it is not";
    silent.map(|file| Violation::at(file, 1, how)).collect()
}
