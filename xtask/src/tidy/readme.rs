//! The README's blocks of code: each is in a language that is checked, and states nothing that is not so.
//!
//! What reading cannot tell, `cargo xtask readme` finds out by doing what the README says.

use super::Violation;
use super::tree::Tree;
use crate::readme::{README, stated};

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(readme) = tree.file(README) else { return Vec::new() };
    let wrongs = stated::wrongs(&tree.root, README, &readme.text);
    wrongs.into_iter().map(|wrong| Violation::at(readme, wrong.line, wrong.message)).collect()
}
