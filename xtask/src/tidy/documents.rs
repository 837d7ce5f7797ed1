//! Documents: what a visitor looks for is there.

use super::Violation;
use super::tree::Tree;

const EXPECTED: [&str; 5] =
    ["CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "docs/architecture.md"];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let missing =
        EXPECTED.iter().filter(|path| tree.file(path).is_none_or(|file| file.text.trim().is_empty()));
    missing.map(|path| Violation::new(*path, 1, "is missing or empty; write it")).collect()
}
